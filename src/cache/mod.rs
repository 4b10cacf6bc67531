//! Orders in memory, bounded in bytes: a read-through cache without negative entries. It is filled by the projector after its
//! commit was answered, by misses, and at start from the inbox, newest first until it is full. An order never changes, so no
//! entry is ever invalidated. If Postgres turns out to be another one than before (a failover), all entries are dropped, and
//! what was read before that is not put in afterwards. Absent on purpose: any message between replicas.

mod miss;
mod restore;
mod single_flight;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache as QuickCache;

use crate::order::{self, store};
use crate::postgres::{Database, Error};
use single_flight::SingleFlight;

pub use miss::Miss;
pub use restore::warm;

/// How long a look-up may take, once there is a connection: a frozen Postgres answers nothing, and a reader is to learn within
/// seconds that it is away.
const PATIENCE: Duration = Duration::from_secs(3);

/// What quick_cache and the allocator spend on an entry besides key and value; measured.
const OVERHEAD: usize = 96;

#[derive(Clone)]
struct Bytewise;

impl Weighter<Box<str>, Bytes> for Bytewise {
    fn weight(&self, key: &Box<str>, value: &Bytes) -> u64 {
        (key.len() + value.len() + OVERHEAD) as u64
    }
}

/// Counts how often the cache was emptied. Whoever fills it takes the generation before reading from Postgres, and hands it over
/// with what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

/// An order as it is served, or why there is none. All who asked for it share the answer.
pub type Loaded = Result<Bytes, Arc<Miss>>;

pub struct Cache {
    orders: QuickCache<Box<str>, Bytes, Bytewise>,
    /// Locked for reading while an order is put in, for writing while the cache is emptied, so that neither happens in the middle
    /// of the other. A hit does not take the lock.
    generation: RwLock<Generation>,
    loads: SingleFlight<Loaded>,
    warm: AtomicBool,
}

/// The size of a typical order, from which the number of entries is estimated.
const TYPICAL_BYTES: u64 = 1024;

impl Cache {
    pub fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / TYPICAL_BYTES)
            .unwrap_or(usize::MAX)
            .max(64);
        Self {
            orders: QuickCache::with_weighter(items, bytes, Bytewise),
            generation: RwLock::new(Generation(0)),
            loads: SingleFlight::new(),
            warm: AtomicBool::new(false),
        }
    }

    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.orders.get(key)
    }

    pub fn generation(&self) -> Generation {
        *self
            .generation
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in an order that was read in the generation `read_in`; does nothing if the cache was emptied since. `data` must have
    /// an allocation of its own, or a slice of a few bytes would keep a large buffer alive.
    pub fn put(&self, read_in: Generation, key: &str, data: Bytes) {
        let now = self
            .generation
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if *now == read_in {
            self.orders.insert(key.into(), data);
        }
    }

    /// Reads an order from Postgres. One statement answers all who ask for the same key at a time, also if it finds nothing
    /// or fails.
    pub async fn load(self: &Arc<Self>, database: &Database, key: &str) -> Loaded {
        let (answered, flight) = self.loads.join(key);
        if let Some(flight) = flight {
            let (cache, database) = (self.clone(), database.clone());
            let key: Arc<str> = key.into();
            let read = move || {
                let (cache, database, key) = (cache.clone(), database.clone(), key.clone());
                async move { cache.read(&database, &key).await.map_err(Arc::new) }
            };
            // Later clients may know more than a statement that was sent before they came, so "not found" is not for them. A
            // failure is: it says nothing that could be out of date.
            tokio::spawn(flight.run(
                read,
                |answer| matches!(answer, Err(miss) if matches!(**miss, Miss::Failed(_))),
            ));
        }
        let gone = |_| {
            Arc::new(Miss::Failed(Error::Pool(
                "its load has panicked".to_owned(),
            )))
        };
        answered.await.map_err(gone)?
    }

    async fn read(&self, database: &Database, key: &str) -> Result<Bytes, Miss> {
        let generation = self.generation();
        // For clients who came while another load was under way that found it.
        if let Some(data) = self.get(key) {
            return Ok(data);
        }
        // Bounded on its own: given up sooner, the second host of several would never be tried.
        let reader = database.reader().await?;
        let finding = miss::find(&reader, key);
        let Ok(found) = tokio::time::timeout(PATIENCE, finding).await else {
            return Err(Error::TimedOut(PATIENCE).into());
        };
        let data = render(&found?);
        self.put(generation, key, data.clone());
        Ok(data)
    }

    /// Drops all orders. What is being read at this moment is not put in any more.
    pub fn clear(&self) {
        let mut generation = self
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        generation.0 += 1;
        self.orders.clear();
    }

    pub fn entries(&self) -> usize {
        self.orders.len()
    }

    pub fn weight(&self) -> u64 {
        self.orders.weight()
    }

    pub fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Relaxed)
    }

    /// Allocates the tables for so many more orders at once; growing step by step would hash every key again at each step.
    fn reserve(&self, orders: u64) {
        let most = self.orders.capacity() / TYPICAL_BYTES;
        let orders = usize::try_from(orders.min(most)).unwrap_or(0);
        self.orders.reserve(orders);
    }

    fn is_full(&self) -> bool {
        // quick_cache begins to evict before its capacity is reached.
        self.orders.weight() >= self.orders.capacity() / 100 * 95
    }
}

/// Renders an order from the inbox's bytes by the present model. If this code is older than the one that accepted the message,
/// it may not be able to parse it; then the projected JSON is served.
pub fn render(stored: &store::Stored) -> Bytes {
    match order::model().parse_to_serve(&stored.payload, &mut Vec::new()) {
        Ok((_, json)) => json,
        Err(_) => Bytes::from(stored.data.clone()),
    }
}
