//! What happens to a batch once it is folded: it is written, committed, and then shown by cache and metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::super::checkpoint::Step;
use super::super::fold::Writes;
use super::super::pipeline::Turn;
use super::super::{Dependencies, Error, publish, write};
use crate::account::Fate;
use crate::cache::{Cache, Generation};
use crate::collection::Id;
use crate::dead_letter;
use crate::document::Brought;
use crate::inbox::Position;
use crate::postgres::Session;
use crate::telemetry::Metrics;

/// A folded batch, independent of `Live`, so that it can be written in a task of its own.
pub struct Committing {
    pub step: Step,
    pub after: AfterCommit,
    pub started: Instant,
    /// If so, no transaction was begun: the batch is one statement, which is its own transaction.
    pub optimistic: bool,
}

impl Committing {
    pub async fn run(
        self,
        session: Session,
        writes: Writes,
        turn: Turn,
    ) -> (Session, Result<(), Error>) {
        let outcome = write::bounded(self.write(&session, &writes, turn)).await;
        if outcome.is_ok() {
            self.after.commit(writes, self.step.to, self.started);
        }
        (session, outcome)
    }

    async fn write(&self, session: &Session, writes: &Writes, turn: Turn) -> Result<(), Error> {
        if self.optimistic {
            return write::at_once(session, &self.step, writes).await;
        }
        dead_letter::write_verdicts(session.client(), &writes.verdicts).await?;
        write::write_amounts(session.client(), &writes.amounts).await?;
        write::in_turn(session, &self.step, writes, turn).await
    }
}

/// Who is told of a commit. Called before the next batch commits, hence in the log's order.
pub struct AfterCommit {
    cache: Arc<Cache>,
    generations: HashMap<Id, Generation>,
    metrics: Arc<Metrics>,
    projected: watch::Sender<Position>,
}

impl AfterCommit {
    pub fn new(deps: &Dependencies, generations: HashMap<Id, Generation>) -> Self {
        Self {
            cache: deps.cache.clone(),
            generations,
            metrics: deps.metrics.clone(),
            projected: deps.projected.clone(),
        }
    }

    /// To be called only after the commit was answered: the cache must not serve what may yet be rolled back.
    fn commit(&self, writes: Writes, to: Position, started: Instant) {
        let taken = started.elapsed().as_secs_f64();
        for (id, brought) in writes.brought {
            self.put(id, brought);
        }
        publish(&self.projected, to);
        let timer = &self.metrics.commit_seconds;
        timer.with_label_values(&["projector"]).observe(taken);
        for &fate in Fate::ALL {
            let count = u64::try_from(writes.fates.of(fate)).unwrap_or(0);
            let counter = &self.metrics.fates;
            counter.with_label_values(&[fate.as_str()]).inc_by(count);
        }
    }

    fn put(&self, id: Id, brought: Brought) {
        let Some(share) = self.cache.of(id) else {
            return;
        };
        let begun_in = self.generations.get(&id).copied();
        // Of a collection that was defined since: nothing was held of it before.
        let begun_in = begun_in.unwrap_or_else(|| share.generation());
        for document in brought.documents {
            if let Some(data) = document.data {
                share.put_committed(begun_in, &document.key, data);
            }
        }
        if !brought.current.is_empty() {
            let now = brought.current.iter().map(|(key, current)| {
                let data = current.data.clone().filter(|_| !current.gone);
                (&**key, data)
            });
            share.replace(begun_in, now);
        }
    }
}
