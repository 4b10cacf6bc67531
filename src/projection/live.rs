//! The live projection: one batch, one transaction. Where a row is at fault, the batch goes in halves, until the row fails
//! alone and is a letter.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::batch;
use super::checkpoint::LIVE;
use super::fold::{Fold, Judge, Outcome, Writes};
use super::reader::ReadRow;
use super::rules::InForce;
use super::run::{Dependencies, publish};
use super::{Error, write};
use crate::account::{self, Epochs, Fate};
use crate::dead_letter;
use crate::inbox::{Position, SourceId};
use crate::postgres::{self, Session, is_row_fault};

pub struct Live<'a> {
    session: &'a Session,
    name: &'a str,
    deps: &'a Dependencies,
    brokers: Vec<SourceId>,
    epochs: Epochs,
    in_force: watch::Sender<Arc<InForce>>,
}

const BROKERS: &str = "select id from source where kind in ('stan', 'jetstream')";

/// The sources that have sequences to keep account of.
pub async fn brokers(session: &Session) -> Result<Vec<SourceId>, postgres::Error> {
    let rows = postgres::query(session.client(), BROKERS, &[]).await?;
    Ok(rows.iter().map(|row| SourceId(row.get(0))).collect())
}

/// The first lock of a replay's swap, too: one waits for the other at the door, not in the middle for each other's tables.
const GATE: &str = "lock table orders in row exclusive mode";

impl<'a> Live<'a> {
    pub async fn begin(
        session: &'a Session,
        name: &'a str,
        deps: &'a Dependencies,
        in_force: watch::Sender<Arc<InForce>>,
    ) -> Result<Self, Error> {
        Ok(Self {
            session,
            name,
            deps,
            brokers: brokers(session).await?,
            epochs: account::load_epochs(session.client()).await?,
            in_force,
        })
    }

    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.borrow().clone()
    }

    /// The position reached: the batch's last.
    pub async fn project(&mut self, from: Position, rows: &[ReadRow]) -> Result<Position, Error> {
        let mut position = from;
        // Parts still to do, the next one last; with what Postgres said of a single row.
        let mut parts: Vec<(&[ReadRow], HashMap<i64, String>)> = vec![(rows, HashMap::new())];
        while let Some((part, refused)) = parts.pop() {
            let error = match self.commit(position, part, &refused).await {
                Ok(to) => {
                    position = to;
                    continue;
                }
                Err(Error::Postgres(error)) => error,
                Err(other) => return Err(other),
            };
            let Some(state) = is_row_fault(&error).filter(|_| refused.is_empty()) else {
                return Err(error.into());
            };
            Session::bounded(self.session.rollback()).await?;
            self.epochs = Session::bounded(account::load_epochs(self.session.client())).await?;
            if let [row] = part {
                let at = row.row.position;
                tracing::warn!(position = at.0, sqlstate = %state, "Postgres refuses the row at position {at} alone ({state}): it is a dead letter");
                self.deps.metrics.isolated_rows.inc();
                parts.push((part, HashMap::from([(at.0, state)])));
            } else {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push((second, HashMap::new()));
                parts.push((first, HashMap::new()));
            }
        }
        Ok(position)
    }

    async fn commit(
        &mut self,
        from: Position,
        rows: &[ReadRow],
        refused: &HashMap<i64, String>,
    ) -> Result<Position, Error> {
        let Some(last) = rows.last() else {
            return Ok(from);
        };
        let to = last.row.position;
        let started = Instant::now();
        let limit = postgres::HARD_DEADLINE;
        let writes = tokio::time::timeout(limit, self.transaction(from, to, rows, refused))
            .await
            .map_err(|_| postgres::Error::TimedOut(limit))??;
        let seconds = started.elapsed().as_secs_f64();
        let timer = &self.deps.metrics.commit_seconds;
        timer.with_label_values(&["projector"]).observe(seconds);
        self.after_commit(writes, to)?;
        Ok(to)
    }

    async fn transaction(
        &mut self,
        from: Position,
        to: Position,
        rows: &[ReadRow],
        refused: &HashMap<i64, String>,
    ) -> Result<Writes, Error> {
        let client = self.session.client();
        self.session.begin_locking(GATE).await?;
        let loaded = batch::load(client, rows).await?;
        let in_force = self.in_force.borrow().clone();
        let judge = Judge::Live {
            in_force: &in_force,
            refused,
        };
        let writes = Fold::new(judge, &self.brokers, &mut self.epochs, loaded).run(rows)?;
        dead_letter::write_verdicts(client, &writes.verdicts).await?;
        write::write_rows(client, &writes).await?;
        write::write_counts(client, LIVE, self.name, from, to, &writes).await?;
        self.session.commit().await?;
        Ok(writes)
    }

    /// Only what was committed is shown, and only rules that were committed are in force.
    fn after_commit(&self, writes: Writes, to: Position) -> Result<(), Error> {
        for order in writes.orders {
            self.deps.cache.put(&order.order_uid, order.data);
        }
        for fate in Fate::ALL {
            let count = u64::try_from(writes.fates[fate as usize]).unwrap_or(0);
            let counter = &self.deps.metrics.fates;
            counter.with_label_values(&[fate.as_str()]).inc_by(count);
        }
        for applied in &writes.rules {
            if applied.result == Outcome::Done.as_str() {
                tracing::info!(
                    "rules applied at position {}: {}",
                    applied.position,
                    applied.hash
                );
                self.in_force
                    .send_replace(InForce::compile(applied.position, &applied.text)?);
            }
        }
        publish(&self.deps.projected, to);
        Ok(())
    }
}
