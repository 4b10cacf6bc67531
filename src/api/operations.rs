//! Operations: all that runs or ran, and steering it. Asking for one is in `ask`.

mod ask;
mod bulk;
mod view;

use std::sync::Arc;

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use tokio::sync::Notify;

use self::view::OperationLetter;
use super::problem::Problem;
use super::{Dependencies, times};
use crate::operation::{self, Error};
use crate::postgres::Database;

pub use ask::{ReplayBody, Requests, Started, ask_check};
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

#[OpenApi]
impl Operations {
    /// All that runs or ran, newest first
    #[oai(path = "/operations", method = "get", operation_id = "listOperations")]
    async fn list(
        &self,
        after: Query<Option<String>>,
        limit: Query<Option<i64>>,
    ) -> Result<Json<OperationPage>, Problem> {
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let reader = self.database.reader().await?;
        let mut operations = operation::list(&reader, before, limit + 1).await?;
        let more = operations.len() as i64 > limit;
        operations.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Json(OperationPage {
            next: operations
                .last()
                .filter(|_| more)
                .map(|last| last.id.to_string()),
            items: operations.into_iter().map(OperationView::from).collect(),
        }))
    }

    /// One operation, with progress and outcome
    #[oai(
        path = "/operations/:id",
        method = "get",
        operation_id = "getOperation"
    )]
    async fn one(&self, id: Path<i64>) -> Result<Json<OperationView>, Problem> {
        let reader = self.database.reader().await?;
        match operation::by_id(&reader, id.0).await? {
            Some(operation) => Ok(Json(operation.into())),
            None => Err(Error::NotFound.into()),
        }
    }

    /// The letters of a bulk operation, and what became of each
    ///
    /// By id, upwards; `result` narrows them, several separated by commas. GET /operations/{id} counts them.
    #[oai(
        path = "/operations/:id/letters",
        method = "get",
        operation_id = "listOperationLetters"
    )]
    async fn letters(
        &self,
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
        if result.0.as_ref().is_some_and(|list| list.contains('\0')) {
            return Err(Problem::bad_request("result holds a NUL."));
        }
        let reader = self.database.reader().await?;
        let mut items = operation::items(
            &reader,
            id.0,
            results.as_deref(),
            above.unwrap_or(0),
            limit + 1,
        )
        .await?;
        if items.is_empty() && operation::by_id(&reader, id.0).await?.is_none() {
            return Err(Error::NotFound.into());
        }
        let more = items.len() as i64 > limit;
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Json(OperationLetters {
            next: items
                .last()
                .filter(|_| more)
                .map(|last| last.letter.to_string()),
            items: items.into_iter().map(OperationLetter::from).collect(),
        }))
    }

    /// Pause it
    #[oai(
        path = "/operations/:id/pause",
        method = "post",
        operation_id = "pauseOperation"
    )]
    async fn pause(&self, id: Path<i64>) -> Result<Json<OperationView>, Problem> {
        let reader = self.database.reader().await?;
        Ok(Json(operation::pause(&reader, id.0).await?.into()))
    }

    /// Go on with it
    #[oai(
        path = "/operations/:id/resume",
        method = "post",
        operation_id = "resumeOperation"
    )]
    async fn resume(&self, id: Path<i64>) -> Result<Json<OperationView>, Problem> {
        let reader = self.database.reader().await?;
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
    async fn cancel(&self, id: Path<i64>) -> Result<Json<OperationView>, Problem> {
        let reader = self.database.reader().await?;
        Ok(Json(operation::cancel(&reader, id.0).await?.into()))
    }
}
