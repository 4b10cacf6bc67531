//! `/api/v1/{collection}`: the documents of each collection. By key from the cache, lists from Postgres, and messages in.
//! Which collections there are says the log, so these routes are not generated; `described` writes them into the specification.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use foldhash::quality::FixedState;
use http_body_util::Full;
use poem::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use poem::{Endpoint, Request, Response};
use tokio::sync::watch;

use super::asker::checked_key;
use super::decide::key_taken;
use super::principal::principal;
use super::problem::Problem;
use super::query::{self, Query, dotted};
use super::raw::{check_media_type, message_body};
use super::{Dependencies, path, times};
use crate::access::{Principal, Right};
use crate::cache::{self, Cache, Miss, Share};
use crate::document::{self, Asked, Cursor};
use crate::inbox::{self, Appended, Inbox, Position, SourceId};
use crate::postgres::Database;
use crate::projection::{Defined, InForce};
use crate::telemetry::Metrics;

/// How far this replica had come when it was asked: whoever wrote can read anywhere, by `at_least`.
static POSITION: HeaderName = HeaderName::from_static("waybill-position");

/// So long for a document that is on its way: what it takes where things go well, many times over.
const SOON: Duration = Duration::from_millis(100);
/// So long is a position waited for that a client asks for.
const AT_LEAST: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Documents {
    cache: Arc<Cache>,
    database: Database,
    inbox: Inbox,
    in_force: watch::Receiver<Arc<InForce>>,
    projected: watch::Receiver<Position>,
    metrics: Arc<Metrics>,
    sources: Arc<Sources>,
    max_body_bytes: usize,
}

/// The source of what comes over HTTP, one for each collection, made at its first message.
#[derive(Default)]
struct Sources(Mutex<HashMap<Arc<str>, SourceId>>);

impl Sources {
    async fn of(&self, database: &Database, name: &Arc<str>) -> Result<SourceId, Problem> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = known().get(name) {
            return Ok(*source);
        }
        let reader = database.reader().await?;
        let (source, _) = inbox::source(&reader, "http", name, Some(name)).await?;
        known().insert(name.clone(), source);
        Ok(source)
    }
}

impl Documents {
    pub fn new(deps: &Dependencies, max_body_bytes: usize) -> Self {
        Self {
            cache: deps.cache.clone(),
            database: deps.database.clone(),
            inbox: deps.inbox.clone(),
            in_force: deps.in_force.clone(),
            projected: deps.projected.clone(),
            metrics: deps.metrics.clone(),
            sources: Arc::default(),
            max_body_bytes,
        }
    }

    /// A document in the cache, without the framework. None where the request is for something else, or nothing is held: the
    /// routes answer it.
    pub fn hit<B>(
        &self,
        request: &hyper::Request<B>,
        principal: &Principal,
    ) -> Option<hyper::Response<Full<Bytes>>> {
        if request.method() != Method::GET || request.uri().query().is_some() {
            return None;
        }
        let (name, rest) = path::collection(request.uri().path())?;
        let key = path::key(rest?)?;
        if !principal.sees(name) {
            return None;
        }
        let position = *self.projected.borrow();
        let data = self.cache.hit(name, &key)?;
        self.metrics.cache_hits.inc();
        let etag = etag(&data);
        let known =
            request.headers().contains_key(IF_NONE_MATCH) && is_known(request.headers(), &etag);
        let mut response = hyper::Response::new(Full::new(if known { Bytes::new() } else { data }));
        let headers = response.headers_mut();
        // With those that every answer has: a map that grows hashes all of them again.
        headers.reserve(11);
        headers.insert(ETAG, etag);
        headers.insert(&POSITION, position.0.into());
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Some(response)
    }

    /// The collection, if there is one that the principal sees.
    fn defined(&self, name: &str, principal: &Principal) -> Result<Arc<Defined>, Problem> {
        let defined = self.in_force.borrow().get(name).cloned();
        let seen = defined.filter(|_| principal.sees(name));
        seen.ok_or_else(|| no_collection(name))
    }

    async fn read(&self, request: &Request, principal: &Principal) -> Result<Response, Problem> {
        let (name, rest) = path::collection(request.uri().path()).unwrap_or_default();
        let defined = self.defined(name, principal)?;
        let mut query = Query::of(request)?;
        self.wait_for(query.take("at_least"), rest.is_some())
            .await?;
        let position = *self.projected.borrow();
        let mut response = match (rest, query.take("key")) {
            (Some(_), Some(_)) => return Err(query::unknown("key", &["at_least"], &[])),
            (Some(rest), None) => {
                query.is_empty(&["at_least"], &[])?;
                let key = key_of(&defined, rest)?;
                self.one(request, &defined, &key, principal).await?
            }
            (None, Some(key)) => {
                query.is_empty(&["key", "at_least"], &[])?;
                self.one(request, &defined, &key, principal).await?
            }
            (None, None) => self.list(&defined, query).await?,
        };
        response.headers_mut().insert(&POSITION, position.0.into());
        Ok(response)
    }

