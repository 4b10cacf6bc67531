//! The stage: while this process holds the lease, every operation that is to run has a task here. When the lease is gone, so
//! are they; the next holder goes on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::store::{self, Kind, Operation, State};
use super::{Dependencies, Error, bulk, freeze, heal, plan, refresh, removal, replay};
use crate::projection::{Leadership, abandon_replay, remove_dropped};

#[derive(Clone, Debug)]
pub struct Config {
    /// So long the letters of a finished operation can be asked for.
    pub keep_letters: Duration,
}

/// How often new work is looked for that another replica was asked for.
const LOOK: Duration = Duration::from_millis(200);

/// How often the collections' tables are looked after.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// How often operations are looked for that ended long ago.
const REMOVE: Duration = Duration::from_secs(600);

/// What is under way here, by operation: of which kind, and how to end it.
type Tasks = HashMap<i64, (Kind, AbortHandle)>;

/// Runs until `stop`.
pub async fn run(config: Config, deps: Dependencies, stop: CancellationToken) {
    let mut tasks = Tasks::new();
    let mut healed: Option<(i64, i64)> = None;
    let mut removing: Option<(Instant, AbortOnDropHandle<()>)> = None;
    let mut looked_after: Option<Instant> = None;
    let mut leadership = deps.leadership.clone();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = deps.asked.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = leadership.borrow_and_update().clone();
        let Some(leader) = now else {
            end(&mut tasks);
            (healed, removing) = (None, None);
            continue;
        };
        let is_due = |(begun, task): &(Instant, AbortOnDropHandle<()>)| {
            task.is_finished() && begun.elapsed() >= REMOVE
        };
        if removing.as_ref().is_none_or(is_due) {
            let work = removal::run(deps.database.clone(), config.keep_letters);
            removing = Some((Instant::now(), AbortOnDropHandle::new(tokio::spawn(work))));
        }
        let occasion = (leader.term, leader.in_force.position.0);
        if healed != Some(occasion) {
            match heal::ask(&deps, &leader).await {
                Ok(()) => healed = Some(occasion),
                Err(error) => tracing::debug!(%error, "healing could not be asked for: {error}"),
            }
        }
        if looked_after.is_none_or(|at| at.elapsed() >= LOOK_AFTER) {
            looked_after = Some(Instant::now());
            if let Err(error) = look_after_tables(&deps, &leader).await {
                tracing::debug!(%error, "the tables could not be looked after: {error}");
            }
        }
        if let Err(error) = take_up(&deps, &leader, &mut tasks).await {
            tracing::debug!(%error, "operations cannot be read: {error}");
        }
    }
    end(&mut tasks);
}

/// Asks for what the definitions in force need of their tables, and removes those of what was dropped.
async fn look_after_tables(deps: &Dependencies, leader: &Leadership) -> Result<(), Error> {
    refresh::ask(deps, leader).await?;
    let session = deps.database.session("tables").await?;
    remove_dropped(session.client(), &leader.in_force).await?;
    Ok(())
}

fn end(tasks: &mut Tasks) {
    for (_, (_, task)) in tasks.drain() {
        task.abort();
    }
}

async fn take_up(deps: &Dependencies, leader: &Leadership, tasks: &mut Tasks) -> Result<(), Error> {
    tasks.retain(|_, (_, task)| !task.is_finished());
    let reader = deps.database.reader().await?;
    let replays = tasks.values().any(|(kind, _)| *kind == Kind::Replay);
    if !replays && store::replay_left_over(&reader).await? {
        abandon_replay(&deps.database).await?;
    }
    for (id, kind) in store::active(&reader).await? {
        if tasks.contains_key(&id) {
            continue;
        }
        if let Some(operation) = store::start(&reader, id).await? {
            let task = tokio::spawn(work(deps.clone(), leader.clone(), kind, operation));
            tasks.insert(id, (kind, task.abort_handle()));
        }
    }
    Ok(())
}

/// One operation until it ends; trouble with Postgres is waited out, and the operation goes on.
async fn work(deps: Dependencies, leader: Leadership, kind: Kind, operation: Operation) {
    let id = operation.id;
    let outcome = match kind {
        Kind::Bulk if operation.state == State::Freezing.as_str() => {
            freeze::run(&deps, &operation).await
        }
        Kind::Bulk => bulk::run(&deps, &leader, operation).await,
        Kind::Plan => plan::run(&deps, operation).await,
        Kind::Refresh => refresh::run(&deps, &leader, operation).await,
        Kind::Index => refresh::build(&deps, operation).await,
        Kind::Replay => replay::run(&deps, &leader, operation).await,
    };
    let Err(error) = outcome else {
        return;
    };
    let final_one = matches!(
        error,
        Error::UnknownRequest(_)
            | Error::Projection(
                crate::projection::Error::Unbuildable(_) | crate::projection::Error::Gap { .. }
            )
    );
    if !final_one {
        tracing::warn!(operation = id, %error, "operation {id} was interrupted: {error}; it goes on");
        tokio::time::sleep(Duration::from_secs(1)).await;
        return;
    }
    tracing::error!(operation = id, %error, "operation {id} failed: {error}");
    if let Ok(reader) = deps.database.reader().await {
        let text = error.to_string();
        let _ = store::finish(&reader, id, State::Failed, &json!({"error": text})).await;
    }
}
