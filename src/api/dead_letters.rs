//! Dead letters: find them, read one's story, decide.

use poem::Body;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::{Attachment, AttachmentType, Binary, Json};
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};

use super::decide::{Decided, Desk};
use super::problem::{Link, Problem};
use super::{Dependencies, times};
use crate::dead_letter::{self, Filter, Letter, State, format_fingerprint};
use crate::inbox::{self, Action, Decision, Position};
use crate::postgres::Database;

pub struct DeadLetters {
    database: Database,
    desk: Desk,
    max_body_bytes: usize,
}

/// A dead letter as lists show it.
#[derive(Object)]
pub struct DeadLetter {
    /// Its inbox position.
    id: i64,
    /// open, replaced, discarded
    state: String,
    /// not_utf8, not_json, schema, rule, unstorable, conflict
    reason: String,
    code: String,
    /// A sentence for people.
    message: String,
    /// The JSON pointer of the field; empty for the whole message.
    pointer: String,
    order_uid: Option<String>,
    /// What groups like with like.
    fingerprint: String,
    /// How often it was judged.
    attempts: i32,
    received_at: String,
    first_failed_at: String,
    last_failed_at: String,
    /// When it is tried again by itself; only for what Postgres refused.
    next_attempt_at: Option<String>,
    /// The position that replaced it.
    replaced_by: Option<i64>,
    /// The letter that it was resubmitted from.
    origin: Option<i64>,
}

impl From<&Letter> for DeadLetter {
    fn from(letter: &Letter) -> Self {
        let verdict = &letter.verdict;
        Self {
            id: letter.id.0,
            state: letter.state.as_str().to_owned(),
            reason: verdict.reason.clone(),
            code: verdict.code.clone(),
            message: verdict.message.clone(),
            pointer: verdict.pointer.clone(),
            order_uid: verdict.order_uid.clone(),
            fingerprint: format_fingerprint(verdict.fingerprint),
            attempts: letter.attempts,
            received_at: letter.received_at.to_string(),
            first_failed_at: letter.first_failed_at.to_string(),
            last_failed_at: letter.last_failed_at.to_string(),
            next_attempt_at: letter.next_attempt_at.map(|at| at.to_string()),
            replaced_by: letter
                .decided_by
                .filter(|_| letter.state == State::Replaced)
                .map(|by| by.0),
            origin: letter.origin.map(|origin| origin.0),
        }
    }
}

#[derive(Object)]
pub struct DeadLetterPage {
    items: Vec<DeadLetter>,
    /// Pass it as `after` for the next page; null on the last.
    next: Option<String>,
}

/// A decision in a letter's history.
#[derive(Object)]
pub struct DecisionEntry {
    position: i64,
    action: String,
    /// done, still_failing, already_so, too_late
    result: String,
    /// What the client said; unproven until there are tokens.
    who: String,
    why: String,
    at: String,
    operation: Option<i64>,
}

/// One dead letter with its whole story.
#[derive(Object)]
pub struct DeadLetterStory {
    #[oai(flatten)]
    letter: DeadLetter,
    source: String,
    /// The payload, where it is text.
    text: Option<String>,
    /// The payload in hexadecimal, where it is not.
    hex: Option<String>,
    payload_bytes: i64,
    /// True where only the beginning is shown here; the payload's own address has all of it.
    payload_cut: bool,
    /// All that is wrong: code, message, pointer, line, column.
    violations: Any<serde_json::Value>,
    decisions: Vec<DecisionEntry>,
    /// Of a conflict: where this message and the order that has its order_uid differ.
    differences: Vec<Difference>,
    links: Vec<Link>,
}

#[derive(Object)]
pub struct Difference {
    pointer: String,
    /// What the order has.
    order: Any<serde_json::Value>,
    /// What this letter has.
    letter: Any<serde_json::Value>,
}

