//! A bulk operation: the frozen set in chunks, each a bundle of decisions in the log, each with the key (operation, letter).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::judge::{Passed, Would, judge};
use super::store::{self, Action, BulkRequest, ItemResult, Operation, Standing, State};
use super::worker::Dependencies;
use super::{Error, heal};
use crate::dead_letter::{self, Letter, format_fingerprint};
use crate::inbox::{self, Appended, Decision, Position};
use crate::order::Rejection;
use crate::projection::Leadership;

const CHUNK: i64 = 256;
/// Before so many were judged, a share says nothing.
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
    let mut passed = Passed::default();
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
        let limit = request
            .rate
            .map_or(CHUNK, |rate| i64::from(rate).clamp(1, CHUNK));
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
            dry(&reader, leadership, &mut passed, &request, &letters).await?
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

fn too_many_failed(request: &BulkRequest, now: &Standing) -> bool {
    let forgiven = |name: &str| now.progress[name].as_i64().unwrap_or(0);
    let done = now.done - forgiven("forgiven_done");
    let failed = now.failed - forgiven("forgiven_failed");
    request
        .stop_share
        .is_some_and(|share| done >= FEW && failed as f64 > share * done as f64)
}

fn failing(rejection: &Rejection) -> Value {
    let first = rejection.first();
    json!({
        "fingerprint": format_fingerprint(rejection.fingerprint()),
        "reason": rejection.reason(),
        "code": first.code,
        "pointer": first.pointer,
        "message": first.message,
    })
}

/// As the fold would say it of a letter for which this comes too late.
fn too_late(action: Action, letter: &Letter) -> Option<&'static str> {
    use dead_letter::State::{Discarded, Open, Replaced};
    let by = letter.decided_action;
    let so_already = match (action, letter.state) {
        (Action::Note, _)
        | (Action::Retry | Action::Discard, Open)
        | (Action::Reopen, Discarded) => return None,
        (Action::Retry, Replaced) => {
            matches!(by, Some(inbox::Action::Retry | inbox::Action::Reopen))
        }
        (Action::Discard, Discarded) | (Action::Reopen, Open) => true,
        (Action::Retry, Discarded) | (Action::Discard | Action::Reopen, Replaced) => false,
    };
    Some(if so_already {
        "would_be_already_so"
    } else {
        "would_be_too_late"
    })
}

async fn dry(
    reader: &crate::postgres::Client,
    leadership: &Leadership,
    passed: &mut Passed,
    request: &BulkRequest,
    letters: &[i64],
) -> Result<Vec<ItemResult>, Error> {
    let now: HashMap<i64, Letter> = dead_letter::load(reader, letters)
        .await?
        .into_iter()
        .map(|letter| (letter.id.0, letter))
        .collect();
    let item = |letter: i64, result: &str, detail: Value| ItemResult {
        letter,
        position: None,
        result: result.to_owned(),
        detail,
    };
    let (mut results, mut judged) = (Vec::new(), Vec::new());
    for letter in letters {
        let late = now.get(letter).map_or(Some("would_be_too_late"), |now| {
            too_late(request.action, now)
        });
        match (late, request.action) {
            (Some(late), _) => results.push(item(*letter, late, Value::Null)),
            (None, Action::Discard | Action::Note) => {
                results.push(item(*letter, "would_do", Value::Null));
            }
            (None, Action::Retry | Action::Reopen) => judged.push(*letter),
        }
    }
    for (letter, would) in judge(reader, &leadership.in_force.rules, passed, &judged).await? {
        results.push(match would {
            Would::Pass => item(letter, "would_pass", Value::Null),
            Would::BeDuplicate => item(letter, "would_be_duplicate", Value::Null),
            // Open again is what was asked for.
            Would::Fail(_) if request.action == Action::Reopen => {
                item(letter, "would_reopen", Value::Null)
            }
            Would::Fail(rejection) => item(letter, "would_fail", failing(&rejection)),
        });
    }
    Ok(results)
}

/// For the service's own healing: those that would pass or change their group, and the others as results.
async fn sort_out(
    reader: &crate::postgres::Client,
    leadership: &Leadership,
    letters: &[i64],
) -> Result<(Vec<i64>, Vec<ItemResult>), Error> {
    let open: HashMap<i64, i64> = dead_letter::load(reader, letters)
        .await?
        .into_iter()
        .filter(|letter| letter.state == dead_letter::State::Open)
        .map(|letter| (letter.id.0, letter.verdict.fingerprint))
        .collect();
    // What somebody has decided meanwhile is not ours to decide.
    let judged: Vec<i64> = letters
        .iter()
        .copied()
        .filter(|letter| open.contains_key(letter))
        .collect();
    let rules = &leadership.in_force.rules;
    let mut changed = Vec::new();
    for (letter, would) in judge(reader, rules, &mut Passed::default(), &judged).await? {
        if !matches!(would, Would::Fail(rejection) if Some(&rejection.fingerprint()) == open.get(&letter))
        {
            changed.push(letter);
        }
    }
    let unchanged = letters
        .iter()
        .filter(|letter| !changed.contains(letter))
        .map(|letter| ItemResult {
            letter: *letter,
            position: None,
            result: "unchanged".to_owned(),
            detail: Value::Null,
        })
        .collect();
    Ok((changed, unchanged))
}

/// Appends a decision for each, waits until the fold has come to them, and reads what it said.
async fn decide(
    deps: &Dependencies,
    operation: &Operation,
    request: &BulkRequest,
    letters: &[i64],
) -> Result<Vec<ItemResult>, Error> {
    let action = match request.action {
        Action::Retry => inbox::Action::Retry,
        Action::Discard => inbox::Action::Discard,
        Action::Reopen => inbox::Action::Reopen,
        Action::Note => inbox::Action::Note,
    };
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
            return Err(crate::inbox::Unavailable::Stopping.into());
        }
    }
    let reader = deps.database.reader().await?;
    let decided: Vec<i64> = positions.keys().copied().collect();
    let answers = dead_letter::results(&reader, &decided).await?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| {
            let letter = *positions.get(&answer.position.0)?;
            let detail = match answer.failing {
                Some(failing) => json!({
                    "fingerprint": format_fingerprint(failing.fingerprint),
                    "reason": failing.reason,
                    "code": failing.code,
                    "pointer": failing.pointer,
                    "message": failing.message,
                }),
                None => Value::Null,
            };
            Some(ItemResult {
                letter,
                position: Some(answer.position.0),
                result: answer.result,
                detail,
            })
        })
        .collect())
}
