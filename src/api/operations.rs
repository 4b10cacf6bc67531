//! Operations: all that runs or ran, and steering it. Asking for one is in `ask`.

mod ask;
mod bulk;
mod view;

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use tokio::sync::Notify;

use self::view::OperationLetter;
use super::problem::Problem;
use super::{Dependencies, times};
use crate::access::{Collections, Principal, Right};
use crate::operation::{self, Error, Owner};
use crate::postgres::{Client, Database};

pub use ask::{ReplayBody, Requests, Started};
pub use bulk::BulkBody;
pub use view::{OperationLetters, OperationPage, OperationView};

pub struct Operations {
    database: Database,
    asked: Arc<Notify>,
}

impl Operations {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
            asked: deps.asked.clone(),
        }
    }
}

/// Who asked for the operations that a principal sees: none for all of them. What they tell is about letters, and quotes them.
fn only(principal: &Principal) -> Option<Owner<'_>> {
    let all = principal.may(Right::Letters) || principal.may(Right::Operate);
    match all && *principal.collections() == Collections::All {
        true => None,
        false => Some(owner(principal)),
    }
}

fn owner(principal: &Principal) -> Owner<'_> {
    Owner {
        name: principal.name(),
        proof: principal.proof().as_str(),
    }
}

/// The operation, if the principal sees it.
async fn seen(
    client: &Client,
    id: i64,
    principal: &Principal,
) -> Result<operation::Operation, Problem> {
    let found = operation::by_id(client, id).await?;
    let seen = found.filter(|found| only(principal).is_none_or(|owner| owner.has(found)));
    seen.ok_or_else(|| Error::NotFound.into())
}

/// It is seen, and is the principal's own, or it may steer others'.
async fn steered(client: &Client, id: i64, principal: &Principal) -> Result<(), Problem> {
    let operation = seen(client, id, principal).await?;
    if owner(principal).has(&operation) || principal.may(Right::Operate) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        format!(
            "Operation {id} was asked for by {}. {} may not steer others' operations: it needs the right operate, and \
             has {}.",
            operation.asked_by,
            principal.name(),
            principal.rights()
        ),
    ))
}

#[OpenApi]
impl Operations {
    /// All that runs or ran, newest first
    #[oai(path = "/operations", method = "get", operation_id = "listOperations")]
    async fn list(
        &self,
        principal: Principal,
        after: Query<Option<String>>,
        limit: Query<Option<i64>>,
    ) -> Result<Json<OperationPage>, Problem> {
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let reader = self.database.reader().await?;
        let mut operations = operation::list(&reader, before, limit + 1, only(&principal)).await?;
        let next = times::next_page(&mut operations, limit, |last| last.id.to_string());
        Ok(Json(OperationPage {
            next,
            items: operations.into_iter().map(OperationView::from).collect(),
        }))
    }

    /// One operation, with progress and outcome
    #[oai(
        path = "/operations/:id",
        method = "get",
        operation_id = "getOperation"
    )]
    async fn one(
        &self,
        principal: Principal,
        id: Path<i64>,
    ) -> Result<Json<OperationView>, Problem> {
        let reader = self.database.reader().await?;
        Ok(Json(seen(&reader, id.0, &principal).await?.into()))
    }

    /// The letters of a bulk operation, and what became of each
    ///
    /// By id, upwards; `result` narrows them, several separated by commas. GET /operations/{id} counts them. They are kept
    /// for 30 days after the operation's end, or what --operation-days says; then the answer is 410.
    #[oai(
        path = "/operations/:id/letters",
        method = "get",
        operation_id = "listOperationLetters"
    )]
    async fn letters(
        &self,
        principal: Principal,
        id: Path<i64>,
        /// As in still_failing, or done,already_so.
        result: Query<Option<String>>,
        /// What `next` was on the page before.
        after: Query<Option<String>>,
        /// 1 to 500; 50 where not given.
        limit: Query<Option<i64>>,
    ) -> Result<Json<OperationLetters>, Problem> {
        let limit = times::limit(limit.0)?;
        let above = after.0.map(|after| times::below(Some(after))).transpose()?;
        let results: Option<Vec<&str>> = result.0.as_deref().map(|list| list.split(',').collect());
        let reader = self.database.reader().await?;
        seen(&reader, id.0, &principal).await?;
        let mut items = operation::items(
            &reader,
            id.0,
            results.as_deref(),
            above.unwrap_or(0),
            limit + 1,
        )
        .await?;
        // Asked after the letters: what goes after this was all there.
        let now = operation::standing(&reader, id.0).await?;
        if now.is_some_and(|now| now.letters_gone) {
            return Err(letters_gone(id.0));
        }
        let next = times::next_page(&mut items, limit, |last| last.letter.to_string());
        Ok(Json(OperationLetters {
            next,
            items: items.into_iter().map(OperationLetter::from).collect(),
        }))
    }

    /// Pause it
    #[oai(
        path = "/operations/:id/pause",
        method = "post",
        operation_id = "pauseOperation"
    )]
    async fn pause(
        &self,
        principal: Principal,
        id: Path<i64>,
    ) -> Result<Json<OperationView>, Problem> {
        let reader = self.database.reader().await?;
        steered(&reader, id.0, &principal).await?;
        Ok(Json(operation::pause(&reader, id.0).await?.into()))
    }

    /// Go on with it
    #[oai(
        path = "/operations/:id/resume",
        method = "post",
        operation_id = "resumeOperation"
    )]
    async fn resume(
        &self,
        principal: Principal,
        id: Path<i64>,
    ) -> Result<Json<OperationView>, Problem> {
        let reader = self.database.reader().await?;
        steered(&reader, id.0, &principal).await?;
        let operation = operation::resume(&reader, id.0).await?;
        self.asked.notify_one();
        Ok(Json(operation.into()))
    }

    /// End it; what was decided stays decided
    #[oai(
        path = "/operations/:id/cancel",
        method = "post",
        operation_id = "cancelOperation"
    )]
    async fn cancel(
        &self,
        principal: Principal,
        id: Path<i64>,
    ) -> Result<Json<OperationView>, Problem> {
        let reader = self.database.reader().await?;
        steered(&reader, id.0, &principal).await?;
        Ok(Json(operation::cancel(&reader, id.0).await?.into()))
    }
}

fn letters_gone(id: i64) -> Problem {
    Problem::new(
        StatusCode::GONE,
        "letters-removed",
        format!(
            "Operation {id} ended long ago, and the letters of its set are no longer kept (--operation-days); what it came to is still known."
        ),
    )
    .link("operation", format!("/api/v1/operations/{id}"))
}
