//! Long-running work as a resource: bulk decisions, plans, replays, refreshes. The API asks, the holder of the lease works, and
//! whatever dies goes on where it was. Invariant: a set is frozen when it is asked for, and every decision about it has the
//! key (operation, letter), so a kill at any moment does no harm. Absent on purpose: any writing of derived tables; a bulk
//! operation decides through the log like everyone else.

mod bulk;
mod freeze;
mod heal;
mod plan;
mod refresh;
mod removal;
mod replay;
mod store;
mod worker;

pub use plan::PlanRequest;
pub use store::{
    Asked, BulkRequest, Item, Kind, Operation, Owner, State, ask, ask_bulk, by_id, cancel, items,
    list, pause, resume, standing,
};
pub use worker::{Config, run};

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::inbox::{Inbox, Position, SourceId};
use crate::postgres::Database;
use crate::projection::{GiveWay, InForce, Leadership};

/// What the work needs of other rooms.
#[derive(Clone)]
pub struct Dependencies {
    pub database: Database,
    pub inbox: Inbox,
    pub operator: SourceId,
    pub projected: watch::Receiver<Position>,
    pub in_force: watch::Receiver<Arc<InForce>>,
    pub leadership: watch::Receiver<Option<Leadership>>,
    pub give_way: Arc<GiveWay>,
    /// Told when this process is asked for something.
    pub asked: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    #[error(transparent)]
    Projection(#[from] crate::projection::Error),
    #[error(transparent)]
    Inbox(#[from] crate::inbox::Unavailable),
    /// The key was used for another request.
    #[error("this Idempotency-Key was used for operation {0}, which asks for something else")]
    KeyTaken(i64),
    #[error("operation {0} is under way already: one replay at a time")]
    ReplayRunning(i64),
    #[error("the operation is {0}")]
    WrongState(String),
    #[error("there is no such operation")]
    NotFound,
    #[error("what operation {0} asks for cannot be read by this version")]
    UnknownRequest(i64),
}
