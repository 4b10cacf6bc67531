//! Asking for long work: a decision about a whole set, a replay.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::http::header::{CONTENT_TYPE, LOCATION};
use poem::{IntoResponse, Response};
use poem_openapi::param::Header;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;
use tokio::sync::{Notify, watch};

use super::bulk::BulkBody;
use super::view::OperationView;
use crate::access::Principal;
use crate::api::Dependencies;
use crate::api::asker::Asker;
use crate::api::body::{Strict, given};
use crate::api::principal::{narrowed, sees_all};
use crate::api::problem::Problem;
use crate::operation::{self, Error, Kind};
use crate::postgres::Database;
use crate::projection::InForce;

pub struct Requests {
    database: Database,
    asked: Arc<Notify>,
    in_force: watch::Receiver<Arc<InForce>>,
}

/// 202 with the operation; 200 where the same key had asked for it before.
pub struct Started {
    operation: OperationView,
    new: bool,
}

impl Started {
    pub fn new((operation, new): (operation::Operation, bool)) -> Self {
        Self {
            operation: operation.into(),
            new,
        }
    }
}

impl IntoResponse for Started {
    fn into_response(self) -> Response {
        let status = if self.new {
            StatusCode::ACCEPTED
        } else {
            StatusCode::OK
        };
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "application/json")
            .header(
                LOCATION,
                format!("/api/v1/operations/{}", self.operation.id),
            )
            .body(self.operation.to_json_string())
    }
}

impl ApiResponse for Started {
    fn meta() -> MetaResponses {
        let answer = |status, description| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: OperationView::schema_ref(),
            }],
            headers: vec![],
        };
        MetaResponses {
            responses: vec![
                answer(202, "Asked for; its address is in Location"),
                answer(200, "Asked for before, with the same Idempotency-Key"),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        OperationView::register(registry);
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Postgres(error) => error.into(),
            Error::Inbox(error) => error.into(),
            Error::NotFound => Self::not_found("There is no such operation."),
            Error::WrongState(state) => Self::new(
                StatusCode::CONFLICT,
                "wrong-state",
                format!("The operation is {state}: this can no longer be done with it."),
            ),
            Error::ReplayRunning(id) => Self::new(
                StatusCode::CONFLICT,
                "replay-running",
                format!("A replay is under way already: operation {id}. One at a time."),
            )
            .link("operation", format!("/api/v1/operations/{id}")),
            Error::KeyTaken(id) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "key-taken",
                format!("This Idempotency-Key was used for operation {id}, which asks for something else. Take a new key."),
            )
            .link("operation", format!("/api/v1/operations/{id}")),
            other => {
                tracing::error!(error = %other, "an operation could not be asked for: {other}");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong inside; it is in the service's log.")
            }
        }
    }
}

/// Who asks, and why.
#[derive(Object, Default, Deserialize)]
#[oai(default, deny_unknown_fields, example)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayBody {
    #[oai(rename = "as")]
    #[serde(rename = "as", deserialize_with = "given")]
    who: String,
    #[serde(deserialize_with = "given")]
    reason: String,
}

impl Requests {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
            asked: deps.asked.clone(),
            in_force: deps.in_force.clone(),
        }
    }
}

#[OpenApi]
impl Requests {
    /// Decide about a whole set of dead letters
    ///
    /// The set is frozen now; one of more than 50,000 letters is listed in the background before the operation begins, and
    /// letters that come later are not in it. A dry run judges again and decides nothing. The operation survives a restart,
    /// can be paused and cancelled, and an Idempotency-Key makes a repeated request harmless.
    #[oai(
        path = "/dead-letters/batch",
        method = "post",
        operation_id = "batchDeadLetters"
    )]
    async fn batch(
        &self,
        principal: Principal,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Strict<BulkBody>,
    ) -> Result<Started, Problem> {
        let (mut request, asker) = body.0.request(&principal, key.0)?;
        request.filter = narrowed(request.filter, &principal, &self.in_force.borrow());
        let session = self.database.session("bulk").await?;
        let operation = operation::ask_bulk(&session, &request, asker.asked()).await?;
        self.asked.notify_one();
        Ok(Started::new(operation))
    }

    /// Fold the log again
    ///
    /// Into shadow tables, while the service goes on; then they become the tables, at once. For rebuilding alone: what a
    /// new definition asks for is done by itself. No fate changes. One at a time.
    #[oai(path = "/replays", method = "post", operation_id = "startReplay")]
    async fn replay(
        &self,
        principal: Principal,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Strict<Option<ReplayBody>>,
    ) -> Result<Started, Problem> {
        if !sees_all(&principal, &self.in_force.borrow()) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "A replay is about all collections, and the token is narrowed to some.",
            ));
        }
        let body = body.0.unwrap_or_default();
        let asker = Asker::new(&principal, Some(body.who), Some(body.reason), key.0)?;
        let reader = self.database.reader().await?;
        let nothing = serde_json::json!({});
        let operation = operation::ask(&reader, Kind::Replay, &nothing, asker.asked()).await?;
        self.asked.notify_one();
        Ok(Started::new(operation))
    }
}
