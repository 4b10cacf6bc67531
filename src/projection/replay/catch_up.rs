//! The second and third phase of a replay: it catches up with the live projection, batch by batch, now with indexes; then it
//! swaps the tables.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::super::batch;
use super::super::checkpoint::{self, LIVE, NEXT, Step};
use super::super::fold::Fold;
use super::super::give_way::MakingWay;
use super::super::judge::Judge;
use super::super::live::brokers;
use super::super::{Error, rules, write};
use super::{Replay, shadow, source};
use crate::account::{self, Epochs};
use crate::inbox::{Position, SourceId};
use crate::postgres::{self, Session};

/// Rows of a batch. The statement that reads them asks for no more than these: a session answers one statement at a time, so
/// the writes behind it would have to wait for the rest.
const MOST_ROWS: i64 = super::BATCH_ROWS as i64;
/// If no more rows than these are left, the swap's own transaction folds them.
const CLOSE: i64 = MOST_ROWS / 2;
/// The longest time that the live projection is made to rest after a batch.
const LONGEST_REST: Duration = Duration::from_secs(2);

impl Replay<'_> {
    pub(super) async fn catch_up(&self, session: &Session) -> Result<Position, Error> {
        let brokers = brokers(session).await?;
        let mut epochs = account::load_epochs(session.client()).await?;
        let mut position = shadow::checkpoint(session).await?.position;
        let way = self.give_way.ask();
        let mut distance_before = i64::MAX;
        let mut looked = Instant::now();
        loop {
            let live = account::projected(session.client()).await?;
            let distance = live.0 - position.0;
            if distance <= CLOSE {
                self.say("swap", position, live)?;
                match self.swap(session, &brokers, &mut epochs, position).await {
                    Ok(Some(position)) => return Ok(position),
                    Ok(None) => {
                        tracing::debug!(
                            "the swap must wait: the live tables are in use, or too much came"
                        );
                    }
                    Err(error) => return Err(error),
                }
                epochs = account::load_epochs(session.client()).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            session.begin().await?;
            position = self
                .fold_next(session, &brokers, &mut epochs, position, live)
                .await?;
            session.commit().await?;
            self.say("catch_up", position, live)?;
            if looked.elapsed() >= Duration::from_millis(500) {
                adjust(&way, distance, distance_before);
                distance_before = distance;
                looked = Instant::now();
            }
        }
    }

    /// Folds one batch into the shadow tables, inside the caller's transaction.
    async fn fold_next(
        &self,
        session: &Session,
        brokers: &[SourceId],
        epochs: &mut Epochs,
        from: Position,
        until: Position,
    ) -> Result<Position, Error> {
        let client = session.client();
        let until = Position(until.0.min(from.0 + MOST_ROWS));
        let batch = source::read(client, from, until).await?.batch().await?;
        let Some(to) = batch.last() else {
            return Ok(from);
        };
        let loaded = batch::load(client, &batch.rows).await?;
        let judge = Judge::Replay {
            verdicts: batch.verdicts,
            rules_hash: rules::latest(client)
                .await?
                .map_or(String::new(), |(_, hash, _)| hash),
        };
        let writes = Fold::new(judge, brokers, epochs, loaded).run(&batch.rows)?;
        write::write_rows(client, &writes).await?;
        let step = Step {
            projection: NEXT,
            leader: self.leadership.name.as_str().into(),
            from,
            to,
        };
        write::write_counts(client, &step, &writes).await?;
        Ok(to)
    }

    /// Puts the shadow tables in the place of the live ones, in one short transaction. None if it has to be tried again: a lock
    /// was not to be had in time, or too many rows were left.
    async fn swap(
        &self,
        session: &Session,
        brokers: &[SourceId],
        epochs: &mut Epochs,
        from: Position,
    ) -> Result<Option<Position>, Error> {
        let work = async {
            session.begin().await?;
            let live = match self.lock(session, from).await {
                Ok(live) if live.0 - from.0 <= 2 * CLOSE => live,
                Err(error) if !is_lock_timeout(&error) => return Err(error),
                Ok(_) | Err(_) => {
                    session.rollback().await?;
                    return Ok(None);
                }
            };
            let mut position = from;
            while position < live {
                position = self
                    .fold_next(session, brokers, epochs, position, live)
                    .await?;
            }
            shadow::swap(session).await?;
            if !(self.end)(session, self.operation, position).await? {
                return Err(Error::Cancelled);
            }
            session.commit().await?;
            Ok::<_, Error>(Some(position))
        };
        let swapped = write::bounded(work).await?;
        if swapped.is_some() {
            shadow::drop_retired(session).await?;
        }
        Ok(swapped)
    }

    /// Locks all that the swap changes, and answers with the live position. Fails if this process no longer holds the lease, or
    /// if the shadow tables are no longer as it left them: it may have been frozen for long, and another may have begun them
    /// anew.
    async fn lock(&self, session: &Session, from: Position) -> Result<Position, Error> {
        shadow::keep_autovacuum_out(session).await?;
        shadow::lock_live(session).await?;
        let live = checkpoint::lock(session.client(), LIVE).await?;
        let next = checkpoint::lock(session.client(), NEXT).await?;
        let (Some(live), Some(next)) = (live, next) else {
            return Err(Error::CheckpointMoved);
        };
        let name = &self.leadership.name;
        let ours = live.leader == *name
            && next.leader == *name
            && next.term == self.operation
            && next.position == from;
        if ours {
            Ok(live.position)
        } else {
            Err(Error::CheckpointMoved)
        }
    }
}

/// Makes the live projection rest longer if the distance to it does not shrink, and shorter if it does.
fn adjust(way: &MakingWay, distance: i64, before: i64) {
    let rest = way.rest();
    let shrinks = distance < before - before / 20;
    way.set(if shrinks {
        rest.mul_f64(0.8)
    } else {
        (rest * 2).max(Duration::from_millis(10)).min(LONGEST_REST)
    });
}

fn is_lock_timeout(error: &Error) -> bool {
    matches!(error, Error::Postgres(postgres::Error::Server(server)) if server.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
}
