//! A test of a definition, as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A message of a test: JSON, or a text that is sent as it is.
pub enum Sent {
    Json(Value),
    Text(String),
}

pub struct Test {
    /// Where it stands in the file.
    pub line: u64,
    pub send: Vec<Sent>,
    pub expect: Expected,
}

/// What there is by now; what is not named is not compared.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub documents: Option<u64>,
    pub duplicates: Option<u64>,
    pub superseded: Option<u64>,
    pub sums: Option<BTreeMap<String, i64>>,
    pub dead_letters: Option<Vec<ExpectedLetter>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedLetter {
    pub code: Option<String>,
    pub pointer: Option<String>,
    pub rule: Option<String>,
}
