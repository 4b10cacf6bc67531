//! A decision is appended without looking at the letter; the fold decides, in order, and here we wait for what it said.

use std::sync::Arc;
use std::time::{Duration, Instant};

use poem::http::StatusCode;
use poem::http::header::{CONTENT_TYPE, LOCATION};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use tokio::sync::watch;

use super::Dependencies;
use super::problem::Problem;
use crate::dead_letter;
use crate::inbox::{self, Appended, Decision, Inbox, Payload, Position, SourceId};
use crate::postgres::Database;
use crate::projection::InForce;

/// After this long without the fold's answer, 202 and the position.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a decision came to.
#[derive(Serialize, Object)]
#[oai(rename = "Outcome", example)]
pub struct DecisionView {
    /// The decision's own place in the log.
    pub position: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub letter: Option<i64>,
    pub action: String,
    /// done, still_failing, already_so; pending where the projector has not come to it yet.
    pub result: String,
    /// What the decision's row counts as: order, duplicate, dead_letter, decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fate: Option<String>,
}

pub struct DecisionAnswer {
    status: StatusCode,
    outcome: DecisionView,
}

impl IntoResponse for DecisionAnswer {
    fn into_response(self) -> Response {
        Response::builder()
            .status(self.status)
            .header(CONTENT_TYPE, "application/json")
            .header(LOCATION, format!("/api/v1/inbox/{}", self.outcome.position))
            .body(serde_json::to_vec(&self.outcome).unwrap_or_default())
    }
}

impl ApiResponse for DecisionAnswer {
    fn meta() -> MetaResponses {
        let answer = |status, description| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: DecisionView::schema_ref(),
            }],
            headers: vec![],
        };
        MetaResponses {
            responses: vec![
                answer(200, "Decided"),
                answer(
                    202,
                    "In the log, and not yet projected; ask for the inbox row later",
                ),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        DecisionView::register(registry);
    }
}

#[derive(Clone)]
pub struct Desk {
    database: Database,
    inbox: Inbox,
    operator: SourceId,
    projected: watch::Receiver<Position>,
    in_force: watch::Receiver<Arc<InForce>>,
}

impl Desk {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
            inbox: deps.inbox.clone(),
            operator: deps.operator,
            projected: deps.projected.clone(),
            in_force: deps.in_force.clone(),
        }
    }

    /// The same key again answers as it did the first time; with other content it is refused. Text and key are an `Asker`'s,
    /// which has checked them.
    pub async fn decide(
        &self,
        decision: Decision,
        key: Option<String>,
        payload: Option<Payload>,
    ) -> Result<DecisionAnswer, Problem> {
        let key = key.unwrap_or_else(|| {
            format!("made:{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
        });
        let appended = self
            .inbox
            .submit(self.operator, Some(key), payload, Some(&decision))
            .await?;
        let position = match appended {
            Appended::Stored(position) | Appended::Known(position) => position,
            Appended::KeyTaken(position) => return Err(key_taken(position)),
            Appended::Refused(state) => {
                return Err(Problem::bad_request(format!(
                    "Postgres cannot hold this text (SQLSTATE {state})."
                )));
            }
        };
        self.wait(position, &decision).await
    }

    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// What was decided under this key before, by whoever sends it again.
    pub async fn earlier(&self, key: &str) -> Result<Option<Decision>, Problem> {
        let reader = self.database.reader().await?;
        Ok(inbox::decision_by_key(&reader, self.operator, key).await?)
    }

    async fn wait(
        &self,
        position: Position,
        decision: &Decision,
    ) -> Result<DecisionAnswer, Problem> {
        let started = Instant::now();
        let mut projected = self.projected.clone();
        while *projected.borrow_and_update() < position {
            let left = PATIENCE.saturating_sub(started.elapsed());
            if tokio::time::timeout(left, projected.changed())
                .await
                .is_err()
            {
                return Ok(DecisionAnswer {
                    status: StatusCode::ACCEPTED,
                    outcome: outcome(position, decision, "pending", None),
                });
            }
        }
        let reader = self.database.reader().await?;
        let Some(found) = dead_letter::result(&reader, position).await? else {
            return Ok(DecisionAnswer {
                status: StatusCode::ACCEPTED,
                outcome: outcome(position, decision, "pending", None),
            });
        };
        let letter = decision.letter.unwrap_or_default();
        match found.result.as_str() {
            "no_such_letter" => Err(Problem::not_found(format!(
                "There is no dead letter {letter}."
            ))),
            "too_late" if decision.action.is_about_definitions() => {
                let name = decision.collection.as_deref().unwrap_or_default();
                let now = self.in_force.borrow().stands_at(name);
                Err(Problem::new(
                    StatusCode::CONFLICT,
                    "definition-replaced",
                    format!("What this was to replace is no longer in force: {name} was defined or dropped in between, at position {now}. Nothing was changed. Look at that, and apply again."),
                )
                .link("collection", format!("/api/v1/collections/{name}"))
                .link("decided_by", format!("/api/v1/inbox/{now}")))
            }
            "refused" => {
                let name = decision.collection.as_deref().unwrap_or_default();
                Err(Problem::new(
                    StatusCode::CONFLICT,
                    "definition-fixed",
                    format!("Key, keep, version, what one is called, and whether and by whom there is a sum are fixed for the life of a collection: what there is of {name} was decided by them. Nothing was changed. Drop it first, or take another name."),
                )
                .link("collection", format!("/api/v1/collections/{name}")))
            }
            "too_late" => {
                let mut problem = Problem::new(
                    StatusCode::CONFLICT,
                    "too-late",
                    format!("Dead letter {letter} is no longer open: another decision came first. Nothing was changed."),
                )
                .link("dead_letter", format!("/api/v1/dead-letters/{letter}"));
                if let Some(by) = found.refers_to {
                    problem = problem.link("decided_by", format!("/api/v1/inbox/{by}"));
                }
                Err(problem)
            }
            result => Ok(DecisionAnswer {
                status: StatusCode::OK,
                outcome: outcome(position, decision, result, Some(found.fate)),
            }),
        }
    }
}

fn outcome(
    position: Position,
    decision: &Decision,
    result: &str,
    fate: Option<String>,
) -> DecisionView {
    DecisionView {
        position: position.0,
        letter: decision.letter,
        action: decision.action.as_str().to_owned(),
        result: result.to_owned(),
        fate,
    }
}

pub fn key_taken(position: Position) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "key-taken",
        format!("This Idempotency-Key was used before, at position {position}, with other content. Nothing was stored: take a new key."),
    )
    .link("inbox", format!("/api/v1/inbox/{position}"))
}