/// Letters that failed for the same reason, code and field.
#[derive(Object)]
pub struct DeadLetterGroup {
    fingerprint: String,
    reason: String,
    code: String,
    pointer: String,
    message: String,
    open: i64,
    replaced: i64,
    discarded: i64,
    first_seen: String,
    last_seen: String,
    /// One letter of it.
    sample: i64,
}

#[derive(Object)]
pub struct DeadLetterGroups {
    items: Vec<DeadLetterGroup>,
    next: Option<String>,
}

/// Who decides, and why.
#[derive(Object, Default)]
#[oai(default)]
pub struct DecisionRequest {
    /// Who decides; unproven until there are tokens.
    #[oai(rename = "as")]
    who: String,
    /// Why. A discard and a note need it.
    reason: String,
}

/// How much of a payload a story shows.
const SHOWN_BYTES: usize = 64 * 1024;

impl DeadLetters {
    pub fn new(deps: &Dependencies, max_body_bytes: usize) -> Self {
        Self {
            database: deps.database.clone(),
            desk: Desk::new(deps),
            max_body_bytes,
        }
    }

    async fn decide(
        &self,
        letter: i64,
        action: Action,
        request: Option<DecisionRequest>,
        key: Option<String>,
        reason_needed: bool,
    ) -> Result<Decided, Problem> {
        let request = request.unwrap_or_default();
        if reason_needed && request.reason.trim().is_empty() {
            return Err(Problem::bad_request(format!(
                "A {} needs a reason: {{\"reason\": \"…\"}}.",
                action.as_str()
            )));
        }
        let who = if request.who.is_empty() {
            "unknown"
        } else {
            &request.who
        };
        let decision = Decision::about(letter, action, who, &request.reason);
        self.desk.decide(decision, key, None).await
    }
}

