//! The rules in force, their history, a check of new ones against history, and their application: a decision in the log.

use std::sync::Arc;

use poem::Body;
use poem::http::StatusCode;
use poem_openapi::param::{Header, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use tokio::sync::{Notify, Semaphore};

use super::asker::Asker;
use super::decide::{DecisionAnswer, Desk};
use super::operations::{Started, ask_check};
use super::principal::sees_orders;
use super::problem::{Mistake, Problem};
use super::raw::{RulesFile, whole_body};
use super::{Dependencies, times};
use crate::access::Principal;
use crate::expression::{Rules, RulesError};
use crate::inbox::{Action, Decision};
use crate::operation::CheckRequest;
use crate::order;
use crate::postgres::Database;
use crate::projection;

pub struct RulesApi {
    database: Database,
    desk: Desk,
    /// One file at a time is compiled: many hostile ones keep one core busy at most.
    compiler: Semaphore,
    asked: Arc<Notify>,
}

/// The largest rules file.
const MAX_BYTES: usize = 256 * 1024;

/// The rules in force.
#[derive(Object)]
#[oai(example)]
pub struct RulesInForce {
    /// Where in the log they were applied; 0 where none ever were.
    position: i64,
    /// SHA-256 of the text; empty where there are none. `PUT /rules?replaces=` names it.
    hash: String,
    /// The YAML, as it was applied.
    text: String,
}

/// One time that rules were applied.
#[derive(Object)]
pub struct RulesEntry {
    position: i64,
    hash: String,
    text: String,
    /// done, already_so, too_late
    result: String,
    who: String,
    /// How it is known who: token; null where it is what the client said.
    proof: Option<String>,
    why: String,
    at: String,
}

#[derive(Object)]
#[oai(example)]
pub struct RulesHistory {
    items: Vec<RulesEntry>,
    next: Option<String>,
}

impl RulesApi {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
            desk: Desk::new(deps),
            compiler: Semaphore::new(1),
            asked: deps.asked.clone(),
        }
    }

    async fn in_force(&self) -> Result<RulesInForce, Problem> {
        let reader = self.database.reader().await?;
        Ok(match projection::latest_rules(&reader).await? {
            Some((position, hash, text)) => RulesInForce {
                position: position.0,
                hash,
                text,
            },
            None => RulesInForce {
                position: 0,
                hash: String::new(),
                text: String::new(),
            },
        })
    }
}

impl RulesApi {
    /// The text of a rules file that compiles, or every mistake in it with its place. Readers do not wait meanwhile.
    async fn compiled(&self, body: Body) -> Result<String, Problem> {
        let bytes = whole_body(body, MAX_BYTES).await?;
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| Problem::bad_request("The rules are not UTF-8."))?;
        let stopping = || Problem::unavailable("The service is stopping.");
        let _turn = self.compiler.acquire().await.map_err(|_| stopping())?;
        let compile = move || Rules::compile(&text, order::model()).map(|_| text);
        let compiled = tokio::task::spawn_blocking(compile).await;
        compiled.map_err(|_| stopping())?.map_err(mistaken)
    }
}

fn mistaken(error: RulesError) -> Problem {
    let mut problem = Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "rules-mistaken",
        format!(
            "The rules have {} mistake(s); nothing was changed.",
            error.mistakes.len()
        ),
    );
    problem.mistakes = error
        .mistakes
        .into_iter()
        .map(|mistake| Mistake {
            line: mistake.line,
            column: mistake.column,
            message: mistake.message,
        })
        .collect();
    problem
}

#[OpenApi]
impl RulesApi {
    /// The rules in force
    #[oai(path = "/rules", method = "get", operation_id = "getRules")]
    async fn get(&self, principal: Principal) -> Result<Json<RulesInForce>, Problem> {
        sees_orders(&principal)?;
        Ok(Json(self.in_force().await?))
    }

    /// All that were ever applied, newest first
    #[oai(
        path = "/rules/history",
        method = "get",
        operation_id = "getRulesHistory"
    )]
    async fn history(
        &self,
        principal: Principal,
        after: Query<Option<String>>,
        limit: Query<Option<i64>>,
    ) -> Result<Json<RulesHistory>, Problem> {
        sees_orders(&principal)?;
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let reader = self.database.reader().await?;
        let mut entries = projection::rules_history(&reader, before, limit + 1).await?;
        let more = entries.len() as i64 > limit;
        entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Json(RulesHistory {
            next: entries
                .last()
                .filter(|_| more)
                .map(|last| last.position.to_string()),
            items: entries
                .into_iter()
                .map(|entry| RulesEntry {
                    position: entry.position.0,
                    hash: entry.hash,
                    text: entry.text,
                    result: entry.result,
                    who: entry.who,
                    proof: entry.proof,
                    why: entry.why,
                    at: entry.at.to_string(),
                })
                .collect(),
        }))
    }

    /// Apply rules
    ///
    /// The body is the YAML. They are in force from the next position of the log on, for every replica; an order stays an
    /// order. `replaces` names the hash of those that they replace: 409 where others came between.
    #[oai(path = "/rules", method = "put", operation_id = "putRules")]
    async fn put(
        &self,
        principal: Principal,
        /// The hash of the rules in force, as GET /rules gives it; empty for none.
        replaces: Query<Option<String>>,
        /// Who decides.
        #[oai(name = "as")]
        who: Query<Option<String>>,
        /// Why.
        reason: Query<Option<String>>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: RulesFile,
    ) -> Result<DecisionAnswer, Problem> {
        sees_orders(&principal)?;
        let asker = Asker::new(&principal, who.0, reason.0, key.0)?;
        let text = self.compiled(body.0).await?;
        let replaces = match (replaces.0, &asker.key) {
            (Some(hash), _) => hash,
            // In this order: where the first of two with one key is in force already, its decision is found.
            (None, Some(key)) => {
                let in_force = self.in_force().await?.hash;
                let earlier = self.desk.earlier(key).await?;
                earlier.and_then(|by| by.replaces).unwrap_or(in_force)
            }
            (None, None) => self.in_force().await?.hash,
        };
        let decision = Decision {
            action: Action::Rules,
            letter: None,
            who: asker.who,
            proof: asker.proof,
            why: asker.why,
            operation: None,
            text: Some(text),
            replaces: Some(replaces),
        };
        self.desk.decide(decision, asker.key, None).await
    }

    /// See what rules would make of history
    ///
    /// The body is the YAML. An operation: which orders they would have rejected, which open letters would pass, by group,
    /// with samples. Changes nothing.
    #[oai(path = "/rules/check", method = "post", operation_id = "checkRules")]
    async fn check(
        &self,
        principal: Principal,
        /// The lowest position of the orders to look at.
        from: Query<Option<i64>>,
        /// The highest.
        to: Query<Option<i64>>,
        #[oai(name = "as")] who: Query<Option<String>>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: RulesFile,
    ) -> Result<Started, Problem> {
        sees_orders(&principal)?;
        let asker = Asker::new(&principal, who.0, None, key.0)?;
        let rules = self.compiled(body.0).await?;
        let request = CheckRequest {
            rules,
            from: from.0,
            to: to.0,
        };
        let started = ask_check(&self.database, &request, &asker).await?;
        self.asked.notify_one();
        Ok(started)
    }
}
