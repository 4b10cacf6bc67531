//! Writes entries in the background, in batches. Whoever has to be sure that one is stored waits for it; what strangers can cause
//! without end is counted instead of written again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use quick_cache::sync::Cache;
use tokio::sync::{mpsc, oneshot};

use super::entry::{Entry, What};
use super::store;
use crate::postgres::Database;
use crate::telemetry::Metrics;

/// Entries that may wait to be written: more come only if Postgres is away, or in a flood. Then they are counted as lost.
const WAITING: usize = 1_000;
/// An entry that was written is not written again within this time, but counted.
const MINUTE: Duration = Duration::from_secs(60);
/// Different entries that are counted so at a time. All beyond them are counted as one.
const COUNTED: usize = 1_000;
/// Whoever waits for an entry to be stored waits so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// Principals and their addresses that are remembered. One that was forgotten is looked up in the table.
const REMEMBERED: usize = 10_000;
const LOOK: Duration = Duration::from_secs(1);

struct Queued {
    entry: Entry,
    stored: Option<oneshot::Sender<()>>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    entries: mpsc::Sender<Queued>,
    seen: Arc<Cache<u64, ()>>,
    metrics: Arc<Metrics>,
}

/// The other end: runs until every `Audit` is gone and all is written.
pub struct Recorder {
    entries: mpsc::Receiver<Queued>,
    database: Database,
    metrics: Arc<Metrics>,
    counted: HashMap<Entry, (Instant, i32)>,
}

impl Audit {
    pub fn new(database: Database, metrics: Arc<Metrics>) -> (Self, Recorder) {
        let (sender, entries) = mpsc::channel(WAITING);
        let audit = Self {
            entries: sender,
            seen: Arc::new(Cache::new(REMEMBERED)),
            metrics: metrics.clone(),
        };
        let recorder = Recorder {
            entries,
            database,
            metrics,
            counted: HashMap::new(),
        };
        (audit, recorder)
    }

    /// Never waits.
    pub fn note(&self, entry: Entry) {
        let queued = Queued {
            entry,
            stored: None,
        };
        if self.entries.try_send(queued).is_err() {
            self.metrics.audit_lost.inc();
        }
    }

    /// True once it is stored; false if that did not happen in time. Then it may be stored later.
    pub async fn record(&self, entry: Entry) -> bool {
        let (sender, stored) = oneshot::channel();
        let queued = Queued {
            entry,
            stored: Some(sender),
        };
        if self.entries.try_send(queued).is_err() {
            self.metrics.audit_lost.inc();
            return false;
        }
        matches!(tokio::time::timeout(PATIENCE, stored).await, Ok(Ok(())))
    }

    /// With each request of whoever is proven: notes an address that is new to this process.
    pub fn seen(&self, who: &str, proof: &'static str, address: IpAddr) {
        let mut hasher = FixedState::with_seed(0).build_hasher();
        hasher.write(who.as_bytes());
        match address.to_canonical() {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        let key = hasher.finish();
        if self.seen.get(&key).is_none() {
            self.seen.insert(key, ());
            let address = address.to_canonical().to_string();
            self.note(Entry::new(What::NewAddress, who, proof, &address, ""));
        }
    }
}

impl Recorder {
    pub async fn run(mut self) {
        let mut queued = Vec::new();
        loop {
            let came = self.entries.recv_many(&mut queued, WAITING);
            let ended = matches!(tokio::time::timeout(LOOK, came).await, Ok(0));
            let (mut rows, mut waiting) = (Vec::new(), Vec::new());
            for Queued { entry, stored } in queued.drain(..) {
                if stored.is_some() || self.is_first(&entry) {
                    rows.push((entry, 1));
                }
                waiting.extend(stored);
            }
            rows.extend(self.over(ended));
            if self.write(&rows).await {
                for stored in waiting {
                    let _ = stored.send(());
                }
            }
            if ended {
                return;
            }
        }
    }

    /// Whether it has not come within the last minute. Otherwise it is counted.
    fn is_first(&mut self, entry: &Entry) -> bool {
        if let Some((_, again)) = self.counted.get_mut(entry) {
            *again += 1;
            return false;
        }
        if self.counted.len() >= COUNTED {
            let many = Entry::new(entry.what, "", "", "", "of too many to tell apart");
            if let Some((_, again)) = self.counted.get_mut(&many) {
                *again += 1;
                return false;
            }
            self.counted.insert(many, (Instant::now(), 0));
            return true;
        }
        self.counted.insert(entry.clone(), (Instant::now(), 0));
        true
    }

    /// Those whose minute is over, if they came again in it.
    fn over(&mut self, ended: bool) -> Vec<(Entry, i32)> {
        let mut over = Vec::new();
        self.counted.retain(|entry, (since, again)| {
            let stays = !ended && since.elapsed() < MINUTE;
            if !stays && *again > 0 {
                over.push((entry.clone(), *again));
            }
            stays
        });
        over
    }

    /// A second try for a connection that was lost. More would hold up those who wait, and fill memory.
    async fn write(&self, rows: &[(Entry, i32)]) -> bool {
        if rows.is_empty() {
            return true;
        }
        let mut failed = None;
        for _ in 0..2 {
            let outcome = match self.database.reader().await {
                Ok(reader) => store::add(&reader, rows).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => return true,
                Err(error) => failed = Some(error),
            }
        }
        self.metrics.audit_lost.inc_by(rows.len() as u64);
        if let Some(error) = failed {
            tracing::warn!(%error, "{} entries of the audit were not stored: {error}", rows.len());
        }
        false
    }
}
