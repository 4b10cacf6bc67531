//! `GET /stream`: what goes on, as server-sent events. The numbers are taken once for the whole process and handed to all who
//! watch; a watcher that is slow misses some, and holds up nobody.

mod event;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use poem_openapi::OpenApi;
use poem_openapi::payload::EventStream;
use tokio::sync::{Notify, watch};

use self::event::{StreamEvent, summary};
use super::principal::sees_all;
use super::problem::Problem;
use super::{Broker, Dependencies, account};
use crate::access::{Principal, Right};
use crate::cache::Cache;
use crate::collection::Id;
use crate::inbox::Position;
use crate::postgres::{Database, Error};
use crate::projection::InForce;
use crate::telemetry::Metrics;
use crate::{account as books, dead_letter, document};

pub use event::{COLUMNS, StreamDocument, StreamHistory, StreamStats};

/// While somebody watches.
const SECOND: Duration = Duration::from_secs(1);
/// While nobody does: so that the next one has charts at once.
const IDLE: Duration = Duration::from_secs(5);
/// Postgres that takes longer is away, as far as watchers are concerned.
const PATIENCE: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Points remembered: five minutes of seconds.
const REMEMBERED: usize = 300;
/// The newest documents of each collection, at most so many an event's turn.
const NEWEST: usize = 20;

/// One look.
#[derive(Clone, Default)]
struct Tick {
    stats: StreamStats,
    /// Newest first, of each collection.
    newest: BTreeMap<Id, Arc<Vec<StreamDocument>>>,
    /// How many documents there were of each.
    documents: BTreeMap<Id, i64>,
}

type History = Arc<Mutex<VecDeque<Vec<Option<i64>>>>>;

pub struct Live {
    ticks: watch::Sender<Option<Arc<Tick>>>,
    history: History,
    watched: Arc<Notify>,
    stopping: watch::Receiver<bool>,
    in_force: watch::Receiver<Arc<InForce>>,
}

impl Live {
    /// Begins to look, until the process stops.
    pub fn new(deps: &Dependencies) -> Self {
        let (ticks, _) = watch::channel(None);
        let history = History::default();
        let watched = Arc::new(Notify::new());
        let looker = Looker {
            database: deps.database.clone(),
            broker: deps.broker.clone(),
            cache: deps.cache.clone(),
            metrics: deps.metrics.clone(),
            http: super::monitoring_client(),
            ticks: ticks.clone(),
            history: history.clone(),
            watched: watched.clone(),
            last: Tick::default(),
            in_force: deps.in_force.clone(),
        };
        tokio::spawn(looker.run(deps.stopping.clone()));
        Self {
            ticks,
            history,
            watched,
            stopping: deps.stopping.clone(),
            in_force: deps.in_force.clone(),
        }
    }
}

#[OpenApi]
impl Live {
    /// Watch what goes on
    ///
    /// Server-sent events: once `history` (the last minutes), then every second the new `document`s, twenty of each collection at
    /// most, oldest first, and `stats`: what of them the principal may see. Ends when the service stops; an EventSource comes back by itself.
    #[oai(path = "/stream", method = "get", operation_id = "getStream")]
    async fn stream(
        &self,
        principal: Principal,
    ) -> Result<EventStream<BoxStream<'static, StreamEvent>>, Problem> {
        let sees = Sees {
            documents: principal.may(Right::Read),
            numbers: sees_all(&principal, &self.in_force.borrow()),
        };
        let history = StreamHistory {
            columns: COLUMNS.map(str::to_owned).to_vec(),
            rows: match sees.numbers {
                true => locked(&self.history).iter().cloned().collect(),
                false => Vec::new(),
            },
        };
        let mut ticks = self.ticks.subscribe();
        ticks.mark_changed();
        self.watched.notify_one();
        let watcher = Watcher {
            ticks,
            stopping: self.stopping.clone(),
            seen: Position(0),
            sees,
            principal,
        };
        let events = stream::unfold(watcher, |mut watcher| async {
            let events = watcher.next().await?;
            Some((stream::iter(events), watcher))
        })
        .flatten();
        let events = stream::iter([StreamEvent::History(history)]).chain(events);
        Ok(EventStream::new(events.boxed())
            .to_event(StreamEvent::into_event)
            .keep_alive(KEEP_ALIVE))
    }
}

fn locked(history: &History) -> std::sync::MutexGuard<'_, VecDeque<Vec<Option<i64>>>> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What of it all one may see.
struct Sees {
    documents: bool,
    /// How many documents and letters there are. How the service is, everybody sees.
    numbers: bool,
}

/// One who watches.
struct Watcher {
    ticks: watch::Receiver<Option<Arc<Tick>>>,
    stopping: watch::Receiver<bool>,
    seen: Position,
    sees: Sees,
    principal: Principal,
}

