//! The gate: every request passes it before anything answers, also the cached orders, which `HotRead` answers before poem is
//! entered. A middleware of poem's would leave those open. Called by the server alone, with the head of each request.
//!
//! Its invariant: nothing of ours answers before it; tests/it/gate.rs asks every route there is. hyper itself answers a
//! client that does not speak HTTP (400, 431).

mod host;
mod site;

use poem::http::StatusCode;

use super::Config;
use super::problem::Problem;

pub use host::{InvalidPublicUrl, PublicUrl};

use host::Names;

/// Why a request was refused, as the metrics name it, and what it is told.
pub struct Refused {
    pub why: &'static str,
    pub problem: Problem,
}

impl Refused {
    fn new(status: StatusCode, why: &'static str, detail: String) -> Self {
        Self {
            why,
            problem: Problem::new(status, why, detail),
        }
    }
}

pub struct Gate {
    names: Names,
}

impl Gate {
    pub fn new(config: &Config) -> Self {
        Self {
            names: Names::new(config.listen, config.public_urls.clone()),
        }
    }

    /// Lets the request through, or says why not. It changes nothing.
    pub fn admit<B>(&self, request: &hyper::Request<B>) -> Result<(), Refused> {
        self.names.check(request)?;
        site::check(request, &self.names)
    }
}
