//! Operations: bulk decisions and replays, and what became of all of them.

use poem::http::StatusCode;
use poem::http::header::{CONTENT_TYPE, LOCATION};
use poem::{IntoResponse, Response};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{Any, ToJSON, Type};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};

use super::decide::checked_key;
use super::problem::Problem;
use super::{Dependencies, times};
use crate::dead_letter::Filter;
use crate::operation::{self, Action, Asked, BulkRequest, CheckRequest, Error, Kind};
use crate::order::Rules;
use crate::postgres::Database;

pub struct Operations {
    database: Database,
}

/// How many of a set's named ids an operation shows.
const SHOWN_IDS: usize = 20;

/// Long-running work.
#[derive(Object)]
#[oai(rename = "Operation")]
pub struct OperationView {
    id: i64,
    /// bulk, rules_check, replay
    kind: String,
    /// pending, running, paused, done, failed, cancelled; stopped: by itself, because too many failed
    state: String,
    asked_by: String,
    reason: String,
    request: Any<serde_json::Value>,
    progress: Any<serde_json::Value>,
    /// How it ended; null while it has not.
    outcome: Any<serde_json::Value>,
    total: i64,
    done: i64,
    failed: i64,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
}

impl From<operation::Operation> for OperationView {
    fn from(operation: operation::Operation) -> Self {
        Self {
            id: operation.id,
            kind: operation.kind,
            state: operation.state,
            asked_by: operation.asked_by,
            reason: operation.reason,
            request: Any(shortened(operation.request)),
            progress: Any(operation.progress),
            outcome: Any(operation.outcome.unwrap_or_default()),
            total: operation.total,
            done: operation.done,
            failed: operation.failed,
            created_at: operation.created_at.to_string(),
            started_at: operation.started_at.map(|at| at.to_string()),
            finished_at: operation.finished_at.map(|at| at.to_string()),
        }
    }
}

/// A set may name 40,000 letters; whoever asks how far it is need not read them each time.
fn shortened(mut request: serde_json::Value) -> serde_json::Value {
    if let Some(filter) = request.get_mut("filter")
        && let Some(ids) = filter.get_mut("ids").and_then(|ids| ids.as_array_mut())
        && ids.len() > SHOWN_IDS
    {
        let named = ids.len();
        ids.truncate(SHOWN_IDS);
        filter["ids_named"] = named.into();
    }
    request
}

/// One letter of the set.
#[derive(Object)]
pub struct OperationLetter {
    letter: i64,
    /// The decision's place in the log; null where there is none.
    position: Option<i64>,
    /// done, already_so, still_failing, too_late, no_such_letter; of a dry run would_pass, would_be_duplicate, would_fail,
    /// would_reopen, would_do, would_be_already_so, would_be_too_late; unchanged where the service's own healing left it; null while it is not its turn.
    result: Option<String>,
    /// Why it fails: fingerprint, reason, code, pointer, message.
    failing: Any<serde_json::Value>,
}

#[derive(Object)]
pub struct OperationLetters {
    items: Vec<OperationLetter>,
    next: Option<String>,
}

