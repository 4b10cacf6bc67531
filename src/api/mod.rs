//! HTTP: everything under /api/v1, health, metrics, docs and pages at the root. One file for each noun. It reads cache,
//! stores and inbox, and appends decisions to the log; it never writes a table of state. Every error is a problem+json.

mod account;
mod asker;
mod assets;
mod audit;
mod body;
mod collections;
mod csv;
mod dead_letters;
mod decide;
mod described;
mod documents;
mod examples;
mod export;
mod gate;
mod gone;
mod headers;
mod health;
mod inbox;
mod me;
mod operations;
mod parameters;
mod path;
mod principal;
mod problem;
mod query;
mod raw;
mod server;
mod session;
mod sign_in;
mod stream;
mod times;
mod tls;
mod trend;
mod xlsx;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::{Endpoint, EndpointExt, IntoEndpoint, Route, get};
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, OpenApiService};
use tokio::sync::{Notify, watch};

use self::parameters::Parameters;
use crate::access::TokenFile;
use crate::access::oidc::Oidc;
use crate::account::Patience;
use crate::audit::Audit;
use crate::cache::Cache;
use crate::collection::Id;
use crate::inbox::{Inbox, Position, SourceId};
use crate::postgres::Database;
use crate::projection::InForce;
use crate::source;
use crate::telemetry::Metrics;

pub use documents::Documents;
pub use gate::{CorsOrigin, Gate, InvalidLimit, InvalidPublicUrl, Limit, LimitsConfig, PublicUrl};
pub use server::{listen, serve};
pub use tls::{Tls, TlsFiles};

#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// Under which addresses browsers reach it, where that is not `listen`.
    pub public_urls: Vec<PublicUrl>,
    /// Pages of which other origins may ask.
    pub cors_origins: Vec<CorsOrigin>,
    /// Who is known, and what each may do. None: nobody is asked.
    pub tokens: Option<Arc<TokenFile>>,
    /// How connections are made secret, if the service does it itself.
    pub tls: Option<Arc<Tls>>,
    /// Proxies whose word about who is behind them counts.
    pub trusted_proxies: Vec<IpNet>,
    pub limits: LimitsConfig,
    /// Whose JWTs count, beside tokens.
    pub oidc: Option<Arc<Oidc>>,
    pub max_body_bytes: usize,
}

impl Config {
    /// Whether whoever reaches the port may do everything.
    pub fn is_open(&self) -> bool {
        !self.listen.ip().is_loopback() && self.tokens.is_none()
    }
}

/// What the rooms behind hand to the nouns; each takes what it needs.
#[derive(Clone)]
pub struct Dependencies {
    pub database: Database,
    pub inbox: Inbox,
    pub cache: Arc<Cache>,
    pub metrics: Arc<Metrics>,
    pub audit: Audit,
    pub operator: SourceId,
    pub projected: watch::Receiver<Position>,
    pub in_force: watch::Receiver<Arc<InForce>>,
    pub broker: Option<Broker>,
    pub patience: Arc<Patience>,
    /// True from the moment a stop was asked for.
    pub stopping: watch::Receiver<bool>,
    /// To be told when an operation is to begin or to go on.
    pub asked: Arc<Notify>,
}

impl Dependencies {
    /// The collections whose letters count: those in force, and none.
    pub fn letter_ids(&self) -> Vec<i64> {
        let in_force = self.in_force.borrow();
        let ids = in_force.iter().map(|defined| defined.id.0);
        ids.chain([Id::NONE.0]).collect()
    }
}

/// What asks the broker's monitoring. Plain HTTP needs no certificates, so a system that has none is no reason to fail.
fn monitoring_client() -> reqwest::Client {
    let builder = || reqwest::Client::builder().no_proxy();
    builder().build().unwrap_or_else(|error| {
        tracing::warn!(%error, "no root certificates: the broker's monitoring is asked over plain HTTP alone");
        builder()
            .tls_certs_only([])
            .build()
            .expect("a client that trusts no certificate reads none")
    })
}

/// What is known of the broker.
#[derive(Clone)]
pub struct Broker {
    pub config: source::Config,
    pub source: SourceId,
    pub status: watch::Receiver<source::Status>,
}

