//! What the fold needs to know of the tables: the documents that have a batch's keys already, and the letters that its decisions
//! are about. Loaded before the fold, so that the fold itself does no IO.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::definitions::{Defined, InForce};
use super::examine::{Examined, digest};
use super::reader::ReadRow;
use super::state::{Known, Question, Standing, States};
use crate::collection::{Collection, Id, Keep};
use crate::dead_letter::{self, Letter};
use crate::document;
use crate::inbox::{self, Action};
use crate::postgres::{self, Client};
use crate::record::Version;

#[derive(Default)]
pub struct Loaded {
    pub states: States,
    pub letters: BTreeMap<i64, Letter>,
    /// By letter: the bytes of those that are to be judged again, examined.
    pub letter_bytes: HashMap<i64, (Bytes, Examined)>,
    /// By the decision's position: edited bytes, examined as their letter is.
    pub edited: HashMap<i64, Examined>,
    /// By position: the bytes that replaced a letter. A second resubmission is "already so" if it brings the same.
    pub replacing: HashMap<i64, Bytes>,
}

/// What a letter is judged by: none if its collection was dropped, or if nothing is defined by its name still.
pub fn defined<'f>(in_force: &'f InForce, collection: Id, name: &str) -> Option<&'f Arc<Defined>> {
    match collection {
        Id::NONE => in_force.get(name),
        id => in_force.by_id(id),
    }
}

/// Reads bytes as messages of a collection.
pub trait Examine {
    fn examine(&mut self, bytes: &Bytes, defined: &Defined) -> Result<Examined, Error>;
}

/// The letters that the batch's decisions speak of, with their bytes.
pub async fn load_letters(
    client: &Client,
    in_force: &InForce,
    rows: &[ReadRow],
    examine: &mut impl Examine,
) -> Result<Loaded, Error> {
    let mut loaded = Loaded::default();
    let mut ids = HashSet::new();
    let mut judged = HashSet::new();
    let mut resubmitted = HashSet::new();
    for decision in rows.iter().filter_map(|read| read.row.decision.as_ref()) {
        if let Some(letter) = decision.letter {
            ids.insert(letter);
            match decision.action {
                Action::Retry | Action::Reopen => {
                    judged.insert(letter);
                }
                Action::Resubmit => {
                    resubmitted.insert(letter);
                }
                Action::Discard | Action::Note | Action::Rules | Action::Define | Action::Drop => {}
            }
        }
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    for letter in dead_letter::load(client, &ids).await? {
        loaded.letters.insert(letter.id.0, letter);
    }
    let judged: Vec<i64> = judged.into_iter().collect();
    // By their positions in the inbox: so they are there even if the letter itself is new in this batch.
    for (position, bytes) in inbox::payloads(client, &judged).await? {
        if let Some(defined) = loaded.judges(in_force, rows, position.0) {
            let examined = examine.examine(&bytes, &defined)?;
            loaded.letter_bytes.insert(position.0, (bytes, examined));
        }
    }
    let replacing: Vec<i64> = resubmitted
        .iter()
        .filter_map(|id| loaded.letters.get(id)?.decided_by)
        .map(|position| position.0)
        .collect();
    for (position, bytes) in inbox::payloads(client, &replacing).await? {
        loaded.replacing.insert(position.0, bytes);
    }
    for read in rows {
        let (Some(decision), Some(bytes)) = (&read.row.decision, &read.row.payload) else {
            continue;
        };
        let defined = decision
            .letter
            .and_then(|id| loaded.judges(in_force, rows, id));
        if let Some(defined) = defined {
            let examined = examine.examine(bytes, &defined)?;
            loaded.edited.insert(read.row.position.0, examined);
        }
    }
    Ok(loaded)
}

impl Loaded {
    /// By what a letter is judged, also one that is new in this batch.
    fn judges(&self, in_force: &InForce, rows: &[ReadRow], id: i64) -> Option<Arc<Defined>> {
        let mut id = id;
        loop {
            if let Some(letter) = self.letters.get(&id) {
                return defined(in_force, letter.collection, &letter.name).cloned();
            }
            let row = rows.iter().find(|read| read.row.position.0 == id)?;
            match (&row.to, &row.row.decision) {
                (Some(to), _) => return in_force.get(to).cloned(),
                // Edited bytes, in the place of an older letter.
                (None, Some(decision)) => id = decision.letter.filter(|older| *older < id)?,
                (None, None) => return None,
            }
        }
    }

    /// All that the batch's bytes ask of the documents.
    pub fn questions<'a>(
        &'a self,
        rows: &'a [ReadRow],
    ) -> impl Iterator<Item = &'a Examined> + use<'a> {
        let of_rows = rows.iter().filter_map(|read| read.examined.as_ref());
        let of_letters = self.letter_bytes.values().map(|(_, examined)| examined);
        of_rows.chain(of_letters).chain(self.edited.values())
    }
}

