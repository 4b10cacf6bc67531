//! The live projection: one batch, one transaction; two at a time, committed in the log's order. A batch with decisions, which
//! look at what was committed before, goes alone. Where a row is at fault, its batch goes in halves, alone too, until the
//! row fails by itself and is a letter.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::try_join;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Error;
use super::batch::{self, Known, Loaded, Orders};
use super::checkpoint::{LIVE, Step};
use super::fold::{Fold, Judge, Outcome, Writes};
use super::reader::{Examined, ReadRow};
use super::rules::InForce;
use super::run::{Dependencies, publish};
use super::turn::{Turn, Turns};
use super::write;
use crate::account::{self, Epochs, Fate};
use crate::cache::{Cache, Generation};
use crate::dead_letter;
use crate::inbox::{Position, SourceId, Witness};
use crate::postgres::{self, Session, is_row_fault, is_taken};
use crate::telemetry::Metrics;

/// While one waits for Postgres' answer to its commit, the other is written.
const WRITERS: usize = 2;

/// After a uid that was taken, so long each batch looks first: where they come often, a failed statement each is dearer.
const WARY: Duration = Duration::from_secs(10);

pub struct Live<'a> {
    name: Arc<str>,
    deps: &'a Dependencies,
    brokers: Vec<SourceId>,
    epochs: Epochs,
    in_force: watch::Sender<Arc<InForce>>,
    /// The cache's, from before our writers were there: what they commit is not kept after it was emptied.
    generation: Generation,
    idle: Vec<Session>,
    under_way: VecDeque<UnderWay>,
    turns: Turns,
    /// Where the last batch that was begun ends.
    begun: Position,
    /// When a hopeful batch last met a uid that was taken.
    wary: Option<Instant>,
}

/// A batch that was folded and is being written.
struct UnderWay {
    task: AbortOnDropHandle<(Session, Result<(), Error>)>,
    from: Position,
    rows: Vec<ReadRow>,
    /// What it brings, which no other transaction can see yet.
    orders: Orders,
    hopeful: bool,
}

/// What became of the oldest batch under way.
pub struct Ended(Result<(Session, Result<(), Error>), tokio::task::JoinError>);

const BROKERS: &str = "select id from source where kind in ('stan', 'jetstream')";

/// The sources that have sequences to keep account of.
pub async fn brokers(session: &Session) -> Result<Vec<SourceId>, postgres::Error> {
    let rows = postgres::query(session.client(), BROKERS, &[]).await?;
    Ok(rows.iter().map(|row| SourceId(row.get(0))).collect())
}

