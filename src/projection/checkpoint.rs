//! The checkpoint and the lease on it. A lease has run out if (leader, term, renewals) have not changed for as long as --lease
//! says, by the watcher's own monotonic clock. No wall clock is asked.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::inbox::Position;
use crate::postgres::{Client, Error, Write, execute, query_one, query_opt};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub position: Position,
    pub leader: String,
    pub term: i64,
    pub renewals: i64,
}

impl Checkpoint {
    /// If this changes, the leader is alive.
    pub fn sign_of_life(&self) -> (&str, i64, i64) {
        (&self.leader, self.term, self.renewals)
    }
}

/// The projection that readers see, and the one that a replay builds.
pub const LIVE: &str = "documents";
pub const NEXT: &str = "next";

const READ: &str =
    "select position, leader, term, renewals from checkpoint where projection = 'documents'";

pub async fn read(client: &Client) -> Result<Checkpoint, Error> {
    Ok(from_row(&query_one(client, READ, &[]).await?))
}

pub fn from_row(row: &Row) -> Checkpoint {
    Checkpoint {
        position: Position(row.get(0)),
        leader: row.get(1),
        term: row.get(2),
        renewals: row.get(3),
    }
}

const LOCK: &str = "
    select position, leader, term, renewals from checkpoint where projection = $1 for update";

/// Locks the row: until the transaction ends, nobody can move this checkpoint or take the lease on it.
pub async fn lock(client: &Client, projection: &str) -> Result<Option<Checkpoint>, Error> {
    let row = query_opt(client, LOCK, &[&projection]).await?;
    Ok(row.as_ref().map(from_row))
}

const TAKE: &str = "
    update checkpoint set leader = $1, term = term + 1, renewals = renewals + 1
    where projection = 'documents' and leader = $2 and term = $3 and renewals = $4";

/// True if we lead now; false if the checkpoint was no longer as we had seen it.
pub async fn take(client: &Client, seen: &Checkpoint, leader: &str) -> Result<bool, Error> {
    let taken = execute(
        client,
        TAKE,
        &[&leader, &seen.leader, &seen.term, &seen.renewals],
    )
    .await?;
    Ok(taken == 1)
}

const RENEW: &str = "
    update checkpoint set renewals = renewals + 1
    where projection = 'documents' and leader = $1 and position = $2";

pub async fn renew(client: &Client, leader: &str, position: Position) -> Result<bool, Error> {
    Ok(execute(client, RENEW, &[&leader, &position.0]).await? == 1)
}

const ADVANCE: &str = "
    update checkpoint set position = $3, renewals = renewals + 1
    where projection = $4 and leader = $1 and position = $2
    returning 1";

/// The compare-and-set of one batch: it moves `projection` from `from` to `to`, if `leader` still leads and it still stands at
/// `from`.
pub struct Step {
    pub projection: &'static str,
    pub leader: Arc<str>,
    pub from: Position,
    pub to: Position,
}

/// The last write of a batch. If it matches no row, the statement fails, and with it the whole transaction.
pub fn advance(step: &Step) -> Write<'_> {
    Write::new(ADVANCE)
        .with(&*step.leader)
        .with(step.from.0)
        .with(step.to.0)
        .with(step.projection)
}

/// True if the compare-and-set in `advance` matched no row. It says so by dividing by zero (SQLSTATE 22012).
pub fn is_moved(error: &Error) -> bool {
    matches!(error, Error::Server(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO))
}

const RELEASE: &str = "update checkpoint set leader = '', renewals = renewals + 1 where projection = 'documents' and leader = $1";

/// Gives the lease up, so that the next leader need not wait for it to run out.
pub async fn release(client: &Client, leader: &str) -> Result<(), Error> {
    execute(client, RELEASE, &[&leader]).await?;
    Ok(())
}
