//! What an operator (or the service itself) decides, as it stands in the log. It holds no time: the same decision, sent again
//! under the same key, must have the same content.

use serde::{Deserialize, Serialize};

words! {
    pub enum Action {
        /// Judge the same bytes again.
        Retry = "retry",
        /// Take edited bytes in place of the letter's.
        Resubmit = "resubmit",
        /// Close the letter: its message is not wanted.
        Discard = "discard",
        /// Undo a discard.
        Reopen = "reopen",
        Note = "note",
        /// Put other rules in force.
        Rules = "rules",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub action: Action,
    /// The dead letter it speaks of; none for rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<i64>,
    pub who: String,
    /// How it was proven who: by a token, say. None where it is what the client said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The bulk operation that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<i64>,
    /// Rules: their text, and the hash of those that they replace ("" for none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

impl Decision {
    pub fn about(letter: i64, action: Action, who: &str, why: &str) -> Self {
        Self {
            action,
            letter: Some(letter),
            who: who.to_owned(),
            proof: None,
            why: why.to_owned(),
            operation: None,
            text: None,
            replaces: None,
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings and numbers is always JSON")
    }
}
