//! An operation as it is shown, and the letters of its set.

use poem_openapi::Object;
use poem_openapi::types::Any;

use crate::operation;

/// How many of a set's named ids an operation shows.
const SHOWN_IDS: usize = 20;

/// Long-running work.
#[derive(Object)]
#[oai(rename = "Operation", example)]
pub struct OperationView {
    pub(super) id: i64,
    /// bulk, rules_check, replay
    kind: String,
    /// pending, running, paused, done, failed, cancelled; freezing: the letters of a large set are being listed; stopped: by
    /// itself, because too many failed
    state: String,
    pub(super) asked_by: String,
    /// How it is known who asked: token; null where it is what the client said.
    proof: Option<String>,
    reason: String,
    request: Any<serde_json::Value>,
    progress: Any<serde_json::Value>,
    /// How it ended; null while it has not.
    outcome: Any<serde_json::Value>,
    /// How many letters, or rows, it is about; of a set that is still freezing, those listed so far.
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
            proof: operation.proof,
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

impl From<operation::Item> for OperationLetter {
    fn from(item: operation::Item) -> Self {
        Self {
            letter: item.letter,
            position: item.position,
            result: item.result,
            failing: Any(item.detail.unwrap_or_default()),
        }
    }
}

#[derive(Object)]
#[oai(example)]
pub struct OperationLetters {
    pub(super) items: Vec<OperationLetter>,
    pub(super) next: Option<String>,
}

#[derive(Object)]
#[oai(example)]
pub struct OperationPage {
    pub(super) items: Vec<OperationView>,
    pub(super) next: Option<String>,
}
