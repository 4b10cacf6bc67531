//! Exports: all dead letters or orders that a filter asks for, streamed, in bounded memory. A page is read in a statement of
//! its own, and by NDJSON and CSV only when the client has taken the last one, so neither a slow client nor a large export
//! holds a connection or a snapshot.
//!
//! Its invariant: an export is whole, or its connection is cut; a short file never looks like a whole one.

mod pages;
mod text;
mod workbook;

use std::sync::Arc;

use jiff::Timestamp;
use poem::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use poem::{Body, Endpoint, IntoResponse, Request, Response};
use poem_openapi::param::Query;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Enum, OpenApi};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use super::documents::no_collection;
use super::principal::{narrowed, principal};
use super::problem::Problem;
use super::query::Query as Parameters;
use super::{Dependencies, times};
use crate::access::Principal;
use crate::dead_letter::Filter;
use crate::document::{Asked, Cursor};
use crate::inbox::{self, Position};
use crate::postgres::Database;
use crate::projection::{self, InForce};

use pages::{Pages, Source, Table};
use text::Text;

#[derive(Clone)]
pub struct Exports {
    database: Database,
    in_force: watch::Receiver<Arc<InForce>>,
    /// For the workbooks that are made at a time.
    places: Arc<Semaphore>,
}

#[derive(Enum, Clone, Copy, Default, PartialEq, Eq)]
#[oai(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// RFC 4180, with a first line of names.
    Csv,
    /// A workbook of one sheet.
    Xlsx,
}

/// A file to be saved, sent as it is made.
pub struct Download {
    format: Format,
    name: String,
    body: Body,
}

pub const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv; charset=utf-8; header=present";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The end of an export that cannot be finished: the connection is cut.
fn cut(error: impl std::fmt::Display) -> std::io::Error {
    tracing::warn!(%error, "an export was cut off: {error}");
    std::io::Error::other(error.to_string())
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let (media_type, ending) = match self.format {
            Format::Ndjson => (NDJSON, "ndjson"),
            Format::Csv => (CSV, "csv"),
            Format::Xlsx => (XLSX, "xlsx"),
        };
        let at = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let disposition = format!("attachment; filename=\"{}-{at}.{ending}\"", self.name);
        Response::builder()
            .header(CONTENT_TYPE, media_type)
            .header(CONTENT_DISPOSITION, disposition)
            .header(CACHE_CONTROL, "no-store")
            .body(self.body)
    }
}

impl ApiResponse for Download {
    fn meta() -> MetaResponses {
        let file = MetaMediaType {
            content_type: XLSX,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some("A workbook of one sheet, with a first line of names"),
                ..MetaSchema::new_with_format("string", "binary")
            })),
        };
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
                        "{\"id\":3474,\"collection\":\"orders\",…}\n",
                    ),
                    content(
                        "text/csv",
                        "RFC 4180, with a first line of names",
                        "id,collection,state,…\r\n",
                    ),
                    file,
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
            database: deps.database.clone(),
            in_force: deps.in_force.clone(),
            places: workbook::places(),
        }
    }

    /// What fails at once is a problem, and not a cut.
    async fn export(
        &self,
        name: &str,
        format: Option<Format>,
        source: Source,
        principal: Principal,
    ) -> Result<Download, Problem> {
        let format = format.unwrap_or_default();
        let table = Table::of(&source);
        let with_payloads = format == Format::Ndjson;
        let pages = Pages::new(self.database.clone(), source, with_payloads);
        let body = match format {
            Format::Ndjson => Text::new(pages, None).into_body(principal).await?,
            Format::Csv => Text::new(pages, Some(table)).into_body(principal).await?,
            Format::Xlsx => {
                // Excel's bound on a sheet's name; a collection's may be longer.
                let title = name.chars().take(31).collect();
                workbook::into_body(pages, table, title, principal, self.places.clone()).await?
            }
        };
        let name = name.to_owned();
        Ok(Download { format, name, body })
    }
}

