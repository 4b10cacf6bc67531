//! The log by position, one message in by HTTP, and the judge alone.

use std::sync::{Mutex, MutexGuard, PoisonError};

use poem_openapi::param::{Header, Path};
use poem_openapi::payload::{Attachment, AttachmentType, Json, Response as WithHeaders};
use poem_openapi::types::Any;
use poem_openapi::{ApiResponse, NewType, Object, OpenApi};

use super::Dependencies;
use super::asker::checked_key;
use super::decide::key_taken;
use super::principal::sees_orders;
use super::problem::{Link, Problem};
use super::raw::{Message, message_body, whole_body};
use crate::access::Principal;
use crate::collection;
use crate::expression::Rules;
use crate::inbox::{self, Appended, Inbox, Position, SourceId};
use crate::order;
use crate::postgres::Database;
use crate::{account, projection};

pub struct InboxApi {
    database: Database,
    inbox: Inbox,
    source: SourceId,
    max_body_bytes: usize,
    /// The rules in force when a message was last judged alone: whoever types a letter asks several times a second.
    rules: Mutex<Option<Rules>>,
}

/// A row of the log.
#[derive(Object)]
#[oai(example)]
pub struct InboxRow {
    position: i64,
    /// stan, http, operator
    source_kind: String,
    source: String,
    sequence: i64,
    /// Nanoseconds since 1970, by the broker's clock.
    broker_time_ns: i64,
    received_at: String,
    key: Option<String>,
    /// The first 8 bytes of SHA-256 over payload and decision.
    hash: String,
    payload_bytes: Option<i64>,
    /// What was decided; null for a message.
    decision: Any<serde_json::Value>,
    /// order, duplicate, dead_letter, decision; pending while not yet projected
    fate: String,
    links: Vec<Link>,
}

/// Where a message now stands.
#[derive(Object)]
#[oai(example)]
pub struct Accepted {
    position: i64,
    /// True where the same Idempotency-Key had brought it before.
    repeated: bool,
}

#[derive(ApiResponse)]
pub enum AcceptedAnswer {
    /// Durable: it is in the log, whatever happens next.
    #[oai(status = 202)]
    Accepted(Json<Accepted>),
}

/// What senders and their tools can check before they send.
#[derive(NewType)]
#[oai(
    from_parameter = false,
    from_multipart = false,
    to_header = false,
    example
)]
pub struct OrderJsonSchema(Any<serde_json::Value>);

/// What the checks say of a message.
#[derive(Object)]
#[oai(example)]
pub struct Judgement {
    valid: bool,
    /// The order as it would be stored; null where it is none.
    order: Any<serde_json::Value>,
    /// Why not.
    reason: Option<String>,
    key: Option<String>,
    /// All that is wrong in the first layer that objects: code, message, pointer, line, column.
    violations: Any<serde_json::Value>,
    /// False where the rules in force could not be asked, since Postgres is away.
    ruled: bool,
}

impl InboxApi {
    pub fn new(deps: &Dependencies, max_body_bytes: usize) -> Self {
        Self {
            database: deps.database.clone(),
            inbox: deps.inbox.clone(),
            source: deps.http,
            max_body_bytes,
            rules: Mutex::default(),
        }
    }

    /// None where they cannot be asked for now, or this version cannot compile them.
    async fn rules_in_force(&self) -> Option<Rules> {
        let reader = self.database.reader().await.ok()?;
        let Some((_, hash, text)) = projection::latest_rules(&reader).await.ok()? else {
            return Some(Rules::none());
        };
        drop(reader);
        let known = self.known_rules().clone();
        if let Some(rules) = known.filter(|rules| rules.hash() == hash) {
            return Some(rules);
        }
        let compiled =
            tokio::task::spawn_blocking(move || Rules::compile(&text, order::model())).await;
        let rules = compiled.ok()?.ok()?;
        *self.known_rules() = Some(rules.clone());
        Some(rules)
    }

    fn known_rules(&self) -> MutexGuard<'_, Option<Rules>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[OpenApi]
impl InboxApi {
    /// Take one message
    ///
    /// The body is one raw message, exactly; nothing looks inside it before it is durable. With an Idempotency-Key, the same
    /// request again answers with the first one's position, and other content under the same key is refused with 422.
    #[oai(path = "/inbox", method = "post", operation_id = "postInbox")]
    async fn post(
        &self,
        principal: Principal,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Message,
    ) -> Result<WithHeaders<AcceptedAnswer>, Problem> {
        sees_orders(&principal)?;
        let payload = message_body(body.0, self.max_body_bytes, &self.inbox).await?;
        let key = key.0.map(checked_key).transpose()?;
        let (position, repeated) = match self
            .inbox
            .submit(self.source, key, Some(payload), None)
            .await?
        {
            Appended::Stored(position) => (position, false),
            Appended::Known(position) => (position, true),
            Appended::KeyTaken(position) => return Err(key_taken(position)),
            Appended::Refused(state) => {
                return Err(Problem::bad_request(format!(
                    "Postgres cannot hold this key (SQLSTATE {state})."
                )));
            }
        };
        let accepted = Accepted {
            position: position.0,
            repeated,
        };
        Ok(WithHeaders::new(AcceptedAnswer::Accepted(Json(accepted)))
            .header("Location", format!("/api/v1/inbox/{position}")))
    }

