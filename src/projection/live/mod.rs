//! The live projection. Each batch is one transaction; two are in flight at a time, committed in the log's order. A batch with
//! decisions is written alone, because a decision needs to see the letters of all rows before it. A few documents whose keys
//! are most likely free are written optimistically: without a look-up, in one statement.

mod alone;
mod commit;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::try_join;

use self::commit::{AfterCommit, Committing};
use super::batch::{self, Examine, Loaded};
use super::checkpoint::{LIVE, Step};
use super::definitions::{Defined, InForce};
use super::examine::{Examined, Examiner};
use super::fold::{Fold, Folded};
use super::judge::Judge;
use super::pipeline::{Ended, Pipeline};
use super::reader::ReadRow;
use super::sources::Sources;
use super::state::States;
use super::{Dependencies, Error, write};
use crate::account::{self, Epochs};
use crate::cache::Generation;
use crate::collection::{Id, Keep};
use crate::inbox::{Position, Witness};
use crate::postgres::{Session, is_row_fault, is_taken};

/// Batches in flight: while one waits for its commit, the other one's rows are written.
const WRITERS: usize = 2;

/// After an optimistic insert hit a taken key, keys are looked up first for this long: with frequent duplicates a failed insert
/// costs more than the look-up.
const WARY: Duration = Duration::from_secs(10);

pub struct Live<'a> {
    name: Arc<str>,
    deps: &'a Dependencies,
    sources: Sources,
    epochs: Epochs,
    /// Of the cache's shares, as they were before our writers connected: if one is emptied meanwhile, nothing that they commit is
    /// put into it.
    generations: HashMap<Id, Generation>,
    examiner: Examiner,
    pipeline: Pipeline<Session, InFlight>,
    witness: Witness,
    /// The end of the last batch that was started. It may still be in flight.
    begun: Position,
    /// When an optimistic insert last hit a taken uid.
    wary: Option<Instant>,
}

/// What is remembered of a batch while it is in flight: enough to fold later ones beside it, and to write it again.
struct InFlight {
    from: Position,
    rows: Vec<ReadRow>,
    /// As it leaves the documents, which no other transaction can see yet.
    states: States,
    optimistic: bool,
}

/// The swap of a replay locks this table first, too, and it is there whatever is defined. So each waits for the other here, at
/// its first statement, and they cannot deadlock over the other tables.
const GATE: &str = "lock table fates in row exclusive mode";

/// Letters are examined by what is in force.
impl Examine for Examiner {
    fn examine(&mut self, bytes: &Bytes, defined: &Defined) -> Result<Examined, Error> {
        Examiner::examine(self, bytes, defined)
    }
}

impl<'a> Live<'a> {
    pub async fn begin(
        session: &Session,
        name: &str,
        deps: &'a Dependencies,
        start: Position,
    ) -> Result<Self, Error> {
        let shares = deps.cache.all();
        let generations = shares.iter().map(|share| (share.id(), share.generation()));
        let generations = generations.collect();
        let mut writers = Vec::new();
        let mut witness = Witness::of(session);
        for _ in 0..WRITERS {
            let writer = deps.database.session("projector").await?;
            if writer.identity() != session.identity() {
                return Err(Error::AnotherServer);
            }
            witness = Witness::of(&writer);
            writers.push(writer);
        }
        Ok(Self {
            name: name.into(),
            deps,
            sources: Sources::default(),
            epochs: account::load_epochs(session.client()).await?,
            generations,
            examiner: Examiner::default(),
            pipeline: Pipeline::new(writers),
            witness,
            begun: start,
            wary: None,
        })
    }

    /// Of the writer that connected last: what it saw appended, all of them did.
    pub fn witness(&self) -> Witness {
        self.witness.clone()
    }

    pub fn in_force(&self) -> Arc<InForce> {
        self.deps.in_force.borrow().clone()
    }

    /// The position that is committed; none if a batch is in flight.
    pub fn at_rest(&self) -> Option<Position> {
        self.pipeline.is_empty().then_some(self.begun)
    }

    /// Starts to write a batch, once a writer is free for it.
    pub async fn project(&mut self, rows: Vec<ReadRow>) -> Result<(), Error> {
        if rows.iter().any(|read| read.row.decision.is_some()) {
            self.settle().await?;
            return self.alone(rows).await;
        }
        // Writing a few rows beside another batch gains nothing, and with nothing in flight they can be written optimistically.
        if write::are_few(rows.len()) {
            self.settle().await?;
        }
        while self.pipeline.is_full() {
            self.next().await?;
        }
        self.start(rows).await
    }

    /// Waits for the oldest batch in flight; pends for ever if there is none. Cancel-safe. `ended` is to be told the answer.
    pub async fn oldest(&mut self) -> Ended<Session> {
        self.pipeline.oldest().await
    }

