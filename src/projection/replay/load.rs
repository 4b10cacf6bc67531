//! The first phase of a replay: batches are folded one after the other, written by several sessions at once into tables with
//! few indexes, and committed in the log's order. Which keys are taken is kept in memory; documents of `latest` and sums
//! are made at its end, by one statement each. Only letters are looked up in
//! the shadow tables, so a batch with decisions waits until all batches before it are committed.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::super::batch::{self, Loaded};
use super::super::checkpoint::{NEXT, Step};
use super::super::definitions::{self, InForce};
use super::super::examine::{Examined, Examiner};
use super::super::fold::{Fold, Folded, Writes};
use super::super::judge::Judge;
use super::super::pipeline::{Pipeline, Turn};
use super::super::{Error, write};
use super::looks::{AsTheyLook, Looks};
use super::source::{self, Batch};
use super::taken::Taken;
use super::{Replay, shadow};
use crate::account;
use crate::inbox::Position;
use crate::postgres::{self, Database, Session};

/// One more than a small server has cores: while one waits for its turn or its commit, two write.
const WRITERS: usize = 3;

/// The load ends if fewer rows than these are left up to the live checkpoint; `catch_up` does the rest.
const CLOSE: i64 = 4096;
/// Rows that one statement reads. It bounds how long its snapshot is open, which keeps vacuum from removing dead rows.
const READ_ROWS: i64 = 16 * 1024;

impl Replay<'_> {
    pub(super) async fn load(&self, looks: &Arc<Looks>) -> Result<(), Error> {
        let session = self.session().await?;
        let client = session.client();
        let start = shadow::checkpoint(&session).await?.position;
        let mut epochs = account::load_epochs(client).await?;
        let tables: Vec<_> = looks.shapes().map(|(id, shape)| (id, shape.keep)).collect();
        let mut taken = Taken::load(client, &tables).await?;
        let mut in_force = Arc::new(definitions::load_until(client, start).await?);
        let mut pipeline = Pipeline::new(self.writers().await?);
        let (batches, mut ready) = mpsc::channel(2);
        let reading = read_ahead(self.database.clone(), looks.clone(), start, batches);
        let _reading = AbortOnDropHandle::new(tokio::spawn(reading));

        let leader: Arc<str> = self.leadership.name.as_str().into();
        let mut position = start;
        while let Some(batch) = ready.recv().await {
            let (batch, target): (Batch, Position) = batch?;
            let Some(to) = batch.last() else {
                break;
            };
            if batch.decides() {
                drain(&mut pipeline).await?;
            }
            let loaded = look_up(&session, looks, &in_force, &batch, &taken).await?;
            let judge = Judge::Replay {
                verdicts: batch.verdicts,
                amounts: batch.amounts,
            };
            let fold = Fold::new(judge, in_force, looks.sources(), &mut epochs, loaded);
            let Folded {
                writes,
                states,
                in_force: now,
            } = fold.run(&batch.rows)?;
            in_force = now;
            taken.learn(&states);
            while pipeline.is_full() {
                next(&mut pipeline).await?;
            }
            let step = Step {
                projection: NEXT,
                leader: leader.clone(),
                from: position,
                to,
            };
            let writer = pipeline.writer()?;
            pipeline.start((), writer, |writer, turn| {
                commit(writer, step, writes, turn)
            });
            position = to;
            self.say("load", position, target)?;
            if taken.is_full() {
                break;
            }
        }
        drain(&mut pipeline).await
    }

    async fn writers(&self) -> Result<Vec<Session>, Error> {
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            writers.push(self.session().await?);
        }
        Ok(writers)
    }
}

/// Reads on a thread of its own until the live checkpoint is near. Each batch comes with that checkpoint's position.
async fn read_ahead(
    database: Database,
    looks: Arc<Looks>,
    after: Position,
    batches: mpsc::Sender<Result<(Batch, Position), Error>>,
) {
    let sender = batches.clone();
    let work = async move |session: Session| {
        // What goes wrong here is said where the batches are awaited.
        if let Err(error) = read_to(&session, &looks, after, &sender).await {
            let _ = sender.send(Err(error)).await;
        }
        Ok::<(), postgres::Error>(())
    };
    if let Err(error) = database.apart("replay", work).await {
        let _ = batches.send(Err(error.into())).await;
    }
}

async fn read_to(
    session: &Session,
    looks: &Looks,
    mut after: Position,
    batches: &mpsc::Sender<Result<(Batch, Position), Error>>,
) -> Result<(), Error> {
    let client = session.client();
    // The statement's rows are read at the pace of the writers, which may be slow.
    let unbounded = client.batch_execute("set statement_timeout = 0").await;
    unbounded.map_err(postgres::Error::from)?;
    loop {
        let live = account::projected(client).await?;
        if live.0 - after.0 < CLOSE && after.0 > 0 {
            return Ok(());
        }
        let until = Position(live.0.min(after.0 + READ_ROWS));
        if !looks.reaches(until) && after >= looks.until() {
            // What was defined since the replay began is for `catch_up`.
            return Ok(());
        }
        let until = until.min(looks.until());
        let mut rows = source::read(client, looks, after, until).await?;
        loop {
            let batch = rows.batch().await?;
            let Some(last) = batch.last() else {
                break;
            };
            after = last;
            if batches.send(Ok((batch, live))).await.is_err() {
                return Ok(());
            }
        }
        if after < until {
            return Ok(());
        }
    }
}

/// As the live projection loads, but what is taken is answered from memory.
async fn look_up(
    session: &Session,
    looks: &Looks,
    in_force: &InForce,
    batch: &Batch,
    taken: &Taken,
) -> Result<Loaded, Error> {
    let mut loaded = if batch.decides() {
        let mut examine = AsTheyLook {
            looks,
            examiner: Examiner::default(),
        };
        batch::load_letters(session.client(), in_force, &batch.rows, &mut examine).await?
    } else {
        Loaded::default()
    };
    let mut states = std::mem::take(&mut loaded.states);
    for question in loaded.questions(&batch.rows).filter_map(Examined::question) {
        taken.answer(looks.keep(question.id), &question, &mut states);
    }
    loaded.states = states;
    Ok(loaded)
}

async fn commit(
    session: Session,
    step: Step,
    writes: Writes,
    turn: Turn,
) -> (Session, Result<(), Error>) {
    let work = async {
        // If Postgres crashes, what was lost is folded again: the checkpoint was lost with it. The swap's commit brings all commits
        // before it to the disk.
        session.begin_unflushed().await?;
        write::to_load(&session, &step, &writes, turn).await
    };
    let outcome = write::bounded(work).await;
    (session, outcome)
}

async fn next(pipeline: &mut Pipeline<Session, ()>) -> Result<(), Error> {
    let ended = pipeline.oldest().await;
    match pipeline.ended(ended)? {
        None => Ok(()),
        Some(failed) => Err(failed.error),
    }
}

async fn drain(pipeline: &mut Pipeline<Session, ()>) -> Result<(), Error> {
    while !pipeline.is_empty() {
        next(pipeline).await?;
    }
    Ok(())
}
