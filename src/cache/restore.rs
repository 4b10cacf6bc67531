//! Fills the cache at start from the inbox's bytes, newest first, until it is full. Several workers take windows of positions in
//! turn.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::TryStreamExt;
use tokio::task::JoinSet;

use super::{Cache, Generation, Share};
use crate::account;
use crate::collection::{Collection, Id, Keep};
use crate::document::{self, Asked, Cursor};
use crate::inbox::{self, Position, SourceId};
use crate::postgres::{Client, Database, Error, Session};

const WINDOW: i64 = 4096;
/// At most four workers: parsing a row costs us more than reading it costs Postgres, but Postgres has other work, too.
const MOST_WORKERS: usize = 4;

/// A share that is filled, and what its documents look like.
#[derive(Clone)]
struct Filling {
    share: Arc<Share>,
    looks: Arc<Collection>,
    read_in: Generation,
}

impl Filling {
    fn is_over(&self) -> bool {
        self.share.is_full() || self.share.generation() != self.read_in
    }

    /// True if it was a document.
    fn put(&self, payload: &[u8], scratch: &mut Vec<u8>, key: Option<&str>) -> bool {
        let model = &self.looks.model;
        let (found, json) = match model.parse_to_serve(payload, scratch) {
            Ok((record, json)) => (
                model.has_key().then(|| model.key(&record).into_owned()),
                json,
            ),
            // Whoever asks for it has it rendered as it was projected, or as far as it fits.
            Err(_) => return false,
        };
        let Some(key) = key.or(found.as_deref()) else {
            return false;
        };
        self.share.put(self.read_in, key, json);
        true
    }
}

/// What is restored: of `first` by the log itself, of `latest` by its tables.
#[derive(Clone, Default)]
struct Plan {
    first: HashMap<Id, Filling>,
    /// By the source that feeds it.
    sources: HashMap<SourceId, Id>,
    latest: Vec<Filling>,
}

impl Plan {
    async fn of(cache: &Cache, client: &Client) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut ids = HashMap::new();
        for share in cache.all() {
            let Some(looks) = share.looks() else {
                continue;
            };
            let filling = Filling {
                read_in: share.generation(),
                looks,
                share: share.clone(),
            };
            match share.place().keep {
                Keep::First => {
                    ids.insert(share.name(), share.id());
                    plan.first.insert(share.id(), filling);
                }
                Keep::Latest => plan.latest.push(filling),
            }
        }
        for (source, name) in inbox::collections(client).await? {
            if let Some(id) = ids.get(name.as_str()) {
                plan.sources.insert(source, *id);
            }
        }
        Ok(plan)
    }

    fn is_over(&self) -> bool {
        self.first.values().all(Filling::is_over)
    }

    /// Whether all that was to be filled was filled, and nothing dropped in the middle.
    fn is_undisturbed(&self) -> bool {
        let fillings = self.first.values().chain(&self.latest);
        // Documents of `latest` that have changed meanwhile are simply not there.
        let mut fillings = fillings.filter(|filling| filling.share.place().keep == Keep::First);
        fillings.all(|filling| filling.share.generation() == filling.read_in)
    }
}

/// Parses what is a document already, and judges nothing.
async fn restore(database: &Database, plan: &Plan) -> Result<u64, Error> {
    let top = account::projected(&*database.reader().await?).await?.0;
    for filling in plan.first.values() {
        filling.share.reserve(u64::try_from(top).unwrap_or(0));
    }
    let next = Arc::new(AtomicI64::new(top));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut workers = JoinSet::new();
    for _ in 0..cores.min(MOST_WORKERS) {
        let (plan, database, next) = (plan.clone(), database.clone(), next.clone());
        let work = async move |session: Session| {
            let mut restored = 0;
            loop {
                let top = next.fetch_sub(WINDOW, Ordering::Relaxed);
                if top <= 0 || plan.is_over() {
                    return Ok::<u64, Error>(restored);
                }
                let bottom = (top - WINDOW).max(0);
                let window = restore_window(&plan, session.client(), bottom, top);
                restored += Session::bounded(window).await?;
            }
        };
        workers.spawn(async move { database.apart("restore", work).await });
    }
    let mut restored = 0;
    while let Some(worker) = workers.join_next().await {
        restored += worker.map_err(|ended| Error::Pool(ended.to_string()))??;
    }
    for filling in &plan.latest {
        restored += restore_latest(filling, database).await?;
    }
    Ok(restored)
}

