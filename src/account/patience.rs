//! When a hole in a source's sequences counts as lost. A broker sends an unacknowledged message again after each ack_wait. If a
//! hole has been there for ten of them, the broker has had ten chances to fill it.
//!
//! This process looks at the account once an ack_wait and remembers the last looks; a hole is lost if the oldest of them has it
//! already. No wall clock is asked, neither ours nor Postgres', so a clock that jumps changes nothing. Time in which the
//! service was down or frozen, or Postgres was away, does not count, because nothing could arrive in it. So after a restart a
//! hole is awaited for ten more looks, and replicas that started at different times may disagree until then.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::inbox::SourceId;
use crate::postgres::{Client, Database, Error, query};

/// How many chances the broker has to send a message again before it counts as lost: generous, for an alarm that is wrong
/// costs more than one that is minutes late.
const CHANCES: usize = 10;

/// The first and last sequence of each source and epoch at the time of a look. Spans only grow, and what was received stays
/// received. So what is a hole now, and lies within an earlier span, was a hole then already.
type Spans = HashMap<(SourceId, i32), (i64, i64)>;

const SPANS: &str = "select source_id, epoch, first_sequence, last_sequence from source_account";

/// The spans of the newest look and of the `CHANCES` looks before it, oldest first.
#[derive(Default)]
pub struct Patience(Mutex<VecDeque<Spans>>);

impl Patience {
    /// Looks once an `ack_wait`, for ever.
    pub async fn watch(&self, database: &Database, ack_wait: Duration) {
        loop {
            let look = async { spans(&*database.reader().await?).await };
            match look.await {
                Ok(spans) => self.note(spans),
                Err(error) => tracing::debug!(%error, "the account cannot be looked at: {error}"),
            }
            tokio::time::sleep(ack_wait).await;
        }
    }

    fn note(&self, now: Spans) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = |before: &Spans| {
            before.iter().all(|(life, (first, last))| {
                now.get(life)
                    .is_some_and(|(now_first, now_last)| now_first <= first && now_last >= last)
            })
        };
        // A span shrank: this is another Postgres than before (a failover that lost rows), and it has other holes.
        if !looks.back().is_none_or(grown) {
            looks.clear();
        }
        looks.push_back(now);
        if looks.len() > CHANCES + 1 {
            looks.pop_front();
        }
    }

    /// True if the broker has had all its chances to fill this hole.
    pub fn is_over(&self, source: SourceId, epoch: i32, first: i64, last: i64) -> bool {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.len() > CHANCES
            && looks
                .front()
                .and_then(|spans| spans.get(&(source, epoch)))
                .is_some_and(|span| span.0 < first && last < span.1)
    }
}

async fn spans(client: &Client) -> Result<Spans, Error> {
    let rows = query(client, SPANS, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| ((SourceId(row.get(0)), row.get(1)), (row.get(2), row.get(3))))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: SourceId = SourceId(1);

    fn note(patience: &Patience, times: usize, lives: &[(i32, (i64, i64))]) {
        for _ in 0..times {
            let spans = lives.iter().map(|(epoch, span)| ((SOURCE, *epoch), *span));
            patience.note(spans.collect());
        }
    }

    #[test]
    fn a_hole_is_over_when_it_was_there_ten_looks_ago() {
        let patience = Patience::default();
        note(&patience, 3, &[(1, (1, 50))]);
        // 51 to 99 is a hole from here on.
        note(&patience, 10, &[(1, (1, 100))]);
        assert!(patience.is_over(SOURCE, 1, 10, 20));
        assert!(!patience.is_over(SOURCE, 1, 51, 99));
        note(&patience, 1, &[(1, (1, 100))]);
        assert!(patience.is_over(SOURCE, 1, 51, 99));
        assert!(patience.0.lock().unwrap().len() == CHANCES + 1);
    }

    #[test]
    fn each_life_and_both_ends_count_for_themselves() {
        let patience = Patience::default();
        note(&patience, 5, &[(1, (1, 100))]);
        note(&patience, 6, &[(1, (1, 100)), (2, (30, 60))]);
        assert!(patience.is_over(SOURCE, 1, 40, 50));
        assert!(!patience.is_over(SOURCE, 2, 40, 50));
        note(&patience, 6, &[(1, (1, 100)), (2, (10, 60))]);
        assert!(patience.is_over(SOURCE, 2, 40, 50));
        // It came to lie between two that arrived only when the life's first did.
        assert!(!patience.is_over(SOURCE, 2, 20, 29));
        assert!(!patience.is_over(SourceId(2), 1, 40, 50));
    }

    #[test]
    fn a_postgres_that_lacks_what_was_there_begins_anew() {
        let patience = Patience::default();
        note(&patience, 11, &[(1, (1, 100))]);
        assert!(patience.is_over(SOURCE, 1, 40, 50));
        note(&patience, 1, &[(1, (1, 80))]);
        assert!(!patience.is_over(SOURCE, 1, 40, 50));
        note(&patience, 10, &[(1, (1, 80))]);
        assert!(patience.is_over(SOURCE, 1, 40, 50));
    }
}
