//! The gate: every request passes it before anything answers, also the cached orders, which `HotRead` answers before poem is
//! entered. A middleware of poem's would leave those open. Called by the server alone, with the head of each request; what
//! it lets through carries a `Principal`, which the handlers are handed.
//!
//! Its invariant: nothing of ours answers before it, and nothing behind it asks again who it is; tests/it/gate.rs asks every
//! route there is. hyper itself answers a client that does not speak HTTP (400, 431).

mod attempts;
mod cookie;
mod cors;
mod forwarded;
mod host;
mod limits;
mod may;
mod oidc;
mod reload;
mod site;
mod table;
mod who;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::Request;
use poem::http::header::{ALLOW, HeaderMap, RETRY_AFTER};
use poem::http::{HeaderName, HeaderValue, StatusCode};
use poem::{IntoResponse, Response};
use tokio_util::task::AbortOnDropHandle;

use super::problem::Problem;
use super::tls::Tls;
use super::{Config, headers};
use crate::access::oidc::NotProven;
use crate::access::{Certificate, NotKnown, Principal, Proof};
use crate::audit::{Audit, Entry, What};
use crate::telemetry::Metrics;

pub use cookie::{begun, is_short_enough};
pub use cors::Named as CorsOrigin;
pub use host::{InvalidPublicUrl, PublicUrl};
pub use limits::{InvalidLimit, Limit, LimitsConfig, UnderWay};

use attempts::Attempts;
use cors::Cors;
use forwarded::Proxies;
use host::Names;
use limits::Limits;
use table::Found;
use who::{Who, Why};

