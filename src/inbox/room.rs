//! Memory for what waits to be durable: in the queue, in the batch that is appended, for the disk. Rows from HTTP take it out
//! of one budget, and whoever finds none is turned away. A broker's rows do not: their source holds a budget of its own.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes out of the budget; given back when it is dropped.
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
