//! The end of the log as this process appended it last: it wakes the projector, and hands it a few rows that it need not
//! read back then. They are committed, though perhaps not on the disk, and a server that crashes may give their positions
//! to others: they are good for one who writes on a session that was there before they were appended, and still is.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::append::Appended;
use super::row::{Incoming, Position, Row};
use crate::postgres::{Identity, Witness};

/// More are read back, for little each.
const FEW: usize = 16;

#[derive(Clone, Debug, Default)]
pub struct Tail {
    last: Option<Position>,
    few: Option<Arc<Few>>,
}

#[derive(Debug)]
struct Few {
    rows: Vec<Row>,
    server: Identity,
    started: Instant,
}

impl Tail {
    /// None where nothing of the batch is new.
    pub(super) fn of(
        batch: &[Incoming],
        outcome: &[Appended],
        server: Option<&Identity>,
        started: Instant,
    ) -> Option<Self> {
        let last = outcome.iter().rev().find_map(Appended::stored)?;
        let rows = || -> Option<Vec<Row>> {
            let rows = batch.iter().zip(outcome);
            rows.map(|(incoming, appended)| row(incoming, appended.stored()?))
                .collect()
        };
        let few = server.filter(|_| batch.len() <= FEW).and_then(|server| {
            Some(Few {
                rows: rows()?,
                server: server.clone(),
                started,
            })
        });
        Some(Self {
            last: Some(last),
            few: few.map(Arc::new),
        })
    }

    /// Whether there is more than up to here.
    pub fn is_beyond(&self, position: Position) -> bool {
        self.last.is_some_and(|last| last > position)
    }

    /// The rows that follow, where these are all, and the witness saw them appended.
    pub fn after(&self, position: Position, witness: &Witness) -> Option<Vec<Row>> {
        let few = self.few.as_ref()?;
        let follows = few.rows.first()?.position.0 == position.0 + 1;
        (follows && witness.saw(&few.server, few.started)).then(|| few.rows.clone())
    }
}

/// As it would be read back; none of a decision, which Postgres reads in its own way.
fn row(incoming: &Incoming, position: Position) -> Option<Row> {
    if incoming.decision.is_some() {
        return None;
    }
    Some(Row {
        position,
        source: incoming.source,
        sequence: incoming.sequence,
        broker_time_ns: incoming.broker_time_ns,
        received_at: Timestamp::from_microsecond(incoming.received_at.as_microsecond()).ok()?,
        payload: incoming.payload.clone(),
        decision: None,
    })
}
