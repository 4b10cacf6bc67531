//! Reads the log ahead of the writer and examines each row's bytes, so that reading, parsing and writing overlap.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};

use super::Error;
use super::rules::InForce;
use crate::inbox::{self, Action, Position, Row, Tail, Witness};
use crate::order::{self, Order, Rejection};
use crate::postgres::Session;

/// What the bytes alone say, before anyone asks whether the uid is free.
#[derive(Clone, Debug)]
pub enum Examined {
    Order {
        order_uid: Arc<str>,
        /// The canonical JSON, as it is served; none for a replay, which serves nobody.
        data: Option<Bytes>,
        /// The same as Postgres is given it.
        stored: Bytes,
        ruled: Ruled,
    },
    Rejected(Rejection),
}

/// What some rules said of an order, and which rules: those in force may be others by the time that it is folded.
#[derive(Clone, Debug)]
pub struct Ruled {
    by: Option<Position>,
    rejection: Option<Rejection>,
}

impl Ruled {
    /// What the rules in force say: as noted, or asked again.
    pub fn by(self, in_force: &InForce, bytes: &[u8]) -> Option<Rejection> {
        if self.by == Some(in_force.position) {
            return self.rejection;
        }
        match order::parse(bytes) {
            Ok(order) => in_force.rules.check(&order).err(),
            Err(rejection) => Some(rejection),
        }
    }
}

/// Without rules: they are asked when it comes to them.
pub fn examine(bytes: &[u8]) -> Examined {
    Examiner::default().examine(bytes, None)
}

/// Examines one after the other, and keeps its buffers.
#[derive(Default)]
pub struct Examiner {
    scratch: Vec<u8>,
    chunk: BytesMut,
}

/// What Postgres is given goes with its batch: one allocation for many.
const CHUNK: usize = 256 * 1024;

impl Examiner {
    fn examine(&mut self, bytes: &[u8], in_force: Option<&InForce>) -> Examined {
        match order::parse_to_serve(bytes, &mut self.scratch) {
            Ok((order, data)) => Examined::Order {
                data: Some(data),
                stored: self.stored(&order),
                ruled: Ruled {
                    by: in_force.map(|rules| rules.position),
                    rejection: in_force.and_then(|rules| rules.rules.check(&order).err()),
                },
                order_uid: (*order.order_uid).into(),
            },
            Err(rejection) => Examined::Rejected(rejection),
        }
    }

    /// For a replay, which serves nobody and asks no rules.
    pub fn examine_to_store(&mut self, bytes: &[u8]) -> Examined {
        match order::parse(bytes) {
            Ok(order) => Examined::Order {
                data: None,
                stored: self.stored(&order),
                ruled: Ruled {
                    by: None,
                    rejection: None,
                },
                order_uid: (*order.order_uid).into(),
            },
            Err(rejection) => Examined::Rejected(rejection),
        }
    }

    fn stored(&mut self, order: &Order<'_>) -> Bytes {
        self.scratch.clear();
        order.write_stored(&mut self.scratch);
        if self.chunk.capacity() < self.scratch.len() {
            self.chunk = BytesMut::with_capacity(CHUNK.max(self.scratch.len()));
        }
        self.chunk.extend_from_slice(&self.scratch);
        self.chunk.split().freeze()
    }
}

impl Examined {
    pub fn order_uid(&self) -> Option<&str> {
        match self {
            Examined::Order { order_uid, .. } => Some(order_uid),
            Examined::Rejected(rejection) => rejection.order_uid(),
        }
    }
}

/// A row of the log with what its own bytes say (a message's, or a resubmission's).
pub struct ReadRow {
    pub row: Row,
    pub examined: Option<Examined>,
}

impl ReadRow {
    /// Whether it is an order if its uid is free.
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

/// So often where nobody wakes us.
const LOOK: Duration = Duration::from_millis(50);

/// Sends batches from `after` on, for ever; ends with an error, or when the writer is gone.
pub async fn run(
    session: Session,
    bounds: Bounds,
    mut after: Position,
    (mut appended, witness): (watch::Receiver<Tail>, Witness),
    in_force: watch::Receiver<Arc<InForce>>,
    batches: mpsc::Sender<Vec<ReadRow>>,
) -> Result<(), Error> {
    let mut examiner = Examiner::default();
    // Other replicas' rows are found by looking, and what was there before us.
    let mut look = true;
    loop {
        // Not before there is room: what comes meanwhile goes with it.
        if batches.reserve().await.is_err() {
            return Ok(());
        }
        // Armed before the read: what is appended after it wakes us.
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
        // Rules change what follows them: such a row ends its batch.
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