#[OpenApi]
impl DeadLetters {
    /// Dead letters, newest first
    #[oai(
        path = "/dead-letters",
        method = "get",
        operation_id = "listDeadLetters"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn list(
        &self,
        /// open, replaced, discarded
        state: Query<Option<String>>,
        reason: Query<Option<String>>,
        code: Query<Option<String>>,
        fingerprint: Query<Option<String>>,
        order_uid: Query<Option<String>>,
        /// A source's name, or its kind: stan, http.
        source: Query<Option<String>>,
        /// Received at or after: RFC 3339, or how long ago, as in 15m, 2h, 7d.
        since: Query<Option<String>>,
        /// Received before.
        until: Query<Option<String>>,
        /// The lowest position.
        from: Query<Option<i64>>,
        /// The highest position.
        to: Query<Option<i64>>,
        /// Found in message or order_uid, in any case.
        text: Query<Option<String>>,
        /// What `next` was on the page before.
        after: Query<Option<String>>,
        /// 1 to 500; 50 where not given.
        limit: Query<Option<i64>>,
    ) -> Result<Json<DeadLetterPage>, Problem> {
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let filter = Filter {
            state: state.0,
            reason: reason.0,
            code: code.0,
            fingerprint: fingerprint.0,
            order_uid: order_uid.0,
            source: source.0,
            since: times::parse_time("since", since.0)?,
            until: times::parse_time("until", until.0)?,
            from: from.0,
            to: to.0,
            text: text.0,
            ..Filter::default()
        };
        filter
            .check()
            .map_err(|error| Problem::bad_request(format!("{error}.")))?;
        let reader = self.database.reader().await?;
        let mut letters = dead_letter::list(&reader, &filter, before, limit + 1).await?;
        let more = letters.len() as i64 > limit;
        letters.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Json(DeadLetterPage {
            next: letters
                .last()
                .filter(|_| more)
                .map(|last| last.id.to_string()),
            items: letters.iter().map(DeadLetter::from).collect(),
        }))
    }

    /// Groups: like with like
    ///
    /// Counts by state, first and last seen, one sample; the largest open ones first.
    #[oai(
        path = "/dead-letter-groups",
        method = "get",
        operation_id = "listDeadLetterGroups"
    )]
    async fn groups(
        &self,
        /// Only groups that have letters of this state.
        state: Query<Option<String>>,
        reason: Query<Option<String>>,
    ) -> Result<Json<DeadLetterGroups>, Problem> {
        let filter = Filter {
            state: state.0,
            reason: reason.0,
            ..Filter::default()
        };
        filter
            .check()
            .map_err(|error| Problem::bad_request(format!("{error}.")))?;
        let reader = self.database.reader().await?;
        let groups =
            dead_letter::groups(&reader, filter.state.as_deref(), filter.reason.as_deref()).await?;
        let items = groups
            .into_iter()
            .map(|group| DeadLetterGroup {
                fingerprint: format_fingerprint(group.fingerprint),
                reason: group.reason,
                code: group.code,
                pointer: group.pointer,
                message: group.message,
                open: group.open,
                replaced: group.replaced,
                discarded: group.discarded,
                first_seen: group.first_seen.to_string(),
                last_seen: group.last_seen.to_string(),
                sample: group.sample.0,
            })
            .collect();
        Ok(Json(DeadLetterGroups { items, next: None }))
    }

    /// One dead letter, with its story
    #[oai(
        path = "/dead-letters/:id",
        method = "get",
        operation_id = "getDeadLetter"
    )]
    async fn one(&self, id: Path<i64>) -> Result<Json<DeadLetterStory>, Problem> {
        let reader = self.database.reader().await?;
        let story = dead_letter::story(&reader, Position(id.0)).await?;
        let story = story.ok_or_else(|| not_here(id.0))?;
        let differences = match story.conflicting {
            Some(_) if story.letter.verdict.reason == "conflict" => {
                let order_uid = story
                    .letter
                    .verdict
                    .order_uid
                    .as_deref()
                    .unwrap_or_default();
                let order = crate::order::store::by_uid(&reader, order_uid).await?;
                order
                    .map(|order| differences(&order.payload, &story.payload))
                    .unwrap_or_default()
            }
            _ => Vec::new(),
        };
        Ok(Json(tell(story, differences)))
    }

    /// Its exact payload
    #[oai(
        path = "/dead-letters/:id/payload",
        method = "get",
        operation_id = "getDeadLetterPayload"
    )]
    async fn payload(&self, id: Path<i64>) -> Result<Attachment<Vec<u8>>, Problem> {
        let reader = self.database.reader().await?;
        let known = dead_letter::load(&reader, &[id.0]).await?;
        if known.is_empty() {
            return Err(not_here(id.0));
        }
        let payload = inbox::payload(&reader, Position(id.0))
            .await?
            .unwrap_or_default();
        Ok(Attachment::new(payload.to_vec())
            .attachment_type(AttachmentType::Attachment)
            .filename(format!("dead-letter-{}", id.0)))
    }

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
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        request: Json<Option<DecisionRequest>>,
    ) -> Result<Decided, Problem> {
        self.decide(id.0, Action::Retry, request.0, key.0, false)
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
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        request: Json<Option<DecisionRequest>>,
    ) -> Result<Decided, Problem> {
        self.decide(id.0, Action::Discard, request.0, key.0, true)
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
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        request: Json<Option<DecisionRequest>>,
    ) -> Result<Decided, Problem> {
        self.decide(id.0, Action::Reopen, request.0, key.0, false)
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
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        request: Json<Option<DecisionRequest>>,
    ) -> Result<Decided, Problem> {
        self.decide(id.0, Action::Note, request.0, key.0, true)
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
        id: Path<i64>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        /// Who decides.
        #[oai(name = "as")]
        who: Query<Option<String>>,
        /// Why.
        reason: Query<Option<String>>,
        body: Binary<Body>,
    ) -> Result<Decided, Problem> {
        let payload = super::inbox::whole_body(body.0, self.max_body_bytes).await?;
        let who = who.0.unwrap_or_else(|| "unknown".to_owned());
        let decision = Decision::about(id.0, Action::Resubmit, &who, &reason.0.unwrap_or_default());
        self.desk.decide(decision, key.0, Some(payload)).await
    }
}

