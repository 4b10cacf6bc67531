//! The live projection. Each batch is one transaction; two are in flight at a time, committed in the log's order. A batch with
//! decisions is written alone, because a decision needs to see the letters of all rows before it. A few orders whose keys
//! are most likely free are written optimistically: without a look-up, in one statement.

mod alone;
mod commit;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::try_join;
use tokio::sync::watch;

use self::commit::{AfterCommit, Committing};
use super::batch::{self, Known, Loaded, Orders};
use super::checkpoint::{LIVE, Step};
use super::fold::{Fold, Writes};
use super::judge::Judge;
use super::pipeline::{Ended, Pipeline};
use super::reader::{Examined, ReadRow};
use super::rules::InForce;
use super::{Dependencies, Error, write};
use crate::account::{self, Epochs};
use crate::cache::Generation;
use crate::inbox::{Position, SourceId, Witness};
use crate::order::store::NewOrder;
use crate::postgres::{self, Session, is_row_fault, is_taken};

/// Batches in flight: while one waits for its commit, the other one's rows are written.
const WRITERS: usize = 2;

/// After an optimistic insert hit a taken uid, uids are looked up first for this long: with frequent duplicates a failed insert
/// costs more than the look-up.
const WARY: Duration = Duration::from_secs(10);

pub struct Live<'a> {
    name: Arc<str>,
    deps: &'a Dependencies,
    brokers: Vec<SourceId>,
    epochs: Epochs,
    in_force: watch::Sender<Arc<InForce>>,
    /// Of the cache, as it was before our writers connected: if it is emptied meanwhile, nothing that they commit is put into
    /// it.
    generation: Generation,
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
    /// The orders that it brings, which no other transaction can see yet.
    orders: Orders,
    optimistic: bool,
}

const BROKERS: &str = "select id from source where kind in ('stan', 'jetstream')";

/// The sources whose sequences come from a broker: only theirs can have holes, so only theirs are kept account of.
pub async fn brokers(session: &Session) -> Result<Vec<SourceId>, postgres::Error> {
    let rows = postgres::query(session.client(), BROKERS, &[]).await?;
    Ok(rows.iter().map(|row| SourceId(row.get(0))).collect())
}

/// The swap of a replay locks `orders` first, too. So each waits for the other here, at its first statement, and they cannot
/// deadlock over the other tables.
const GATE: &str = "lock table orders in row exclusive mode";

impl<'a> Live<'a> {
    pub async fn begin(
        session: &Session,
        name: &str,
        deps: &'a Dependencies,
        in_force: watch::Sender<Arc<InForce>>,
        start: Position,
    ) -> Result<Self, Error> {
        let generation = deps.cache.generation();
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
            brokers: brokers(session).await?,
            epochs: account::load_epochs(session.client()).await?,
            in_force,
            generation,
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
        self.in_force.borrow().clone()
    }

    /// The position that is committed; none if a batch is in flight.
    pub fn at_rest(&self) -> Option<Position> {
        self.pipeline.is_empty().then_some(self.begun)
    }

    /// Starts to write a batch, once a writer is free for it.
    pub async fn project(&mut self, rows: Vec<ReadRow>) -> Result<(), Error> {
        if rows.iter().any(|read| read.row.decision.is_some()) {
            self.settle().await?;
            return self.alone(&rows).await;
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
        let Some(last) = rows.last() else {
            return Ok(());
        };
        let started = Instant::now();
        let to = last.row.position;
        let session = self.pipeline.writer()?;
        let optimistic = self.may_be_optimistic(&rows);
        let loaded = if optimistic {
            Loaded::default()
        } else {
            Session::bounded(self.open(&session, &rows)).await?
        };
        let writes = self.fold(&rows, loaded, &HashMap::new())?;
        let brought = |order: &NewOrder| {
            let data = order.data.clone()?;
            Some((order.key.clone(), Known::Brought { data }))
        };
        let orders = writes.orders.iter().filter_map(brought).collect();
        let committing = self.committing(to, started, optimistic);
        let batch = InFlight {
            from: self.begun,
            rows,
            orders,
            optimistic,
        };
        self.pipeline.start(batch, session, |session, turn| {
            committing.run(session, writes, turn)
        });
        self.begun = to;
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
            after: AfterCommit::new(self.deps, self.generation),
            started,
            optimistic,
        }
    }

    /// Whether these rows are a few orders whose keys are most likely free. Only if nothing is in flight: a batch in
    /// flight may bring the same keys.
    fn may_be_optimistic(&self, rows: &[ReadRow]) -> bool {
        let in_force = self.in_force.borrow();
        let mut uids = HashSet::new();
        self.pipeline.is_empty()
            && self.wary.is_none_or(|since| since.elapsed() > WARY)
            && write::are_few(rows.len())
            && rows.iter().all(|read| {
                let uid = read.examined.as_ref().and_then(Examined::key);
                read.is_order_by(&in_force) && uids.insert(uid)
            })
    }

    /// Begins the transaction and loads what the fold needs, from the tables and from the batches in flight.
    async fn open(&self, session: &Session, rows: &[ReadRow]) -> Result<Loaded, postgres::Error> {
        let ((), mut loaded) = try_join!(
            session.begin_locking(GATE),
            batch::load(session.client(), rows)
        )?;
        for batch in self.pipeline.batches() {
            let uids = rows.iter().filter_map(|read| read.examined.as_ref());
            for key in uids.filter_map(Examined::key) {
                if let Some((key, known)) = batch.orders.get_key_value(key) {
                    loaded.orders.insert(key.clone(), known.clone());
                }
            }
        }
        Ok(loaded)
    }

    fn fold(
        &mut self,
        rows: &[ReadRow],
        loaded: Loaded,
        refused: &HashMap<i64, String>,
    ) -> Result<Writes, Error> {
        let in_force = self.in_force.borrow().clone();
        let judge = Judge::Live {
            in_force: &in_force,
            refused,
        };
        Fold::new(judge, &self.brokers, &mut self.epochs, loaded).run(rows)
    }
}
