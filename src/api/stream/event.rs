//! What watchers are told: the events and how each is written.

use poem::web::sse::Event;
use poem_openapi::types::ToJSON;
use poem_openapi::{Object, Union};

use crate::order::{self, store};

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
    pub orders: Option<i64>,
    pub duplicates: Option<i64>,
    /// Messages that were rejected, ever.
    pub dead_letters: Option<i64>,
    pub decisions: Option<i64>,
    /// Rows received and not yet projected: the lag behind the inbox.
    pub pending: Option<i64>,
    /// Dead letters that are open.
    pub open: Option<i64>,
    pub cache_orders: i64,
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
    "orders",
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
            self.orders,
            self.dead_letters,
            self.open,
            self.pending,
            self.broker_lag,
            Some(self.cache_hits),
            Some(self.cache_misses),
        ]
    }
}

/// A new order.
#[derive(Clone, Object)]
#[oai(example)]
pub struct StreamOrder {
    pub position: i64,
    pub key: String,
    pub track_number: String,
    pub customer_id: String,
    pub date_created: String,
    pub amount: i64,
    pub currency: String,
    pub items: i64,
}

#[derive(Union)]
pub enum StreamEvent {
    History(StreamHistory),
    Order(StreamOrder),
    Stats(StreamStats),
}

impl StreamEvent {
    pub fn into_event(self) -> Event {
        match self {
            Self::History(history) => {
                Event::message(history.to_json_string()).event_type("history")
            }
            Self::Order(order) => Event::message(order.to_json_string())
                .event_type("order")
                .id(order.position.to_string()),
            Self::Stats(stats) => Event::message(stats.to_json_string()).event_type("stats"),
        }
    }
}

pub fn summary(stored: &store::Stored) -> Option<StreamOrder> {
    let model = order::model();
    let order = model.parse(&stored.payload).ok()?;
    let text = |path: &[&str]| model.text(&order, path);
    Some(StreamOrder {
        position: stored.position.0,
        key: model.key(&order).into_owned(),
        track_number: cut(text(&["track_number"])),
        customer_id: cut(text(&["customer_id"])),
        date_created: text(&["date_created"]).to_owned(),
        amount: model.whole(&order, &["payment", "amount"]),
        currency: cut(text(&["payment", "currency"])),
        items: model.count(&order, &["items"]) as i64,
    })
}

/// A text may be as long as a message; a watcher needs its beginning.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