impl Watcher {
    /// What the next look has that this one has not seen; none when the process stops, or the principal's token has ended.
    async fn next(&mut self) -> Option<Vec<StreamEvent>> {
        loop {
            tokio::select! {
                changed = self.ticks.changed() => changed.ok()?,
                _ = self.stopping.wait_for(|stopping| *stopping) => return None,
            }
            if self.principal.is_over() {
                return None;
            }
            let Some(tick) = self.ticks.borrow_and_update().clone() else {
                continue;
            };
            let may = |document: &&StreamDocument| {
                self.sees.documents
                    && document.position > self.seen.0
                    && self.principal.sees(&document.collection)
            };
            let mut unseen: Vec<&StreamDocument> = tick
                .newest
                .values()
                .flat_map(|of| of.iter())
                .filter(may)
                .collect();
            unseen.sort_by_key(|document| document.position);
            let newest = unseen.last().map(|last| Position(last.position));
            let mut events: Vec<StreamEvent> = unseen
                .into_iter()
                .cloned()
                .map(StreamEvent::Document)
                .collect();
            self.seen = self.seen.max(newest.unwrap_or(self.seen));
            events.push(StreamEvent::Stats(match self.sees.numbers {
                true => tick.stats.clone(),
                false => tick.stats.without_numbers(),
            }));
            return Some(events);
        }
    }
}

/// The one that looks for all of them.
struct Looker {
    database: Database,
    broker: Option<Broker>,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    http: reqwest::Client,
    ticks: watch::Sender<Option<Arc<Tick>>>,
    history: History,
    watched: Arc<Notify>,
    last: Tick,
    in_force: watch::Receiver<Arc<InForce>>,
}

impl Looker {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let looking = async {
            loop {
                let next = tokio::time::Instant::now() + SECOND;
                let tick = self.look().await;
                {
                    let mut history = locked(&self.history);
                    history.push_back(tick.stats.row());
                    let excess = history.len().saturating_sub(REMEMBERED);
                    history.drain(..excess);
                }
                self.last = tick.clone();
                self.ticks.send_replace(Some(Arc::new(tick)));
                if self.ticks.receiver_count() == 0 {
                    let _ = tokio::time::timeout(IDLE, self.watched.notified()).await;
                }
                tokio::time::sleep_until(next).await;
            }
        };
        tokio::select! {
            () = looking => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    async fn look(&self) -> Tick {
        let metrics = &self.metrics;
        let count = |counter: u64| i64::try_from(counter).unwrap_or(i64::MAX);
        let (channel, known) = tokio::join!(
            account::channel(&self.http, self.broker.as_ref()),
            tokio::time::timeout(PATIENCE, self.read())
        );
        let status = self
            .broker
            .as_ref()
            .map(|broker| broker.status.borrow().clone());
        let mut tick = Tick {
            stats: StreamStats {
                at: Timestamp::now().as_millisecond(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                database: "away".to_owned(),
                broker: match &status {
                    None => "none",
                    Some(status) if status.connected => "connected",
                    Some(_) => "away",
                }
                .to_owned(),
                broker_problem: status.and_then(|status| status.problem),
                channel: self
                    .broker
                    .as_ref()
                    .map(|broker| broker.config.subscription.channel.clone()),
                broker_lag: channel
                    .and_then(|channel| channel.lag)
                    .and_then(|lag| i64::try_from(lag).ok()),
                cache_documents: self.cache.entries() as i64,
                cache_hits: count(metrics.cache_hits.get()),
                cache_misses: count(metrics.cache_misses.get()),
                cache_warm: self.cache.is_warm(),
                ..StreamStats::default()
            },
            newest: self.last.newest.clone(),
            documents: self.last.documents.clone(),
        };
        if let Ok(Ok((counters, open, newest, documents))) = known {
            let stats = &mut tick.stats;
            stats.database = "connected".to_owned();
            stats.messages = Some(counters.received - counters.decisions);
            stats.documents = Some(counters.documents);
            stats.superseded = Some(counters.superseded);
            stats.duplicates = Some(counters.duplicates);
            stats.dead_letters = Some(counters.dead_letters);
            stats.decisions = Some(counters.decisions);
            stats.pending = Some(counters.behind());
            stats.open = Some(open);
            tick.newest = newest;
            tick.documents = documents;
        }
        tick
    }

    /// The newest documents only of collections that have others than before.
    async fn read(&self) -> Result<Read, Error> {
        let reader = self.database.reader().await?;
        let counters = books::counters(&reader).await?;
        let in_force = self.in_force.borrow().clone();
        let ids: Vec<i64> = in_force.iter().map(|defined| defined.id.0).collect();
        let ids = [ids.as_slice(), &[Id::NONE.0]].concat();
        let open = dead_letter::summary(&reader, &ids).await?.open;
        let counted = books::by_collection(&reader).await?;
        let (mut newest, mut documents) = (BTreeMap::new(), BTreeMap::new());
        for defined in in_force.iter() {
            let id = defined.id;
            let count = counted.get(&(id, books::Fate::Document)).copied();
            let count = count.unwrap_or(0);
            documents.insert(id, count);
            let known = self.last.newest.get(&id);
            let known = known.filter(|_| self.last.documents.get(&id) == Some(&count));
            let found = match known {
                Some(known) => known.clone(),
                None => {
                    let found = document::newest(&reader, defined.place(), NEWEST).await?;
                    Arc::new(found.iter().map(|one| summary(defined, one)).collect())
                }
            };
            newest.insert(id, found);
        }
        Ok((counters, open, newest, documents))
    }
}

type Read = (
    books::Counters,
    i64,
    BTreeMap<Id, Arc<Vec<StreamDocument>>>,
    BTreeMap<Id, i64>,
);
