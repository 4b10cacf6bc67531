//! The gate: every request passes it before anything answers, also the cached orders, which `HotRead` answers before poem is
//! entered. A middleware of poem's would leave those open. Called by the server alone, with the head of each request; what
//! it lets through carries a `Principal`, which the handlers are handed.
//!
//! Its invariant: nothing of ours answers before it, and nothing behind it asks again who it is; tests/it/gate.rs asks every
//! route there is. hyper itself answers a client that does not speak HTTP (400, 431).

mod host;
mod may;
mod reload;
mod site;
mod table;
mod who;

use std::sync::Arc;

use hyper::Request;
use poem::http::{HeaderName, HeaderValue, StatusCode};
use poem::{IntoResponse, Response};
use tokio_util::task::AbortOnDropHandle;

use super::Config;
use super::problem::Problem;
use crate::access::Principal;
use crate::telemetry::Metrics;

pub use host::{InvalidPublicUrl, PublicUrl};

use host::Names;
use who::Who;

/// Why a request was refused, as the metrics name it, and what it is told.
pub struct Refused {
    pub why: &'static str,
    problem: Problem,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refused {
    fn new(status: StatusCode, why: &'static str, detail: impl Into<String>) -> Self {
        Self {
            why,
            problem: Problem::new(status, why, detail),
            header: None,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        response.headers_mut().extend(self.header);
        response
    }
}

pub struct Gate {
    names: Names,
    who: Who,
}

impl Gate {
    pub fn new(config: &Config) -> Self {
        if config.is_open() {
            tracing::warn!(
                address = %config.listen,
                "{} is open (--insecure-listen): whoever reaches it can read and decide everything",
                config.listen
            );
        }
        Self {
            names: Names::new(config.listen, config.public_urls.clone()),
            who: Who::new(config.listen.ip().is_loopback(), config.tokens.clone()),
        }
    }

    /// Reads again who is known, until it is dropped.
    pub fn watch(&self, metrics: Arc<Metrics>) -> Option<AbortOnDropHandle<()>> {
        let tokens = self.who.tokens()?;
        let watching = tokio::spawn(reload::watch(tokens.clone(), metrics));
        Some(AbortOnDropHandle::new(watching))
    }

    /// Who asks, who may; or why not. It changes nothing.
    pub fn admit<B>(&self, request: &Request<B>) -> Result<Principal, Refused> {
        self.names.check(request)?;
        let path = request.uri().path();
        let found = table::find(request.method(), path);
        let asks = self.who.find(request, &self.names)?;
        may::check(&found, path, &asks)?;
        Ok(asks.principal)
    }
}
