//! How much one may ask for: requests a second, messages a second, and how many exports and searches at a time. Whoever is
//! proven is counted by name, so that many may come from one address; all others by their address. `local` is not counted.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use hyper::Request;
use poem::http::header::RETRY_AFTER;
use poem::http::{HeaderName, HeaderValue, Method, StatusCode};

use super::Refused;
use super::attempts::network;
use crate::access::{Principal, Proof};
use crate::api::path;

/// How often those are forgotten who could ask for as much as a newcomer.
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// So many a second, and so many at once after a pause: `100/s`, `100/s:500`. Without a burst it is two seconds' worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

/// A rate, or none: `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(Option<Rate>);

#[derive(Debug, thiserror::Error)]
#[error("a limit is off, or looks like 100/s, or like 100/s:500 with what may come at once")]
pub struct InvalidLimit;

impl FromStr for Limit {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        if text == "off" {
            return Ok(Self(None));
        }
        let number = |text: &str| text.parse::<NonZeroU32>().map_err(|_| InvalidLimit);
        let (rate, burst) = text.split_once("/s").ok_or(InvalidLimit)?;
        let per_second = number(rate)?;
        let burst = match burst.strip_prefix(':') {
            Some(burst) => number(burst)?,
            None if burst.is_empty() => per_second.saturating_add(per_second.get()),
            None => return Err(InvalidLimit),
        };
        // governor counts in nanoseconds.
        match per_second.get() <= 1_000_000 {
            true => Ok(Self(Some(Rate { per_second, burst }))),
            false => Err(InvalidLimit),
        }
    }
}

/// As `serve` is told.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    pub requests: Limit,
    pub publishing: Limit,
    /// Exports and searches by text that one may have under way.
    pub at_once: u32,
}

type Keyed =
    RateLimiter<u64, DashMapStateStore<u64>, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

struct Limiter {
    /// As RateLimit-Policy names it.
    name: &'static str,
    what: &'static str,
    rate: Rate,
    keyed: Keyed,
}

impl Limiter {
    fn new(name: &'static str, what: &'static str, limit: Limit) -> Option<Self> {
        let rate = limit.0?;
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let keyed = RateLimiter::new(quota, DashMapStateStore::default(), MonotonicClock);
        Some(Self {
            name,
            what,
            rate,
            keyed,
        })
    }

    fn check(&self, key: u64) -> Result<(), Refused> {
        self.keyed.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(MonotonicClock.now());
            let seconds = wait.as_secs() + 1;
            let Rate { per_second, burst } = self.rate;
            // Over the window the quota comes back as a whole.
            let window = burst.get().div_ceil(per_second.get());
            let name = self.name;
            let mut refused = Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                format!(
                    "Too many {}: {per_second} a second are taken, and {burst} at once after a pause. Try again in {seconds} s.",
                    self.what
                ),
            );
            refused.headers = [
                (RETRY_AFTER, seconds.to_string()),
                (
                    HeaderName::from_static("ratelimit-policy"),
                    format!("\"{name}\";q={burst};w={window}"),
                ),
                (
                    HeaderName::from_static("ratelimit"),
                    format!("\"{name}\";r=0;t={seconds}"),
                ),
            ]
            .into_iter()
            .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
            .collect();
            refused
        })
    }
}

pub struct Limits {
    requests: Option<Limiter>,
    publishing: Option<Limiter>,
    at_once: u32,
    under_way: Arc<Mutex<HashMap<u64, u32>>>,
    keys: RandomState,
}

impl Limits {
    pub fn new(config: LimitsConfig) -> Self {
        Self {
            requests: Limiter::new("requests", "requests", config.requests),
            publishing: Limiter::new("publishing", "messages", config.publishing),
            at_once: config.at_once,
            under_way: Arc::default(),
            keys: RandomState::new(),
        }
    }

    /// Whether this request may be looked at; and what to hold until it is answered.
    pub fn check<B>(
        &self,
        request: &Request<B>,
        principal: &Principal,
        address: IpAddr,
    ) -> Result<Option<UnderWay>, Refused> {
        if principal.proof() == Proof::Local {
            return Ok(None);
        }
        let key = match principal.proof().is_proven() {
            true => self
                .keys
                .hash_one((principal.proof().as_str(), principal.name())),
            false => self.keys.hash_one(("address", network(address))),
        };
        let is_message =
            request.method() == Method::POST && path::collection(request.uri().path()).is_some();
        let limiter = match is_message {
            true => &self.publishing,
            false => &self.requests,
        };
        if let Some(limiter) = limiter {
            limiter.check(key)?;
        }
        match is_heavy(request) {
            true => self.begin(key).map(Some),
            false => Ok(None),
        }
    }

