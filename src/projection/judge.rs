//! Whether bytes at a position are a document, a duplicate, or rejected.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::definitions::Defined;
use super::examine::{Candidate, Examined, Said};
use super::state::{State, States};
use crate::collection::{Collection, Keep};
use crate::dead_letter::Verdict;
use crate::inbox::Position;
use crate::record::{Rejection, Version};

/// What decides whether a row is accepted or rejected.
pub enum Judge<'a> {
    /// The live projector and a dry run: the checks of this code and the definitions in force.
    Live {
        /// Positions of rows that Postgres refused when they were written alone, with the SQLSTATE.
        refused: &'a HashMap<i64, String>,
    },
    /// A replay judges nothing: a row that has a verdict was rejected with it, every other row was accepted; and what was worked
    /// out is not worked out again.
    Replay {
        verdicts: HashMap<i64, Verdict>,
        amounts: HashMap<i64, Amount>,
    },
}

/// What was worked out once for a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// What it adds to a sum.
    pub value: Option<i64>,
    /// Whether it takes its document away.
    pub gone: Option<bool>,
}

/// Bytes that are to be judged.
pub struct Subject<'a> {
    pub position: Position,
    /// Of what comes of them.
    pub age: Position,
    pub bytes: &'a Bytes,
    pub examined: Examined,
    pub defined: &'a Defined,
}

/// What judging bytes comes to.
pub enum Judged {
    Document(New),
    /// Valid, and older than what is there.
    Superseded(New),
    Duplicate {
        key: Arc<str>,
        version: Option<Version>,
    },
    Rejected(Verdict),
}

pub struct New {
    pub key: Arc<str>,
    pub data: Option<Bytes>,
    pub stored: Bytes,
    pub digest: Option<[u8; 16]>,
    pub version: Option<Version>,
    pub account: Option<Arc<str>>,
    pub amount: Amount,
}

impl Judge<'_> {
    pub fn judge(&mut self, states: &mut States, subject: Subject<'_>) -> Result<Judged, Error> {
        let defined = subject.defined;
        let collection = defined.collection()?;
        let state = states.of(defined.id);
        match self {
            Judge::Live { refused } => {
                let refused = refused.get(&subject.position.0);
                let position = subject.position;
                let judged = judge(collection, state, subject, refused);
                Ok(judged.unwrap_or_else(|rejection| {
                    Judged::Rejected(rejected(position, &rejection, defined))
                }))
            }
            Judge::Replay { verdicts, amounts } => {
                if let Some(verdict) = verdicts.remove(&subject.position.0) {
                    return Ok(Judged::Rejected(verdict));
                }
                let amount = amounts.remove(&subject.position.0).unwrap_or_default();
                accepted(collection, state, subject, amount)
            }
        }
    }

    /// The verdict on a message to a name that nothing is defined by.
    pub fn undefined(
        &mut self,
        position: Position,
        name: &str,
        dropped: Position,
    ) -> Option<Verdict> {
        use crate::collection::{Id, no_collection};
        match self {
            Judge::Live { .. } => {
                let belongs = (Id::NONE, name);
                Some(Verdict::new(
                    position,
                    &no_collection(name),
                    dropped,
                    belongs,
                ))
            }
            Judge::Replay { verdicts, .. } => verdicts.remove(&position.0),
        }
    }
}

fn rejected(position: Position, rejection: &Rejection, defined: &Defined) -> Verdict {
    let belongs = (defined.id, &*defined.name);
    Verdict::new(position, rejection, defined.position, belongs)
}

