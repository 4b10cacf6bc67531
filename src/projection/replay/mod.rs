//! Replay: the same fold again from position 1, into the schema `next`, while the service goes on; then `next` takes the place
//! of `live`. It judges nothing, never passes the live checkpoint, and stops at an accepted row that it cannot build, changing
//! nothing. Called by the operation that asks for it, in the process that holds the lease. It has three phases: load (few
//! indexes, several writers), catch up (all indexes, batch by batch, while the live projection rests between its batches),
//! swap.

mod carry_over;
mod catch_up;
mod load;
mod looks;
mod rebuild;
mod shadow;
mod source;
mod taken;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::looks::Looks;
use super::give_way::GiveWay;
use super::{Error, Leadership};
use crate::account;
use crate::inbox::Position;
use crate::postgres::{self, Database, Session};

/// Bounds of a batch. They are larger than the live projection's, because nobody waits for a replay's next commit.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 8 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// load, index, catch_up, swap
    pub phase: &'static str,
    pub position: Position,
    pub target: Position,
}

/// Says in the swap's own transaction that the operation is done, so that it is if and only if the tables were swapped. False if
/// it was paused or cancelled: then nothing is swapped.
pub type End =
    for<'a> fn(&'a Session, i64, Position) -> BoxFuture<'a, Result<bool, postgres::Error>>;

pub struct Replay<'a> {
    pub database: &'a Database,
    pub leadership: &'a Leadership,
    pub give_way: Arc<GiveWay>,
    pub operation: i64,
    pub end: End,
    pub progress: watch::Sender<Progress>,
    /// Looked at before every batch; set if the operation was paused or cancelled.
    pub cancelled: CancellationToken,
}

impl Replay<'_> {
    /// Goes on with the shadow tables of this operation, or makes them. Answers with the position at which they became the live
    /// ones.
    pub async fn run(&self) -> Result<Position, Error> {
        let session = self.session().await?;
        let reader = self.database.reader().await?;
        let live = account::projected(&reader).await?;
        let looks = Looks::load(&reader, live).await?;
        drop(reader);
        shadow::begin_or_resume(&session, &looks, self.operation, &self.leadership.name).await?;
        if shadow::has_indexes(&session).await? {
            return self.catch_up(&session, looks).await;
        }
        let looks = Arc::new(looks);
        self.load(&looks).await?;
        let position = shadow::checkpoint(&session).await?.position;
        self.say("index", position, position)?;
        shadow::build_indexes(&session).await?;
        self.rebuild(&session, &looks).await?;
        shadow::is_loaded(&session).await?;
        self.catch_up(&session, Looks::clone(&looks)).await
    }

    fn say(&self, phase: &'static str, position: Position, target: Position) -> Result<(), Error> {
        self.progress.send_replace(Progress {
            phase,
            position,
            target,
        });
        if self.cancelled.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    /// A session in which unqualified names mean the shadow tables.
    async fn session(&self) -> Result<Session, Error> {
        let session = self.database.session("replay").await?;
        session
            .client()
            .batch_execute("set search_path = next, public")
            .await
            .map_err(postgres::Error::from)?;
        Ok(session)
    }
}

/// Removes the shadow tables of a replay that was cancelled or failed.
pub async fn abandon(database: &Database) -> Result<(), Error> {
    let session = database.session("replay").await?;
    shadow::drop_next(&session).await?;
    Ok(())
}
