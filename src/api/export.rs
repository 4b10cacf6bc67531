//! Exports: all dead letters or orders that a filter asks for, streamed, at any size, in bounded memory. A page is read
//! only when the client has taken the last one, in a statement of its own, so neither a slow client nor a large export
//! holds a connection or a snapshot.
//!
//! Its invariant: an export is whole, or its connection is cut; a short file never looks like a whole one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use poem::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use poem::{Body, Endpoint, IntoResponse, Request, Response};
use poem_openapi::param::Query;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiResponse, Enum, OpenApi};
use serde_json::Value;

use super::dead_letters::{DeadLetter, hex};
use super::problem::Problem;
use super::{Dependencies, csv, times};
use crate::dead_letter::{self, Filter};
use crate::inbox::{self, Position};
use crate::order::flat;
use crate::order::store::{self, Whose};
use crate::postgres::{Database, Error};
use crate::{cache, projection};

pub struct Exports {
    /// None where only the specification is wanted.
    database: Option<Database>,
}

#[derive(Enum, Clone, Copy, Default, PartialEq, Eq)]
#[oai(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// RFC 4180, with a first line of names.
    Csv,
}

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
enum Source {
    Letters {
        filter: Box<Filter>,
        before: i64,
    },
    Orders {
        whose: Whose,
        after: Position,
        until: Position,
    },
}

struct Export {
    database: Database,
    format: Format,
    source: Source,
    columns: flat::Columns,
    head_sent: bool,
}

