//! Reads the log ahead of the writer and parses each row's bytes, so that reading, parsing and writing overlap.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Error;
use super::definitions::InForce;
use super::examine::{Examined, Examiner};
use super::sources::Sources;
use crate::inbox::{self, Position, Row, Tail, Witness};
use crate::postgres::Session;

/// A row of the log, and what its bytes say if it is a message.
pub struct ReadRow {
    pub row: Row,
    /// The name of the collection that it was sent to; none of a decision.
    pub to: Option<Arc<str>>,
    /// None of a decision, and of a message to a name that nothing is defined by.
    pub examined: Option<Examined>,
}

#[derive(Clone, Debug)]
pub struct Bounds {
    pub rows: i64,
    pub bytes: i64,
}

/// How often the log is polled if nothing was announced on `appended`.
const LOOK: Duration = Duration::from_millis(50);

/// Sends the rows after `after` in batches, for ever. Ends with an error, or if the receiver is dropped.
pub async fn run(
    session: Session,
    bounds: Bounds,
    mut after: Position,
    (mut appended, witness): (watch::Receiver<Tail>, Witness),
    in_force: watch::Receiver<Arc<InForce>>,
    batches: mpsc::Sender<Vec<ReadRow>>,
) -> Result<(), Error> {
    let mut examiner = Examiner::default();
    let mut sources = Sources::default();
    // Rows appended by other replicas, or before we started, are not announced on `appended`: poll for them.
    let mut look = true;
    loop {
        // Wait for room before reading: rows that arrive meanwhile then go into the same batch.
        if batches.reserve().await.is_err() {
            return Ok(());
        }
        // Marked as seen before the read, so that rows appended after the read wake us.
        let tail = appended.borrow_and_update().clone();
        let rows = match tail.after(after, &witness) {
            Some(rows) => rows,
            None if look || tail.is_beyond(after) => {
                let read = inbox::read_batch(session.client(), after, bounds.rows, bounds.bytes);
                Session::bounded(read).await?
            }
            None => Vec::new(),
        };
        if rows.is_empty() {
            look = tokio::select! {
                () = batches.closed() => return Ok(()),
                woken = tokio::time::timeout(LOOK, appended.changed()) => !matches!(woken, Ok(Ok(()))),
            };
            continue;
        }
        for (expected, row) in (after.0 + 1..).zip(&rows) {
            if row.position.0 != expected {
                return Err(Error::Gap {
                    expected,
                    found: row.position.0,
                });
            }
        }
        let ids = rows.iter().map(|row| row.source);
        Session::bounded(sources.know(session.client(), ids)).await?;
        let in_force = in_force.borrow().clone();
        let mut batch = Vec::with_capacity(rows.len());
        for row in rows {
            batch.push(read(row, &sources, &in_force, &mut examiner)?);
        }
        if let Some(last) = batch.last() {
            after = last.row.position;
        }
        // A definition changes how the rows behind it are judged, so a batch ends with each of them.
        while let Some(index) = batch.iter().position(ReadRow::defines) {
            let rest = batch.split_off(index + 1);
            if batches.send(batch).await.is_err() {
                return Ok(());
            }
            batch = rest;
        }
        if !batch.is_empty() && batches.send(batch).await.is_err() {
            return Ok(());
        }
    }
}

/// Reads ahead by the definitions of this moment. By the time the row is folded, others may be in force.
fn read(
    row: Row,
    sources: &Sources,
    in_force: &InForce,
    examiner: &mut Examiner,
) -> Result<ReadRow, Error> {
    let to = match row.decision {
        None => sources.collection(row.source),
        Some(_) => None,
    };
    let mut read = ReadRow {
        row,
        to,
        examined: None,
    };
    read.examine_anew(in_force, examiner)?;
    Ok(read)
}

impl ReadRow {
    /// Whether it changes which definitions are in force.
    pub fn defines(&self) -> bool {
        let decision = self.row.decision.as_ref();
        decision.is_some_and(|decision| decision.action.is_about_definitions())
    }

    /// Examines its bytes, unless that was done by the definition in force.
    pub fn examine_anew(
        &mut self,
        in_force: &InForce,
        examiner: &mut Examiner,
    ) -> Result<(), Error> {
        let (Some(to), Some(bytes)) = (&self.to, &self.row.payload) else {
            return Ok(());
        };
        let Some(defined) = in_force.get(to) else {
            self.examined = None;
            return Ok(());
        };
        let is_fresh = |examined: &Examined| examined.is_by(defined);
        if !self.examined.as_ref().is_some_and(is_fresh) {
            self.examined = Some(examiner.examine(bytes, defined)?);
        }
        Ok(())
    }
}