/// The first lock of a replay's swap, too: one waits for the other at the door, not in the middle for each other's tables.
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
        let mut idle = Vec::new();
        for _ in 0..WRITERS {
            let writer = deps.database.session("projector").await?;
            if writer.identity() != session.identity() {
                return Err(Error::AnotherServer);
            }
            idle.push(writer);
        }
        Ok(Self {
            name: name.into(),
            deps,
            brokers: brokers(session).await?,
            epochs: account::load_epochs(session.client()).await?,
            in_force,
            generation,
            idle,
            under_way: VecDeque::new(),
            turns: Turns::default(),
            begun: start,
            wary: None,
        })
    }

    /// Of the youngest session that writes.
    pub fn witness(&self) -> Result<Witness, Error> {
        let youngest = self.idle.last().ok_or(Error::NoSession)?;
        Ok(Witness::of(youngest))
    }

    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.borrow().clone()
    }

    /// The position that is committed; none while a batch is under way.
    pub fn at_rest(&self) -> Option<Position> {
        self.under_way.is_empty().then_some(self.begun)
    }

    /// Begins a batch. What it says of the one before is committed or known here.
    pub async fn project(&mut self, rows: Vec<ReadRow>) -> Result<(), Error> {
        if rows.iter().any(|read| read.row.decision.is_some()) {
            self.settle().await?;
            return self.alone(&rows).await;
        }
        // To write a few beside others gains nothing, and they would have to look for what the others bring.
        if write::are_few(rows.len()) {
            self.settle().await?;
        }
        while self.idle.is_empty() {
            let ended = self.oldest().await;
            self.ended(ended).await?;
        }
        self.start(rows).await
    }

    /// When the oldest batch under way has ended; never where there is none. May be given up and called again.
    pub async fn oldest(&mut self) -> Ended {
        match self.under_way.front_mut() {
            Some(oldest) => Ended((&mut oldest.task).await),
            None => std::future::pending().await,
        }
    }

    /// To be told what `oldest` answered.
    pub async fn ended(&mut self, ended: Ended) -> Result<(), Error> {
        let Some(batch) = self.under_way.pop_front() else {
            return Ok(());
        };
        let (session, outcome) = ended.0.map_err(|_| Error::WriterLost)?;
        match outcome {
            Ok(()) => {
                self.idle.push(session);
                Ok(())
            }
            Err(Error::Postgres(error)) if batch.hopeful && is_taken(&error) => {
                self.wary = Some(Instant::now());
                self.redo(session, batch).await
            }
            Err(Error::Postgres(error)) if is_row_fault(&error).is_some() => {
                self.redo(session, batch).await
            }
            Err(error) => Err(error),
        }
    }

    /// Until nothing is under way.
    pub async fn settle(&mut self) -> Result<(), Error> {
        while !self.under_way.is_empty() {
            let ended = self.oldest().await;
            self.ended(ended).await?;
        }
        Ok(())
    }

    /// A row of this batch is at fault: it and those after it, which cannot have been committed, go again one by one.
    async fn redo(&mut self, session: Session, batch: UnderWay) -> Result<(), Error> {
        let mut again = vec![batch];
        Session::bounded(session.rollback()).await?;
        self.idle.push(session);
        while let Some(mut later) = self.under_way.pop_front() {
            let ended = (&mut later.task).await;
            let (session, _) = ended.map_err(|_| Error::WriterLost)?;
            Session::bounded(session.rollback()).await?;
            self.idle.push(session);
            again.push(later);
        }
        self.turns = Turns::default();
        self.begun = again[0].from;
        self.reload().await?;
        for batch in again {
            self.alone(&batch.rows).await?;
        }
        Ok(())
    }

    /// The epochs as they were committed.
    async fn reload(&mut self) -> Result<(), Error> {
        let session = self.idle.last().ok_or(Error::NoSession)?;
        self.epochs = Session::bounded(account::load_epochs(session.client())).await?;
        Ok(())
    }

    async fn start(&mut self, rows: Vec<ReadRow>) -> Result<(), Error> {
        let Some(last) = rows.last() else {
            return Ok(());
        };
        let started = Instant::now();
        let (from, to) = (self.begun, last.row.position);
        let session = self.idle.pop().ok_or(Error::NoSession)?;
        let hopeful = self.may_hope(&rows);
        let loaded = if hopeful {
            Loaded::default()
        } else {
            Session::bounded(self.open(&session, &rows)).await?
        };
        let writes = self.fold(&rows, loaded, &HashMap::new())?;
        let known = |order: &crate::order::store::NewOrder| {
            let known = Known {
                bytes: bytes::Bytes::new(),
                data: Some(order.data.clone()),
            };
            (order.order_uid.clone(), known)
        };
        let orders = writes.orders.iter().map(known).collect();
        let committing = Committing {
            name: self.name.clone(),
            after: AfterCommit::new(self.deps, self.generation),
            from,
            to,
            started,
            hopeful,
        };
        let turn = self.turns.next();
        let task = tokio::spawn(committing.run(session, writes, turn));
        self.under_way.push_back(UnderWay {
            task: AbortOnDropHandle::new(task),
            from,
            rows,
            orders,
            hopeful,
        });
        self.begun = to;
        Ok(())
    }

    /// Whether these are a few orders whose uids are most likely new: they are written without a look, in one statement. Only
    /// with nothing under way, which could have them.
    fn may_hope(&self, rows: &[ReadRow]) -> bool {
        let in_force = self.in_force.borrow();
        let mut uids = HashSet::new();
        self.under_way.is_empty()
            && self.wary.is_none_or(|since| since.elapsed() > WARY)
            && write::are_few(rows.len())
            && rows.iter().all(|read| {
                let uid = read.examined.as_ref().and_then(Examined::order_uid);
                read.is_order_by(&in_force) && uids.insert(uid)
            })
    }

    /// Opens the transaction, and loads what the tables and the batches under way know.
    async fn open(&self, session: &Session, rows: &[ReadRow]) -> Result<Loaded, postgres::Error> {
        let ((), mut loaded) = try_join!(
            session.begin_locking(GATE),
            batch::load(session.client(), rows)
        )?;
        for batch in &self.under_way {
            let uids = rows.iter().filter_map(|read| read.examined.as_ref());
            for order_uid in uids.filter_map(Examined::order_uid) {
                if let Some((order_uid, known)) = batch.orders.get_key_value(order_uid) {
                    loaded.orders.insert(order_uid.clone(), known.clone());
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

    /// With nothing else under way, to its end.
    async fn alone(&mut self, rows: &[ReadRow]) -> Result<(), Error> {
        // Parts still to do, the next one last; with what Postgres said of a single row.
        let mut parts: Vec<(&[ReadRow], HashMap<i64, String>)> = vec![(rows, HashMap::new())];
        while let Some((part, refused)) = parts.pop() {
            let Some(last) = part.last() else {
                continue;
            };
            let to = last.row.position;
            let error = match self.commit_alone(to, part, &refused).await? {
                Ok(()) => {
                    self.begun = to;
                    continue;
                }
                Err(Error::Postgres(error)) => error,
                Err(other) => return Err(other),
            };
            let Some(state) = is_row_fault(&error).filter(|_| refused.is_empty()) else {
                return Err(error.into());
            };
            let session = self.idle.last().ok_or(Error::NoSession)?;
            Session::bounded(session.rollback()).await?;
            self.reload().await?;
            if let [row] = part {
                let at = row.row.position;
                tracing::warn!(position = at.0, sqlstate = %state, "Postgres refuses the row at position {at} alone ({state}): it is a dead letter");
                self.deps.metrics.isolated_rows.inc();
                parts.push((part, HashMap::from([(at.0, state)])));
            } else {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push((second, HashMap::new()));
                parts.push((first, HashMap::new()));
            }
        }
        Ok(())
    }

    /// The outer error ends the projection, the inner one may be a row's.
    async fn commit_alone(
        &mut self,
        to: Position,
        rows: &[ReadRow],
        refused: &HashMap<i64, String>,
    ) -> Result<Result<(), Error>, Error> {
        let started = Instant::now();
        let session = self.idle.pop().ok_or(Error::NoSession)?;
        let loaded = Session::bounded(self.open(&session, rows)).await?;
        let writes = self.fold(rows, loaded, refused)?;
        let rules: Vec<_> = writes
            .rules
            .iter()
            .filter(|applied| applied.result == Outcome::Done.as_str())
            .map(|applied| (applied.position, applied.hash.clone(), applied.text.clone()))
            .collect();
        let committing = Committing {
            name: self.name.clone(),
            after: AfterCommit::new(self.deps, self.generation),
            from: self.begun,
            to,
            started,
            hopeful: false,
        };
        let (session, outcome) = committing
            .run(session, writes, Turns::default().next())
            .await;
        self.idle.push(session);
        if outcome.is_ok() {
            for (position, hash, text) in rules {
                tracing::info!("rules applied at position {position}: {hash}");
                self.in_force
                    .send_replace(InForce::compile(position, &text)?);
            }
        }
        Ok(outcome)
    }
}

/// The second half of a batch, on its own.
struct Committing {
    name: Arc<str>,
    after: AfterCommit,
    from: Position,
    to: Position,
    started: Instant,
    /// Then it has no transaction yet, and its one statement is one.
    hopeful: bool,
}

impl Committing {
    async fn run(
        self,
        session: Session,
        writes: Writes,
        mut turn: Turn,
    ) -> (Session, Result<(), Error>) {
        let limit = postgres::HARD_DEADLINE;
        let work = tokio::time::timeout(limit, self.write(&session, &writes, &mut turn));
        let outcome = match work.await {
            Ok(outcome) => outcome,
            Err(_) => Err(postgres::Error::TimedOut(limit).into()),
        };
        if outcome.is_ok() {
            self.after.commit(writes, self.to, self.started);
            turn.pass();
        }
        (session, outcome)
    }

    async fn write(
        &self,
        session: &Session,
        writes: &Writes,
        turn: &mut Turn,
    ) -> Result<(), Error> {
        let client = session.client();
        let step = Step {
            projection: LIVE,
            leader: &self.name,
            from: self.from,
            to: self.to,
        };
        if self.hopeful {
            return write::at_once(session, step, writes).await;
        }
        dead_letter::write_verdicts(client, &writes.verdicts).await?;
        write::write_rows(client, writes).await?;
        turn.come().await?;
        write::commit(session, step, writes).await
    }
}

/// Who is told of a commit, in the log's order.
struct AfterCommit {
    cache: Arc<Cache>,
    generation: Generation,
    metrics: Arc<Metrics>,
    projected: watch::Sender<Position>,
}

impl AfterCommit {
    fn new(deps: &Dependencies, generation: Generation) -> Self {
        Self {
            cache: deps.cache.clone(),
            generation,
            metrics: deps.metrics.clone(),
            projected: deps.projected.clone(),
        }
    }

    /// Only what was committed is shown.
    fn commit(&self, writes: Writes, to: Position, started: Instant) {
        let taken = started.elapsed().as_secs_f64();
        for order in writes.orders {
            self.cache
                .put(self.generation, &order.order_uid, order.data);
        }
        publish(&self.projected, to);
        let timer = &self.metrics.commit_seconds;
        timer.with_label_values(&["projector"]).observe(taken);
        for fate in Fate::ALL {
            let count = u64::try_from(writes.fates[fate as usize]).unwrap_or(0);
            let counter = &self.metrics.fates;
            counter.with_label_values(&[fate.as_str()]).inc_by(count);
        }
    }
}
