//! Health and metrics, at the root. An outage of Postgres or broker shows as degraded, and takes no replica away from its
//! readers: cached orders still answer.

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::http::header::CONTENT_TYPE;
use poem::{Endpoint, Request, Response, handler};

use super::principal::principal;
use super::{Dependencies, account};
use crate::access::oidc::Oidc;

#[handler]
pub fn live() -> Response {
    json(StatusCode::OK, &serde_json::json!({"status": "live"}))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string())
}

pub struct Ready {
    deps: Dependencies,
    oidc: Option<Arc<Oidc>>,
}

impl Ready {
    pub fn new(deps: &Dependencies, oidc: Option<Arc<Oidc>>) -> Self {
        Self {
            deps: deps.clone(),
            oidc,
        }
    }
}

impl Endpoint for Ready {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let told = principal(&request)?.is_somebody();
        let deps = &self.deps;
        let stopping = *deps.stopping.borrow();
        let warm = deps.cache.is_warm();
        let database = deps.inbox.is_healthy();
        let broker = deps
            .broker
            .as_ref()
            .map(|broker| broker.status.borrow().clone());
        let issuer = self.oidc.as_ref().map(|oidc| oidc.is_well());
        let degraded = !database
            || broker.as_ref().is_some_and(|status| !status.connected)
            || issuer == Some(false);
        let status = match (stopping, warm, degraded) {
            (true, ..) => "stopping",
            (_, false, _) => "warming",
            (_, _, true) => "degraded",
            _ => "ready",
        };
        let code = if warm && !stopping {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let body = serde_json::json!({
            "status": status,
            "postgres": if database { "connected" } else { "away" },
            "broker": match &broker {
                None => "none",
                Some(status) if status.connected => "connected",
                Some(_) => "away",
            },
            // Who says who people are.
            "issuer": match issuer {
                None => "none",
                Some(true) => "connected",
                Some(false) => "away",
            },
            // It may name hosts: not for strangers.
            "broker_problem": broker.and_then(|status| status.problem).filter(|_| told),
            "cache": if warm { "warm" } else { "warming" },
        });
        Ok(json(code, &body))
    }
}

pub struct MetricsPage {
    deps: Dependencies,
    http: reqwest::Client,
    /// One look at the database at a time, however many scrape.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl MetricsPage {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            deps: deps.clone(),
            http: super::monitoring_client(),
            looking: Arc::default(),
        }
    }
}

impl Endpoint for MetricsPage {
    type Output = Response;

    async fn call(&self, _: Request) -> poem::Result<Response> {
        let look = async {
            let _one = self.looking.lock().await;
            account::observe(&self.deps.database, &self.deps, &self.http).await
        };
        // In an outage the last known values are still worth having.
        if !matches!(
            tokio::time::timeout(Duration::from_secs(3), look).await,
            Ok(Ok(()))
        ) {
            tracing::debug!("metrics from the database could not be refreshed");
        }
        Ok(Response::builder()
            .header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
            .body(self.deps.metrics.render()))
    }
}
