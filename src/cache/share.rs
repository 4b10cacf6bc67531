//! One collection's documents in memory.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache as QuickCache;

use super::{Served, render};
use crate::collection::{Collection, Id};
use crate::document::{Place, Stored};

/// What quick_cache and the allocator spend on an entry besides key and value; measured.
const OVERHEAD: usize = 96;
/// The size of a typical document, from which the number of entries is estimated.
const TYPICAL_BYTES: u64 = 1024;

#[derive(Clone)]
struct Bytewise;

impl Weighter<Box<str>, Bytes> for Bytewise {
    fn weight(&self, key: &Box<str>, value: &Bytes) -> u64 {
        (key.len() + value.len() + OVERHEAD) as u64
    }
}

/// Counts how often entries were dropped. Whoever fills the cache takes the generation before reading from Postgres, and hands it
/// over with what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// How often all were dropped.
    emptied: u64,
    /// How often some were dropped, because their documents changed.
    evicted: u64,
}

pub struct Share {
    served: RwLock<Served>,
    documents: QuickCache<Box<str>, Bytes, Bytewise>,
    /// Locked for reading while a document is put in, for writing while some are dropped, so that neither happens in the middle
    /// of the other: counting up and removing are one step, comparing and putting are one step. A hit does not take the lock.
    generation: RwLock<Generation>,
}

impl Share {
    pub(super) fn new(served: Served, bytes: u64) -> Self {
        let items = usize::try_from(bytes / TYPICAL_BYTES)
            .unwrap_or(usize::MAX)
            .max(64);
        Self {
            served: RwLock::new(served),
            documents: QuickCache::with_weighter(items, bytes, Bytewise),
            generation: RwLock::new(Generation {
                emptied: 0,
                evicted: 0,
            }),
        }
    }

    /// The same collection by a later definition, with another share.
    pub(super) fn becomes(&self, served: Served, bytes: u64) {
        let looks = |looks: &Option<Arc<Collection>>| looks.as_ref().map(|one| one.looks.clone());
        let mut now = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let otherwise = looks(&now.looks) != looks(&served.looks);
        *now = served;
        drop(now);
        if self.documents.capacity() != bytes {
            self.documents.set_capacity(bytes);
        }
        if otherwise {
            self.clear();
        }
    }

    fn served(&self) -> RwLockReadGuard<'_, Served> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn id(&self) -> Id {
        self.served().place.id
    }

    pub fn name(&self) -> Arc<str> {
        self.served().name.clone()
    }

    pub fn place(&self) -> Place {
        self.served().place
    }

    /// The definition by which its documents look; none if this version cannot read it.
    pub fn looks(&self) -> Option<Arc<Collection>> {
        self.served().looks.clone()
    }

    pub fn render(&self, stored: &Stored) -> Bytes {
        let (looks, since) = {
            let served = self.served();
            (served.looks.clone(), served.since)
        };
        render(looks.as_deref(), since, stored)
    }

    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.documents.get(key)
    }

    pub fn generation(&self) -> Generation {
        *self
            .generation
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in a document that was read in the generation `read_in`; does nothing if any were dropped since. `data` must have an
    /// allocation of its own, or a slice of a few bytes would keep a large buffer alive.
    pub fn put(&self, read_in: Generation, key: &str, data: Bytes) {
        let now = self
            .generation
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if *now == read_in {
            self.documents.insert(key.into(), data);
        }
    }

    /// Puts in what the projector has just committed, unless all were dropped since it began: it may have been another server.
    pub fn put_committed(&self, begun_in: Generation, key: &str, data: Bytes) {
        let now = self
            .generation
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if now.emptied == begun_in.emptied {
            self.documents.insert(key.into(), data);
        }
    }

    /// These documents have changed. What is being read of them at this moment is not put in any more; `now` is, if it is known.
    pub fn replace<'a>(
        &self,
        begun_in: Generation,
        changed: impl Iterator<Item = (&'a str, Option<Bytes>)>,
    ) {
        let mut generation = self
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        generation.evicted += 1;
        for (key, data) in changed {
            match data.filter(|_| generation.emptied == begun_in.emptied) {
                Some(data) => self.documents.insert(key.into(), data),
                None => {
                    self.documents.remove(key);
                }
            }
        }
    }

    /// Drops all. What is being read at this moment is not put in any more.
    pub fn clear(&self) {
        let mut generation = self
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        generation.emptied += 1;
        self.documents.clear();
    }

    pub fn entries(&self) -> usize {
        self.documents.len()
    }

    pub fn weight(&self) -> u64 {
        self.documents.weight()
    }

    /// Allocates the tables for so many more documents at once; growing step by step would hash every key again at each step.
    pub(super) fn reserve(&self, documents: u64) {
        let most = self.documents.capacity() / TYPICAL_BYTES;
        let documents = usize::try_from(documents.min(most)).unwrap_or(0);
        self.documents.reserve(documents);
    }

    pub(super) fn is_full(&self) -> bool {
        // quick_cache begins to evict before its capacity is reached.
        self.documents.weight() >= self.documents.capacity() / 100 * 95
    }
}
