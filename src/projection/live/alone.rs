//! Batches that are written with nothing else in flight: those with decisions, and those of which Postgres refused a row. The
//! latter are halved until the row at fault is alone; then it becomes a dead letter.

use std::collections::HashMap;
use std::time::Instant;

use super::super::fold::Folded;
use super::super::outcome::Outcome;
use super::super::pipeline::{Failed, Turn};
use super::super::reader::ReadRow;
use super::super::{Error, tables, write};
use super::{InFlight, Live};
use crate::account;
use crate::postgres::{Session, is_row_fault};

impl Live<'_> {
    /// Writes a failed batch again, and then those that were in flight behind it; none of them can have been committed.
    pub(super) async fn redo(&mut self, failed: Failed<Session, InFlight>) -> Result<(), Error> {
        let Failed { writer, batch, .. } = failed;
        self.begun = batch.from;
        let mut again = vec![batch];
        self.roll_back(writer).await?;
        for (writer, batch) in self.pipeline.fail_rest().await? {
            self.roll_back(writer).await?;
            again.push(batch);
        }
        for batch in again {
            self.alone(batch.rows).await?;
        }
        Ok(())
    }

    /// Takes back the writer of a batch that was not committed. The fold has changed our copy of the epochs, so they are read
    /// again: otherwise the batch's sequences would count as received twice.
    async fn roll_back(&mut self, session: Session) -> Result<(), Error> {
        Session::bounded(session.rollback()).await?;
        self.epochs = Session::bounded(account::load_epochs(session.client())).await?;
        self.pipeline.give_back(session);
        Ok(())
    }

    /// Writes these rows with nothing else in flight, until all of them are committed.
    pub(super) async fn alone(&mut self, mut rows: Vec<ReadRow>) -> Result<(), Error> {
        let session = self.pipeline.writer()?;
        self.freshen(&session, &mut rows).await?;
        self.pipeline.give_back(session);
        let rows = rows.as_slice();
        // A stack of parts that are still to be written; with the SQLSTATE if the part is a single row that Postgres refused.
        let mut parts: Vec<(&[ReadRow], HashMap<i64, String>)> = vec![(rows, HashMap::new())];
        while let Some((part, refused)) = parts.pop() {
            let Some(state) = self.commit_alone(part, &refused).await? else {
                continue;
            };
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
        Ok(())
    }

    /// Commits one part. If Postgres refuses a row of it, answers with the SQLSTATE, and nothing has changed.
    async fn commit_alone(
        &mut self,
        rows: &[ReadRow],
        refused: &HashMap<i64, String>,
    ) -> Result<Option<String>, Error> {
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let started = Instant::now();
        let session = self.pipeline.writer()?;
        let loaded = write::bounded(self.open(&session, rows)).await?;
        let Folded {
            writes, in_force, ..
        } = self.fold(rows, loaded, refused)?;
        let made = writes.definitions.iter();
        for new in made.filter(|one| one.result == Outcome::Done && one.id.0 == one.position.0) {
            // Before it is said to be there, its tables are: made outside this transaction, and harmless if it fails.
            let defined = in_force.by_id(new.id);
            if let Some(collection) = defined.and_then(|defined| defined.compiled.as_deref()) {
                tables::make(&self.deps.database, new.id, new.position, collection).await?;
            }
        }
        let committing = self.committing(last.row.position, started, false);
        let (session, outcome) = committing.run(session, writes, Turn::first()).await;
        if let Err(error) = outcome {
            let state = match &error {
                // A row that was refused before was now written as a letter: if that fails, too, it is not the row's fault.
                Error::Postgres(error) if refused.is_empty() => is_row_fault(error),
                _ => None,
            };
            let state = state.ok_or(error)?;
            self.roll_back(session).await?;
            return Ok(Some(state));
        }
        self.pipeline.give_back(session);
        self.begun = last.row.position;
        if in_force.position != self.in_force().position {
            tracing::info!("definitions changed at position {}", in_force.position);
            self.deps.show(&in_force);
        }
        Ok(None)
    }
}
