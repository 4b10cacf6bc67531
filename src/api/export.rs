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
use tokio::sync::Semaphore;

use super::principal::narrowed;
use super::problem::Problem;
use super::{Dependencies, times};
use crate::access::{ORDERS, Principal};
use crate::dead_letter::Filter;
use crate::inbox::{self, Position};
use crate::order::store;
use crate::postgres::Database;
use crate::projection;

use pages::{Pages, Source, Table};
use text::Text;

pub struct Exports {
    database: Database,
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
    name: &'static str,
    body: Body,
}

const NDJSON: &str = "application/x-ndjson";
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
                        "{\"order_uid\":\"b563feb7b2b84b6test\",…}\n",
                    ),
                    content(
                        "text/csv",
                        "RFC 4180, with a first line of names",
                        "order_uid,track_number,…\r\n",
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
            places: workbook::places(),
        }
    }

    /// What fails at once is a problem, and not a cut.
    async fn export(
        &self,
        name: &'static str,
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
                workbook::into_body(pages, table, name, principal, self.places.clone()).await?
            }
        };
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
        let filter = Box::new(narrowed(*filter, &principal));
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

    /// Export orders
    ///
    /// All of them, or a customer's, or those with a track number, oldest first, streamed at any size, as of now: what is
    /// projected later is not in it. NDJSON has each order as GET /orders/{key} serves it, byte for byte. CSV has one
    /// line an item, the order's fields repeated; a text that a spreadsheet would take for a formula gets a leading
    /// apostrophe. An export that cannot be finished is cut off, so that no client takes a part for the whole.
    ///
    /// XLSX has the lines of CSV in one sheet: numbers of up to 15 digits as numbers, longer ones and dates as text, truths as
    /// truths, and no formulas. A text of more than 32,767 characters is cut there, and ends in `…`. The sheet is made before
    /// the answer begins, which takes its time; more than 1,048,575 lines, or more than 4 GiB of them, are refused with 400.
    /// Two are made at a time, another is told to wait by 503.
    ///
    /// (An order whose key is `export` is at /orders/%65xport.)
    #[oai(path = "/orders/export", method = "get", operation_id = "exportOrders")]
    async fn orders(
        &self,
        principal: Principal,
        /// ndjson (if not given), csv or xlsx.
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
        let reader = self.database.reader().await?;
        let live = projection::read_checkpoint(&reader).await?.position;
        drop(reader);
        let source = Source::Orders {
            lookups: store::lookups(customer_id.0, track_number.0),
            after: Position(from.0.unwrap_or(1).max(1) - 1),
            until: match principal.sees(ORDERS) {
                true => Position(to.0.map_or(live.0, |to| to.min(live.0))),
                false => Position(0),
            },
        };
        self.export("orders", format.0, source, principal).await
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
