//! Documents in memory, bounded in bytes: a read-through cache without negative entries. It is filled by the projector after its
//! commit was answered, by misses, and at start from the inbox, newest first until it is full. Each collection has a share of
//! its own, so that many messages of one do not drive out the documents of another. A document of `first` never changes; those
//! of `latest` do, and whoever learns that the tables have moved on drops them before it says so. If Postgres turns out to be
//! another one than before (a failover), all entries are dropped. What was read before an entry was dropped is not put in
//! afterwards. Absent on purpose: any message between replicas.

mod miss;
mod restore;
mod share;
mod single_flight;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use crate::collection::{Collection, Id};
use crate::document::{self, Place};
use crate::inbox::Position;
use crate::postgres::{Database, Error};
use single_flight::SingleFlight;

pub use miss::{Letter, Miss};
pub use restore::warm;
pub use share::{Generation, Share};

/// How long a look-up may take, once there is a connection: a frozen Postgres answers nothing, and a reader is to learn within
/// seconds that it is away.
const PATIENCE: Duration = Duration::from_secs(3);

/// A document as it is served, or why there is none. All who asked for it share the answer.
pub type Loaded = Result<Bytes, Arc<Miss>>;

/// A collection that is served: where its documents are, and what they look like by its last definition, if this version can
/// read that.
#[derive(Clone)]
pub struct Served {
    pub name: Arc<str>,
    pub place: Place,
    pub looks: Option<Arc<Collection>>,
    /// Where in the log that definition is.
    pub since: Position,
}

/// The shares, by name and by id.
#[derive(Default)]
struct Shares {
    names: HashMap<Arc<str>, Arc<Share>>,
    ids: BTreeMap<Id, Arc<Share>>,
}

pub struct Cache {
    /// In bytes, for all collections together.
    budget: u64,
    shares: RwLock<Shares>,
    loads: SingleFlight<Loaded>,
    warm: AtomicBool,
}

impl Cache {
    pub fn new(bytes: u64) -> Self {
        Self {
            budget: bytes,
            shares: RwLock::default(),
            loads: SingleFlight::new(),
            warm: AtomicBool::new(false),
        }
    }

    fn shares(&self) -> std::sync::RwLockReadGuard<'_, Shares> {
        self.shares.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are the collections from here on. What is held of others is dropped, and what looks otherwise by its new definition.
    pub fn serve(&self, served: impl Iterator<Item = Served>) {
        let served: Vec<Served> = served.collect();
        let each = self.budget / (served.len() as u64).max(1);
        let mut shares = self.shares.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *shares);
        for one in served {
            let name = one.name.clone();
            let id = one.place.id;
            let share = match before.ids.get(&id) {
                Some(share) => {
                    share.becomes(one, each);
                    share.clone()
                }
                None => Arc::new(Share::new(one, each)),
            };
            shares.names.insert(name, share.clone());
            shares.ids.insert(id, share);
        }
    }

    /// The share of the collection with this name; none if there is no such collection.
    pub fn named(&self, name: &str) -> Option<Arc<Share>> {
        self.shares().names.get(name).cloned()
    }

    pub fn of(&self, id: Id) -> Option<Arc<Share>> {
        self.shares().ids.get(&id).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Share>> {
        self.shares().ids.values().cloned().collect()
    }

    /// A document that is held. Nothing is waited for.
    pub fn hit(&self, name: &str, key: &str) -> Option<Bytes> {
        self.shares().names.get(name)?.get(key)
    }

    /// Reads a document from Postgres. One statement answers all who ask for the same key at a time, also if it finds nothing or
    /// fails.
    pub async fn load(
        self: &Arc<Self>,
        database: &Database,
        share: &Arc<Share>,
        key: &str,
    ) -> Loaded {
        let (answered, flight) = self.loads.join(&format!("{}/{key}", share.id()));
        if let Some(flight) = flight {
            let (share, database) = (share.clone(), database.clone());
            let key: Arc<str> = key.into();
            let read = move || {
                let (share, database, key) = (share.clone(), database.clone(), key.clone());
                async move { read(&share, &database, &key).await.map_err(Arc::new) }
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

    /// Drops all documents. What is being read at this moment is not put in any more.
    pub fn clear(&self) {
        for share in self.all() {
            share.clear();
        }
    }

    pub fn entries(&self) -> usize {
        self.all().iter().map(|share| share.entries()).sum()
    }

    pub fn weight(&self) -> u64 {
        self.all().iter().map(|share| share.weight()).sum()
    }

    pub fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Relaxed)
    }
}

async fn read(share: &Share, database: &Database, key: &str) -> Result<Bytes, Miss> {
    let generation = share.generation();
    // For clients who came while another load was under way that found it.
    if let Some(data) = share.get(key) {
        return Ok(data);
    }
    // Bounded on its own: given up sooner, the second host of several would never be tried.
    let reader = database.reader().await?;
    let finding = miss::find(&reader, share, key);
    let Ok(found) = tokio::time::timeout(PATIENCE, finding).await else {
        return Err(Error::TimedOut(PATIENCE).into());
    };
    let found = found?;
    let data = share.render(&found);
    share.put(generation, key, data.clone());
    Ok(data)
}

/// Renders a document from the inbox's bytes by the last definition of its collection, which stands at `since`. What does not fit it
/// is left out. If this version cannot read the definition, or another version has taken by it what this one would not, the
/// projected JSON is served.
pub fn render(looks: Option<&Collection>, since: Position, stored: &document::Stored) -> Bytes {
    let projected = || Bytes::from(stored.data.clone());
    let Some(looks) = looks else {
        return projected();
    };
    match looks.model.parse_to_serve(&stored.payload, &mut Vec::new()) {
        Ok((_, json)) => json,
        Err(_) if stored.position > since => projected(),
        Err(_) => looks.serve(&stored.payload, &mut Vec::new()),
    }
}
