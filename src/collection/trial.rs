//! The tests of a definition: messages are sent, and what has become of all that was sent is compared with what was expected.
//! Nothing is stored; this says in few lines what the projection does at length.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::definition::{Collection, Keep};
use super::expected::{Expected, ExpectedLetter, Sent};
use crate::record::{Record, Rejection, Version};

struct Letter {
    code: String,
    pointer: String,
    rule: Option<String>,
    message: String,
}

/// A message that became a version of a document.
struct Taken {
    at: At,
    bytes: Vec<u8>,
    json: String,
}

/// By what later is told from earlier.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Version(Version),
    Age(usize),
}

/// What has become of all that was sent.
#[derive(Default)]
struct State {
    sent: usize,
    duplicates: u64,
    superseded: u64,
    /// By key; without a key, by age. Each with its versions, and whether the last took it away.
    documents: HashMap<String, (Vec<Taken>, bool)>,
    sums: BTreeMap<String, i64>,
    letters: Vec<Letter>,
}

/// A test that came out otherwise: its line, and the differences.
pub struct Failed {
    pub line: u64,
    pub differences: Vec<String>,
}

/// Runs all tests, one after the other over the same state.
pub fn run(collection: &Collection) -> Vec<Failed> {
    let mut state = State::default();
    let mut failed = Vec::new();
    for test in &collection.tests {
        for message in &test.send {
            let bytes = match message {
                Sent::Json(json) => json.to_string().into_bytes(),
                Sent::Text(text) => text.clone().into_bytes(),
            };
            state.take(collection, bytes);
        }
        let differences = state.compare(&test.expect);
        if !differences.is_empty() {
            let line = test.line;
            failed.push(Failed { line, differences });
        }
    }
    failed
}

impl State {
    fn take(&mut self, collection: &Collection, bytes: Vec<u8>) {
        self.sent += 1;
        if let Err(letter) = self.judge(collection, bytes) {
            self.letters.push(letter);
        }
    }

    fn judge(&mut self, collection: &Collection, bytes: Vec<u8>) -> Result<(), Letter> {
        let model = &collection.model;
        let rejected = |rejection: Rejection| {
            let first = rejection.first();
            Letter {
                code: first.code.to_string(),
                pointer: first.pointer.clone(),
                rule: first.rule.clone(),
                message: first.message.clone(),
            }
        };
        let record = model.parse(&bytes).map_err(rejected)?;
        let key = match model.has_key() {
            true => model.key(&record).into_owned(),
            false => self.sent.to_string(),
        };
        let json = model.to_json(&record);
        let at = self.at(collection, &record);
        if let Some((versions, _)) = self.documents.get(&key) {
            let same = |version: &Taken| version.bytes == bytes || version.json == json;
            let taken = match collection.keep {
                Keep::First => versions.first(),
                Keep::Latest if collection.version.is_some() => {
                    versions.iter().find(|version| version.at == at)
                }
                Keep::Latest => versions.last().filter(|version| version.bytes == bytes),
            };
            match taken {
                Some(version) if same(version) => {
                    self.duplicates += 1;
                    return Ok(());
                }
                Some(_) => return Err(rejected(model.conflict(&key))),
                None => {}
            }
        }
        collection.rules.check(model, &record).map_err(rejected)?;
        let gone = collection.takes_away(&record).unwrap_or(Ok(false));
        let gone = gone.map_err(rejected)?;
        self.add(collection, &record).map_err(rejected)?;
        let (versions, was_gone) = self.documents.entry(key).or_default();
        let later = versions.iter().map(|version| version.at.cmp(&at)).max();
        if later == Some(Ordering::Greater) {
            self.superseded += 1;
        } else {
            *was_gone = gone;
        }
        versions.push(Taken { at, bytes, json });
        versions.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(())
    }

    fn at(&self, collection: &Collection, record: &Record<'_>) -> At {
        let version = collection.version_of(record);
        version.map_or(At::Age(self.sent), At::Version)
    }

    fn add(&mut self, collection: &Collection, record: &Record<'_>) -> Result<(), Rejection> {
        let (Some(add), Some(account)) =
            (collection.added_by(record), collection.account_of(record))
        else {
            return Ok(());
        };
        let before = self.sums.get(&account).copied().unwrap_or(0);
        let after = collection.sum_after(&account, before, add?, None)?;
        self.sums.insert(account, after);
        Ok(())
    }

    fn compare(&self, expected: &Expected) -> Vec<String> {
        let mut found = Vec::new();
        let documents = self.documents.values().filter(|(_, gone)| !gone).count() as u64;
        for (what, wanted, is) in [
            ("documents", expected.documents, documents),
            ("duplicates", expected.duplicates, self.duplicates),
            ("superseded", expected.superseded, self.superseded),
        ] {
            if wanted.is_some_and(|wanted| wanted != is) {
                found.push(format!(
                    "{what}: expected {}, found {is}",
                    wanted.unwrap_or(0)
                ));
            }
        }
        for (account, wanted) in expected.sums.iter().flatten() {
            let is = self.sums.get(account).copied().unwrap_or(0);
            if is != *wanted {
                found.push(format!("sum of {account}: expected {wanted}, found {is}"));
            }
        }
        if let Some(wanted) = &expected.dead_letters {
            let same = wanted.len() == self.letters.len()
                && wanted
                    .iter()
                    .zip(&self.letters)
                    .all(|(wanted, letter)| is(wanted, letter));
            if !same {
                let mut text = format!(
                    "dead letters: expected {}, found {}",
                    wanted.len(),
                    self.letters.len()
                );
                for letter in &self.letters {
                    // Writing to a String does not fail.
                    let _ = write!(
                        text,
                        "\n    {} {}: {}",
                        letter.code, letter.pointer, letter.message
                    );
                }
                found.push(text);
            }
        }
        found
    }
}

fn is(wanted: &ExpectedLetter, letter: &Letter) -> bool {
    let code = wanted.code.as_ref();
    let pointer = wanted.pointer.as_ref();
    code.is_none_or(|code| *code == letter.code)
        && pointer.is_none_or(|pointer| *pointer == letter.pointer)
        && (wanted.rule.is_none() || wanted.rule == letter.rule)
}