fn not_here(id: i64) -> Problem {
    Problem::not_found(format!("There is no dead letter {id}. GET /api/v1/inbox/{id} says what became of the row at this position."))
        .link("inbox", format!("/api/v1/inbox/{id}"))
}

fn tell(story: dead_letter::Story, differences: Vec<Difference>) -> DeadLetterStory {
    let id = story.letter.id.0;
    let mut links = vec![
        Link {
            rel: "inbox".to_owned(),
            href: format!("/api/v1/inbox/{id}"),
        },
        Link {
            rel: "payload".to_owned(),
            href: format!("/api/v1/dead-letters/{id}/payload"),
        },
    ];
    let mut link = |rel: &str, href: String| {
        links.push(Link {
            rel: rel.to_owned(),
            href,
        });
    };
    if let Some(by) = story.letter.decided_by {
        let rel = match story.letter.state {
            State::Replaced => "replaced_by",
            _ => "decided_by",
        };
        link(rel, format!("/api/v1/inbox/{by}"));
    }
    if let Some(origin) = story.letter.origin {
        link("origin", format!("/api/v1/dead-letters/{origin}"));
    }
    if let (Some(_), Some(order_uid)) = (story.conflicting, &story.letter.verdict.order_uid) {
        link(
            "order",
            format!("/api/v1/orders/{}", encode_path(order_uid)),
        );
    }
    let cut = story.payload.len() > SHOWN_BYTES;
    let (text, hex) = match std::str::from_utf8(&story.payload) {
        Ok(text) => (Some(text.chars().take(SHOWN_BYTES).collect()), None),
        Err(_) => (
            None,
            Some(hex(&story.payload[..story.payload.len().min(SHOWN_BYTES)])),
        ),
    };
    DeadLetterStory {
        letter: DeadLetter::from(&story.letter),
        source: format!("{}:{}", story.source_kind, story.source_name),
        text,
        hex,
        payload_bytes: story.payload.len() as i64,
        payload_cut: cut,
        violations: Any(story.violations),
        decisions: story
            .decisions
            .into_iter()
            .map(|entry| DecisionEntry {
                position: entry.position.0,
                action: entry.decision.action.as_str().to_owned(),
                result: entry.result,
                who: entry.decision.who,
                why: entry.decision.why,
                at: entry.at.to_string(),
                operation: entry.decision.operation,
            })
            .collect(),
        differences,
        links,
    }
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn encode_path(segment: &str) -> String {
    use std::fmt::Write;
    segment.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// Field by field, under the present model.
fn differences(order: &[u8], letter: &[u8]) -> Vec<Difference> {
    let render = |bytes: &[u8]| -> serde_json::Value {
        match crate::order::parse(bytes) {
            Ok(order) => serde_json::from_str(&order.to_json()).unwrap_or_default(),
            Err(_) => serde_json::Value::Null,
        }
    };
    let mut found = Vec::new();
    compare(String::new(), &render(order), &render(letter), &mut found);
    found
}

fn compare(
    pointer: String,
    order: &serde_json::Value,
    letter: &serde_json::Value,
    found: &mut Vec<Difference>,
) {
    use serde_json::Value;
    if order == letter || found.len() >= 100 {
        return;
    }
    let null = Value::Null;
    match (order, letter) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys() {
                compare(
                    format!("{pointer}/{key}"),
                    &a[key],
                    b.get(key).unwrap_or(&null),
                    found,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                let (left, right) = (a.get(index).unwrap_or(&null), b.get(index).unwrap_or(&null));
                compare(format!("{pointer}/{index}"), left, right, found);
            }
        }
        _ => found.push(Difference {
            pointer,
            order: Any(order.clone()),
            letter: Any(letter.clone()),
        }),
    }
}
