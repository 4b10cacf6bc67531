//! The fold: log and verdicts in, all tables of state out. One process leads (a lease); what counts is the compare-and-set
//! on the checkpoint, in the same transaction as the tables. Called by `serve`. Invariants: a row is judged once; tables and
//! checkpoint commit together; a bad message is a value, never an error. Absent on purpose: any other writer of these tables.

mod batch;
mod checkpoint;
mod fold;
mod reader;
mod retries;
mod run;
mod write;

pub use checkpoint::{Checkpoint, read as read_checkpoint};
pub use run::{Config, Dependencies, run};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    /// Another took the lease, or our unknown commit did hold: read the checkpoint and go on.
    #[error("the checkpoint has moved: another projector leads")]
    CheckpointMoved,
    #[error("the inbox has a gap: position {expected} is missing, {found} is there")]
    Gap { expected: i64, found: i64 },
    /// A replay met a row that was accepted and that this code cannot build.
    #[error("the accepted row at position {0} cannot be built by this version")]
    Unbuildable(i64),
}
