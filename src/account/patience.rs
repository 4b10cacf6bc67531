//! For how long a hole has been there. A broker sends a message that was not acknowledged again after each ack_wait; a hole that
//! was there before ten of them is one that it should long have filled.
//!
//! Counted are looks at the account, one ack_wait apart, by this process: no wall clock is asked, neither ours nor Postgres',
//! so none that jumps makes a hole lost. Time in which we were down or frozen, or Postgres was away, does not count: nothing
//! could arrive in it. Hence a restart begins anew, and each replica says what it has seen itself; they agree after ten looks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::inbox::SourceId;
use crate::postgres::{Client, Database, Error, query};

/// How often the broker may have sent a message again before it counts as lost.
const CHANCES: usize = 10;

/// From the first to the last sequence of each life of each source. They grow only, so a hole within what was spanned once was a
/// hole then already.
type Spans = HashMap<(SourceId, i32), (i64, i64)>;

const SPANS: &str = "select source_id, epoch, first_sequence, last_sequence from source_account";

/// The spans of this look and of the `CHANCES` before it, oldest first.
#[derive(Default)]
pub struct Patience(Mutex<VecDeque<Spans>>);

impl Patience {
    /// Looks for ever.
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
        // Another Postgres than before, which lacks what that one had: its holes are others.
        if !looks.back().is_none_or(grown) {
            looks.clear();
        }
        looks.push_back(now);
        if looks.len() > CHANCES + 1 {
            looks.pop_front();
        }
    }

    /// Whether the broker has had all its chances to fill this hole.
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
