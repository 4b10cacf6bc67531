use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::decision::Decision;
use super::room::Room;

/// A place in the log. Dense, from 1, in commit order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub i64);

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A row of `source`; small and dense, so that it can index `inbox_head.highest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub i32);

/// What is to be appended, and who waits for it.
pub struct Incoming {
    pub source: SourceId,
    pub sequence: i64,
    pub broker_time_ns: i64,
    pub received_at: Timestamp,
    pub key: Option<String>,
    pub payload: Option<Bytes>,
    /// The decision's JSON.
    pub decision: Option<String>,
    pub hash: i64,
    pub reply: Reply,
}

impl Incoming {
    /// The length of its content, by which batches are bounded.
    pub fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, Bytes::len) + self.decision.as_ref().map_or(0, String::len)
    }
}

/// How whoever brought a row learns that it is durable.
pub enum Reply {
    Ack(Ack),
    /// A client of HTTP waits. The room in memory is given back once the row is answered, or dropped.
    Answer(oneshot::Sender<Appended>, Room),
}

/// One delivery of a broker, and the channel on which its source hears what came of it. The channel lives as long as the
/// connection that brought the delivery. After that an ack could do nothing: the broker sends the message again.
pub struct Ack {
    pub line: mpsc::Sender<Settled>,
    /// The source's own number for it, unique on this channel.
    pub delivery: u64,
}

/// What became of one incoming row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    Stored(Position),
    /// A redelivery, or a key that was used before with the same content.
    Known(Position),
    /// The key was used before with other content, at this position.
    KeyTaken(Position),
    /// Postgres refuses this row, and only this one (a NUL in a decision's text, say).
    Refused(String),
}

impl Appended {
    pub fn stored(&self) -> Option<Position> {
        match self {
            Appended::Stored(position) => Some(*position),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// On the disk: it may be acknowledged.
    Durable(u64),
    /// Postgres would not take it: it must not be acknowledged.
    Refused(u64),
}

/// An inbox row as the projector reads it.
#[derive(Clone, Debug)]
pub struct Row {
    pub position: Position,
    pub source: SourceId,
    pub sequence: i64,
    pub broker_time_ns: i64,
    pub received_at: Timestamp,
    pub payload: Option<Bytes>,
    pub decision: Option<Decision>,
}

/// The first 8 bytes of SHA-256 over payload and decision.
pub fn content_hash(payload: Option<&[u8]>, decision: Option<&str>) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(payload.unwrap_or_default());
    if let Some(decision) = decision {
        hasher.update(decision.as_bytes());
    }
    let digest = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}
