//! Someone's snapshot that stays open keeps dead rows from being cleaned away, and makes everything slower by and by: its age
//! is a metric, and an alarm. Of another role's session we are told that it has a snapshot and not since when; then what
//! counts is when we first saw it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Client, Error, query};

const SNAPSHOTS: &str = "
    select pid, backend_xmin::text, extract(epoch from clock_timestamp() - xact_start)::float8
    from pg_stat_activity where backend_xmin is not null and datname = current_database()";

/// None of ours is ever open for long.
const ALARM: Duration = Duration::from_mins(5);
/// How often they are looked at where nobody asks.
pub const EVERY: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Snapshots(Mutex<HashMap<(i32, String), Seen>>);

struct Seen {
    first: Instant,
    told: bool,
}

impl Snapshots {
    /// The age in seconds of the oldest one in this database; 0 where none is open.
    pub async fn oldest(&self, client: &Client) -> Result<f64, Error> {
        let rows = query(client, SNAPSHOTS, &[]).await?;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *seen);
        let mut oldest = 0.0_f64;
        for row in rows {
            let (pid, xmin): (i32, String) = (row.get(0), row.get(1));
            let key = (pid, xmin);
            let mut this = before.remove(&key).unwrap_or(Seen {
                first: Instant::now(),
                told: false,
            });
            let known: Option<f64> = row.get(2);
            let age = known.unwrap_or_else(|| this.first.elapsed().as_secs_f64());
            if age > ALARM.as_secs_f64() && !this.told {
                this.told = true;
                tracing::error!(
                    pid,
                    age,
                    "the session with pid {pid} has had a snapshot open for {age:.0} s: while it has, Postgres cannot clean up, and everything gets slower; end its transaction, or the session (pg_terminate_backend)"
                );
            }
            oldest = oldest.max(age);
            seen.insert(key, this);
        }
        Ok(oldest)
    }
}
