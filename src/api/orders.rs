//! `GET /orders`: by id from the cache, by customer or track number from Postgres, newest first.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::quality::FixedState;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use poem::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode};
use poem::{Endpoint, Request, Response};
use poem_openapi::param::{Path, Query};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use tokio::sync::watch;

use super::principal::principal;
use super::problem::Problem;
use super::rendered::Rendered;
use super::{Dependencies, times};
use crate::access::{ORDERS, Principal, Right};
use crate::cache::{self, Cache, Miss};
use crate::inbox::Position;
use crate::order::store;
use crate::postgres::Database;
use crate::telemetry::Metrics;

pub struct Orders {
    database: Database,
}

/// One document of a collection. What it looks like says the collection's model: `specified` writes it into the specification.
pub struct OrderSchema(Value);

impl OrderSchema {
    pub const NAME: &str = "Order";
}

impl Type for OrderSchema {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        Self::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::NAME.to_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::NAME.to_owned(), |_| MetaSchema::new("object"));
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for OrderSchema {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        value.map(Self).ok_or_else(ParseError::expected_input)
    }
}

impl ToJSON for OrderSchema {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

#[derive(Object)]
#[oai(example)]
pub struct OrderPage {
    items: Vec<OrderSchema>,
    /// Pass it as `after` for the next page; null on the last.
    next: Option<String>,
}

impl Orders {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
        }
    }
}

#[OpenApi]
impl Orders {
    /// One order
    ///
    /// From the cache; in an outage of Postgres too. Carries an ETag: If-None-Match answers 304. An order that is on its way
    /// is waited for, a moment long. A 404 says what is known: nothing was received, it is still on its way, or it was
    /// rejected (with a link to its dead letter).
    #[oai(path = "/orders/:key", method = "get", operation_id = "getOrder")]
    async fn one(
        &self,
        principal: Principal,
        key: Path<String>,
    ) -> Result<Rendered<OrderSchema>, Problem> {
        // Served by `HotRead`, which is routed before: measured, the generated handler costs a third of the throughput.
        let _ = (principal, key);
        Err(Problem::not_found("This path is served elsewhere."))
    }

    /// Orders, newest first
    ///
    /// Of a customer, or with a track number, or all of them.
    #[oai(path = "/orders", method = "get", operation_id = "listOrders")]
    async fn list(
        &self,
        principal: Principal,
        customer_id: Query<Option<String>>,
        track_number: Query<Option<String>>,
        /// What `next` was on the page before.
        after: Query<Option<String>>,
        /// 1 to 500; 50 where not given.
        limit: Query<Option<i64>>,
    ) -> Result<Rendered<OrderPage>, Problem> {
        let limit = times::limit(limit.0)?;
        let before = Position(times::below(after.0)?);
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
        if !principal.sees(ORDERS) {
            return Ok(Rendered::new("{\"items\":[],\"next\":null}"));
        }
        let reader = self.database.reader().await?;
        let mut found = store::list(
            &reader,
            &store::lookups(customer_id.0, track_number.0),
            before,
            limit + 1,
        )
        .await?;
        let more = found.len() as i64 > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = found.last().filter(|_| more).map(|last| last.position);
        let mut body = Vec::with_capacity(found.len() * 1024 + 64);
        body.extend_from_slice(b"{\"items\":[");
        for (index, stored) in found.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&cache::render(stored));
        }
        body.extend_from_slice(b"],\"next\":");
        match next {
            Some(position) => body.extend_from_slice(format!("\"{position}\"").as_bytes()),
            None => body.extend_from_slice(b"null"),
        }
        body.push(b'}');
        Ok(Rendered::new(body))
    }
}

/// So long for an order that is on its way: what it takes where things go well, many times over.
const SOON: Duration = Duration::from_millis(100);

/// The key that a path names, with its escapes decoded; none if the path is not of one order, or if what its escapes
/// stand for is not UTF-8. Every way to an order asks here: a hit and a miss must mean the same order.
fn key(path: &str) -> Option<Cow<'_, str>> {
    let escaped = path.strip_prefix("/api/v1/orders/")?;
    match memchr::memchr2(b'%', b'/', escaped.as_bytes()) {
        None => Some(Cow::Borrowed(escaped)),
        Some(_) if escaped.contains('/') => None,
        Some(_) => percent_decode_str(escaped).decode_utf8().ok(),
    }
}

/// `GET /orders/{key}` without the generated handler's parsing; of an order in the cache, without the framework.
#[derive(Clone)]
pub struct HotRead {
    cache: Arc<Cache>,
    database: Database,
    projected: watch::Receiver<Position>,
    metrics: Arc<Metrics>,
}

