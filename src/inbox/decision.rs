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
        /// Put other rules in force: 0.1's word, still in its logs.
        Rules = "rules",
        /// Say what a collection is from here on.
        Define = "define",
        /// A collection is no more.
        Drop = "drop",
    }
}

impl Action {
    /// Not about a letter, but about what letters are judged by.
    pub fn is_about_definitions(self) -> bool {
        matches!(self, Self::Rules | Self::Define | Self::Drop)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub action: Action,
    /// The dead letter it speaks of; none of a definition.
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
    /// The name of the collection that is defined or dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// A definition's text; of 0.1, the rules'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// 0.1's rules: the hash of those that they replace ("" for none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The position of the definition that is replaced; of the drop, if there is none in force; 0 if there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces_position: Option<i64>,
}

impl Decision {
    pub fn about(letter: i64, action: Action, who: &str, why: &str) -> Self {
        Self {
            letter: Some(letter),
            ..Self::new(action, who, why)
        }
    }

    pub fn define(name: &str, text: &str, replaces: i64, who: &str, why: &str) -> Self {
        Self {
            collection: Some(name.to_owned()),
            text: Some(text.to_owned()),
            replaces_position: Some(replaces),
            ..Self::new(Action::Define, who, why)
        }
    }

    pub fn drop(name: &str, replaces: i64, who: &str, why: &str) -> Self {
        Self {
            collection: Some(name.to_owned()),
            replaces_position: Some(replaces),
            ..Self::new(Action::Drop, who, why)
        }
    }

    fn new(action: Action, who: &str, why: &str) -> Self {
        Self {
            action,
            letter: None,
            who: who.to_owned(),
            proof: None,
            why: why.to_owned(),
            operation: None,
            collection: None,
            text: None,
            replaces: None,
            replaces_position: None,
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings and numbers is always JSON")
    }
}