/// Why a request was refused, as the metrics name it, and what it is told.
pub struct Refused {
    pub why: &'static str,
    problem: Problem,
    /// Who was refused, if that is known.
    who: Option<Principal>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refused {
    fn new(status: StatusCode, why: &'static str, detail: impl Into<String>) -> Self {
        Self {
            why,
            problem: Problem::new(status, why, detail),
            who: None,
            headers: Vec::new(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Who is at the other end of a connection.
pub struct Peer {
    pub address: SocketAddr,
    /// What was shown, and believed, in the handshake.
    pub certificate: Option<Certificate>,
}

pub struct Gate {
    names: Names,
    cors: Cors,
    who: Who,
    attempts: Attempts,
    limits: Arc<Limits>,
    proxies: Proxies,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
    audit: Audit,
}

impl Gate {
    pub fn new(config: &Config, metrics: Arc<Metrics>, audit: Audit) -> Self {
        if config.is_open() {
            tracing::warn!(
                address = %config.listen,
                "{} is open (--insecure-listen): whoever reaches it can read and decide everything",
                config.listen
            );
        }
        Self {
            names: Names::new(
                config.listen,
                config.public_urls.clone(),
                config.tls.is_some(),
            ),
            cors: Cors::new(config.cors_origins.clone()),
            who: Who::new(
                config.listen.ip().is_loopback(),
                config.tokens.clone(),
                config.oidc.clone(),
            ),
            attempts: Attempts::default(),
            limits: Arc::new(Limits::new(config.limits)),
            proxies: Proxies::new(config.trusted_proxies.clone()),
            tls: config.tls.clone(),
            metrics,
            audit,
        }
    }

    /// Reads again who is known, and the service's own certificate, asks the issuer for its keys, and forgets who asked long
    /// ago, until it is dropped.
    pub fn watch(&self) -> Vec<AbortOnDropHandle<()>> {
        let mut watching = vec![tokio::spawn(self.limits.clone().forget())];
        if let Some(tokens) = self.who.tokens().cloned() {
            let well = self.metrics.tokens_file_well.clone();
            let look = move || tokens.look();
            watching.push(tokio::spawn(reload::watch("tokens file", well, look)));
        }
        if let Some(tls) = self.tls.clone() {
            let well = self.metrics.tls_files_well.clone();
            let look = move || tls.look();
            watching.push(tokio::spawn(reload::watch("TLS certificate", well, look)));
        }
        if let Some(oidc) = self.who.oidc().cloned() {
            watching.push(tokio::spawn(oidc::watch(oidc, self.metrics.clone())));
        }
        watching.into_iter().map(AbortOnDropHandle::new).collect()
    }

    /// Of a connection there were no requests: TLS was never spoken.
    pub fn no_handshake(&self) {
        self.metrics.tls_handshakes_failed.inc();
    }

    /// Whether nobody can be known who shows no certificate.
    pub fn needs_certificates(&self) -> bool {
        self.who.needs_certificates()
    }

    /// How connections are made secret, if the service does it itself.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Whether this address is a proxy's that was named.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.trusts(address)
    }

    /// From where a request comes: from behind a proxy, if a trusted one says so. What others say of it is taken away.
    pub fn client<B>(&self, request: &mut Request<B>, peer: &Peer) -> IpAddr {
        let peer = peer.address.ip();
        self.proxies.strip(request, peer);
        self.proxies.client(request.headers(), peer)
    }

    /// Who asks, who may; or why not. With what is to be held until the answer is sent. It changes nothing.
    pub async fn admit<B>(
        &self,
        request: &Request<B>,
        peer: &Peer,
        from: IpAddr,
    ) -> Result<(Principal, Option<UnderWay>), Refused> {
        self.names.check(request)?;
        let path = request.uri().path();
        let found = table::find(request.method(), path);
        let certificate = peer.certificate.as_ref();
        let asks = self
            .who
            .find(request, &self.names, &self.cors, certificate)
            .await?;
        let under_way = self.limits.check(request, &asks.principal, from)?;
        match (may::check(&found, path, &asks), asks.not_known) {
            (Ok(()), _) => {
                let principal = asks.principal;
                if principal.proof().is_proven() {
                    let (name, proof) = (principal.name(), principal.proof().as_str());
                    self.audit.seen(name, proof, from);
                }
                Ok((principal, under_way))
            }
            (Err(_), Some(Why::Jwt(NotProven::Away(why)))) => Err(oidc::away(&why)),
            (Err(_), Some(why)) => Err(self.not_known(&why, None, from)),
            (Err(mut refused), None) => {
                refused.who = Some(asks.principal);
                Err(refused)
            }
        }
    }

    /// Which methods a path takes, and what a script of another origin may send: it tells nothing that /docs does not, so
    /// whoever may talk to us at all is told.
    pub fn options<B>(&self, request: &Request<B>) -> Result<Response, Refused> {
        self.names.check(request)?;
        if self.cors.named(request).is_none() {
            site::check(request, &self.names)?;
        }
        let Found::OtherMethods(methods) = table::find(request.method(), request.uri().path())
        else {
            return Err(may::nowhere());
        };
        let allowed = may::allowed(&methods);
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        if cors::is_preflight(request) {
            cors::answer_preflight(headers, &allowed);
        }
        headers.insert(ALLOW, allowed);
        Ok(response)
    }

    /// What to tell the browser about the answer, if a page of another origin asks.
    pub fn origin<B>(&self, request: &Request<B>) -> Option<HeaderValue> {
        self.cors.named(request)
    }

    /// The last word about every answer.
    pub fn guard(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>, over_tls: bool) {
        headers::guard(headers, over_tls);
        self.cors.allow(headers, origin);
    }

    /// Whether it is known that whoever asks speaks TLS, to us or to a proxy before us.
    pub fn is_over_tls(&self, headers: &HeaderMap) -> bool {
        self.names.is_over_tls(headers) || self.proxies.says_tls(headers)
    }

    /// Who has this token, if it is that name's.
    pub fn sign_in(
        &self,
        name: &str,
        token: &str,
        from: Option<SocketAddr>,
    ) -> Result<Principal, Refused> {
        let address = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip());
        let found = match self.who.tokens() {
            None => Ok(self.who.otherwise().clone()),
            Some(tokens) => tokens
                .find(token)
                .and_then(|found| match found.name() == name {
                    true => Ok(found),
                    false => Err(NotKnown::Unknown),
                }),
        };
        let counted = |result| self.metrics.sign_ins.with_label_values(&[result]).inc();
        match found {
            Ok(principal) => {
                counted("done");
                self.note_sign_in(What::SignedIn, name, principal.proof(), address);
                tracing::info!(name, %address, "{name:?} signed in, from {address}");
                Ok(principal)
            }
            Err(why) => {
                // Pasted into the wrong field, a token would stand in the log.
                let typed = match name.contains("wb_") || name.starts_with("eyJ") {
                    true => "(a token)",
                    false => name,
                };
                counted("failed");
                self.note_sign_in(What::SignInFailed, typed, Proof::Nobody, address);
                Err(self.not_known(&why.into(), Some(typed), address))
            }
        }
    }

    /// Puts on record that a request was refused.
    pub fn refused<B>(&self, request: &Request<B>, refused: &Refused, from: IpAddr) {
        self.metrics.refused.with_label_values(&[refused.why]).inc();
        // Nor who is only told to come later: under a flood that is each path that there is.
        let of_no_interest = [
            "not-found",
            "method-not-allowed",
            "too-many-requests",
            "too-many-at-once",
        ];
        if of_no_interest.contains(&refused.why) {
            return;
        }
        // Not the query: it may be anything, and each would be an entry of its own.
        let detail = format!(
            "{}: {} {}",
            refused.why,
            request.method(),
            request.uri().path()
        );
        let (who, proof) = match &refused.who {
            Some(who) => (who.name(), who.proof().as_str()),
            None => ("", Proof::Nobody.as_str()),
        };
        let address = from.to_canonical().to_string();
        self.audit
            .note(Entry::new(What::Refused, who, proof, &address, &detail));
    }

    /// For a browser to keep `token`, as long as it counts; to forget it, if there is no principal.
    pub fn cookie(
        &self,
        headers: &HeaderMap,
        token: &str,
        principal: Option<&Principal>,
    ) -> Option<HeaderValue> {
        let life = match principal {
            None => std::time::Duration::ZERO,
            Some(principal) => principal.lives_for(cookie::LONGEST_LIFE),
        };
        cookie::set(token, life, self.is_over_tls(headers))
    }

    pub fn signed_out(&self, principal: &Principal, from: Option<SocketAddr>) {
        let address = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip());
        if principal.is_somebody() {
            self.note_sign_in(
                What::SignedOut,
                principal.name(),
                principal.proof(),
                address,
            );
        }
    }

    fn note_sign_in(&self, what: What, name: &str, proof: Proof, address: IpAddr) {
        let address = address.to_canonical().to_string();
        self.audit
            .note(Entry::new(what, name, proof.as_str(), &address, ""));
    }

    /// What was shown proves nothing: told and logged, or slowed where it came too often.
    fn not_known(&self, why: &Why, name: Option<&str>, address: IpAddr) -> Refused {
        let said = name.map_or(String::new(), |name| {
            format!(" as {:?}", name.chars().take(100).collect::<String>())
        });
        match self.attempts.failed(address, name) {
            Ok(()) => {
                tracing::warn!(%address, "from {address}{said}: {why}");
                may::unauthenticated(format!("It is not known who asks: {why}."))
            }
            Err(wait) => {
                let seconds = wait.as_secs() + 1;
                let mut refused = Refused::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "slowed",
                    format!(
                        "Too many tokens that are not known came from here{said}. Try again in {seconds} s; one that is right is taken at once."
                    ),
                );
                refused.headers.push((RETRY_AFTER, seconds.into()));
                refused
            }
        }
    }
}
