//! Rules that users write: a YAML list, each an id, a message, the field it speaks of, and a CEL expression over the record.
//! Each message that the schema takes, and whose key is free, is judged by them.
//!
//! Whatever is wrong with a rule is found when it is loaded, with line and column. What cannot be known then, because it
//! depends on the message, makes the message fail by the rule: numbers that overflow, a division by zero. Neither loading nor
//! checking can harm the service: the size of a file, the depth of an expression, the size of a pattern, and the work for
//! one message are all bounded, and the outcome depends on nothing but the rules and the message.
//!
//! The language is described in docs/rules.md. Its syntax is CEL's, by the crate `cel`; its interpreter is not used, since
//! it knows no types before it runs, and is a hundred times slower.

mod call;
mod check;
mod decimal;
#[cfg(test)]
mod harm;
mod load;
#[cfg(test)]
mod tests;
mod tree;
pub mod yaml;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::record::{Code, Model, Reason, Record, Rejection, Violation};
use load::Rule;
pub use load::{Written, number, truth, with_stack};
pub use tree::{Bool, Failure, Int};
pub use yaml::Mistake;

/// The text of an empty rules file.
const NONE: &str = "[]\n";

/// A rules file was refused; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rules have mistakes:{}", list(.mistakes))]
pub struct RulesError {
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

/// Compiled rules; a clone is the same rules.
#[derive(Clone)]
pub struct Rules(Arc<Compiled>);

struct Compiled {
    text: String,
    hash: String,
    rules: Vec<Rule>,
}

impl Rules {
    /// No rules: every message passes.
    pub fn none() -> Self {
        Self::new(NONE, Vec::new())
    }

    /// Compiles a rules file. It may take tens of milliseconds, and blocks.
    pub fn compile(text: &str, model: &Model) -> Result<Self, RulesError> {
        let rules = load::load(text, model).map_err(|mistakes| RulesError { mistakes })?;
        Ok(Self::new(text, rules))
    }

    /// Compiles the rules that stand in a larger file, whose text this is.
    pub fn of(text: &str, written: &[Written], model: &Model) -> Result<Self, Vec<Mistake>> {
        Ok(Self::new(text, load::compile(text, written, model)?))
    }

    fn new(text: &str, rules: Vec<Rule>) -> Self {
        let hash = hash(text);
        let text = text.to_owned();
        Self(Arc::new(Compiled { text, hash, rules }))
    }

    /// Judges a message that the schema took: all rules that it violates are listed.
    pub fn check(&self, model: &Model, record: &Record<'_>) -> Result<(), Rejection> {
        let mut violations = self
            .0
            .rules
            .iter()
            .filter_map(|rule| violation(model, rule, record));
        match violations.next() {
            None => Ok(()),
            Some(first) => {
                let rejection = Rejection::new(Reason::Rule, first).and(violations);
                Err(rejection.of(Some(&model.key(record))))
            }
        }
    }

    /// The file as it was written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The SHA-256 of the text, in hex: it identifies the rules.
    pub fn hash(&self) -> &str {
        &self.0.hash
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.0.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// The rules' ids, in the order of the file.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.rules.iter().map(|rule| rule.id.as_str())
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.ids().collect();
        f.debug_struct("Rules")
            .field("hash", &self.0.hash)
            .field("ids", &ids)
            .finish()
    }
}

fn violation(model: &Model, rule: &Rule, record: &Record<'_>) -> Option<Violation> {
    let (code, message) = match rule.expression.run(record) {
        Ok(true) => return None,
        Ok(false) => (Code::RuleViolated, rule.message.clone()),
        Err(failure) => {
            let message = format!(
                "The rule {} cannot be worked out for this {}: {failure}.",
                rule.id, model.one
            );
            (Code::RuleFailed, message)
        }
    };
    let mut violation = Violation::new(code, rule.pointer.as_str(), message);
    violation.rule = Some(rule.id.clone());
    Some(violation)
}

/// The SHA-256 of a text, in hexadecimal.
pub fn hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(mistakes: &[Mistake]) -> String {
    let line = |mistake: &Mistake| {
        format!(
            "\n  line {}, column {}: {}",
            mistake.line, mistake.column, mistake.message
        )
    };
    mistakes.iter().map(line).collect()
}
