//! The projection: it reads the log and writes all tables of state. One process at a time does so, the one that holds the
//! lease; but it is the compare-and-set on the checkpoint, in the same transaction as the tables, that keeps two of them apart.
//! Called by `serve`. Invariants: a row is judged once; tables and checkpoint commit together; a bad message is a value, never
//! an error. Absent on purpose: any other writer of these tables.
//!
//! ```text
//! run ── holds the lease ──┬── reader ──► live ──► fold ──► pipeline ──► write
//!                          └── retries (letters that Postgres refused)
//! replay ── source ──► load, catch_up ──► fold ──► pipeline ──► write ── swap
//! dry_run ──────────────────────────────► fold
//! ```

mod batch;
mod checkpoint;
mod definitions;
mod dry_run;
mod examine;
mod fold;
mod give_way;
mod judge;
mod live;
mod outcome;
mod pipeline;
mod reader;
mod replay;
mod retries;
mod run;
mod sources;
mod state;
mod tables;
mod write;

pub use checkpoint::{Checkpoint, read as read_checkpoint};
pub use definitions::{
    Defined, Entry, InForce, history, is_defined_between, load_until as definitions_until,
    stands_at,
};
pub use dry_run::{DryRun, Would};
pub use give_way::GiveWay;
pub use replay::{Progress, Replay, abandon as abandon_replay};
pub use run::{Config, run};
pub use tables::{Made, all as tables, may_write, remove_dropped, rendered, rendered_now};

use std::sync::Arc;

use tokio::sync::watch;

use crate::cache::Cache;
use crate::inbox::{Inbox, Position, SourceId, Tail};
use crate::postgres::Database;
use crate::telemetry::Metrics;

/// What the projector needs of other rooms, and tells them by.
pub struct Dependencies {
    pub database: Database,
    pub inbox: Inbox,
    pub operator: SourceId,
    pub cache: Arc<Cache>,
    pub metrics: Arc<Metrics>,
    pub appended: watch::Receiver<Tail>,
    pub projected: watch::Sender<Position>,
    /// As far as `projected` says.
    pub in_force: watch::Sender<Arc<InForce>>,
    /// Watched by whoever works only while this process holds the lease (operations).
    pub leadership: watch::Sender<Option<Leadership>>,
    pub give_way: Arc<GiveWay>,
}

impl Dependencies {
    /// Shows readers what is in force from here on.
    pub fn show(&self, in_force: &Arc<InForce>) {
        self.cache.serve(in_force.served());
        self.in_force.send_replace(in_force.clone());
    }
}

/// That this process holds the lease, in which term, and which definitions are in force.
#[derive(Clone, Debug)]
pub struct Leadership {
    pub name: String,
    pub term: i64,
    pub in_force: Arc<InForce>,
}

/// Tells who waits for it that the tables have come so far.
fn publish(projected: &watch::Sender<Position>, position: Position) {
    projected.send_if_modified(|now| {
        let moved = *now != position;
        *now = position;
        moved
    });
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    /// Another process took the lease, or a commit of ours whose answer was lost did take effect. Read the checkpoint and go
    /// on.
    #[error("the checkpoint has moved: another projector leads")]
    CheckpointMoved,
    /// Sessions that were opened one after the other reached different servers, or different lives of one.
    #[error("another Postgres answers than a moment before: it is being replaced")]
    AnotherServer,
    /// The error of the batch before is the reason, and is reported first.
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
    /// A replay met a row that was accepted, and this code cannot make an order of it.
    #[error("the accepted row at position {0} cannot be built by this version")]
    Unbuildable(i64),
    #[error(
        "the definition of {name} at position {position} cannot be compiled by this version of the service: it neither projects nor takes the lease; upgrade it"
    )]
    UnknownDefinition { name: String, position: i64 },
    /// The replay's operation was paused or cancelled, or has ended.
    #[error("the replay was cancelled")]
    Cancelled,
}
