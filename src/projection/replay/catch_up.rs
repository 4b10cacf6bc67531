//! The second and third phase of a replay: it catches up with the live projection, batch by batch, now with indexes; then it
//! swaps the tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::super::batch;
use super::super::checkpoint::{self, LIVE, NEXT, Step};
use super::super::definitions::{self, InForce};
use super::super::examine::Examiner;
use super::super::fold::{Fold, Folded};
use super::super::give_way::MakingWay;
use super::super::judge::Judge;
use super::super::{Error, tables, write};
use super::looks::{AsTheyLook, Looks};
use super::{Replay, carry_over, shadow, source};
use crate::account::{self, Epochs};
use crate::inbox::Position;
use crate::postgres::{self, Session};

/// What a catch-up goes on with, batch after batch.
struct Walk {
    position: Position,
    epochs: Epochs,
    looks: Looks,
    /// In force at the position.
    in_force: Arc<InForce>,
}

/// Rows of a batch. The statement that reads them asks for no more than these: a session answers one statement at a time, so
/// the writes behind it would have to wait for the rest.
const MOST_ROWS: i64 = super::BATCH_ROWS as i64;
/// If no more rows than these are left, the swap's own transaction folds them.
const CLOSE: i64 = MOST_ROWS / 2;
/// The longest time that the live projection is made to rest after a batch.
const LONGEST_REST: Duration = Duration::from_secs(2);

impl Replay<'_> {
    pub(super) async fn catch_up(
        &self,
        session: &Session,
        looks: Looks,
    ) -> Result<Position, Error> {
        let mut walk = self.walk(session, looks).await?;
        let way = self.give_way.ask();
        let mut distance_before = i64::MAX;
        let mut looked = Instant::now();
        loop {
            let live = account::projected(session.client()).await?;
            if !walk.looks.reaches(live) {
                walk.looks = Looks::load(&*self.database.reader().await?, live).await?;
                shadow::make_tables(session, &walk.looks).await?;
            }
            let distance = live.0 - walk.position.0;
            if distance <= CLOSE {
                self.say("swap", walk.position, live)?;
                if shadow::lacks_indexes(session).await? {
                    shadow::build_indexes(session).await?;
                }
                match self.swap(session, &mut walk).await {
                    Ok(Some(position)) => return Ok(position),
                    Ok(None) => {
                        tracing::debug!(
                            "the swap must wait: the live tables are in use, or too much came"
                        );
                    }
                    Err(error) => return Err(error),
                }
                // What the transaction had folded was rolled back.
                walk = self.walk(session, walk.looks).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            session.begin().await?;
            self.fold_next(session, &mut walk, live).await?;
            session.commit().await?;
            self.say("catch_up", walk.position, live)?;
            if looked.elapsed() >= Duration::from_millis(500) {
                adjust(&way, distance, distance_before);
                distance_before = distance;
                looked = Instant::now();
            }
        }
    }

    /// From where the shadow tables stand.
    async fn walk(&self, session: &Session, looks: Looks) -> Result<Walk, Error> {
        let position = shadow::checkpoint(session).await?.position;
        let client = session.client();
        Ok(Walk {
            position,
            epochs: account::load_epochs(client).await?,
            looks,
            in_force: Arc::new(definitions::load_until(client, position).await?),
        })
    }

    /// Folds one batch into the shadow tables, inside the caller's transaction.
    async fn fold_next(
        &self,
        session: &Session,
        walk: &mut Walk,
        until: Position,
    ) -> Result<(), Error> {
        let client = session.client();
        let from = walk.position;
        let until = Position(until.0.min(from.0 + MOST_ROWS));
        let mut reading = source::read(client, &walk.looks, from, until).await?;
        let batch = reading.batch().await?;
        // A session answers one statement at a time: what a definition has cut off is not to be waited for.
        drop(reading);
        let Some(to) = batch.last() else {
            return Ok(());
        };
        let mut examine = AsTheyLook {
            looks: &walk.looks,
            examiner: Examiner::default(),
        };
        let rows = &batch.rows;
        let mut loaded = batch::load_letters(client, &walk.in_force, rows, &mut examine).await?;
        batch::load_documents(client, &walk.in_force, rows, &mut loaded).await?;
        let judge = Judge::Replay {
            verdicts: batch.verdicts,
            amounts: batch.amounts,
        };
        let in_force = walk.in_force.clone();
        let sources = walk.looks.sources();
        let fold = Fold::new(judge, in_force, sources, &mut walk.epochs, loaded);
        let Folded {
            writes, in_force, ..
        } = fold.run(rows)?;
        write::write_rows(client, &writes).await?;
        write::write_last(client, &writes).await?;
        let step = Step {
            projection: NEXT,
            leader: self.leadership.name.as_str().into(),
            from,
            to,
        };
        write::write_counts(client, &step, &writes).await?;
        (walk.position, walk.in_force) = (to, in_force);
        Ok(())
    }

    /// Puts the shadow tables in the place of the live ones, in one short transaction. None if it has to be tried again: a lock
    /// was not to be had in time, or too many rows were left.
    async fn swap(&self, session: &Session, walk: &mut Walk) -> Result<Option<Position>, Error> {
        let work = async {
            session.begin().await?;
            let from = walk.position;
            let live = match self.lock(session, from).await {
                Ok(live) if live.0 - from.0 <= 2 * CLOSE && walk.looks.reaches(live) => live,
                Err(error) if !is_lock_timeout(&error) => return Err(error),
                Ok(_) | Err(_) => {
                    session.rollback().await?;
                    return Ok(None);
                }
            };
            while walk.position < live {
                self.fold_next(session, walk, live).await?;
            }
            let views = tables::views(session.client(), &walk.in_force).await?;
            shadow::swap(session, self.operation, &views).await?;
            if !(self.end)(session, self.operation, walk.position).await? {
                return Err(Error::Cancelled);
            }
            session.commit().await?;
            Ok::<_, Error>(Some(walk.position))
        };
        let swapped = write::bounded(work).await?;
        if swapped.is_some() {
            carry_over::warn_of_others(session.client(), &shadow::retired(self.operation)).await?;
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
