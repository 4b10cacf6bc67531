//! Who asks for a decision or an operation, why, and under which key: checked here for every route, so that no route takes
//! more than another.

use super::problem::Problem;
use crate::operation::Asked;

/// How many bytes `as` and `reason` may have. A bulk operation writes both into the decision about each of its letters:
/// without a bound, a reason of 4 MB over 65 letters took 933 MB of memory and 260 MB of the log, for ever.
const MAX_TEXT: usize = 4_000;
/// How many bytes an Idempotency-Key may have: enough for any id that a client makes, and far below what an index entry of
/// Postgres can hold (2,704 bytes).
const MAX_KEY: usize = 200;

pub struct Asker {
    /// Unproven until there are tokens.
    pub who: String,
    pub why: String,
    /// As it is stored: with a prefix, so that no client can say a key that the service makes for itself.
    pub key: Option<String>,
}

impl Asker {
    pub fn new(
        who: Option<String>,
        reason: Option<String>,
        key: Option<String>,
    ) -> Result<Self, Problem> {
        Ok(Self {
            who: checked_text("as", who.filter(|who| !who.is_empty()))?
                .unwrap_or_else(|| "unknown".to_owned()),
            why: checked_text("reason", reason)?.unwrap_or_default(),
            key: key
                .map(checked_key)
                .transpose()?
                .map(|key| format!("client:{key}")),
        })
    }

    pub fn asked(&self) -> Asked<'_> {
        Asked {
            who: &self.who,
            why: &self.why,
            key: self.key.as_deref(),
        }
    }
}

fn checked_text(name: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let wrong = |problem: String| Err(Problem::bad_request(format!("{name} {problem}.")));
    match text {
        Some(text) if text.contains('\0') => wrong("holds a NUL, which Postgres cannot".to_owned()),
        Some(text) if text.len() > MAX_TEXT => wrong(format!(
            "has {} bytes; {MAX_TEXT} are the most that are taken",
            text.len()
        )),
        text => Ok(text),
    }
}

/// An Idempotency-Key as a client may choose it.
pub fn checked_key(key: String) -> Result<String, Problem> {
    if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "An Idempotency-Key has 1 to {MAX_KEY} bytes, none of them a control character."
        )));
    }
    Ok(key)
}
