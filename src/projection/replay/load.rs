//! The first phase of a replay: batches are folded one after the other, written by several sessions at once into tables with
//! few indexes, and committed in the log's order. Which keys are taken is kept in memory. Only letters are looked up in
//! the shadow tables, so a batch with decisions waits until all batches before it are committed.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::super::batch::{self, Known, Loaded};
use super::super::checkpoint::{NEXT, Step};
use super::super::fold::{Fold, Outcome, Writes};
use super::super::judge::Judge;
use super::super::live::brokers;
use super::super::pipeline::{Pipeline, Turn};
use super::super::reader::Examined;
use super::super::{Error, rules, write};
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
    pub(super) async fn load(&self) -> Result<(), Error> {
        let session = self.session().await?;
        let start = shadow::checkpoint(&session).await?.position;
        let brokers = brokers(&session).await?;
        let mut epochs = account::load_epochs(session.client()).await?;
        let mut taken = Taken::load(session.client()).await?;
        let mut rules_hash = rules::latest(session.client())
            .await?
            .map_or(String::new(), |(_, hash, _)| hash);
        let mut pipeline = Pipeline::new(self.writers().await?);
        let (batches, mut ready) = mpsc::channel(2);
        let reading = read_ahead(self.database.clone(), start, batches);
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
            let loaded = look_up(&session, &batch, &taken).await?;
            let judge = Judge::Replay {
                verdicts: batch.verdicts,
                rules_hash: rules_hash.clone(),
            };
            let writes = Fold::new(judge, &brokers, &mut epochs, loaded).run(&batch.rows)?;
            for order in &writes.orders {
                taken.insert(&order.key);
            }
            if let Some(applied) = writes
                .rules
                .iter()
                .rfind(|applied| applied.result == Outcome::Done.as_str())
            {
                rules_hash.clone_from(&applied.hash);
            }
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
    after: Position,
    batches: mpsc::Sender<Result<(Batch, Position), Error>>,
) {
    let sender = batches.clone();
    let work = async move |session: Session| read_to(&session, after, &sender).await;
    if let Err(error) = database.apart("replay", work).await {
        let _ = batches.send(Err(error.into())).await;
    }
}

async fn read_to(
    session: &Session,
    mut after: Position,
    batches: &mpsc::Sender<Result<(Batch, Position), Error>>,
) -> Result<(), postgres::Error> {
    let client = session.client();
    // The statement's rows are read at the pace of the writers, which may be slow.
    client.batch_execute("set statement_timeout = 0").await?;
    loop {
        let live = account::projected(client).await?;
        if live.0 - after.0 < CLOSE && after.0 > 0 {
            return Ok(());
        }
        let until = Position(live.0.min(after.0 + READ_ROWS));
        let mut rows = source::read(client, after, until).await?;
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

/// As `batch::load`, but whether an key is taken is answered from memory.
async fn look_up(session: &Session, batch: &Batch, taken: &Taken) -> Result<Loaded, Error> {
    let mut loaded = if batch.decides() {
        batch::load_letters(session.client(), &batch.rows).await?
    } else {
        Loaded::default()
    };
    let of_rows = batch.rows.iter().filter_map(|read| read.examined.as_ref());
    let of_letters = loaded.letter_bytes.values().map(|(_, examined)| examined);
    let known: Vec<Arc<str>> = of_rows
        .chain(of_letters)
        .filter_map(Examined::key)
        .filter(|key| taken.contains(key))
        .map(Arc::from)
        .collect();
    loaded.orders.reserve(batch.rows.len());
    for key in known {
        loaded.orders.insert(key, Known::Taken);
    }
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
        write::in_turn(&session, &step, &writes, turn).await
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
