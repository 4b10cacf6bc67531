//! The log. Every message and every decision about one is appended here before anything looks inside it; the ack
//! follows the commit. Called by the sources (through a channel), by the API for decisions, and read by the projector.
//! Invariants: dense positions in commit order; the same identity is stored once; nothing acknowledged that is not on
//! the disk. It alone writes its tables; who else reads them is listed in tests/it/tidy_sql.rs. Absent on purpose: any idea of
//! what a payload means.

mod append;
mod backoff;
mod decision;
mod durable;
mod few;
mod queue;
mod read;
mod room;
mod row;
mod stage;

pub use append::append;
pub use decision::{Action, Decision};
pub use durable::{Tail, Witness};
pub use queue::{Inbox, Queue, Unavailable};
pub use read::{
    Content, Message, collections, count, decision_by_key, head, messages, payload, payloads,
    payloads_within, position_at, read_batch, row_at, source,
};
pub use room::{Payload, Room};
pub use row::{Ack, Appended, Incoming, Position, Reply, Row, Settled, SourceId, content_hash};
pub use stage::{Config, run};