    /// Until this replica has come as far as the client asks.
    async fn wait_for(&self, asked: Option<String>, of_one: bool) -> Result<(), Problem> {
        let Some(text) = asked else {
            return Ok(());
        };
        let wrong = || {
            Problem::bad_request(format!(
                "at_least={text:?} is no position: pass the one that a message or a decision was answered with."
            ))
        };
        let position = Position(text.parse().map_err(|_| wrong())?);
        let mut projected = self.projected.clone();
        if *projected.borrow() >= position {
            return Ok(());
        }
        let head = inbox::head(&*self.database.reader().await?).await?;
        if position > head {
            return Err(Problem::bad_request(format!(
                "at_least={position} is beyond the log's last position, {head}."
            )));
        }
        let coming = projected.wait_for(|projected| *projected >= position);
        match tokio::time::timeout(AT_LEAST, coming).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Problem::unavailable(format!(
                "Position {position} is in the log, and this replica has not come so far within {} s. {}",
                AT_LEAST.as_secs(),
                if of_one {
                    "Ask again."
                } else {
                    "Ask again, or without at_least."
                }
            ))),
        }
    }

    async fn one(
        &self,
        request: &Request,
        defined: &Defined,
        key: &str,
        principal: &Principal,
    ) -> Result<Response, Problem> {
        let share = self.cache.of(defined.id);
        let share = share.ok_or_else(|| no_collection(&defined.name))?;
        let data = match share.get(key) {
            Some(data) => {
                self.metrics.cache_hits.inc();
                data
            }
            None => self.miss(&share, defined, key, principal).await?,
        };
        Ok(answer(request.headers(), data))
    }

    async fn miss(
        &self,
        share: &Arc<Share>,
        defined: &Defined,
        key: &str,
        principal: &Principal,
    ) -> Result<Bytes, Problem> {
        let one = defined.one();
        if key.len() > 8_000 || key.contains('\0') {
            return Err(Problem::not_found(format!(
                "There is no such {one}: a key has at most 1,000 bytes, and no NUL."
            )));
        }
        self.metrics.cache_misses.inc();
        let mut loaded = self.cache.load(&self.database, share, key).await;
        if let Err(miss) = &loaded
            && let Miss::OnItsWay(position) = **miss
            && self.comes_soon(position).await
        {
            loaded = self.cache.load(&self.database, share, key).await;
        }
        loaded.map_err(|miss| explain(defined, key, &miss, principal))
    }

    /// Whether what is on its way has come: a client that has just sent it, and asks, need not ask again.
    async fn comes_soon(&self, position: Position) -> bool {
        let mut projected = self.projected.clone();
        let coming = projected.wait_for(|projected| *projected >= position);
        matches!(tokio::time::timeout(SOON, coming).await, Ok(Ok(_)))
    }

    /// `first` newest first, `latest` by key.
    async fn list(&self, defined: &Defined, mut query: Query) -> Result<Response, Problem> {
        let place = defined.place();
        let looks = defined.compiled.as_deref();
        let limit = query.take("limit");
        let wrong = |text: &String| Problem::bad_request(format!("limit={text:?} is no number."));
        let limit = limit.map(|text| text.parse().map_err(|_| wrong(&text)));
        let limit = times::limit(limit.transpose()?)?;
        let after = match query.take("after") {
            None => Cursor::start(place.keep),
            Some(text) => match Cursor::start(place.keep) {
                Cursor::Position(_) => Cursor::Position(Position(times::below(Some(text))?)),
                Cursor::Key(_) => Cursor::Key(text),
            },
        };
        let before = times::parse_time("received_before", query.take("received_before"))?;
        let since = times::parse_time("received_after", query.take("received_after"))?;
        let lookups = looks.map_or(&[][..], |looks| &looks.lookups);
        let mut asked = Asked {
            lookups: query.take_lookups(lookups),
            ..Asked::default()
        };
        let known = [
            "after",
            "at_least",
            "key",
            "limit",
            "received_after",
            "received_before",
        ];
        query.is_empty(&known, lookups)?;
        let reader = self.database.reader().await?;
        if let Some(at) = before {
            asked.below = inbox::position_at(&reader, at).await?;
        }
        if let Some(at) = since {
            asked.above = Position(inbox::position_at(&reader, at).await?.0 - 1);
        }
        being_built(&reader, defined, &asked).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (found, next) = document::list(&reader, place, &asked, &after, limit).await?;
        let mut body = Vec::with_capacity(found.len() * 1024 + 64);
        body.extend_from_slice(b"{\"items\":[");
        for (index, stored) in found.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&cache::render(looks, defined.position, stored));
        }
        let next = match next {
            Some(Cursor::Position(position)) => serde_json::Value::from(position.to_string()),
            Some(Cursor::Key(key)) => key.into(),
            None => serde_json::Value::Null,
        };
        body.extend_from_slice(format!("],\"next\":{next}}}").as_bytes());
        Ok(Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .body(body))
    }

    /// One raw message.
    async fn take(&self, mut request: Request, principal: &Principal) -> Result<Response, Problem> {
        let (name, _) = path::collection(request.uri().path()).unwrap_or_default();
        let defined = self.defined(name, principal)?;
        Query::of(&request)?.is_empty(&[], &[])?;
        if let Err(error) = defined.collection() {
            return Err(Problem::unavailable(format!(
                "This replica takes no messages for it: {error}."
            )));
        }
        let key = request.headers().get("idempotency-key");
        let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
        let key = key.map(checked_key).transpose()?;
        let source = self.sources.of(&self.database, &defined.name).await?;
        check_media_type(&request, &["application/json"])?;
        let payload = message_body(request.take_body(), self.max_body_bytes, &self.inbox).await?;
        let appended = self.inbox.submit(source, key, Some(payload), None).await?;
        let (position, repeated) = match appended {
            Appended::Stored(position) => (position, false),
            Appended::Known(position) => (position, true),
            Appended::KeyTaken(position) => return Err(key_taken(position)),
            Appended::Refused(state) => {
                return Err(Problem::bad_request(format!(
                    "Postgres cannot hold this key (SQLSTATE {state})."
                )));
            }
        };
        Ok(Response::builder()
            .status(StatusCode::ACCEPTED)
            .header(CONTENT_TYPE, "application/json")
            .header(LOCATION, format!("/api/v1/inbox/{position}"))
            .body(format!(
                "{{\"position\":{position},\"repeated\":{repeated}}}"
            )))
    }
}

