//! Fills the cache at start from the inbox's bytes, newest first, until it is full. Several workers take windows of positions in
//! turn.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::TryStreamExt;
use tokio::task::JoinSet;

use super::{Cache, Generation};
use crate::inbox::{self, Position};
use crate::postgres::{Client, Database, Error, Session};
use crate::{account, order};

const WINDOW: i64 = 4096;
/// At most four workers: parsing a row costs us more than reading it costs Postgres, but Postgres has other work, too.
const MOST_WORKERS: usize = 4;

/// Parses what is an order already, and judges nothing. Ends early if the cache was emptied since `read_in`.
async fn restore(
    cache: &Arc<Cache>,
    database: &Database,
    read_in: Generation,
) -> Result<u64, Error> {
    let top = account::projected(&*database.reader().await?).await?.0;
    cache.reserve(u64::try_from(top).unwrap_or(0));
    let next = Arc::new(AtomicI64::new(top));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut workers = JoinSet::new();
    for _ in 0..cores.min(MOST_WORKERS) {
        let (cache, database, next) = (cache.clone(), database.clone(), next.clone());
        let work = async move |session: Session| {
            let mut restored = 0;
            loop {
                let top = next.fetch_sub(WINDOW, Ordering::Relaxed);
                if top <= 0 || cache.is_full() || cache.generation() != read_in {
                    return Ok::<u64, Error>(restored);
                }
                let bottom = (top - WINDOW).max(0);
                let window = restore_window(&cache, read_in, session.client(), bottom, top);
                restored += Session::bounded(window).await?;
            }
        };
        workers.spawn(async move { database.apart("restore", work).await });
    }
    let mut restored = 0;
    while let Some(worker) = workers.join_next().await {
        restored += worker.map_err(|ended| Error::Pool(ended.to_string()))??;
    }
    Ok(restored)
}

async fn restore_window(
    cache: &Cache,
    read_in: Generation,
    client: &Client,
    bottom: i64,
    top: i64,
) -> Result<u64, Error> {
    let mut restored = 0;
    let (model, mut scratch) = (order::model(), Vec::new());
    let mut put = |payload: &[u8]| {
        if let Ok((order, json)) = model.parse_to_serve(payload, &mut scratch) {
            cache.put(read_in, &model.key(&order), json);
            restored += 1;
        }
    };
    let (after, to) = (Position(bottom), Position(top));
    // The decision is in this window; the letter whose bytes the order has may be in another.
    let healed = account::healed(client, after, to).await?;
    let healed: Vec<i64> = healed.iter().map(|letter| letter.0).collect();
    for (_, payload) in inbox::payloads(client, &healed).await? {
        put(&payload);
    }
    let others = account::not_orders(client, after, to).await?;
    let others: HashSet<Position> = others.into_iter().collect();
    let mut messages = pin!(inbox::messages(client, after, to).await?);
    while let Some(message) = messages.try_next().await? {
        if !others.contains(&message.position()) {
            put(message.payload());
        }
    }
    Ok(restored)
}

/// Tries until a restore has succeeded without the cache being emptied in the middle of it. Readers are served meanwhile.
pub async fn warm(cache: Arc<Cache>, database: Database) {
    loop {
        let started = std::time::Instant::now();
        let read_in = cache.generation();
        match restore(&cache, &database, read_in).await {
            Ok(_) if cache.generation() != read_in => {
                tracing::info!("the cache was emptied while it was restored: beginning anew");
            }
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