#[OpenApi]
impl Exports {
    /// Export dead letters
    ///
    /// All that the list's filters ask for, newest first, streamed at any size. NDJSON has the list's fields, payload_bytes,
    /// and the whole payload as `text`, or as `hex` where it is no UTF-8; CSV and XLSX have the list's fields. In CSV a text
    /// that a spreadsheet would take for a formula gets a leading apostrophe; XLSX is as for orders. An export that cannot be
    /// finished is cut off, so that no client takes a part for the whole.
    #[oai(
        path = "/dead-letters/export",
        method = "get",
        operation_id = "exportDeadLetters"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn dead_letters(
        &self,
        principal: Principal,
        /// ndjson (if not given), csv or xlsx.
        format: Query<Option<Format>>,
        /// open, replaced, discarded
        state: Query<Option<String>>,
        reason: Query<Option<String>>,
        code: Query<Option<String>>,
        fingerprint: Query<Option<String>>,
        key: Query<Option<String>>,
        /// A source's name, or its kind: stan, http.
        source: Query<Option<String>>,
        /// Only of this collection.
        collection: Query<Option<String>>,
        /// Received at or after: RFC 3339, or how long ago, as in 15m, 2h, 7d.
        since: Query<Option<String>>,
        /// Received before.
        until: Query<Option<String>>,
        /// The lowest position.
        from: Query<Option<i64>>,
        /// The highest position.
        to: Query<Option<i64>>,
        /// Found in message or key, in any case.
        text: Query<Option<String>>,
    ) -> Result<Download, Problem> {
        let filter = Box::new(Filter {
            state: state.0,
            reason: reason.0,
            code: code.0,
            fingerprint: fingerprint.0,
            key: key.0,
            source: source.0,
            collection: collection.0,
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
        let filter = Box::new(narrowed(*filter, &principal, &self.in_force.borrow()));
        let head = inbox::head(&*self.database.reader().await?).await?;
        // What comes later is not in it.
        let before = filter
            .to
            .map_or(head.0, |to| to.min(head.0))
            .saturating_add(1);
        let source = Source::Letters { filter, before };
        self.export("dead-letters", format.0, source, principal)
            .await
    }
}

/// `GET /collections/{name}/export`. Its lookups are the collection's, so no generated handler knows them.
pub struct OfDocuments {
    exports: Exports,
}

impl OfDocuments {
    pub fn new(exports: Exports) -> Self {
        Self { exports }
    }

    /// All of them, or those that a lookup finds, streamed at any size, as of now: what is projected later is not in it.
    async fn export(&self, request: &Request) -> Result<Download, Problem> {
        let principal = principal(request)?.clone();
        let name = request.uri().path().split('/').nth(4).unwrap_or_default();
        let defined = self.exports.in_force.borrow().get(name).cloned();
        let defined = defined.filter(|_| principal.sees(name));
        let defined = defined.ok_or_else(|| no_collection(name))?;
        let collection = match defined.collection() {
            Ok(collection) => collection.clone(),
            Err(error) => return Err(Problem::unavailable(format!("{error}."))),
        };
        let mut query = Parameters::of(request)?;
        let format = match query.take("format").as_deref() {
            None | Some("ndjson") => Format::Ndjson,
            Some("csv") => Format::Csv,
            Some("xlsx") => Format::Xlsx,
            Some(other) => {
                return Err(Problem::bad_request(format!(
                    "format={other:?} is none of ndjson, csv, xlsx."
                )));
            }
        };
        let mut number = |name: &str| match query.take(name) {
            None => Ok(None),
            Some(text) => text
                .parse::<i64>()
                .map(Some)
                .map_err(|_| Problem::bad_request(format!("{name}={text:?} is no position."))),
        };
        let (from, to) = (number("from")?, number("to")?);
        let asked = Asked {
            above: Position(from.unwrap_or(1).max(1) - 1),
            lookups: query.take_lookups(&collection.lookups),
            ..Asked::default()
        };
        query.is_empty(&["format", "from", "to"], &collection.lookups)?;
        let reader = self.exports.database.reader().await?;
        let live = projection::read_checkpoint(&reader).await?.position;
        drop(reader);
        let source = Source::Documents {
            place: defined.place(),
            looks: collection.clone(),
            since: defined.position,
            asked,
            after: Some(Cursor::oldest(collection.keep)),
            until: Position(to.map_or(live.0, |to| to.min(live.0))),
        };
        self.exports
            .export(&collection.name, Some(format), source, principal)
            .await
    }
}

impl Endpoint for OfDocuments {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.export(&request).await?.into_response())
    }
}
