//! What the fold needs to know of the tables: the orders that have a batch's keys already, and the letters that its
//! decisions are about. Loaded before the fold, so that the fold itself does no IO.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::reader::{Examined, ReadRow, examine};
use crate::dead_letter::{self, Letter};
use crate::inbox::{self, Action};
use crate::order::{self, store};
use crate::postgres::{Client, Error};

/// An order that has a uid already, as far as a batch has to know it.
#[derive(Clone)]
pub enum Known {
    /// In the tables: by the bytes that it came in, and rendered from them once somebody has asked.
    Stored { bytes: Bytes, data: Option<Bytes> },
    /// Earlier in this batch, or in one that is still in flight: by its canonical JSON.
    Brought { data: Bytes },
    /// Brought by an earlier part of a dry run: by a digest of its canonical JSON.
    Foretold([u8; 16]),
    /// For a replay, which judges nothing: only that the uid is taken.
    Taken,
}

impl Known {
    /// All that a dry run keeps of an order: its set can have millions of letters.
    pub fn foretold(data: &Bytes) -> Self {
        Known::Foretold(digest(data))
    }

    /// Whether it came in these very bytes.
    pub fn came_as(&self, bytes: &Bytes) -> bool {
        matches!(self, Known::Stored { bytes: known, .. } if known == bytes)
    }

    /// Whether it is the order of which this is the canonical JSON. Equality of orders is equality under the present model; one
    /// that this code cannot read is like none.
    pub fn is(&mut self, order: &Bytes) -> bool {
        match self {
            Known::Stored { bytes, data } => {
                if data.is_none() {
                    *data = canonical(bytes);
                }
                data.as_ref() == Some(order)
            }
            Known::Brought { data } => data == order,
            Known::Foretold(digest) => *digest == self::digest(order),
            Known::Taken => true,
        }
    }
}

fn digest(data: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(data)[..16]);
    digest
}

/// The canonical JSON of an order; none if this code cannot read it.
fn canonical(bytes: &[u8]) -> Option<Bytes> {
    let model = order::model();
    let order = model.parse(bytes).ok()?;
    Some(model.to_json(&order).into())
}

/// By key. The hash is seeded at random, so a sender cannot choose keys that collide.
pub type Orders = foldhash::HashMap<Arc<str>, Known>;

#[derive(Default)]
pub struct Loaded {
    pub orders: Orders,
    pub letters: BTreeMap<i64, Letter>,
    /// The bytes of the letters that are to be judged again, examined.
    pub letter_bytes: HashMap<i64, (Bytes, Examined)>,
    /// By position: the bytes that replaced a letter. A second resubmission is "already so" if it brings the same.
    pub replacing: HashMap<i64, Bytes>,
}

pub async fn load(client: &Client, rows: &[ReadRow]) -> Result<Loaded, Error> {
    let mut loaded = load_letters(client, rows).await?;
    load_orders(client, rows, &mut loaded).await?;
    Ok(loaded)
}

/// The letters that the batch's decisions speak of, with their bytes.
pub async fn load_letters(client: &Client, rows: &[ReadRow]) -> Result<Loaded, Error> {
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
                Action::Discard | Action::Note | Action::Rules => {}
            }
        }
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    for letter in dead_letter::load(client, &ids).await? {
        loaded.letters.insert(letter.id.0, letter);
    }
    let judged: Vec<i64> = judged.into_iter().collect();
    for (position, bytes) in inbox::payloads(client, &judged).await? {
        let examined = examine(&bytes);
        loaded.letter_bytes.insert(position.0, (bytes, examined));
    }
    let replacing: Vec<i64> = resubmitted
        .iter()
        .filter_map(|id| loaded.letters.get(id)?.decided_by)
        .map(|position| position.0)
        .collect();
    for (position, bytes) in inbox::payloads(client, &replacing).await? {
        loaded.replacing.insert(position.0, bytes);
    }
    Ok(loaded)
}

async fn load_orders(client: &Client, rows: &[ReadRow], loaded: &mut Loaded) -> Result<(), Error> {
    let of_rows = rows.iter().filter_map(|read| read.examined.as_ref());
    let of_letters = loaded.letter_bytes.values().map(|(_, examined)| examined);
    let keys: Vec<&str> = of_rows
        .chain(of_letters)
        .filter_map(Examined::key)
        .collect();
    for (key, bytes) in store::find(client, &keys).await? {
        loaded
            .orders
            .insert(key.into(), Known::Stored { bytes, data: None });
    }
    Ok(())
}