impl Export {
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
                whose,
                after,
                until,
            } => {
                let reader = database.reader().await?;
                match store::page(&reader, whose, *after, *until).await? {
                    None => false,
                    Some(page) => {
                        for (order_uid, payload) in &page.orders {
                            let json = rendered(&reader, order_uid, payload).await?;
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

    /// The first page is read before anything is answered: what fails at once is a problem, not a cut.
    async fn into_download(mut self, name: &'static str) -> Result<Download, Problem> {
        let format = self.format;
        let first = self.next().await?;
        let ended = first.is_none();
        let rest = stream::try_unfold((self, ended), |(mut export, ended)| async move {
            if ended {
                return Ok(None);
            }
            match export.next_patiently().await {
                Ok(Some(chunk)) => Ok(Some((chunk, (export, false)))),
                Ok(None) => Ok(None),
                Err(error) => {
                    tracing::warn!(%error, "an export was cut off: {error}");
                    Err(std::io::Error::other(error))
                }
            }
        });
        let body = stream::iter(first.map(Ok)).chain(rest);
        Ok(Download {
            format,
            name,
            body: Body::from_bytes_stream(body),
        })
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
        // By order_uid an index finds all there are.
        let floor = match filter.order_uid {
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
    "order_uid",
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
    order_uid: &str,
    payload: &Bytes,
) -> Result<Bytes, Error> {
    if let Ok(order) = crate::order::parse(payload) {
        return Ok(Bytes::from(order.to_json()));
    }
    let stored = store::by_uid(reader, order_uid).await?;
    Ok(stored.as_ref().map(cache::render).unwrap_or_default())
}

fn write_order(chunk: &mut Vec<u8>, format: Format, columns: &flat::Columns, json: &[u8]) {
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

/// A file to be saved, sent as it is made.
pub struct Download {
    format: Format,
    name: &'static str,
    body: Body,
}

const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv; charset=utf-8; header=present";

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let (media_type, ending) = match self.format {
            Format::Ndjson => (NDJSON, "ndjson"),
            Format::Csv => (CSV, "csv"),
        };
        let at = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let disposition = format!("attachment; filename=\"{}-{at}.{ending}\"", self.name);
        Response::builder()
            .header(CONTENT_TYPE, media_type)
            .header(CONTENT_DISPOSITION, disposition)
            .header(CACHE_CONTROL, "no-store")
            .header("X-Content-Type-Options", "nosniff")
            .body(self.body)
    }
}

impl ApiResponse for Download {
    fn meta() -> MetaResponses {
        let content = |content_type, description, example: &str| MetaMediaType {
            content_type,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some(description),
                example: Some(Value::from(example)),
                ..MetaSchema::new("string")
            })),
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "A file. One that ends early has its connection cut: it is whole, or it is an error",
                status: Some(200),
                status_range: None,
                content: vec![
                    content(
                        NDJSON,
                        "One JSON object a line",
                        "{\"order_uid\":\"b563feb7b2b84b6test\",…}\n",
                    ),
                    content(
                        "text/csv",
                        "RFC 4180, with a first line of names",
                        "order_uid,track_number,…\r\n",
                    ),
                ],
                headers: vec![MetaHeader {
                    name: "Content-Disposition".to_owned(),
                    description: Some("A name to save it by".to_owned()),
                    required: true,
                    deprecated: false,
                    schema: String::schema_ref(),
                }],
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

impl Exports {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: Some(deps.database.clone()),
        }
    }

    pub fn documented() -> Self {
        Self { database: None }
    }

    fn database(&self) -> Result<&Database, Problem> {
        self.database
            .as_ref()
            .ok_or_else(|| Problem::unavailable("This is the specification alone."))
    }

    fn export(&self, format: Option<Format>, source: Source) -> Result<Export, Problem> {
        Ok(Export {
            database: self.database()?.clone(),
            format: format.unwrap_or_default(),
            source,
            columns: flat::Columns::of_model(),
            head_sent: false,
        })
    }
}

#[OpenApi]
impl Exports {
    /// Export dead letters
    ///
    /// All that the list's filters ask for, newest first, streamed at any size. NDJSON has the list's fields, payload_bytes,
    /// and the whole payload as `text`, or as `hex` where it is no UTF-8; CSV has the list's fields. A text that a spreadsheet
    /// would take for a formula gets a leading apostrophe. An export that cannot be finished is cut off, so that no client
    /// takes a part for the whole.
    #[oai(
        path = "/dead-letters/export",
        method = "get",
        operation_id = "exportDeadLetters"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn dead_letters(
        &self,
        /// ndjson (where not given) or csv.
        format: Query<Option<Format>>,
        /// open, replaced, discarded
        state: Query<Option<String>>,
        reason: Query<Option<String>>,
        code: Query<Option<String>>,
        fingerprint: Query<Option<String>>,
        order_uid: Query<Option<String>>,
        /// A source's name, or its kind: stan, http.
        source: Query<Option<String>>,
        /// Received at or after: RFC 3339, or how long ago, as in 15m, 2h, 7d.
        since: Query<Option<String>>,
        /// Received before.
        until: Query<Option<String>>,
        /// The lowest position.
        from: Query<Option<i64>>,
        /// The highest position.
        to: Query<Option<i64>>,
        /// Found in message or order_uid, in any case.
        text: Query<Option<String>>,
    ) -> Result<Download, Problem> {
        let filter = Box::new(Filter {
            state: state.0,
            reason: reason.0,
            code: code.0,
            fingerprint: fingerprint.0,
            order_uid: order_uid.0,
            source: source.0,
            since: times::parse_time("since", since.0)?,
            until: times::parse_time("until", until.0)?,
            from: from.0,
            to: to.0,
            text: text.0,
            ..Filter::default()
        });
        filter
            .check()
            .map_err(|error| Problem::bad_request(format!("{error}.")))?;
        let head = inbox::head(&*self.database()?.reader().await?).await?;
        // What comes later is not in it.
        let before = filter
            .to
            .map_or(head.0, |to| to.min(head.0))
            .saturating_add(1);
        let export = self.export(
            format.0,
            Source::Letters {
                filter: Box::new(filter),
                before,
            },
        )?;
        export.into_download("dead-letters").await
    }

    /// Export orders
    ///
    /// All of them, or a customer's, or those with a track number, oldest first, streamed at any size, as of now: what is
    /// projected later is not in it. NDJSON has each order as GET /orders/{order_uid} serves it, byte for byte. CSV has one
    /// line an item, the order's fields repeated; a text that a spreadsheet would take for a formula gets a leading
    /// apostrophe. An export that cannot be finished is cut off, so that no client takes a part for the whole.
    ///
    /// (An order whose order_uid is `export` is at /orders/%65xport.)
    #[oai(path = "/orders/export", method = "get", operation_id = "exportOrders")]
    async fn orders(
        &self,
        /// ndjson (where not given) or csv.
        format: Query<Option<Format>>,
        customer_id: Query<Option<String>>,
        track_number: Query<Option<String>>,
        /// The lowest position.
        from: Query<Option<i64>>,
        /// The highest position.
        to: Query<Option<i64>>,
    ) -> Result<Download, Problem> {
        for (name, text) in [
            ("customer_id", &customer_id.0),
            ("track_number", &track_number.0),
        ] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(Problem::bad_request(format!(
                    "{name} holds a NUL; no order has one."
                )));
            }
        }
        let reader = self.database()?.reader().await?;
        let live = projection::read_checkpoint(&reader).await?.position;
        drop(reader);
        let source = Source::Orders {
            whose: Whose {
                customer_id: customer_id.0,
                track_number: track_number.0,
            },
            after: Position(from.0.unwrap_or(1).max(1) - 1),
            until: Position(to.0.map_or(live.0, |to| to.min(live.0))),
        };
        self.export(format.0, source)?.into_download("orders").await
    }
}

/// Takes a path that is more special than another room's route into the generated service, which knows it without its
/// prefix.
pub struct Under<E> {
    pub prefix: &'static str,
    pub service: E,
}

impl<E: Endpoint<Output = Response>> Endpoint for Under<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let inner = request
            .uri()
            .path_and_query()
            .and_then(|path| path.as_str().strip_prefix(self.prefix))
            .and_then(|path| path.parse().ok());
        if let Some(uri) = inner {
            *request.uri_mut() = uri;
        }
        self.service.call(request).await
    }
}
