//! Long-running work as a resource: bulk decisions, rule checks, replays. The API asks, the holder of the lease works, and
//! whatever dies goes on where it was. Invariant: a set is frozen when it is asked for, and every decision about it has the
//! key (operation, letter), so a kill at any moment does no harm. Absent on purpose: any writing of derived tables; a bulk
//! operation decides through the log like everyone else.

mod bulk;
mod check;
mod freeze;
mod heal;
mod removal;
mod replay;
mod store;
mod worker;

pub use check::CheckRequest;
pub use store::{
    Asked, BulkRequest, Item, Kind, Operation, State, ask, ask_bulk, by_id, cancel, items, list,
    pause, resume, standing,
};
pub use worker::{Config, Dependencies, run};

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
