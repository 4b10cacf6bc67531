//! The budget for memory of what comes by HTTP: a row counts from the first byte of its body until it is answered (in the
//! queue, in the batch that is appended, waiting for the disk). Whoever finds no room is turned away. Rows of a broker do not
//! count here: their source has a budget of its own.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes taken from the budget. They are given back when this is dropped.
#[derive(Debug, Default)]
pub struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    pub(super) fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(taken) => taken.merge(more),
            None => self.0 = Some(more),
        }
    }
}

/// A message's bytes, and the room that they take.
#[derive(Debug)]
pub struct Payload {
    pub bytes: Bytes,
    pub room: Room,
}
