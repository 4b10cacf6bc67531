//! Who asks for a decision or an operation, why, and under which key: checked here for every route, so that no route takes
//! more than another.

use poem::http::StatusCode;

use super::problem::Problem;
use crate::access::Principal;
use crate::inbox::{Action, Decision};
use crate::operation::Asked;

/// How many bytes `as` and `reason` may have. A bulk operation writes both into the decision about each of its letters:
/// without a bound, a reason of 4 MB over 65 letters took 933 MB of memory and 260 MB of the log, for ever.
const MAX_TEXT: usize = 4_000;
/// How many bytes an Idempotency-Key may have: enough for any id that a client makes, and far below what an index entry of
/// Postgres can hold (2,704 bytes).
const MAX_KEY: usize = 200;

pub struct Asker {
    /// The principal; where it proved nothing, what the client says.
    pub who: String,
    /// How it was proven.
    pub proof: Option<String>,
    pub why: String,
    /// As it is stored: with a prefix, so that no client can say a key that the service makes for itself.
    pub key: Option<String>,
}

impl Asker {
    pub fn new(
        principal: &Principal,
        who: Option<String>,
        reason: Option<String>,
        key: Option<String>,
    ) -> Result<Self, Problem> {
        let said = checked_text("as", who.filter(|who| !who.is_empty()))?;
        let (who, proof) = match (principal.proof().is_proven(), said) {
            (false, said) => (said.unwrap_or_else(|| "unknown".to_owned()), None),
            (true, None) => {
                let proof = principal.proof().as_str().to_owned();
                (principal.name().to_owned(), Some(proof))
            }
            (true, Some(_)) => {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "who-is-known",
                    format!(
                        "It is known who asks: {}, by {}. Leave out `as` (--as). Nothing was changed.",
                        principal.name(),
                        principal.proof().as_str()
                    ),
                ));
            }
        };
        Ok(Self {
            who,
            proof,
            why: checked_text("reason", reason)?.unwrap_or_default(),
            key: key
                .map(checked_key)
                .transpose()?
                .map(|key| format!("client:{key}")),
        })
    }

    /// About one letter.
    pub fn decision(&self, letter: i64, action: Action) -> Decision {
        Decision {
            proof: self.proof.clone(),
            ..Decision::about(letter, action, &self.who, &self.why)
        }
    }

    pub fn asked(&self) -> Asked<'_> {
        Asked {
            who: &self.who,
            proof: self.proof.as_deref(),
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
