//! What a batch has to know of the collections' documents: loaded before the fold, which does no IO, and brought up to date by
//! it. A batch that is folded beside one in flight takes over what that one has left.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;

use super::examine::{Digest16, digest};
use crate::collection::{Collection, Id};
use crate::inbox::Position;
use crate::record::Version;

/// What another message with the same key, or the same version of it, is compared with.
#[derive(Clone)]
pub enum Known {
    /// In the tables: by the bytes that it came in, and rendered from them once somebody has asked.
    Stored { bytes: Bytes, data: Option<Bytes> },
    /// Earlier in this batch, or in one that is still in flight: by its canonical JSON.
    Brought { data: Bytes },
    /// Brought by an earlier part of a dry run: by a digest of its canonical JSON.
    Foretold(Digest16),
    /// For a replay, which judges nothing: only that it is taken.
    Taken,
}

impl Known {
    pub fn stored(bytes: Bytes) -> Self {
        Known::Stored { bytes, data: None }
    }

    /// Of what was just read: in a replay there is no JSON to be served.
    pub fn brought(data: Option<&Bytes>) -> Self {
        match data {
            Some(data) => Known::Brought { data: data.clone() },
            None => Known::Taken,
        }
    }

    /// All that a dry run keeps of a document: its set can have millions of letters.
    pub fn foretold(&self) -> Self {
        match self {
            Known::Brought { data } => Known::Foretold(digest(data)),
            other => other.clone(),
        }
    }

    /// Whether it came in these very bytes.
    pub fn came_as(&self, bytes: &Bytes) -> bool {
        matches!(self, Known::Stored { bytes: known, .. } if known == bytes)
    }

    /// Whether it is the document of which this is the canonical JSON. Documents are equal if the present definition reads them
    /// as equal; one that it cannot read is like none.
    pub fn is(&mut self, data: &Bytes, by: &Collection) -> bool {
        match self {
            Known::Stored { bytes, data: known } => {
                if known.is_none() {
                    let record = by.model.parse(bytes).ok();
                    *known = record.map(|record| by.model.to_json(&record).into());
                }
                known.as_ref() == Some(data)
            }
            Known::Brought { data: known } => known == data,
            Known::Foretold(known) => *known == digest(data),
            Known::Taken => true,
        }
    }
}

/// A document of `latest` as it stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Of its bytes.
    pub digest: Digest16,
    pub age: Position,
    pub version: Option<Version>,
}

/// One collection, as far as a batch has to know it. The hashes are seeded at random, so a sender cannot choose keys that collide.
#[derive(Default)]
pub struct State {
    /// Of `first`, by key.
    pub documents: HashMap<Arc<str>, Known>,
    /// Of `latest`, by key.
    pub standing: HashMap<Arc<str>, Standing>,
    /// Of `latest`, if versions are told by a field.
    pub versions: HashMap<(Arc<str>, Version), Known>,
    /// By account.
    pub sums: HashMap<Arc<str>, i64>,
}

/// By collection.
#[derive(Default)]
pub struct States(BTreeMap<Id, State>);

impl States {
    pub fn of(&mut self, id: Id) -> &mut State {
        self.0.entry(id).or_default()
    }

    pub fn get(&self, id: Id) -> Option<&State> {
        self.0.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id, &State)> {
        self.0.iter().map(|(id, state)| (*id, state))
    }
}

impl States {
    /// What a dry run keeps for its next part: in few bytes, since its set can have millions of letters.
    pub fn keep(&mut self, left: States) {
        for (id, left) in left.0 {
            let state = self.of(id);
            let brought = |known: &Known| !matches!(known, Known::Stored { .. });
            for (key, known) in left
                .documents
                .into_iter()
                .filter(|(_, known)| brought(known))
            {
                state.documents.insert(key, known.foretold());
            }
            for (version, known) in left
                .versions
                .into_iter()
                .filter(|(_, known)| brought(known))
            {
                state.versions.insert(version, known.foretold());
            }
            state.standing.extend(left.standing);
            state.sums.extend(left.sums);
        }
    }
}

/// What a row asks of the state.
pub struct Question<'a> {
    pub id: Id,
    pub key: &'a str,
    pub version: Option<&'a Version>,
    pub account: Option<&'a Arc<str>>,
}

impl States {
    /// Takes over what a batch in flight has left of what is asked.
    pub fn overlay(&mut self, in_flight: &States, asked: &Question<'_>) {
        let Some(left) = in_flight.get(asked.id) else {
            return;
        };
        let state = self.of(asked.id);
        if let Some((key, known)) = left.documents.get_key_value(asked.key) {
            state.documents.insert(key.clone(), known.clone());
        }
        if let Some((key, standing)) = left.standing.get_key_value(asked.key) {
            state.standing.insert(key.clone(), standing.clone());
            if let Some(version) = asked.version {
                let version = (key.clone(), version.clone());
                if let Some(known) = left.versions.get(&version) {
                    state.versions.insert(version, known.clone());
                }
            }
        }
        if let Some(account) = asked.account
            && let Some(sum) = left.sums.get(account)
        {
            state.sums.insert(account.clone(), *sum);
        }
    }
}
