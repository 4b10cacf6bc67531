//! Pages of other origins that the operator has named (--cors-origin): their scripts may ask, with a token that they show. Never
//! with our cookie: that one is for pages of our own.

use std::str::FromStr;

use hyper::Request;
use poem::http::HeaderValue;
use poem::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, ORIGIN, VARY,
};

use super::host::PublicUrl;

/// What a script may send beside what every script may.
const TAKEN: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id",
);
/// What a script may read of an answer beside what every script may.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "etag, location, retry-after, ratelimit, ratelimit-policy, content-disposition, www-authenticate, allow",
);
/// How long a browser need not ask again, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// An origin as a browser writes it: `https://desk.example`, `http://localhost:3000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(HeaderValue);

#[derive(Debug, thiserror::Error)]
#[error(
    "an origin looks like https://desk.example.com, with no path; each is named, * is not taken"
)]
pub struct InvalidOrigin;

impl FromStr for Named {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let url: PublicUrl = text.parse().map_err(|_| InvalidOrigin)?;
        let origin = HeaderValue::from_str(url.origin()).map_err(|_| InvalidOrigin)?;
        Ok(Self(origin))
    }
}

pub struct Cors(Vec<Named>);

impl Cors {
    pub fn new(origins: Vec<Named>) -> Self {
        Self(origins)
    }

    /// The origin that asks, if it is one of those that were named, and says no other beside it.
    pub fn named<B>(&self, request: &Request<B>) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let mut origins = request.headers().get_all(ORIGIN).into_iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        let named = self.0.iter().find(|named| named.0 == origin)?;
        Some(named.0.clone())
    }

    /// Every answer depends on who asks, as soon as any origin is named.
    pub fn allow(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if self.0.is_empty() {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
        }
    }
}

/// Whether a browser asks on behalf of a script what that may send.
pub fn is_preflight<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What the answer to such a question says beside the origin.
pub fn answer_preflight(headers: &mut HeaderMap, methods: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, TAKEN);
    headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
}
