//! A dead letter and a group of them, as lists show them.

use std::collections::BTreeMap;

use poem_openapi::Object;

use crate::dead_letter::{Group, Letter, State, format_fingerprint};

/// A dead letter as lists show it.
#[derive(Object)]
pub struct DeadLetter {
    /// Its inbox position.
    id: i64,
    /// The name of the collection that it was sent to.
    collection: String,
    /// open, replaced, discarded
    state: String,
    /// not_utf8, not_json, schema, rule, unstorable, conflict, collection, sum
    reason: String,
    code: String,
    /// A sentence for people.
    message: String,
    /// The JSON pointer of the field; empty for the whole message.
    pointer: String,
    key: Option<String>,
    /// What groups like with like.
    fingerprint: String,
    /// How often it was judged.
    attempts: i32,
    received_at: String,
    first_failed_at: String,
    last_failed_at: String,
    /// When it is tried again by itself; only for what Postgres refused, and for sums that were too low.
    next_attempt_at: Option<String>,
    /// The position that replaced it.
    replaced_by: Option<i64>,
    /// The letter that it was resubmitted from.
    origin: Option<i64>,
}

impl DeadLetter {
    pub fn collection(&self) -> &str {
        &self.collection
    }
}

impl From<&Letter> for DeadLetter {
    fn from(letter: &Letter) -> Self {
        let verdict = &letter.verdict;
        Self {
            id: letter.id.0,
            collection: letter.name.to_string(),
            state: letter.state.as_str().to_owned(),
            reason: verdict.reason.clone(),
            code: verdict.code.clone(),
            message: verdict.message.clone(),
            pointer: verdict.pointer.clone(),
            key: verdict.key.clone(),
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
#[oai(example)]
pub struct DeadLetterPage {
    pub(super) items: Vec<DeadLetter>,
    /// Pass it as `after` for the next page; null on the last.
    pub(super) next: Option<String>,
}

/// Letters that failed for the same reason, code and field.
#[derive(Object)]
pub struct DeadLetterGroup {
    fingerprint: String,
    /// Null if its letters were sent to names that nothing is defined by.
    collection: Option<String>,
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

impl DeadLetterGroup {
    pub fn of(group: Group, names: &BTreeMap<i64, String>) -> Self {
        Self {
            collection: names.get(&group.collection.0).cloned(),
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
        }
    }
}

#[derive(Object)]
#[oai(example)]
pub struct DeadLetterGroups {
    pub(super) items: Vec<DeadLetterGroup>,
    pub(super) next: Option<String>,
}
