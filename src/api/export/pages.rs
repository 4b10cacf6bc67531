//! The chunks of an export: pages of letters or orders, each read in a statement of its own and written as NDJSON or CSV.
//! Its invariant: the place moves on only once a page was read whole, so a failed page can be asked for again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use poem::Body;
use poem_openapi::types::ToJSON;
use serde_json::Value;

use super::super::csv;
use super::super::dead_letters::{DeadLetter, hex};
use super::Format;
use crate::access::Principal;
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

pub struct Export {
    database: Database,
    format: Format,
    source: Source,
    columns: Columns,
    head_sent: bool,
}

impl Export {
    pub fn new(database: Database, format: Format, source: Source) -> Self {
        Self {
            database,
            format,
            source,
            columns: Columns::of(crate::order::model()),
            head_sent: false,
        }
    }

    /// The next chunk; none at the end. After an error it can be asked again: nothing was lost.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut chunk = Vec::new();
        if !self.head_sent && self.format == Format::Csv {
            match &self.source {
                Source::Letters { .. } => csv::head(&mut chunk, LETTER_COLUMNS),
                Source::Orders { .. } => {
                    csv::head(&mut chunk, self.columns.names().iter().map(String::as_str));
                }
            }
        }
        let database = self.database.clone();
        let more = match &mut self.source {
            Source::Letters { filter, before } => {
                letters(&database, self.format, filter, before, &mut chunk).await?
            }
            Source::Orders {
                lookups,
                after,
                until,
            } => {
                let reader = database.reader().await?;
                match store::page(&reader, lookups, *after, *until).await? {
                    None => false,
                    Some(page) => {
                        for (key, payload) in &page.orders {
                            let json = rendered(&reader, key, payload).await?;
                            write_order(&mut chunk, self.format, &self.columns, &json);
                        }
                        *after = page.after;
                        true
                    }
                }
            }
        };
        self.head_sent = true;
        Ok((more || !chunk.is_empty()).then(|| Bytes::from(chunk)))
    }

    async fn next_patiently(&mut self) -> Result<Option<Bytes>, Error> {
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

    /// The first page is read before anything is answered: what fails at once is a problem, not a cut. It is cut, too, when
    /// the principal's token ends.
    pub async fn into_body(mut self, principal: Principal) -> Result<Body, Error> {
        let first = self.next().await?;
        let ended = first.is_none();
        let rest = stream::try_unfold(
            (self, principal, ended),
            |(mut export, principal, ended)| async move {
                if ended {
                    return Ok(None);
                }
                if principal.is_over() {
                    tracing::warn!("an export was cut off: the token that asked for it has ended");
                    return Err(std::io::Error::other("the token has ended"));
                }
                match export.next_patiently().await {
                    Ok(Some(chunk)) => Ok(Some((chunk, (export, principal, false)))),
                    Ok(None) => Ok(None),
                    Err(error) => {
                        tracing::warn!(%error, "an export was cut off: {error}");
                        Err(std::io::Error::other(error))
                    }
                }
            },
        );
        let body = stream::iter(first.map(Ok)).chain(rest);
        Ok(Body::from_bytes_stream(body))
    }
}

/// False at the end. `before` moves only once all of the page was read.
async fn letters(
    database: &Database,
    format: Format,
    filter: &Filter,
    before: &mut i64,
    chunk: &mut Vec<u8>,
) -> Result<bool, Error> {
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
        if format == Format::Ndjson && !found.is_empty() {
            let ids: Vec<i64> = found.iter().map(|letter| letter.id.0).collect();
            payloads = inbox::payloads_within(&reader, &ids, PAYLOAD_BYTES).await?;
            if payloads.len() < found.len() {
                found.truncate(payloads.len());
                next = found.last().map_or(floor, |last| last.id.0);
            }
        }
        for (index, letter) in found.iter().enumerate() {
            let listed = DeadLetter::from(letter).to_json();
            let listed = listed.unwrap_or_default();
            match format {
                Format::Csv => csv::record(chunk, LETTER_COLUMNS.map(|name| &listed[name])),
                Format::Ndjson => write_letter(chunk, listed, payloads.get(index)),
            }
        }
        top = next;
        if !chunk.is_empty() && !found.is_empty() {
            *before = top;
            return Ok(true);
        }
    }
    *before = top;
    Ok(false)
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

/// The list's fields, and the payload: text where it is text, else hexadecimal.
fn write_letter(chunk: &mut Vec<u8>, mut letter: Value, payload: Option<&(Position, Bytes)>) {
    let payload = payload.map(|(_, bytes)| &bytes[..]).unwrap_or_default();
    letter["payload_bytes"] = Value::from(payload.len());
    match std::str::from_utf8(payload) {
        Ok(text) => letter["text"] = Value::from(text),
        Err(_) => letter["hex"] = Value::from(hex(payload)),
    }
    chunk.extend_from_slice(letter.to_string().as_bytes());
    chunk.push(b'\n');
}

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

fn write_order(chunk: &mut Vec<u8>, format: Format, columns: &Columns, json: &[u8]) {
    match format {
        Format::Ndjson => {
            chunk.extend_from_slice(json);
            chunk.push(b'\n');
        }
        Format::Csv => {
            let order: Value = serde_json::from_slice(json).unwrap_or_default();
            columns.lines(&order, |cells| csv::record(chunk, cells.iter().copied()));
        }
    }
}