/// The order of the questions matters. If the key is taken by a document of the very same bytes, the row is a duplicate, even if
/// this definition could not read it. Then the schema; then whether the key, or this version of it, is taken; the rules only if it
/// is free; and last the sum, which the message would change.
fn judge(
    collection: &Collection,
    state: &mut State,
    subject: Subject<'_>,
    refused: Option<&String>,
) -> Result<Judged, Rejection> {
    let model = &collection.model;
    let known = subject.examined.key();
    if let Some(key) = known
        && state.came_as(key, subject.bytes, subject.examined.digest)
    {
        return Ok(Judged::Duplicate {
            key: key.into(),
            version: subject.examined.version().cloned(),
        });
    }
    if let Some(sqlstate) = refused {
        return Err(model.refused_by_postgres(sqlstate, known));
    }
    let digest = subject.examined.digest;
    let candidate = match subject.examined.said {
        Said::Rejected(rejection) => return Err(rejection),
        Said::Document(candidate) => candidate,
    };
    let key = key_of(&candidate, subject.age);
    let (data, more) = (candidate.data.unwrap_or_default(), candidate.more);
    let version = more.as_ref().and_then(|more| more.version.clone());
    let taken = match (collection.keep, &version) {
        (Keep::First, _) => state.documents.get_mut(&key),
        (Keep::Latest, Some(version)) => {
            let version = (key.clone(), version.clone());
            state.versions.get_mut(&version)
        }
        (Keep::Latest, None) => None,
    };
    match taken.map(|taken| taken.is(&data, collection)) {
        Some(true) => return Ok(Judged::Duplicate { key, version }),
        Some(false) => return Err(model.conflict(&key)),
        None => {}
    }
    if let Some(rejection) = candidate.ruled {
        return Err(rejection);
    }
    let mut amount = Amount::default();
    let mut account = None;
    if let Some(more) = more {
        amount.gone = more.gone.transpose()?;
        if let (Some(add), Some(of)) = (more.add.transpose()?, more.account) {
            let before = state.sums.get(&of).copied().unwrap_or(0);
            collection.sum_after(&of, before, add, Some(&key))?;
            amount.value = Some(add);
            account = Some(of);
        }
    }
    let new = New {
        key,
        data: Some(data),
        stored: candidate.stored,
        digest,
        version,
        account,
        amount,
    };
    Ok(state.placed(collection.keep, subject.age, new))
}

/// What an accepted row comes to: only keys, bytes, versions and ages are compared, and how they compare never changes.
fn accepted(
    collection: &Collection,
    state: &State,
    subject: Subject<'_>,
    amount: Amount,
) -> Result<Judged, Error> {
    let digest = subject.examined.digest;
    let candidate = match subject.examined.said {
        Said::Document(candidate) => candidate,
        Said::Rejected(_) => return Err(Error::Unbuildable(subject.position.0)),
    };
    let key = key_of(&candidate, subject.age);
    let more = candidate.more;
    let version = more.as_ref().and_then(|more| more.version.clone());
    let taken = match (collection.keep, &version) {
        (Keep::First, _) => state.documents.contains_key(&key),
        (Keep::Latest, version) => {
            state.is_same(&key, digest)
                || version.as_ref().is_some_and(|version| {
                    let version = (key.clone(), version.clone());
                    state.versions.contains_key(&version)
                })
        }
    };
    if taken {
        return Ok(Judged::Duplicate { key, version });
    }
    let new = New {
        key,
        data: None,
        stored: candidate.stored,
        digest,
        version,
        account: more.and_then(|more| more.account),
        amount,
    };
    Ok(state.placed(collection.keep, subject.age, new))
}

/// Without a key each message is a document of its own, known by its age.
fn key_of(candidate: &Candidate, age: Position) -> Arc<str> {
    match &candidate.key {
        Some(key) => key.clone(),
        None => age.to_string().into(),
    }
}

impl State {
    /// Whether the document with this key came in these very bytes.
    fn came_as(&self, key: &str, bytes: &Bytes, digest: Option<[u8; 16]>) -> bool {
        self.documents
            .get(key)
            .is_some_and(|known| known.came_as(bytes))
            || self.is_same(key, digest)
    }

    /// Whether the document of `latest` that stands there came in bytes of this digest.
    fn is_same(&self, key: &str, digest: Option<[u8; 16]>) -> bool {
        let standing = self.standing.get(key);
        standing.is_some_and(|standing| Some(standing.digest) == digest)
    }

    /// Whether it takes the place of what is there, or is older: by its version, or without one by its age.
    fn placed(&self, keep: Keep, age: Position, new: New) -> Judged {
        let standing = match keep {
            Keep::First => None,
            Keep::Latest => self.standing.get(&new.key),
        };
        let is_older = standing.is_some_and(|standing| match (&new.version, &standing.version) {
            (Some(new), Some(standing)) => new < standing,
            _ => age < standing.age,
        });
        if is_older {
            Judged::Superseded(new)
        } else {
            Judged::Document(new)
        }
    }
}