type Nouns = (
    dead_letters::DeadLetters,
    dead_letters::Decisions,
    export::Exports,
    inbox::InboxApi,
    collections::Collections,
    operations::Requests,
    operations::Operations,
    account::Account,
    stream::Live,
    trend::Trends,
    me::MeApi,
    session::Sessions,
    audit::AuditApi,
);

fn service<T: OpenApi>(nouns: T) -> OpenApiService<T, ()> {
    OpenApiService::new(nouns, "Waybill", env!("CARGO_PKG_VERSION"))
        .description(
            "A durable inbox for messages that must not be lost. Every message is in the inbox before anything looks inside it; a bad one \
             becomes a dead letter, and stays findable until somebody has brought it home. Every error is a \
             problem+json (RFC 9457); lists are pages by key: pass `next` as `after`.",
        )
        .server("/api/v1")
}

/// The nouns without what they work with: enough to describe them.
struct Described;

impl OpenApi for Described {
    fn meta() -> Vec<MetaApi> {
        Nouns::meta()
    }

    fn register(registry: &mut Registry) {
        Nouns::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

/// The specification, as committed under openapi/: that of a database with what it begins with.
pub fn specification() -> String {
    let spec = service(Described).spec();
    let mut text = described::described(&spec, &InForce::default());
    text.push('\n');
    text
}

/// The whole of HTTP as one endpoint.
pub fn routes(config: &Config, deps: &Dependencies, gate: Arc<Gate>) -> BoxEndpoint<'static> {
    let exports = export::Exports::new(deps);
    let service = service((
        dead_letters::DeadLetters::new(deps),
        dead_letters::Decisions::new(deps, config.max_body_bytes),
        exports.clone(),
        inbox::InboxApi::new(deps),
        collections::Collections::new(deps, config.max_body_bytes),
        operations::Requests::new(deps),
        operations::Operations::new(deps),
        account::Account::new(deps),
        stream::Live::new(deps),
        trend::Trends::new(deps),
        me::MeApi,
        session::Sessions(gate.clone()),
        audit::AuditApi::new(deps),
    ));
    let specification = described::Specification::new(service.spec(), deps.in_force.clone());
    let docs = assets::Docs::new(&service.swagger_ui_html(), config.is_open());
    let service: Arc<BoxEndpoint<'static>> = Arc::new(service.into_endpoint().boxed());
    let documents = documents::Documents::new(deps, config.max_body_bytes);
    let documents = Arc::new(get(documents.clone()).post(documents));
    let parameters = Arc::new(Parameters::new("/api/v1", Nouns::meta()));
    let page = assets::Page::new(config.is_open());
    let pages = assets::PAGES.iter().fold(Route::new(), |routes, path| {
        routes.at(path, get(page.clone()))
    });
    pages
        .at("/favicon.ico", get(assets::Page::icon()))
        .at("/ui/*path", get(assets::Assets::new()))
        .at(sign_in::PATH, get(sign_in::Begin(gate.clone())))
        .at(sign_in::CALLBACK, get(sign_in::Callback(gate)))
        .at("/docs", get(docs))
        .at("/openapi.json", get(specification))
        .at("/healthz/live", get(health::live))
        .at(
            "/healthz/ready",
            get(health::Ready::new(deps, config.oidc.clone())),
        )
        .at("/metrics", get(health::MetricsPage::new(deps)))
        .at(
            "/api/v1/collections/:name/export",
            get(export::OfDocuments::new(exports.clone())),
        )
        .nest("/api/v1", service)
        .around(move |routes, request| {
            let documents = documents.clone();
            async move {
                match path::collection(request.uri().path()) {
                    Some(_) => documents.call(request).await,
                    None => routes.call(request).await,
                }
            }
        })
        .around(move |routes, request| assets::or_page(routes, request, page.clone()))
        .around(move |routes, request| {
            let parameters = parameters.clone();
            async move {
                gone::check(&request)?;
                parameters.checked(&*routes, request).await
            }
        })
        .catch_all_error(problem::answer)
        .map_to_response()
        .boxed()
}
