//! Why one message was not taken, in words for people and in words for programs. The projector stores it as a verdict, so
//! nothing in it may be unbounded or hold a NUL, whatever the message held.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use super::code::{Code, Reason};

/// How many violations are kept; the rest is only counted.
pub const MAX_VIOLATIONS: usize = 50;
/// How much of a key is kept, so that an index can take it.
const MAX_KEPT_KEY_BYTES: usize = 1_000;
/// How much of a message's own text a sentence may quote.
const MAX_QUOTE_CHARS: usize = 80;

/// One thing that is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub code: Code,
    /// A sentence that a person understands.
    pub message: String,
    /// The JSON pointer (RFC 6901) of the field it is about; "" is the whole message.
    pub pointer: String,
    /// Where in the message, counted from 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The id of the rule that says no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

impl Violation {
    /// A violation without a place in the text.
    pub fn new(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            pointer: pointer.into(),
            line: None,
            column: None,
            rule: None,
        }
    }
}

/// Why a message was not taken: one reason, and all that is wrong in that layer of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    reason: Reason,
    violations: Vec<Violation>,
    omitted: usize,
    key: Option<String>,
}

impl Rejection {
    /// There is always a first violation: it gives the letter its code, its message and its group.
    pub fn new(reason: Reason, first: Violation) -> Self {
        Self {
            reason,
            violations: vec![first],
            omitted: 0,
            key: None,
        }
    }

    /// With more violations, of which those past `MAX_VIOLATIONS` are counted only.
    pub fn and(mut self, more: impl IntoIterator<Item = Violation>) -> Self {
        for violation in more {
            if self.violations.len() < MAX_VIOLATIONS {
                self.violations.push(violation);
            } else {
                self.omitted += 1;
            }
        }
        self
    }

    /// With `count` violations more that were never written out.
    pub(super) fn omitting(mut self, count: usize) -> Self {
        self.omitted += count;
        self
    }

    /// With the key that could be read, cut to what an index takes.
    pub fn of(mut self, key: Option<&str>) -> Self {
        let cut = |key: &str| key[..key.floor_char_boundary(MAX_KEPT_KEY_BYTES)].to_owned();
        self.key = key
            .filter(|key| !key.is_empty())
            // Cut a second time, since the character that replaces a NUL is longer than a NUL.
            .map(|key| cut(&cut(key).replace('\0', "\u{fffd}")));
        self
    }

    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The violation that the letter is listed and grouped by.
    pub fn first(&self) -> &Violation {
        // `new` takes the first violation, and nothing takes one away.
        &self.violations[0]
    }

    /// At least one, at most `MAX_VIOLATIONS`.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many violations more there were than are kept.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// The key, if one could be read, without NUL and at most 1,000 bytes long.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Rejections with the same fingerprint are one group: a hash of reason, code (or the rule's id) and pointer of the first
    /// violation, with array indices as `*`. It is stored, so it must never change for a rejection that had it.
    pub fn fingerprint(&self) -> i64 {
        let first = self.first();
        let code = first.rule.as_deref().unwrap_or(first.code.as_str());
        let mut hash = Sha256::new();
        hash.update(self.reason.as_str());
        hash.update([0]);
        hash.update(code);
        for token in first.pointer.split('/') {
            let index = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
            hash.update([0]);
            hash.update(if index { "*" } else { token });
        }
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Somebody else's text inside a sentence of ours: short, in quotes, without control characters.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut chars = text.chars();
    for char in chars.by_ref().take(MAX_QUOTE_CHARS) {
        match char {
            '\'' => quoted.push(char),
            char => quoted.extend(char.escape_debug()),
        }
    }
    quoted.push('"');
    if chars.next().is_some() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(code: Code, pointer: &str) -> Rejection {
        Rejection::new(
            Reason::Schema,
            Violation::new(code, pointer, "Any sentence."),
        )
    }

    #[test]
    fn fingerprint_groups_like_with_like() {
        let one = schema(Code::WrongType, "/items/0/price");
        assert_eq!(
            one.fingerprint(),
            schema(Code::WrongType, "/items/17/price").fingerprint()
        );
        let others = [
            schema(Code::WrongType, "/items/0/sale"),
            schema(Code::NegativeMoney, "/items/0/price"),
            schema(Code::WrongType, ""),
            schema(Code::WrongType, "/"),
            Rejection::new(
                Reason::Rule,
                Violation::new(Code::WrongType, "/items/0/price", ""),
            ),
        ];
        for other in others {
            assert_ne!(one.fingerprint(), other.fingerprint());
        }
        let rule = |id: &str| {
            let mut violation = Violation::new(Code::RuleViolated, "", "");
            violation.rule = Some(id.to_owned());
            Rejection::new(Reason::Rule, violation).fingerprint()
        };
        assert_ne!(rule("one"), rule("other"));
    }

    #[test]
    fn fingerprint_is_what_it_was_when_it_was_stored() {
        assert_eq!(
            schema(Code::WrongType, "/items/3/price").fingerprint(),
            7_836_063_940_883_633_572
        );
    }

    #[test]
    fn nothing_is_unbounded_and_nothing_holds_nul() {
        let many = std::iter::repeat_with(|| Violation::new(Code::WrongType, "", "")).take(99);
        let rejection = schema(Code::WrongType, "").and(many);
        assert_eq!(rejection.violations().len(), MAX_VIOLATIONS);
        assert_eq!(rejection.omitted(), 50);

        let long = "я\0".repeat(5_000);
        let rejection = rejection.of(Some(&long));
        let kept = rejection.key().unwrap();
        assert!(kept.len() <= 1_000 && !kept.contains('\0'));
        assert_eq!(rejection.of(Some("")).key(), None);
        assert_eq!(quote("a\"b'\n\u{0}\u{202e}"), "\"a\\\"b'\\n\\0\\u{202e}\"");
    }
}
