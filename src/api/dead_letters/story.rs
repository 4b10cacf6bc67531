//! One letter's whole story: what came, what is wrong with it, what was decided, and where it differs from the document that
//! it conflicts with.

use poem_openapi::Object;
use poem_openapi::types::Any;

use super::hex;
use super::letter::DeadLetter;
use crate::api::path;
use crate::api::problem::Link;
use crate::collection::Collection;
use crate::dead_letter::{self, State};
use crate::document;
use crate::inbox::Position;
use crate::postgres::{self, Client};
use crate::projection::InForce;

/// A decision in a letter's history.
#[derive(Object)]
pub struct DecisionEntry {
    position: i64,
    action: String,
    /// done, still_failing, already_so, too_late
    result: String,
    who: String,
    /// How it is known who: token; null where it is what the client said.
    proof: Option<String>,
    why: String,
    at: String,
    operation: Option<i64>,
}

/// One dead letter with its whole story.
#[derive(Object)]
#[oai(example)]
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
    /// Of a conflict: where this message and the document that has its key differ.
    differences: Vec<Difference>,
    links: Vec<Link>,
}

#[derive(Object)]
pub struct Difference {
    pointer: String,
    /// What the document has.
    document: Any<serde_json::Value>,
    /// What this letter has.
    letter: Any<serde_json::Value>,
}

/// How much of a payload a story shows.
const SHOWN_BYTES: usize = 64 * 1024;

impl DeadLetterStory {
    pub fn collection(&self) -> &str {
        self.letter.collection()
    }
}

/// None where there is no such letter.
pub async fn read(
    client: &Client,
    in_force: &InForce,
    id: Position,
) -> Result<Option<DeadLetterStory>, postgres::Error> {
    let Some(story) = dead_letter::story(client, id).await? else {
        return Ok(None);
    };
    let verdict = &story.letter.verdict;
    let defined = in_force.by_id(story.letter.collection);
    let other = match (defined, verdict.key.as_deref()) {
        (Some(defined), Some(key)) => document::by_key(client, defined.place(), key).await?,
        _ => None,
    };
    let looks = defined.and_then(|defined| defined.compiled.as_deref());
    let differences = match (&other, looks) {
        (Some(other), Some(looks)) if verdict.reason == "conflict" => {
            differences(looks, &other.payload, &story.payload)
        }
        _ => Vec::new(),
    };
    Ok(Some(tell(story, other.is_some(), differences)))
}

fn tell(
    story: dead_letter::Story,
    has_other: bool,
    differences: Vec<Difference>,
) -> DeadLetterStory {
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
    if let (true, Some(key)) = (has_other, &story.letter.verdict.key) {
        let name = &story.letter.name;
        link("document", format!("/api/v1/{name}/{}", path::encoded(key)));
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
                proof: entry.decision.proof,
                why: entry.decision.why,
                at: entry.at.to_string(),
                operation: entry.decision.operation,
            })
            .collect(),
        differences,
        links,
    }
}

/// Field by field, under the present model.
fn differences(looks: &Collection, document: &[u8], letter: &[u8]) -> Vec<Difference> {
    let render = |bytes: &[u8]| -> serde_json::Value {
        let model = &looks.model;
        match model.parse(bytes) {
            Ok(record) => serde_json::from_str(&model.to_json(&record)).unwrap_or_default(),
            Err(_) => serde_json::Value::Null,
        }
    };
    let mut found = Vec::new();
    compare(
        String::new(),
        &render(document),
        &render(letter),
        &mut found,
    );
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
            document: Any(order.clone()),
            letter: Any(letter.clone()),
        }),
    }
}
