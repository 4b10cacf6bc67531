//! The log by position.

use poem_openapi::param::Path;
use poem_openapi::payload::{Attachment, AttachmentType, Json};
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};

use super::Dependencies;
use super::problem::{Link, Problem};
use crate::access::{Collections, Principal};
use crate::inbox::{self, Content, Position};
use crate::postgres::Database;
use crate::{account, dead_letter};

pub struct InboxApi {
    database: Database,
}

/// A row of the log.
#[derive(Object)]
#[oai(example)]
pub struct InboxRow {
    position: i64,
    /// stan, http, operator
    source_kind: String,
    source: String,
    /// The name of the collection that it was sent to; null for a decision.
    collection: Option<String>,
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
    /// document, superseded, duplicate, dead_letter, decision; pending while not yet projected
    fate: String,
    links: Vec<Link>,
}

impl InboxApi {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
        }
    }

    /// The row, if the principal sees what it was sent to, or decided about.
    async fn seen(&self, position: Position, principal: &Principal) -> Result<Content, Problem> {
        let reader = self.database.reader().await?;
        let content = inbox::row_at(&reader, position).await?;
        let content = content.ok_or_else(|| beyond(position))?;
        let decision = content.row.decision.as_ref();
        let letter = match decision.and_then(|decision| decision.letter) {
            Some(id) => dead_letter::load(&reader, &[id]).await?.pop(),
            None => None,
        };
        let name = match (&content.collection, decision, &letter) {
            (Some(name), ..) => Some(name.as_str()),
            (None, _, Some(letter)) => Some(&*letter.name),
            (None, Some(decision), None) => decision.collection.as_deref(),
            (None, None, None) => None,
        };
        let seen = match name {
            Some(name) => principal.sees(name),
            None => *principal.collections() == Collections::All,
        };
        if seen {
            Ok(content)
        } else {
            Err(beyond(position))
        }
    }
}

#[OpenApi]
impl InboxApi {
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
        let content = self.seen(position, &principal).await?;
        let reader = self.database.reader().await?;
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
            collection: content.collection,
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
        let payload = self.seen(position, &principal).await?.row.payload;
        let payload = payload.ok_or_else(|| beyond(position))?;
        Ok(Attachment::new(payload.to_vec())
            .attachment_type(AttachmentType::Attachment)
            .filename(format!("inbox-{position}")))
    }
}

fn beyond(position: Position) -> Problem {
    Problem::not_found(format!(
        "There is no payload at position {position} of the inbox: positions are dense, from 1 to the last one received."
    ))
}
