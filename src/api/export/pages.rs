//! What an export takes out: pages of letters or orders, each read in a statement of its own, and the table that they are.
//! Its invariant: the place moves on only once a page was read whole, so a failed page can be asked for again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use poem_openapi::types::ToJSON;
use serde_json::Value;

use super::super::dead_letters::DeadLetter;
use crate::cache;
use crate::dead_letter::{self, Filter};
use crate::inbox::{self, Position};
use crate::order::store::{self, Lookup};
use crate::postgres::{Database, Error};
use crate::record::Columns;

/// Letters of a page.
const LETTERS: i64 = 500;
/// Positions that a page looks through at most, so that a filter which finds nothing never runs long.
const WINDOW: i64 = 100_000;
/// What the payloads of a page come to, if there is more than one.
const PAYLOAD_BYTES: i64 = 4 << 20;
/// An outage is waited out for so long; then the client is told by a cut.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);

/// What is left to send.
pub enum Source {
    Letters {
        filter: Box<Filter>,
        before: i64,
    },
    Orders {
        lookups: Vec<Lookup>,
        after: Position,
        until: Position,
    },
}

/// What was read at once; it may be of nothing, and others follow all the same.
pub enum Page {
    Letters(Vec<Letter>),
    /// Each as it is served.
    Orders(Vec<Bytes>),
}

pub struct Letter {
    /// As lists have it.
    pub listed: Value,
    /// Empty if it was not asked for.
    pub payload: Bytes,
}

pub struct Pages {
    database: Database,
    source: Source,
    with_payloads: bool,
}

impl Pages {
    pub fn new(database: Database, source: Source, with_payloads: bool) -> Self {
        Self {
            database,
            source,
            with_payloads,
        }
    }

    /// None at the end. After an error it can be asked again: nothing was lost.
    pub async fn next(&mut self) -> Result<Option<Page>, Error> {
        match &mut self.source {
            Source::Letters { filter, before } => {
                letters(&self.database, self.with_payloads, filter, before).await
            }
            Source::Orders {
                lookups,
                after,
                until,
            } => {
                let reader = self.database.reader().await?;
                let Some(page) = store::page(&reader, lookups, *after, *until).await? else {
                    return Ok(None);
                };
                let mut orders = Vec::with_capacity(page.orders.len());
                for (key, payload) in &page.orders {
                    orders.push(rendered(&reader, key, payload).await?);
                }
                *after = page.after;
                Ok(Some(Page::Orders(orders)))
            }
        }
    }

    /// As `next`, but waits an outage out.
    pub async fn next_patiently(&mut self) -> Result<Option<Page>, Error> {
        let begun = Instant::now();
        loop {
            match self.next().await {
                Err(error) if begun.elapsed() < PATIENCE => {
                    tracing::debug!(%error, "an export waits: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// What is exported as lines of cells.
pub enum Table {
    Letters,
    Orders(Columns),
}

impl Table {
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Letters { .. } => Self::Letters,
            Source::Orders { .. } => Self::Orders(Columns::of(crate::order::model())),
        }
    }

    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Letters => LETTER_COLUMNS.map(str::to_owned).to_vec(),
            Self::Orders(columns) => columns.names(),
        }
    }

    pub fn lines(&self, page: &Page, mut line: impl FnMut(&[&Value])) {
        match (self, page) {
            (Self::Orders(columns), Page::Orders(orders)) => {
                for json in orders {
                    let order: Value = serde_json::from_slice(json).unwrap_or_default();
                    columns.lines(&order, &mut line);
                }
            }
            (_, Page::Letters(letters)) => {
                for letter in letters {
                    line(&LETTER_COLUMNS.map(|name| &letter.listed[name]));
                }
            }
            // A table is made of the source that its pages come from.
            (Self::Letters, Page::Orders(_)) => {}
        }
    }
}

/// None at the end. `before` moves only once all of the page was read.
async fn letters(
    database: &Database,
    with_payloads: bool,
    filter: &Filter,
    before: &mut i64,
) -> Result<Option<Page>, Error> {
    let reader = database.reader().await?;
    let lowest = filter.from.unwrap_or(1).max(1);
    let mut top = *before;
    while top > lowest {
        // By key an index finds all there are.
        let floor = match filter.key {
            Some(_) => lowest,
            None => lowest.max(top - WINDOW),
        };
        let window = Filter {
            from: Some(floor),
            ..filter.clone()
        };
        let mut found = dead_letter::list(&reader, &window, top, LETTERS).await?;
        let mut next = match found.last() {
            Some(last) if found.len() as i64 >= LETTERS => last.id.0,
            _ => floor,
        };
        let mut payloads = Vec::new();
        if with_payloads && !found.is_empty() {
            let ids: Vec<i64> = found.iter().map(|letter| letter.id.0).collect();
            payloads = inbox::payloads_within(&reader, &ids, PAYLOAD_BYTES).await?;
            if payloads.len() < found.len() {
                found.truncate(payloads.len());
                next = found.last().map_or(floor, |last| last.id.0);
            }
        }
        top = next;
        if !found.is_empty() {
            *before = top;
            let payloads = payloads.into_iter().map(|(_, payload)| payload);
            let payloads = payloads.chain(std::iter::repeat(Bytes::new()));
            let letters = found.iter().zip(payloads).map(|(letter, payload)| Letter {
                listed: DeadLetter::from(letter).to_json().unwrap_or_default(),
                payload,
            });
            return Ok(Some(Page::Letters(letters.collect())));
        }
    }
    *before = top;
    Ok(None)
}

/// As lists have it.
const LETTER_COLUMNS: [&str; 15] = [
    "id",
    "state",
    "reason",
    "code",
    "message",
    "pointer",
    "key",
    "fingerprint",
    "attempts",
    "received_at",
    "first_failed_at",
    "last_failed_at",
    "next_attempt_at",
    "replaced_by",
    "origin",
];

/// As the order is served; where this code cannot parse the bytes, as the projection has it.
async fn rendered(
    reader: &crate::postgres::Client,
    key: &str,
    payload: &Bytes,
) -> Result<Bytes, Error> {
    let model = crate::order::model();
    if let Ok(order) = model.parse(payload) {
        return Ok(Bytes::from(model.to_json(&order)));
    }
    let stored = store::by_uid(reader, key).await?;
    Ok(stored.as_ref().map(cache::render).unwrap_or_default())
}