impl HotRead {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            cache: deps.cache.clone(),
            database: deps.database.clone(),
            projected: deps.projected.clone(),
            metrics: deps.metrics.clone(),
        }
    }

    /// None where the request is for something else, or the order is not in the cache: the routes answer it.
    pub fn hit<B>(
        &self,
        request: &hyper::Request<B>,
        principal: &Principal,
    ) -> Option<hyper::Response<Full<Bytes>>> {
        if request.method() != Method::GET || !principal.sees(ORDERS) {
            return None;
        }
        let path = request.uri().path();
        // An order takes no parameters: the routes refuse them.
        if path == "/api/v1/orders/export" || request.uri().query().is_some() {
            return None;
        }
        let data = self.cache.get(&key(path)?)?;
        self.metrics.cache_hits.inc();
        let etag = etag(&data);
        let known =
            request.headers().contains_key(IF_NONE_MATCH) && is_known(request.headers(), &etag);
        let mut response = hyper::Response::new(Full::new(if known { Bytes::new() } else { data }));
        let headers = response.headers_mut();
        // With those that every answer has: a map that grows hashes all of them again.
        headers.reserve(10);
        headers.insert(ETAG, etag);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Some(response)
    }

    async fn miss(&self, key: &str, principal: &Principal) -> Result<Bytes, Problem> {
        if key.len() > 1_000 || key.contains('\0') {
            return Err(Problem::not_found(
                "There is no such order: a key has at most 1,000 bytes, and no NUL.",
            ));
        }
        self.metrics.cache_misses.inc();
        let mut loaded = self.cache.load(&self.database, key).await;
        if let Err(miss) = &loaded
            && let Miss::OnItsWay(position) = **miss
            && self.comes_soon(position).await
        {
            loaded = self.cache.load(&self.database, key).await;
        }
        loaded.map_err(|miss| explain(key, &miss, principal))
    }

    /// Whether what is on its way has come: a client that has just sent it, and asks, need not ask again.
    async fn comes_soon(&self, position: Position) -> bool {
        let mut projected = self.projected.clone();
        let coming = projected.wait_for(|projected| *projected >= position);
        matches!(tokio::time::timeout(SOON, coming).await, Ok(Ok(_)))
    }
}

fn explain(key: &str, miss: &Miss, principal: &Principal) -> Problem {
    let not_found = |kind, detail| Problem::new(StatusCode::NOT_FOUND, kind, detail);
    match miss {
        Miss::Failed(error) => error.into(),
        Miss::NeverReceived => not_found(
            "order-never-received",
            format!("There is no order {key}: no message with this key was received."),
        ),
        Miss::OnItsWay(position) => not_found(
            "order-pending",
            format!(
                "The order {key} is on its way: its message is in the inbox at position \
                 {position} and not yet projected."
            ),
        )
        .link("inbox", format!("/api/v1/inbox/{position}")),
        // The sentence quotes the message.
        Miss::Rejected { .. } if !principal.may(Right::Letters) => not_found(
            "order-rejected",
            format!(
                "There is no order {key}: a message with this key was received and rejected. Why, the right \
                 letters lets one see."
            ),
        ),
        Miss::Rejected { latest, earlier } => {
            let href = |id: Position| format!("/api/v1/dead-letters/{id}");
            let problem = not_found(
                "order-rejected",
                format!(
                    "There is no order {key}: a message with this key was received and \
                     rejected ({}): {} Its dead letter is {}: {}",
                    latest.reason,
                    latest.message,
                    latest.state,
                    href(latest.id)
                ),
            );
            std::iter::once(latest.id)
                .chain(earlier.iter().copied())
                .fold(problem, |problem, id| problem.link("dead_letter", href(id)))
        }
    }
}

impl Endpoint for HotRead {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let principal = principal(&request)?;
        let Some(key) = key(request.uri().path()) else {
            let detail = "There is no such order: the escapes in this path are not UTF-8.";
            return Err(Problem::not_found(detail).into());
        };
        if !principal.sees(ORDERS) {
            return Err(explain(&key, &Miss::NeverReceived, principal).into());
        }
        let data = match self.cache.get(&key) {
            Some(data) => {
                self.metrics.cache_hits.inc();
                data
            }
            None => self.miss(&key, principal).await?,
        };
        Ok(answer(request.headers(), data))
    }
}

fn answer(headers: &HeaderMap, data: Bytes) -> Response {
    let etag = etag(&data);
    let known = is_known(headers, &etag);
    let response = Response::builder().header(ETAG, etag);
    if known {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.header(CONTENT_TYPE, "application/json").body(data)
}

/// A hash of the bytes answered, the same on every replica.
fn etag(data: &[u8]) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(data);
    let hash = hasher.finish();
    let mut text = [b'"'; 18];
    for (index, digit) in text[1..17].iter_mut().enumerate() {
        *digit = DIGITS[(hash >> (60 - 4 * index)) as usize & 15];
    }
    HeaderValue::from_bytes(&text).expect("quotes and hexadecimal digits are allowed in a header")
}

fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|candidate| candidate == "*" || candidate.trim_start_matches("W/") == *etag)
}
