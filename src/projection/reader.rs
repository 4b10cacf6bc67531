//! Reads the log ahead of the writer and parses each row's bytes, so that reading, parsing and writing overlap.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};

use super::Error;
use super::rules::InForce;
use crate::inbox::{self, Action, Position, Row, Tail, Witness};
use crate::order;
use crate::postgres::Session;
use crate::record::{Record, Rejection};

/// What the bytes alone say, before anybody asks whether the key is free.
#[derive(Clone, Debug)]
pub enum Examined {
    Order {
        key: Arc<str>,
        /// The canonical JSON, as it is served; none for a replay, which serves nobody.
        data: Option<Bytes>,
        /// The same in the form that is sent to Postgres.
        stored: Bytes,
        ruled: Ruled,
    },
    Rejected(Rejection),
}

/// What rules said of an order as it was read, and which rules those were. By the time it is folded, others may be in force.
#[derive(Clone, Debug)]
pub struct Ruled {
    by: Option<Position>,
    rejection: Option<Rejection>,
}

impl Ruled {
    /// What the rules in force say. They are asked again if they are not the ones that were asked.
    pub fn by(self, in_force: &InForce, bytes: &[u8]) -> Option<Rejection> {
        if self.by == Some(in_force.position) {
            return self.rejection;
        }
        let model = order::model();
        match model.parse(bytes) {
            Ok(order) => in_force.rules.check(model, &order).err(),
            Err(rejection) => Some(rejection),
        }
    }
}

/// Asks no rules: the fold does, if it needs to.
pub fn examine(bytes: &[u8]) -> Examined {
    Examiner::default().examine(bytes, None)
}

/// Examines rows one after the other and reuses its buffers.
#[derive(Default)]
pub struct Examiner {
    scratch: Vec<u8>,
    chunk: BytesMut,
}

/// Bytes of one allocation, which the `stored` of many orders share. They are freed together anyway, with their batch.
const CHUNK: usize = 256 * 1024;

impl Examiner {
    fn examine(&mut self, bytes: &[u8], in_force: Option<&InForce>) -> Examined {
        let model = order::model();
        match model.parse_to_serve(bytes, &mut self.scratch) {
            Ok((order, data)) => Examined::Order {
                data: Some(data),
                stored: self.stored(&order),
                ruled: Ruled {
                    by: in_force.map(|rules| rules.position),
                    rejection: in_force.and_then(|rules| rules.rules.check(model, &order).err()),
                },
                key: model.key(&order).into(),
            },
            Err(rejection) => Examined::Rejected(rejection),
        }
    }

    /// For a replay, which serves nobody and asks no rules.
    pub fn examine_to_store(&mut self, bytes: &[u8]) -> Examined {
        let model = order::model();
        match model.parse(bytes) {
            Ok(order) => Examined::Order {
                data: None,
                stored: self.stored(&order),
                ruled: Ruled {
                    by: None,
                    rejection: None,
                },
                key: model.key(&order).into(),
            },
            Err(rejection) => Examined::Rejected(rejection),
        }
    }

    fn stored(&mut self, order: &Record<'_>) -> Bytes {
        self.scratch.clear();
        order::model().write_stored(order, &mut self.scratch);
        if self.chunk.capacity() < self.scratch.len() {
            self.chunk = BytesMut::with_capacity(CHUNK.max(self.scratch.len()));
        }
        self.chunk.extend_from_slice(&self.scratch);
        self.chunk.split().freeze()
    }
}

impl Examined {
    pub fn key(&self) -> Option<&str> {
        match self {
            Examined::Order { key, .. } => Some(key),
            Examined::Rejected(rejection) => rejection.key(),
        }
    }
}

/// A row of the log, and what its bytes say if it has any (a message or a resubmission).
pub struct ReadRow {
    pub row: Row,
    pub examined: Option<Examined>,
}

impl ReadRow {
    /// Whether it is a message that becomes an order if its key is free.
    pub fn is_order_by(&self, in_force: &InForce) -> bool {
        let ruled = match &self.examined {
            Some(Examined::Order { ruled, .. }) => ruled,
            Some(Examined::Rejected(_)) | None => return false,
        };
        self.row.decision.is_none()
            && ruled.by == Some(in_force.position)
            && ruled.rejection.is_none()
    }
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
        let rules = in_force.borrow().clone();
        let examined = |row: Row| ReadRow {
            examined: row
                .payload
                .as_deref()
                .map(|bytes| examiner.examine(bytes, Some(&rules))),
            row,
        };
        let mut batch: Vec<ReadRow> = rows.into_iter().map(examined).collect();
        if let Some(last) = batch.last() {
            after = last.row.position;
        }
        // Rules change how the rows behind them are judged, so a batch ends with each row that applies some.
        while let Some(index) = batch.iter().position(is_rules) {
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

fn is_rules(read: &ReadRow) -> bool {
    read.row
        .decision
        .as_ref()
        .is_some_and(|decision| decision.action == Action::Rules)
}