    fn begin(&self, key: u64) -> Result<UnderWay, Refused> {
        let mut all = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(key).or_insert(0);
        if *count >= self.at_once {
            let mut refused = Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-at-once",
                format!(
                    "{} exports and searches by text are under way, and that is the most at a time. Try again when one has ended.",
                    self.at_once
                ),
            );
            refused
                .headers
                .push((RETRY_AFTER, HeaderValue::from_static("1")));
            return Err(refused);
        }
        *count += 1;
        let all = self.under_way.clone();
        Ok(UnderWay { all, key })
    }

    /// Forgets who has not asked for a while; for ever.
    pub async fn forget(self: Arc<Self>) {
        let mut tick = tokio::time::interval(FORGET_EVERY);
        loop {
            tick.tick().await;
            for limiter in self.requests.iter().chain(&self.publishing) {
                limiter.keyed.retain_recent();
            }
        }
    }
}

/// What reads much of the database for one answer.
fn is_heavy<B>(request: &Request<B>) -> bool {
    match request.uri().path() {
        path if path.starts_with("/api/v1/collections/") => path.ends_with("/export"),
        "/api/v1/dead-letters/export" => true,
        "/api/v1/dead-letters" | "/api/v1/dead-letter-groups" => {
            let query = request.uri().query().unwrap_or_default();
            query.split('&').any(|part| part.starts_with("text="))
        }
        _ => false,
    }
}

/// Counted until it is dropped: with the last byte of the answer.
pub struct UnderWay {
    all: Arc<Mutex<HashMap<u64, u32>>>,
    key: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Grant;

    fn limits(requests: &str, at_once: u32) -> Limits {
        Limits::new(LimitsConfig {
            requests: requests.parse().unwrap(),
            publishing: "2/s:2".parse().unwrap(),
            at_once,
        })
    }

    fn named(name: &str) -> Principal {
        Principal::new(name, Grant::everything(), Proof::Token, None)
    }

    fn get(path: &str) -> Request<()> {
        Request::builder().uri(path).body(()).unwrap()
    }

    #[test]
    fn a_limit_is_read_as_it_is_written() {
        let limit = |text: &str| text.parse::<Limit>().map(|limit| limit.0);
        let rate = |per_second, burst| {
            let (per_second, burst) = (NonZeroU32::new(per_second), NonZeroU32::new(burst));
            Some(Rate {
                per_second: per_second.unwrap(),
                burst: burst.unwrap(),
            })
        };
        assert_eq!(limit("off").unwrap(), None);
        assert_eq!(limit("100/s").unwrap(), rate(100, 200));
        assert_eq!(limit("100/s:5").unwrap(), rate(100, 5));
        for text in [
            "",
            "100",
            "0/s",
            "1/s:0",
            "1/s:",
            "1/m",
            "-1/s",
            "9999999/s",
        ] {
            assert!(limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_has_a_budget_of_his_own_and_messages_have_another() {
        let limits = limits("1/s:3", 1);
        let (here, there) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let nobody = Principal::nobody();
        let ask = |who: &Principal, from| limits.check(&get("/api/v1/orders"), who, from);
        for (who, from, other) in [(&nobody, here, there), (&named("ada"), here, here)] {
            for _ in 0..3 {
                assert!(ask(who, from).is_ok());
            }
            let refused = ask(who, from).err().unwrap();
            let header = |wanted: &str| {
                let mut headers = refused.headers.iter();
                let found = headers.find(|(name, _)| name.as_str() == wanted);
                found.unwrap().1.to_str().unwrap().to_owned()
            };
            assert_eq!(header("ratelimit-policy"), "\"requests\";q=3;w=3");
            assert_eq!(header("ratelimit"), "\"requests\";r=0;t=1");
            assert_eq!(header("retry-after"), "1");
            // A name is counted wherever it comes from, an address whoever says he is there.
            assert_eq!(ask(who, there).is_ok(), other != here);
        }
        assert!(ask(&named("bob"), here).is_ok());
        let local = Principal::everybody(Proof::Local);
        assert!((0..100).all(|_| ask(&local, here).is_ok()));
        let message = Request::post("/api/v1/orders").body(()).unwrap();
        let publish = || limits.check(&message, &named("ada"), here);
        assert!(publish().is_ok() && publish().is_ok() && publish().is_err());
    }

    #[test]
    fn so_many_exports_are_under_way_and_no_more() {
        let limits = limits("off", 2);
        let from = "10.0.0.1".parse().unwrap();
        let ask = |path, name| limits.check(&get(path), &named(name), from);
        let first = ask("/api/v1/collections/orders/export", "ada")
            .ok()
            .unwrap();
        let second = ask("/api/v1/dead-letters?state=open&text=x", "ada")
            .ok()
            .unwrap();
        assert!(first.is_some() && second.is_some());
        assert!(ask("/api/v1/dead-letters/export", "ada").is_err());
        assert!(
            ask("/api/v1/dead-letters?state=open", "ada")
                .is_ok_and(|under_way| under_way.is_none())
        );
        assert!(ask("/api/v1/collections/orders/export", "bob").is_ok());
        drop(first);
        assert!(ask("/api/v1/dead-letters/export", "ada").is_ok());
        drop(second);
        assert!(limits.under_way.lock().unwrap().is_empty());
    }
}