impl Endpoint for Documents {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let principal = principal(&request)?.clone();
        Ok(match *request.method() {
            Method::POST => self.take(request, &principal).await?,
            _ => self.read(&request, &principal).await?,
        })
    }
}

pub fn no_collection(name: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-collection",
        format!(
            "There is no collection `{name}`, or it is not yours to see: GET /api/v1/collections lists those that are."
        ),
    )
}

/// The key that a path names: of a list key one segment for each part.
fn key_of(defined: &Defined, rest: &str) -> Result<String, Problem> {
    let one = defined.one();
    let segments: Option<Vec<_>> = rest.split('/').map(path::decoded).collect();
    let Some(segments) = segments else {
        return Err(Problem::not_found(format!(
            "There is no such {one}: the escapes in this path are not UTF-8."
        )));
    };
    let parts: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    let key = match &defined.compiled {
        Some(collection) => collection.key_of(&parts),
        None => parts.first().map(|part| (*part).to_owned()),
    };
    key.ok_or_else(|| {
        Problem::not_found(format!(
            "There is no such {one}: its key does not have {} parts; ?key= takes it as it is.",
            parts.len()
        ))
    })
}

/// A lookup whose index is not there yet would read the whole table.
async fn being_built(
    reader: &crate::postgres::Client,
    defined: &Defined,
    asked: &Asked,
) -> Result<(), Problem> {
    for lookup in &asked.lookups {
        if !document::is_indexed(reader, defined.id, &lookup.pointer).await? {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "lookup-being-built",
                format!(
                    "The index on {} is being built (lookup_being_built): try again in a moment; /api/v1/operations says how far it is.",
                    dotted(&lookup.pointer)
                ),
            ));
        }
    }
    Ok(())
}

fn explain(defined: &Defined, key: &str, miss: &Miss, principal: &Principal) -> Problem {
    let one = defined.one();
    let not_found = |kind, detail| Problem::new(StatusCode::NOT_FOUND, kind, detail);
    match miss {
        Miss::Failed(error) => error.into(),
        Miss::NeverReceived => not_found(
            "never-received",
            format!("There is no {one} {key}: no message with this key was received."),
        ),
        Miss::Gone(position) => {
            let name = &defined.name;
            not_found(
                "gone",
                format!("The {one} {key} is gone: the message at position {position} has taken it away. Its versions are kept."),
            )
            .link(
                "versions",
                format!("/api/v1/collections/{name}/versions?key={}", path::encoded(key)),
            )
        }
        Miss::OnItsWay(position) => not_found(
            "pending",
            format!(
                "The {one} {key} is on its way: its message is in the inbox at position \
                 {position} and not yet projected."
            ),
        )
        .link("inbox", format!("/api/v1/inbox/{position}")),
        // The sentence quotes the message.
        Miss::Rejected { .. } if !principal.may(Right::Letters) => not_found(
            "rejected",
            format!(
                "There is no {one} {key}: a message with this key was received and rejected. Why, the right \
                 letters lets one see."
            ),
        ),
        Miss::Rejected { latest, earlier } => {
            let href = |id: Position| format!("/api/v1/dead-letters/{id}");
            let problem = not_found(
                "rejected",
                format!(
                    "There is no {one} {key}: a message with this key was received and \
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
