//! Letters that Postgres refused, or whose sum was too low, are retried by the clock. The holder of the lease appends a `retry` decision to the log like
//! any operator; its key (letter, attempt) makes it harmless to append it twice.
//!
//! The time at which a letter is due was written by one wall clock and is read by another, and either may have jumped.
//! Therefore the pause between two of our own attempts is also measured by our monotonic clock, and a due time further ahead
//! than the longest possible pause is not waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;

use super::definitions::InForce;
use crate::dead_letter::longest_pause;
use crate::inbox::{Action, Decision, Inbox, SourceId};
use crate::postgres::{Database, Error, query};

/// By dead_letters_due. Letters that are due, or due later than any pause could make them; not those of a dropped collection.
const DUE: &str = "
    select id, attempts, greatest(extract(epoch from next_attempt_at - last_failed_at), 0)::float8
    from dead_letters
    where state = 'open' and collection = any($2) and (next_attempt_at <= now() or next_attempt_at > now() + make_interval(secs => $1))
    order by next_attempt_at limit 200";

/// No letter is due later than this from now, unless a clock has jumped. Two minutes are for clocks that differ.
const LONGEST: Duration = longest_pause().saturating_add(Duration::from_mins(2));

/// By letter: when this process last asked for a retry.
type Asked = HashMap<i64, Instant>;

/// For as long as this process leads.
pub async fn run(
    database: Database,
    inbox: Inbox,
    operator: SourceId,
    in_force: watch::Receiver<Arc<InForce>>,
) {
    let mut asked = Asked::new();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        asked.retain(|_, at| at.elapsed() < LONGEST);
        let ids = in_force
            .borrow()
            .iter()
            .map(|defined| defined.id.0)
            .collect();
        if let Err(error) = ask(&database, &inbox, operator, ids, &mut asked).await {
            tracing::debug!(%error, "due retries cannot be read: {error}");
        }
    }
}

async fn ask(
    database: &Database,
    inbox: &Inbox,
    operator: SourceId,
    ids: Vec<i64>,
    asked: &mut Asked,
) -> Result<(), Error> {
    let reader = database.reader().await?;
    let due = query(&reader, DUE, &[&LONGEST.as_secs_f64(), &ids]).await?;
    drop(reader);
    let now = Instant::now();
    let due = due.iter().filter_map(|row| {
        let (letter, attempts): (i64, i32) = (row.get(0), row.get(1));
        let pause = Duration::from_secs_f64(row.get(2));
        let rested = asked.get(&letter).is_none_or(|at| now - *at >= pause);
        rested.then_some((letter, attempts))
    });
    let asking = due.map(|(letter, attempts)| {
        let why = "what was in the way may be gone; tried again by the clock";
        let decision = Decision::about(letter, Action::Retry, "waybill", why);
        let key = format!("retry:{letter}:{attempts}");
        async move {
            inbox
                .submit(operator, Some(key), None, Some(&decision))
                .await
                .map(|_| letter)
        }
    });
    // A letter whose retry could not be appended is still due at the next poll.
    for outcome in join_all(asking).await {
        match outcome {
            Ok(letter) => {
                asked.insert(letter, now);
            }
            Err(error) => {
                tracing::debug!(%error, "a due retry could not be asked for: {error}");
            }
        }
    }
    Ok(())
}
