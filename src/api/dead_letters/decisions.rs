//! Deciding about one letter: retry, discard, reopen, note, resubmit. Each is a row of the log, and the fold says what it
//! came to.

use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use crate::access::{Collections, Principal};
use crate::api::Dependencies;
use crate::api::asker::Asker;
use crate::api::body::{Strict, given};
use crate::api::decide::{DecisionAnswer, Desk};
use crate::api::problem::Problem;
use crate::api::raw::{Message, message_body};
use crate::dead_letter;
use crate::inbox::Action;
use crate::postgres::Database;

pub struct Decisions {
    database: Database,
    desk: Desk,
    max_body_bytes: usize,
}

/// Who decides, and why.
#[derive(Object, Default, Deserialize)]
#[oai(default, deny_unknown_fields, example)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionRequest {
    /// Who decides, where the service does not know it: it is what you say. Refused where it does.
    #[oai(rename = "as")]
    #[serde(rename = "as", deserialize_with = "given")]
    who: String,
    /// Why. A discard and a note need it.
    #[serde(deserialize_with = "given")]
    reason: String,
}

impl Decisions {
    pub fn new(deps: &Dependencies, max_body_bytes: usize) -> Self {
        Self {
            database: deps.database.clone(),
            desk: Desk::new(deps),
            max_body_bytes,
        }
    }

    async fn decide(
        &self,
        principal: &Principal,
        letter: i64,
        action: Action,
        request: Option<DecisionRequest>,
        key: Option<String>,
        reason_needed: bool,
    ) -> Result<DecisionAnswer, Problem> {
        let request = request.unwrap_or_default();
        if reason_needed && request.reason.trim().is_empty() {
            return Err(Problem::bad_request(format!(
                "A {} needs a reason: {{\"reason\": \"…\"}}.",
                action.as_str()
            )));
        }
        self.is_seen(letter, principal).await?;
        let asker = Asker::new(principal, Some(request.who), Some(request.reason), key)?;
        let decision = asker.decision(letter, action);
        self.desk.decide(decision, asker.key, None).await
    }

    /// The fold says whether there is such a letter; whether a principal sees it must be said before the log has the decision.
    async fn is_seen(&self, letter: i64, principal: &Principal) -> Result<(), Problem> {
        if *principal.collections() == Collections::All {
            return Ok(());
        }
        let reader = self.database.reader().await?;
        let known = dead_letter::load(&reader, &[letter]).await?;
        match known.iter().any(|letter| principal.sees(&letter.name)) {
            true => Ok(()),
            false => Err(Problem::not_found(format!(
                "There is no dead letter {letter}."
            ))),
        }
    }
}

#[OpenApi]
impl Decisions {
    /// Judge the same bytes again
    ///
    /// They pass: the letter is replaced by an order (or a duplicate). They fail: still_failing. An Idempotency-Key makes a
    /// repeated request harmless; a letter that is no longer open answers 409 with a link to what was decided.
    #[oai(
        path = "/dead-letters/:id/retry",
        method = "post",
        operation_id = "retryDeadLetter"
    )]
    async fn retry(
        &self,
        principal: Principal,
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        request: Strict<Option<DecisionRequest>>,
    ) -> Result<DecisionAnswer, Problem> {
        self.decide(&principal, id.0, Action::Retry, request.0, key.0, false)
            .await
    }

    /// Let it go
    #[oai(
        path = "/dead-letters/:id/discard",
        method = "post",
        operation_id = "discardDeadLetter"
    )]
    async fn discard(
        &self,
        principal: Principal,
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        request: Strict<Option<DecisionRequest>>,
    ) -> Result<DecisionAnswer, Problem> {
        self.decide(&principal, id.0, Action::Discard, request.0, key.0, true)
            .await
    }

    /// Undo a discard
    #[oai(
        path = "/dead-letters/:id/reopen",
        method = "post",
        operation_id = "reopenDeadLetter"
    )]
    async fn reopen(
        &self,
        principal: Principal,
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        request: Strict<Option<DecisionRequest>>,
    ) -> Result<DecisionAnswer, Problem> {
        self.decide(&principal, id.0, Action::Reopen, request.0, key.0, false)
            .await
    }

    /// Write a note on it
    #[oai(
        path = "/dead-letters/:id/notes",
        method = "post",
        operation_id = "noteDeadLetter"
    )]
    async fn note(
        &self,
        principal: Principal,
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        request: Strict<Option<DecisionRequest>>,
    ) -> Result<DecisionAnswer, Problem> {
        self.decide(&principal, id.0, Action::Note, request.0, key.0, true)
            .await
    }

    /// Send edited bytes in its place
    ///
    /// The body is the new message, exactly. Either way the old letter is replaced, its original untouched, both linked.
    #[oai(
        path = "/dead-letters/:id/resubmit",
        method = "post",
        operation_id = "resubmitDeadLetter"
    )]
    async fn resubmit(
        &self,
        principal: Principal,
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        /// Who decides.
        #[oai(name = "as")]
        who: Query<Option<String>>,
        /// Why.
        reason: Query<Option<String>>,
        body: Message,
    ) -> Result<DecisionAnswer, Problem> {
        self.is_seen(id.0, &principal).await?;
        let asker = Asker::new(&principal, who.0, reason.0, key.0)?;
        let payload = message_body(body.0, self.max_body_bytes, self.desk.inbox()).await?;
        let decision = asker.decision(id.0, Action::Resubmit);
        self.desk.decide(decision, asker.key, Some(payload)).await
    }
}
