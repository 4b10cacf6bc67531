//! What watchers are told: the events and how each is written.

use poem::web::sse::Event;
use poem_openapi::types::{Any, ToJSON};
use poem_openapi::{Object, Union};

use crate::cache;
use crate::document::Stored;
use crate::projection::Defined;

/// The numbers of one moment. Counters only grow: rates are the differences of two moments.
#[derive(Clone, Default, Object)]
#[oai(example)]
pub struct StreamStats {
    /// Milliseconds since 1970.
    pub at: i64,
    pub version: String,
    /// connected, away
    pub database: String,
    /// connected, away, none
    pub broker: String,
    /// Why the broker is away.
    pub broker_problem: Option<String>,
    pub channel: Option<String>,
    /// Messages in the channel not yet acknowledged; null where it is not known.
    pub broker_lag: Option<i64>,
    /// Rows received that are no decisions. This and all below but the cache's is null while Postgres is away.
    pub messages: Option<i64>,
    pub documents: Option<i64>,
    pub superseded: Option<i64>,
    pub duplicates: Option<i64>,
    /// Messages that were rejected, ever.
    pub dead_letters: Option<i64>,
    pub decisions: Option<i64>,
    /// Rows received and not yet projected: the lag behind the inbox.
    pub pending: Option<i64>,
    /// Dead letters that are open.
    pub open: Option<i64>,
    pub cache_documents: i64,
    pub cache_hits: i64,
    pub cache_misses: i64,
    pub cache_warm: bool,
}

/// The last minutes, oldest first, one row for each moment.
#[derive(Clone, Object)]
#[oai(example)]
pub struct StreamHistory {
    /// What the numbers of a row are: fields of the stats.
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<i64>>>,
}

pub const COLUMNS: [&str; 9] = [
    "at",
    "messages",
    "documents",
    "dead_letters",
    "open",
    "pending",
    "broker_lag",
    "cache_hits",
    "cache_misses",
];

impl StreamStats {
    /// How the service is, and nothing of what it holds.
    pub fn without_numbers(&self) -> Self {
        Self {
            at: self.at,
            version: self.version.clone(),
            database: self.database.clone(),
            broker: self.broker.clone(),
            broker_problem: self.broker_problem.clone(),
            cache_warm: self.cache_warm,
            ..Self::default()
        }
    }

    pub fn row(&self) -> Vec<Option<i64>> {
        vec![
            Some(self.at),
            self.messages,
            self.documents,
            self.dead_letters,
            self.open,
            self.pending,
            self.broker_lag,
            Some(self.cache_hits),
            Some(self.cache_misses),
        ]
    }
}

/// A new document.
#[derive(Clone, Object)]
#[oai(example)]
pub struct StreamDocument {
    pub collection: String,
    pub position: i64,
    pub key: String,
    /// As it is served; null if it is larger than a watcher should be sent.
    pub document: Any<serde_json::Value>,
}

#[derive(Union)]
pub enum StreamEvent {
    History(StreamHistory),
    Document(StreamDocument),
    Stats(StreamStats),
}

impl StreamEvent {
    pub fn into_event(self) -> Event {
        match self {
            Self::History(history) => {
                Event::message(history.to_json_string()).event_type("history")
            }
            Self::Document(document) => Event::message(document.to_json_string())
                .event_type("document")
                .id(document.position.to_string()),
            Self::Stats(stats) => Event::message(stats.to_json_string()).event_type("stats"),
        }
    }
}

/// Larger ones a watcher asks for himself.
const MOST_BYTES: usize = 16 * 1024;

pub fn summary(defined: &Defined, stored: &Stored) -> StreamDocument {
    let json = cache::render(defined.compiled.as_deref(), defined.position, stored);
    let document = match json.len() <= MOST_BYTES {
        true => serde_json::from_slice(&json).unwrap_or_default(),
        false => serde_json::Value::Null,
    };
    StreamDocument {
        collection: defined.name.to_string(),
        position: stored.position.0,
        key: stored.key.clone(),
        document: Any(document),
    }
}
