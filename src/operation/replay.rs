//! A replay as an operation: progress, pause (the shadow tables stay), cancel (they go).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::store::{self, Operation};
use super::{Dependencies, Error};
use crate::inbox::Position;
use crate::projection::{self, Leadership, Progress, Replay, abandon_replay};

/// How often progress is stored, and a pause or cancellation noticed.
const REPORT: Duration = Duration::from_millis(300);

pub async fn run(
    deps: &Dependencies,
    leadership: &Leadership,
    operation: Operation,
) -> Result<(), Error> {
    let begin = Progress {
        phase: "load",
        position: Position(0),
        target: Position(0),
    };
    let (progress, seen) = watch::channel(begin);
    let cancelled = CancellationToken::new();
    let replay = Replay {
        database: &deps.database,
        leadership,
        give_way: Arc::clone(&deps.give_way),
        operation: operation.id,
        end: store::end_replay,
        progress,
        cancelled: cancelled.clone(),
    };
    let outcome = tokio::select! {
        outcome = replay.run() => outcome,
        never = report(deps, operation.id, seen, &cancelled) => match never? {},
    };
    match outcome {
        Ok(position) => {
            tracing::info!(
                operation = operation.id,
                "replayed to position {position}: the new tables are live"
            );
            Ok(())
        }
        Err(projection::Error::Cancelled) => {
            let reader = deps.database.reader().await?;
            let now = store::by_id(&reader, operation.id).await?;
            if now.is_some_and(|now| now.is_over()) {
                abandon_replay(&deps.database).await?;
            }
            Ok(())
        }
        Err(error @ projection::Error::Unbuildable(_)) => {
            abandon_replay(&deps.database).await?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Stores the progress for as long as the replay runs. An outage of Postgres does not end it: the replay itself fails then, if it
/// has to.
async fn report(
    deps: &Dependencies,
    id: i64,
    mut seen: watch::Receiver<Progress>,
    cancelled: &CancellationToken,
) -> Result<std::convert::Infallible, Error> {
    let begun = Instant::now();
    let first = *seen.borrow();
    let mut from = first.position;
    let mut phase = first.phase;
    loop {
        // A new phase is stored at once.
        let changed = seen.wait_for(|now| now.phase != phase);
        let _ = tokio::time::timeout(REPORT, changed).await;
        let now = *seen.borrow();
        phase = now.phase;
        if from.0 == 0 {
            // A replay that was resumed began there: what was done before must not count as this run's pace.
            from = now.position;
        }
        let value = describe(now, from, begun.elapsed());
        let Ok(reader) = deps.database.reader().await else {
            continue;
        };
        if let Ok(false) = store::report(&reader, id, &value, now.position.0, now.target.0).await {
            cancelled.cancel();
        }
    }
}

fn describe(now: Progress, from: Position, elapsed: Duration) -> Value {
    let rate = (now.position.0 - from.0) as f64 / elapsed.as_secs_f64().max(0.001);
    let left = (rate > 0.0).then(|| {
        ((now.target.0 - now.position.0) as f64 / rate)
            .max(0.0)
            .round()
    });
    json!({
        "phase": now.phase,
        "position": now.position.0,
        "target": now.target.0,
        "rows_per_second": rate.round(),
        "seconds_left": left,
    })
}
