//! Orders in memory, weighed in bytes: read-through, no negative entries, one load at a time for a key. Filled by the
//! projector after its commit was answered, by misses, and at start from the inbox, newest first until full. Orders never
//! change, so nothing is ever invalidated; it may be emptied at any time. Absent on purpose: any wire between replicas.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use quick_cache::Weighter;
use quick_cache::sync::Cache as QuickCache;
use tokio::task::JoinSet;

use crate::order::{self, store};
use crate::postgres::{Client, Database, Error, Session, query, query_one};

/// What quick_cache and the allocator spend on an entry besides key and value; measured.
const OVERHEAD: usize = 96;

#[derive(Clone)]
struct Bytewise;

impl Weighter<Box<str>, Bytes> for Bytewise {
    fn weight(&self, key: &Box<str>, value: &Bytes) -> u64 {
        (key.len() + value.len() + OVERHEAD) as u64
    }
}

pub struct Cache {
    orders: QuickCache<Box<str>, Bytes, Bytewise>,
    warm: AtomicBool,
}

/// A typical order, to size the cache's tables by.
const TYPICAL_BYTES: u64 = 1024;

impl Cache {
    pub fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / TYPICAL_BYTES)
            .unwrap_or(usize::MAX)
            .max(64);
        Self {
            orders: QuickCache::with_weighter(items, bytes, Bytewise),
            warm: AtomicBool::new(false),
        }
    }

    pub fn get(&self, order_uid: &str) -> Option<Bytes> {
        self.orders.get(order_uid)
    }

    /// The value is kept in an allocation of its own size: it must not pin a larger buffer.
    pub fn put(&self, order_uid: &str, data: Bytes) {
        self.orders.insert(order_uid.into(), data);
    }

    /// Reads through: of many who ask for one key at once, one asks Postgres.
    pub async fn load(&self, database: &Database, order_uid: &str) -> Result<Option<Bytes>, Error> {
        let key: Box<str> = order_uid.into();
        let loading = self.orders.get_or_insert_async(&key, async {
            let reader = database.reader().await.map_err(Some)?;
            match store::by_uid(&reader, order_uid).await.map_err(Some)? {
                Some(stored) => Ok(render(&stored)),
                None => Err(None),
            }
        });
        match loading.await {
            Ok(data) => Ok(Some(data)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }

    pub fn clear(&self) {
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

    /// Room for so many more, or as many as it can hold: to grow step by step would hash each key over and over.
    fn reserve(&self, orders: u64) {
        let most = self.orders.capacity() / TYPICAL_BYTES;
        let orders = usize::try_from(orders.min(most)).unwrap_or(0);
        self.orders.reserve(orders);
    }

    fn is_full(&self) -> bool {
        // The cache keeps a margin of its own: near its capacity it begins to evict.
        self.orders.weight() >= self.orders.capacity() / 100 * 95
    }
}

/// By the present model, from the inbox's bytes; where older code cannot read what newer accepted, as it was projected.
pub fn render(stored: &store::Stored) -> Bytes {
    match order::parse_to_serve(&stored.payload, &mut Vec::new()) {
        Ok((_, json)) => json,
        Err(_) => Bytes::from(stored.data.clone()),
    }
}

/// By inbox_pkey: one window's messages, as they come.
const MESSAGES: &str = "
    select position, payload from inbox
    where position > $1 and position <= $2 and payload is not null
    order by position desc";
/// By the derived tables' primary keys: which of the window's messages are no orders. Few, where things go well.
const NOT_ORDERS: &str = "
    select id from dead_letters where id > $1 and id <= $2
    union all select position from duplicates where position > $1 and position <= $2
    union all select position from decisions where position > $1 and position <= $2 and fate <> 'order'";
/// Orders that a retry brought home: the bytes are the letter's, the place is the decision's.
const HEALED: &str = "
    select i.payload
    from decisions c join inbox i on i.position = c.letter
    where c.position > $1 and c.position <= $2 and c.fate = 'order' and c.action in ('retry', 'reopen')";
const PROJECTED: &str = "select position from checkpoint where projection = 'live'";

const WINDOW: i64 = 4096;
/// Postgres needs less for a row than its parsing takes, and the cores are there.
const MOST_WORKERS: usize = 4;

/// Restores the cache, newest first until it is full, on all cores. Parsed, never judged.
pub async fn restore(cache: &Arc<Cache>, database: &Database) -> Result<u64, Error> {
    let top: i64 = query_one(&*database.reader().await?, PROJECTED, &[])
        .await?
        .get(0);
    cache.reserve(u64::try_from(top).unwrap_or(0));
    let next = Arc::new(AtomicI64::new(top));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut workers = JoinSet::new();
    for _ in 0..cores.min(MOST_WORKERS) {
        let (cache, database, next) = (cache.clone(), database.clone(), next.clone());
        workers.spawn(async move {
            let reader = database.reader().await?;
            let mut restored = 0;
            loop {
                let top = next.fetch_sub(WINDOW, Ordering::Relaxed);
                if top <= 0 || cache.is_full() {
                    return Ok::<u64, Error>(restored);
                }
                let window = restore_window(&cache, &reader, (top - WINDOW).max(0), top);
                restored += Session::bounded(window).await?;
            }
        });
    }
    let mut restored = 0;
    while let Some(worker) = workers.join_next().await {
        restored += worker.unwrap_or(Ok(0))?;
    }
    Ok(restored)
}

async fn restore_window(
    cache: &Cache,
    client: &Client,
    bottom: i64,
    top: i64,
) -> Result<u64, Error> {
    let mut restored = 0;
    let mut scratch = Vec::new();
    let mut put = |payload: &[u8]| {
        if let Ok((order, json)) = order::parse_to_serve(payload, &mut scratch) {
            cache.put(&order.order_uid, json);
            restored += 1;
        }
    };
    for row in query(client, HEALED, &[&bottom, &top]).await? {
        put(row.get(0));
    }
    let others = query(client, NOT_ORDERS, &[&bottom, &top]).await?;
    let others: HashSet<i64> = others.iter().map(|row| row.get(0)).collect();
    // A row at a time: a window of the largest messages would not fit in memory.
    let messages = client.prepare_cached(MESSAGES).await?;
    let mut messages = pin!(client.query_raw(&messages, [bottom, top]).await?);
    while let Some(row) = messages.try_next().await? {
        if !others.contains(&row.get(0)) {
            put(row.get(1));
        }
    }
    Ok(restored)
}

/// Restores until it has worked; readers are served all the while.
pub async fn warm(cache: Arc<Cache>, database: Database) {
    loop {
        let started = std::time::Instant::now();
        match restore(&cache, &database).await {
            Ok(restored) => {
                tracing::info!(
                    restored,
                    "the cache is warm: {restored} orders, {} bytes, in {:.1?}",
                    cache.weight(),
                    started.elapsed()
                );
                cache.warm.store(true, Ordering::Relaxed);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the cache cannot be restored yet: {error}");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}