    /// One row of the log, with its fate
    #[oai(
        path = "/inbox/:position",
        method = "get",
        operation_id = "getInboxRow"
    )]
    async fn one(
        &self,
        principal: Principal,
        position: Path<i64>,
    ) -> Result<Json<InboxRow>, Problem> {
        let position = Position(position.0);
        sees_orders(&principal).map_err(|_| beyond(position))?;
        let reader = self.database.reader().await?;
        let content = inbox::row_at(&reader, position).await?;
        let content = content.ok_or_else(|| beyond(position))?;
        let fate = account::fate(&reader, position).await?.unwrap_or_default();
        let row = content.row;
        let mut links = Vec::new();
        let mut link = |rel: &str, href: String| {
            links.push(Link {
                rel: rel.to_owned(),
                href,
            });
        };
        if row.payload.is_some() {
            link("payload", format!("/api/v1/inbox/{position}/payload"));
        }
        if fate == "dead_letter" {
            link("dead_letter", format!("/api/v1/dead-letters/{position}"));
        }
        if let Some(letter) = row.decision.as_ref().and_then(|decision| decision.letter) {
            link("letter", format!("/api/v1/dead-letters/{letter}"));
        }
        Ok(Json(InboxRow {
            position: position.0,
            source_kind: content.source_kind,
            source: content.source_name,
            sequence: row.sequence,
            broker_time_ns: row.broker_time_ns,
            received_at: row.received_at.to_string(),
            key: content.key,
            hash: format!("{:016x}", content.hash.cast_unsigned()),
            payload_bytes: row.payload.as_ref().map(|payload| payload.len() as i64),
            decision: Any(serde_json::to_value(&row.decision).unwrap_or_default()),
            fate,
            links,
        }))
    }

    /// Its exact payload
    #[oai(
        path = "/inbox/:position/payload",
        method = "get",
        operation_id = "getInboxPayload"
    )]
    async fn payload(
        &self,
        principal: Principal,
        position: Path<i64>,
    ) -> Result<Attachment<Vec<u8>>, Problem> {
        let position = Position(position.0);
        sees_orders(&principal).map_err(|_| beyond(position))?;
        let reader = self.database.reader().await?;
        let payload = inbox::payload(&reader, position).await?;
        let payload = payload.ok_or_else(|| beyond(position))?;
        Ok(Attachment::new(payload.to_vec())
            .attachment_type(AttachmentType::Attachment)
            .filename(format!("inbox-{position}")))
    }

    /// Judge a message and store nothing
    ///
    /// By the built-in checks, and by the rules in force. Whether its key is taken is not asked.
    #[oai(path = "/validate", method = "post", operation_id = "validate")]
    async fn validate(
        &self,
        principal: Principal,
        body: Message,
    ) -> Result<Json<Judgement>, Problem> {
        sees_orders(&principal)?;
        let payload = whole_body(body.0, self.max_body_bytes.max(1 << 20)).await?;
        let rules = self.rules_in_force().await;
        let ruled = rules.is_some();
        let model = order::model();
        let judged = model.parse(&payload).and_then(|order| {
            if let Some(rules) = rules {
                rules.check(model, &order)?;
            }
            Ok(order)
        });
        Ok(Json(match judged {
            Ok(order) => Judgement {
                valid: true,
                key: Some(model.key(&order).into_owned()),
                order: Any(serde_json::from_str(&model.to_json(&order)).unwrap_or_default()),
                reason: None,
                violations: Any(serde_json::json!([])),
                ruled,
            },
            Err(rejection) => Judgement {
                valid: false,
                key: rejection.key().map(str::to_owned),
                order: Any(serde_json::Value::Null),
                reason: Some(rejection.reason().to_string()),
                violations: Any(serde_json::to_value(rejection.violations()).unwrap_or_default()),
                ruled,
            },
        }))
    }

    /// The order's JSON Schema
    #[oai(
        path = "/schema/order.json",
        method = "get",
        operation_id = "getOrderSchema"
    )]
    async fn schema(&self, principal: Principal) -> Result<Json<OrderJsonSchema>, Problem> {
        sees_orders(&principal)?;
        Ok(Json(OrderJsonSchema(Any(collection::orders().schema()))))
    }
}

fn beyond(position: Position) -> Problem {
    Problem::not_found(format!(
        "There is no payload at position {position} of the inbox: positions are dense, from 1 to the last one received."
    ))
}