#[derive(Object)]
pub struct OperationPage {
    items: Vec<OperationView>,
    next: Option<String>,
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

#[derive(Enum, Clone, Copy)]
#[oai(rename_all = "snake_case")]
pub enum BulkAction {
    Retry,
    Discard,
    Reopen,
    Note,
}

/// Which letters: the list's filters, all of them.
#[derive(Object, Default)]
#[oai(default)]
pub struct FilterBody {
    state: Option<String>,
    reason: Option<String>,
    code: Option<String>,
    fingerprint: Option<String>,
    order_uid: Option<String>,
    source: Option<String>,
    since: Option<String>,
    until: Option<String>,
    from: Option<i64>,
    to: Option<i64>,
    text: Option<String>,
    /// These letters alone.
    ids: Option<Vec<i64>>,
}

impl FilterBody {
    fn filter(self) -> Result<Filter, Problem> {
        let filter = Filter {
            state: self.state,
            reason: self.reason,
            code: self.code,
            fingerprint: self.fingerprint,
            order_uid: self.order_uid,
            source: self.source,
            since: times::parse_time("since", self.since)?,
            until: times::parse_time("until", self.until)?,
            from: self.from,
            to: self.to,
            text: self.text,
            ids: self.ids,
            ..Filter::default()
        };
        filter
            .check()
            .map_err(|error| Problem::bad_request(format!("{error}.")))?;
        Ok(filter)
    }
}

/// A decision about a whole set.
#[derive(Object)]
pub struct BulkBody {
    action: BulkAction,
    #[oai(default)]
    filter: FilterBody,
    /// Needed where the filter is empty: every letter.
    #[oai(default)]
    all: bool,
    /// Judges again, says what would pass, and decides nothing.
    #[oai(default)]
    dry_run: bool,
    /// Letters a second.
    rate: Option<u32>,
    /// Stops when more than this share (0 to 1) of those judged fails again.
    stop_share: Option<f64>,
    /// Who decides; unproven until there are tokens.
    #[oai(rename = "as", default)]
    who: String,
    /// Why. A discard and a note need it.
    #[oai(default)]
    reason: String,
}

impl BulkBody {
    fn request(self) -> Result<(BulkRequest, String, String), Problem> {
        let action = match self.action {
            BulkAction::Retry => Action::Retry,
            BulkAction::Discard => Action::Discard,
            BulkAction::Reopen => Action::Reopen,
            BulkAction::Note => Action::Note,
        };
        if matches!(action, Action::Discard | Action::Note)
            && self.reason.trim().is_empty()
            && !self.dry_run
        {
            return Err(Problem::bad_request("A discard and a note need a reason."));
        }
        if self.rate == Some(0) {
            return Err(Problem::bad_request(
                "rate=0 would never end: leave it out, or give letters a second.",
            ));
        }
        if self
            .stop_share
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return Err(Problem::bad_request("stop_share is not between 0 and 1."));
        }
        let filter = self.filter.filter()?;
        if filter.is_empty() && !self.all {
            return Err(Problem::bad_request(
                "The filter is empty, which means every letter: say \"all\": true if you mean it.",
            ));
        }
        let who = if self.who.is_empty() {
            "unknown".to_owned()
        } else {
            self.who
        };
        if who.contains('\0') || self.reason.contains('\0') {
            return Err(Problem::bad_request("as or reason holds a NUL."));
        }
        let request = BulkRequest {
            action,
            filter,
            all: self.all,
            dry_run: self.dry_run,
            rate: self.rate,
            stop_share: self.stop_share,
            only_changed: false,
        };
        Ok((request, who, self.reason))
    }
}

/// Who asks, and why.
#[derive(Object, Default)]
#[oai(default)]
pub struct ReplayBody {
    #[oai(rename = "as")]
    who: String,
    reason: String,
}

impl Operations {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
        }
    }
}

#[OpenApi]
impl Operations {
    /// Decide about a whole set of dead letters
    ///
    /// The set is frozen now. A dry run judges again and decides nothing. The operation survives a restart, can be paused and
    /// cancelled, and an Idempotency-Key makes a repeated request harmless.
    #[oai(
        path = "/dead-letters/batch",
        method = "post",
        operation_id = "batchDeadLetters"
    )]
    async fn batch(
        &self,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Json<BulkBody>,
    ) -> Result<Started, Problem> {
        let key = key
            .0
            .map(checked_key)
            .transpose()?
            .map(|key| format!("client:{key}"));
        let (request, who, why) = body.0.request()?;
        let session = self.database.session("bulk").await?;
        let asked = Asked {
            who: &who,
            why: &why,
            key: key.as_deref(),
        };
        Ok(Started::new(
            operation::ask_bulk(&session, &request, asked).await?,
        ))
    }

    /// Fold the log again
    ///
    /// Into shadow tables, while the service goes on; then they become the tables, at once. For rebuilding, and for fields
    /// that the model has gained. No fate changes. One at a time.
    #[oai(path = "/replays", method = "post", operation_id = "startReplay")]
    async fn replay(
        &self,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Json<Option<ReplayBody>>,
    ) -> Result<Started, Problem> {
        let key = key
            .0
            .map(checked_key)
            .transpose()?
            .map(|key| format!("client:{key}"));
        let body = body.0.unwrap_or_default();
        let who = if body.who.is_empty() {
            "unknown".to_owned()
        } else {
            body.who
        };
        let reader = self.database.reader().await?;
        let asked = Asked {
            who: &who,
            why: &body.reason,
            key: key.as_deref(),
        };
        Ok(Started::new(
            operation::ask(&reader, Kind::Replay, &serde_json::json!({}), asked).await?,
        ))
    }

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
            items: items
                .into_iter()
                .map(|item| OperationLetter {
                    letter: item.letter,
                    position: item.position,
                    result: item.result,
                    failing: Any(item.detail.unwrap_or_default()),
                })
                .collect(),
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
        Ok(Json(operation::resume(&reader, id.0).await?.into()))
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

/// For the rules' own file.
pub async fn ask_check(
    database: &Database,
    request: CheckRequest,
    who: &str,
    key: Option<String>,
) -> Result<Started, Problem> {
    debug_assert!(
        Rules::compile(&request.rules).is_ok(),
        "the caller has compiled them"
    );
    let reader = database.reader().await?;
    let json = serde_json::to_value(&request).unwrap_or_default();
    let asked = Asked {
        who,
        why: "",
        key: key.as_deref(),
    };
    Ok(Started::new(
        operation::ask(&reader, Kind::RulesCheck, &json, asked).await?,
    ))
}
