//! What an export takes out: pages of letters or orders, each read in a statement of its own, and the table that they are.
//! Its invariant: the place moves on only once a page was read whole, so a failed page can be asked for again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use poem_openapi::types::ToJSON;
use serde_json::Value;

use super::super::dead_letters::DeadLetter;
use crate::cache;
use crate::collection::Collection;
use crate::dead_letter::{self, Filter};
use crate::document::{self, Asked, Cursor, Place};
use crate::inbox::{self, Position};
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
    Documents {
        place: Place,
        looks: Arc<Collection>,
        /// Where in the log that definition is.
        since: Position,
        asked: Asked,
        /// None at the end.
        after: Option<Cursor>,
        until: Position,
    },
}

/// What was read at once; it may be of nothing, and others follow all the same.
pub enum Page {
    Letters(Vec<Letter>),
    /// Each as it is served.
    Documents(Vec<Bytes>),
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
            Source::Documents {
                place,
                looks,
                since,
                asked,
                after,
                until,
            } => {
                let Some(from) = after.clone() else {
                    return Ok(None);
                };
                let reader = self.database.reader().await?;
                let page = document::page(&reader, *place, asked, from, *until).await?;
                let mut scratch = Vec::new();
                let mut served = Vec::with_capacity(page.documents.len());
                for (key, payload) in &page.documents {
                    let json = match looks.model.parse_to_serve(payload, &mut scratch) {
                        Ok((_, json)) => json,
                        Err(_) => {
                            let stored = document::by_key(&reader, *place, key).await?;
                            let render = |stored| cache::render(Some(looks), *since, &stored);
                            stored.map(render).unwrap_or_default()
                        }
                    };
                    served.push(json);
                }
                *after = page.next;
                Ok(Some(Page::Documents(served)))
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
    Documents(Columns),
}

impl Table {
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Letters { .. } => Self::Letters,
            Source::Documents { looks, .. } => Self::Documents(Columns::of(&looks.model)),
        }
    }

    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Letters => LETTER_COLUMNS.map(str::to_owned).to_vec(),
            Self::Documents(columns) => columns.names(),
        }
    }

    pub fn lines(&self, page: &Page, mut line: impl FnMut(&[&Value])) {
        match (self, page) {
            (Self::Documents(columns), Page::Documents(orders)) => {
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
            (Self::Letters, Page::Documents(_)) => {}
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
const LETTER_COLUMNS: [&str; 16] = [
    "id",
    "collection",
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