    pub async fn ended(&mut self, ended: Ended<Session>) -> Result<(), Error> {
        let Some(failed) = self.pipeline.ended(ended)? else {
            return Ok(());
        };
        match &failed.error {
            Error::Postgres(error) if failed.batch.optimistic && is_taken(error) => {
                self.wary = Some(Instant::now());
                self.redo(failed).await
            }
            Error::Postgres(error) if is_row_fault(error).is_some() => self.redo(failed).await,
            _ => Err(failed.error),
        }
    }

    async fn next(&mut self) -> Result<(), Error> {
        let ended = self.oldest().await;
        self.ended(ended).await
    }

    /// Waits until nothing is in flight.
    pub async fn settle(&mut self) -> Result<(), Error> {
        while !self.pipeline.is_empty() {
            self.next().await?;
        }
        Ok(())
    }

    async fn start(&mut self, rows: Vec<ReadRow>) -> Result<(), Error> {
        let mut rows = rows;
        let Some(to) = rows.last().map(|last| last.row.position) else {
            return Ok(());
        };
        let started = Instant::now();
        let session = self.pipeline.writer()?;
        self.freshen(&session, &mut rows).await?;
        let optimistic = self.may_be_optimistic(&rows);
        let loaded = if optimistic {
            Loaded::default()
        } else {
            write::bounded(self.open(&session, &rows)).await?
        };
        let Folded { writes, states, .. } = self.fold(&rows, loaded, &HashMap::new())?;
        let committing = self.committing(to, started, optimistic);
        let batch = InFlight {
            from: self.begun,
            rows,
            states,
            optimistic,
        };
        self.pipeline.start(batch, session, |session, turn| {
            committing.run(session, writes, turn)
        });
        self.begun = to;
        Ok(())
    }

    /// What was read ahead by other definitions is read again, before anything is loaded by its keys.
    async fn freshen(&mut self, session: &Session, rows: &mut [ReadRow]) -> Result<(), Error> {
        let sources = rows.iter().map(|read| read.row.source);
        Session::bounded(self.sources.know(session.client(), sources)).await?;
        let in_force = self.in_force();
        for read in rows {
            read.examine_anew(&in_force, &mut self.examiner)?;
        }
        Ok(())
    }

    fn committing(&self, to: Position, started: Instant, optimistic: bool) -> Committing {
        Committing {
            step: Step {
                projection: LIVE,
                leader: self.name.clone(),
                from: self.begun,
                to,
            },
            after: AfterCommit::new(self.deps, self.generations.clone()),
            started,
            optimistic,
        }
    }

    /// Whether these rows are a few documents of one collection whose keys are most likely free. Only if nothing is in flight: a
    /// batch in flight may bring the same keys.
    fn may_be_optimistic(&self, rows: &[ReadRow]) -> bool {
        let in_force = self.in_force();
        let mut keys = HashSet::new();
        let id = rows.first().and_then(|read| read.examined.as_ref());
        let Some(defined) = id.and_then(|examined| in_force.by_id(examined.id)) else {
            return false;
        };
        let is_plain = defined
            .compiled
            .as_ref()
            .is_some_and(|collection| collection.keep == Keep::First && collection.sum.is_none());
        is_plain
            && self.pipeline.is_empty()
            && self.wary.is_none_or(|since| since.elapsed() > WARY)
            && write::are_few(rows.len())
            && rows.iter().all(|read| {
                let examined = read
                    .examined
                    .as_ref()
                    .filter(|_| read.row.decision.is_none());
                examined.is_some_and(|examined| {
                    let key = examined.key();
                    examined.id == defined.id
                        && examined.is_document()
                        && (key.is_none() || keys.insert(key))
                })
            })
    }

    /// Begins the transaction and loads what the fold needs, from the tables and from the batches in flight.
    async fn open(&mut self, session: &Session, rows: &[ReadRow]) -> Result<Loaded, Error> {
        let in_force = self.in_force();
        let client = session.client();
        let begin = async { session.begin_locking(GATE).await.map_err(Error::from) };
        let examiner = &mut self.examiner;
        let load = async {
            let mut loaded = batch::load_letters(client, &in_force, rows, examiner).await?;
            batch::load_documents(client, &in_force, rows, &mut loaded).await?;
            Ok(loaded)
        };
        let ((), mut loaded) = try_join!(begin, load)?;
        for batch in self.pipeline.batches() {
            let mut states = std::mem::take(&mut loaded.states);
            for question in loaded.questions(rows).filter_map(Examined::question) {
                states.overlay(&batch.states, &question);
            }
            loaded.states = states;
        }
        Ok(loaded)
    }

    fn fold(
        &mut self,
        rows: &[ReadRow],
        loaded: Loaded,
        refused: &HashMap<i64, String>,
    ) -> Result<Folded, Error> {
        let in_force = self.in_force();
        let judge = Judge::Live { refused };
        Fold::new(judge, in_force, &self.sources, &mut self.epochs, loaded).run(rows)
    }
}