async fn restore_window(plan: &Plan, client: &Client, bottom: i64, top: i64) -> Result<u64, Error> {
    let (mut restored, mut scratch) = (0, Vec::new());
    let (after, to) = (Position(bottom), Position(top));
    // The decision is in this window; the letter whose bytes the document has may be in another.
    let healed = account::healed(client, after, to).await?;
    let letters: Vec<i64> = healed.iter().map(|one| one.letter.0).collect();
    for (position, payload) in inbox::payloads(client, &letters).await? {
        let one = healed.iter().find(|one| one.letter == position);
        if let Some(filling) = one.and_then(|one| plan.first.get(&one.collection)) {
            let age = one.map(|one| one.age.to_string());
            restored += u64::from(filling.put(&payload, &mut scratch, age_of(filling, &age)));
        }
    }
    let others = account::not_documents(client, after, to).await?;
    let others: HashSet<Position> = others.into_iter().collect();
    let mut messages = pin!(inbox::messages(client, after, to).await?);
    while let Some(message) = messages.try_next().await? {
        let position = message.position();
        let filling = plan.sources.get(&message.source());
        // What came before the collection was defined belongs to an earlier one of its name.
        let filling = filling
            .filter(|id| id.0 < position.0)
            .and_then(|id| plan.first.get(id));
        if let Some(filling) = filling
            && !others.contains(&position)
        {
            let age = Some(position.to_string());
            let age = age_of(filling, &age);
            restored += u64::from(filling.put(message.payload(), &mut scratch, age));
        }
    }
    Ok(restored)
}

/// Without a key a document is known by its age.
fn age_of<'a>(filling: &Filling, age: &'a Option<String>) -> Option<&'a str> {
    if filling.looks.model.has_key() {
        None
    } else {
        age.as_deref()
    }
}

async fn restore_latest(filling: &Filling, database: &Database) -> Result<u64, Error> {
    let (mut restored, mut scratch) = (0, Vec::new());
    let mut after = Some(Cursor::oldest(Keep::Latest));
    while let Some(from) = after.filter(|_| !filling.share.is_full()) {
        // Of each page anew: what changes while it is read is not put in, and the next page is.
        let filling = Filling {
            read_in: filling.share.generation(),
            ..filling.clone()
        };
        let reader = database.reader().await?;
        let until = Position(i64::MAX);
        let place = filling.share.place();
        let page = document::page(&reader, place, &Asked::default(), from, until).await?;
        for (key, payload) in &page.documents {
            restored += u64::from(filling.put(payload, &mut scratch, Some(key)));
        }
        after = page.next;
    }
    Ok(restored)
}

/// Tries until a restore has succeeded without the cache being emptied in the middle of it. Readers are served meanwhile.
pub async fn warm(cache: Arc<Cache>, database: Database) {
    loop {
        let started = std::time::Instant::now();
        let plan = match database.reader().await {
            Ok(reader) => Plan::of(&cache, &reader).await,
            Err(error) => Err(error),
        };
        let outcome = match &plan {
            Ok(plan) => restore(&database, plan).await,
            Err(error) => {
                tracing::warn!(%error, "the cache cannot be restored yet: {error}");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        match outcome {
            Ok(_) if !plan.as_ref().is_ok_and(Plan::is_undisturbed) => {
                tracing::info!("the cache was emptied while it was restored: beginning anew");
            }
            Ok(restored) => {
                tracing::info!(
                    restored,
                    "the cache is warm: {restored} documents, {} bytes, in {:.1?}",
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