impl Examined {
    /// None if it has no key, and no account either: then nothing is asked.
    pub fn question(&self) -> Option<Question<'_>> {
        let account = self.account();
        let key = self.key();
        (key.is_some() || account.is_some()).then(|| Question {
            id: self.id,
            key: key.unwrap_or_default(),
            version: self.version(),
            account,
        })
    }
}

/// What is asked of one collection, each thing once.
#[derive(Default)]
struct Asked<'a> {
    keys: BTreeSet<&'a str>,
    versions: BTreeSet<(&'a str, &'a Version)>,
    accounts: BTreeSet<&'a str>,
}

/// Loads what the batch's bytes ask of the documents, collection by collection.
pub async fn load_documents(
    client: &Client,
    in_force: &InForce,
    rows: &[ReadRow],
    loaded: &mut Loaded,
) -> Result<(), postgres::Error> {
    let mut all: BTreeMap<Id, Asked<'_>> = BTreeMap::new();
    for question in loaded.questions(rows).filter_map(Examined::question) {
        let asked = all.entry(question.id).or_default();
        if !question.key.is_empty() {
            asked.keys.insert(question.key);
            let version = question.version.map(|version| (question.key, version));
            asked.versions.extend(version);
        }
        asked
            .accounts
            .extend(question.account.map(|account| &**account));
    }
    let mut states = States::default();
    for (id, asked) in &all {
        let defined = in_force.by_id(*id).filter(|_| *id != Id::PLANNED);
        if let Some(collection) = defined.and_then(|defined| defined.compiled.as_deref()) {
            load_state(client, *id, collection, asked, &mut states).await?;
        }
    }
    drop(all);
    loaded.states = states;
    Ok(())
}

async fn load_state(
    client: &Client,
    id: Id,
    collection: &Collection,
    asked: &Asked<'_>,
    states: &mut States,
) -> Result<(), postgres::Error> {
    let state = states.of(id);
    let keys: Vec<&str> = asked.keys.iter().copied().collect();
    match collection.keep {
        Keep::First => {
            for found in document::find(client, id, &keys).await? {
                let known = Known::stored(found.bytes);
                state.documents.insert(found.key.into(), known);
            }
        }
        Keep::Latest => {
            for found in document::standing(client, id, &keys).await? {
                let standing = Standing {
                    digest: digest(&found.bytes),
                    age: found.age,
                    version: found.version,
                };
                state.standing.insert(found.key.into(), standing);
            }
            let pairs = asked.versions.iter();
            let (keys, versions) = pairs
                .map(|(key, version)| ((*key).to_owned(), version.to_string()))
                .unzip();
            for (key, version, bytes) in document::versions(client, id, keys, versions).await? {
                if let Some(version) = Version::read(&version) {
                    let known = Known::stored(bytes);
                    state.versions.insert((key.into(), version), known);
                }
            }
        }
    }
    if collection.sum.is_some() {
        let accounts = asked.accounts.iter().map(|account| (*account).to_owned());
        for (account, sum) in document::sums(client, id, accounts.collect()).await? {
            state.sums.insert(account.into(), sum);
        }
    }
    Ok(())
}
