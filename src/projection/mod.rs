//! The fold: log and verdicts in, all tables of state out. One process leads (a lease); what counts is the compare-and-set
//! on the checkpoint, in the same transaction as the tables. Called by `serve`. Invariants: a row is judged once; tables and
//! checkpoint commit together; a bad message is a value, never an error. Absent on purpose: any other writer of these tables.

mod batch;
mod checkpoint;
mod dry_run;
mod fold;
mod give_way;
mod live;
mod pipeline;
mod reader;
mod replay;
mod retries;
mod rules;
mod run;
mod write;

pub use checkpoint::{Checkpoint, read as read_checkpoint};
pub use dry_run::{DryRun, Would};
pub use give_way::GiveWay;
pub use reader::{Examined, examine};
pub use replay::{Progress, Replay, abandon as abandon_replay};
pub use rules::{
    Entry, InForce, hash as rules_hash, history as rules_history, latest as latest_rules,
};
pub use run::{Config, Dependencies, Leadership, run};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    /// Another took the lease, or our unknown commit did hold: read the checkpoint and go on.
    #[error("the checkpoint has moved: another projector leads")]
    CheckpointMoved,
    /// Sessions that were opened one after the other reached different servers, or different lives of one.
    #[error("another Postgres answers than a moment before: it is being replaced")]
    AnotherServer,
    /// Only behind another error, which is the reason.
    #[error("the batch before this one was not committed")]
    BatchBefore,
    #[error("a task that writes a batch panicked")]
    WriterLost,
    #[error("the task that reads the log panicked")]
    ReaderLost,
    #[error("no session is free, though no batch is being written")]
    NoSession,
    #[error("the inbox has a gap: position {expected} is missing, {found} is there")]
    Gap { expected: i64, found: i64 },
    /// A replay met a row that was accepted and that this code cannot build.
    #[error("the accepted row at position {0} cannot be built by this version")]
    Unbuildable(i64),
    #[error(
        "the rules applied at position {0} cannot be compiled by this version of the service: it neither projects nor takes the lease; upgrade it, or apply rules that it knows"
    )]
    UnknownRules(i64),
    /// A replay was cancelled, or its operation ended by another.
    #[error("the replay was cancelled")]
    Cancelled,
}
