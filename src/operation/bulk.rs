//! A bulk operation: the frozen set in chunks, each a bundle of decisions in the log, each with the key (operation, letter).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::store::{self, BulkRequest, ItemResult, Operation, Standing, State};
use super::{Dependencies, Error, heal};
use crate::dead_letter::{self, Verdict, format_fingerprint};
use crate::inbox::{Action, Appended, Decision, Position, Unavailable};
use crate::postgres::Client;
use crate::projection::{DryRun, Leadership, Would};

const CHUNK: i64 = 256;
/// Before so many were judged, a share says nothing: one of two letters that fails is half of them.
const FEW: i64 = 20;

/// Until the set is worked through, or the operation is paused, cancelled or stopped.
pub async fn run(
    deps: &Dependencies,
    leadership: &Leadership,
    operation: Operation,
) -> Result<(), Error> {
    let request = operation.bulk_request()?;
    if !heal::is_ours(&request, leadership) {
        return Ok(());
    }
    let mut dry_run = DryRun::new(leadership.in_force.clone());
    let reader = deps.database.reader().await?;
    if request.dry_run && operation.done > 0 {
        store::forget(&reader, operation.id).await?;
    }
    drop(reader);
    loop {
        let started = Instant::now();
        let reader = deps.database.reader().await?;
        let Some(now) = store::standing(&reader, operation.id).await? else {
            return Ok(());
        };
        if now.state != State::Running.as_str() {
            return Ok(());
        }
        let limit = chunk(&request, &now);
        let letters = store::open_items(&reader, operation.id, limit).await?;
        if letters.is_empty() || too_many_failed(&request, &now) {
            let state = if letters.is_empty() {
                State::Done
            } else {
                State::Stopped
            };
            let outcome = store::summary(&reader, operation.id).await?;
            heal::is_done(&reader, leadership, &request).await?;
            store::finish(&reader, operation.id, state, &outcome).await?;
            tracing::info!(
                operation = operation.id,
                "operation {} is {}",
                operation.id,
                state.as_str()
            );
            return Ok(());
        }
        let results = if request.dry_run {
            dry(&reader, &mut dry_run, request.action, &letters).await?
        } else {
            let letters = if request.only_changed {
                let (changed, unchanged) = sort_out(&reader, leadership, &letters).await?;
                store::record(&reader, operation.id, &unchanged).await?;
                changed
            } else {
                letters.clone()
            };
            drop(reader);
            decide(deps, &operation, &request, &letters).await?
        };
        let reader = deps.database.reader().await?;
        store::record(&reader, operation.id, &results).await?;
        drop(reader);
        if let Some(rate) = request.rate {
            let due = Duration::from_secs_f64(letters.len() as f64 / f64::from(rate.max(1)));
            tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        }
    }
}

/// How many letters are decided before somebody looks again: no more than a second's, and if the operation is to stop when
/// too many fail, at first a few, then a quarter of those that were judged.
fn chunk(request: &BulkRequest, now: &Standing) -> i64 {
    let most = request
        .rate
        .map_or(CHUNK, |rate| i64::from(rate).min(CHUNK));
    let careful = match request.stop_share {
        Some(_) => (now.done / 4).max(FEW),
        None => CHUNK,
    };
    most.min(careful).max(1)
}

fn too_many_failed(request: &BulkRequest, now: &Standing) -> bool {
    let forgiven = |name: &str| now.progress[name].as_i64().unwrap_or(0);
    let done = now.done - forgiven("forgiven_done");
    let failed = now.failed - forgiven("forgiven_failed");
    request
        .stop_share
        .is_some_and(|share| done >= FEW && failed as f64 > share * done as f64)
}

fn failing(verdict: &Verdict) -> Value {
    json!({
        "fingerprint": format_fingerprint(verdict.fingerprint),
        "reason": verdict.reason,
        "code": verdict.code,
        "pointer": verdict.pointer,
        "message": verdict.message,
    })
}

/// What would become of each, and nothing decided.
async fn dry(
    reader: &Client,
    dry_run: &mut DryRun,
    action: Action,
    letters: &[i64],
) -> Result<Vec<ItemResult>, Error> {
    let foretold = dry_run.ask(reader, action, letters).await?;
    let item = |(letter, would): (i64, Would)| ItemResult {
        letter,
        position: None,
        result: would.as_str().to_owned(),
        detail: match would {
            Would::Fail { verdict, .. } => failing(&verdict),
            _ => Value::Null,
        },
    };
    Ok(foretold.into_iter().map(item).collect())
}

/// For the service's own healing: those that would pass or change their group, and the others as results.
async fn sort_out(
    reader: &Client,
    leadership: &Leadership,
    letters: &[i64],
) -> Result<(Vec<i64>, Vec<ItemResult>), Error> {
    let mut dry_run = DryRun::new(leadership.in_force.clone());
    let (mut changed, mut unchanged) = (Vec::new(), Vec::new());
    for (letter, would) in dry_run.ask(reader, Action::Retry, letters).await? {
        match would {
            // The last two: what somebody has decided meanwhile is not ours to decide.
            Would::Fail {
                in_same_group: true,
                ..
            }
            | Would::BeAlreadySo
            | Would::BeTooLate => unchanged.push(ItemResult {
                letter,
                position: None,
                result: "unchanged".to_owned(),
                detail: Value::Null,
            }),
            _ => changed.push(letter),
        }
    }
    Ok((changed, unchanged))
}

/// Appends a decision for each, waits until the fold has come to them, and reads what it said.
async fn decide(
    deps: &Dependencies,
    operation: &Operation,
    request: &BulkRequest,
    letters: &[i64],
) -> Result<Vec<ItemResult>, Error> {
    let action = request.action;
    // One after the other into the queue: in the log they stand in the set's order, in which the dry run folds them.
    let mut appends = Vec::new();
    for letter in letters {
        let mut decision = Decision::about(*letter, action, &operation.asked_by, &operation.reason);
        decision.proof.clone_from(&operation.proof);
        decision.operation = Some(operation.id);
        let key = format!("operation:{}:{letter}", operation.id);
        let append = deps
            .inbox
            .enqueue(deps.operator, Some(key), None, Some(&decision));
        appends.push(append.await?);
    }
    let mut positions = HashMap::new();
    for (letter, appended) in letters.iter().zip(join_all(appends).await) {
        if let Appended::Stored(position)
        | Appended::Known(position)
        | Appended::KeyTaken(position) = appended?
        {
            positions.insert(position.0, *letter);
        }
    }
    let Some(last) = positions.keys().max().copied() else {
        return Ok(Vec::new());
    };
    let mut projected = deps.projected.clone();
    while *projected.borrow_and_update() < Position(last) {
        if projected.changed().await.is_err() {
            return Err(Unavailable::Stopping.into());
        }
    }
    let reader = deps.database.reader().await?;
    let decided: Vec<i64> = positions.keys().copied().collect();
    let answers = dead_letter::results(&reader, &decided).await?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| {
            let letter = *positions.get(&answer.position.0)?;
            let detail = answer.failing.as_ref().map_or(Value::Null, failing);
            Some(ItemResult {
                letter,
                position: Some(answer.position.0),
                result: answer.result,
                detail,
            })
        })
        .collect())
}
