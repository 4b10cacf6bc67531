//! Messages made up from a schema, for `waybill publish`, `waybill dev` and the tests; junk beside them (`junk`).
//!
//! Each is valid, and no two have the same key. A value is what the schema's `x-sample` says of it, or one of its `examples`; else
//! what an example of the whole has there; else made of what the schema asks (`make`). With the same seed the same bytes come
//! again: chance and the moment that counts as now are given.

mod follow;
mod junk;
mod like;
mod make;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

use super::model::Model;
use super::slot::{Record, Row, Slot};
use follow::Follows;
pub use follow::follows;
use junk::Target;
pub use junk::{Junk, UnknownJunk};
use make::{Maker, Object};

/// The moment that counts as now with a seed, since the same bytes must come at any time: October 2025.
const SEEDED_NOW: i64 = 1_760_000_000;
/// Room for a message of most sizes.
const CAPACITY: usize = 2_048;
/// How many messages are remembered, for conflicts with them.
const REMEMBERED: usize = 64;
/// Once that many are remembered, one of so many takes the place of another.
const ONE_IN: u8 = 16;
/// How many messages are made for one that is valid and has a key of its own. One is enough, unless the schema asks what only a
/// judge knows (`oneOf`, …), or has few keys.
const TRIES: usize = 200;
/// After so many that were not valid, messages have some of the optional fields only.
const MOST_INVALID: usize = 40;
/// How many keys are known not to be given twice. Most keys are so long that none ever comes twice.
const MOST_KEYS: usize = 1 << 20;

#[derive(Debug)]
pub struct Samples<'m> {
    model: &'m Model,
    object: Object<'m>,
    follows: Vec<Follows>,
    maker: Maker<'m>,
    keys: HashSet<u64>,
    recent: Vec<Sample<'m>>,
    last: String,
    targets: Vec<Target<'m>>,
}

#[derive(Debug, Clone)]
struct Sample<'m> {
    key: Vec<Slot<'m>>,
    json: String,
}

/// No valid message can be made of the schema alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no valid sample can be made of this schema: {0} Give it `examples` there.")]
pub struct NoSample(pub String);

impl<'m> Samples<'m> {
    /// The same messages and junk for the same seed, always.
    pub fn seeded(model: &'m Model, seed: u64) -> Result<Self, NoSample> {
        Self::new(model, seed, SEEDED_NOW)
    }

    /// Messages of the thirty days before `now`, in seconds since 1970.
    pub fn new(model: &'m Model, seed: u64, now: i64) -> Result<Self, NoSample> {
        let mut samples = Self {
            model,
            object: Object::of(model),
            follows: follows(model).map_err(NoSample)?,
            maker: Maker {
                rng: Rng::with_seed(seed),
                now,
                record: Record {
                    root: Vec::new(),
                    lists: Vec::new(),
                },
                is_sparse: false,
                unmade: None,
            },
            keys: HashSet::new(),
            recent: Vec::new(),
            last: String::new(),
            targets: junk::targets(model),
        };
        let Some(first) = samples.make(None) else {
            let json = samples.draft(None).json;
            return Err(NoSample(match samples.maker.unmade {
                Some(name) => format!("no value was found for {name}."),
                None => model.explain(json.as_bytes()).first().message.clone(),
            }));
        };
        // A field that nothing is known of is in no sample.
        samples.targets.retain(|target| target.is_in(&first.json));
        samples.last = first.json;
        Ok(samples)
    }

    /// A valid message, as compact JSON.
    pub fn message(&mut self) -> String {
        let Some(sample) = self.make(None) else {
            // Of a schema that is hard to meet, or has no more keys. Once more the same does no harm.
            return self.last.clone();
        };
        if self.model.has_key() {
            let rng = &mut self.maker.rng;
            if self.recent.len() < REMEMBERED {
                self.recent.push(sample.clone());
            } else if rng.u8(..ONE_IN) == 0 {
                self.recent[rng.usize(..REMEMBERED)] = sample.clone();
            }
        }
        sample.json
    }

    /// A valid message with a new key, or with this one.
    fn make(&mut self, key: Option<&[Slot<'m>]>) -> Option<Sample<'m>> {
        let mut invalid = 0;
        for _ in 0..TRIES {
            let sample = self.draft(key);
            if self.model.take(sample.json.as_bytes()).is_none() {
                invalid += 1;
                self.maker.is_sparse |= invalid == MOST_INVALID;
            } else if key.is_some() || self.is_new(&sample.key) {
                return Some(sample);
            }
        }
        None
    }

    fn draft(&mut self, key: Option<&[Slot<'m>]>) -> Sample<'m> {
        let model = self.model;
        let maker = &mut self.maker;
        maker.record = Record {
            root: vec![Slot::Absent; model.width],
            lists: vec![Vec::new(); model.lists.len()],
        };
        self.object.make(maker, Row::ROOT, None);
        let mut slots = Vec::with_capacity(model.keys.len());
        for (index, known) in model.keys.iter().enumerate() {
            let slot = &mut maker.record.root[known.slot];
            if let Some(part) = key.and_then(|key| key.get(index)) {
                slot.clone_from(part);
            }
            slots.push(slot.clone());
        }
        for follows in &self.follows {
            follows.apply(&mut maker.record);
        }
        let mut json = Vec::with_capacity(CAPACITY);
        model.write_served(&maker.record, &mut json);
        Sample {
            key: slots,
            json: String::from_utf8(json).unwrap_or_default(),
        }
    }

    fn is_new(&mut self, key: &[Slot<'m>]) -> bool {
        if key.is_empty() {
            return true;
        }
        if self.keys.len() == MOST_KEYS {
            self.keys.clear();
        }
        let mut hasher = DefaultHasher::new();
        for part in key {
            match part {
                Slot::Text(text) => text.hash(&mut hasher),
                Slot::Whole(number) => number.hash(&mut hasher),
                _ => {}
            }
        }
        self.keys.insert(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::super::agreement::{document, message};
    use super::*;

    #[test]
    fn whatever_the_schema_samples_are_valid_and_junk_is_not() {
        let rng = &mut Rng::with_seed(21);
        let (mut made, mut not_made) = (0, 0);
        for seed in 0..400 {
            let schema = message(rng);
            let model = Model::compile("thing", &schema, &[], &[]).unwrap();
            let mut samples = match Samples::seeded(&model, seed) {
                Ok(samples) => samples,
                Err(error) => {
                    assert!(!error.to_string().contains("mistake"), "{error}");
                    // Some schemas contradict themselves.
                    let documents = (0..100).map(|_| document(rng, &schema, &schema, 5));
                    let mut texts = documents.map(|document| document.to_string());
                    let is_possible = texts.any(|text| model.parse(text.as_bytes()).is_ok());
                    not_made += u32::from(is_possible);
                    continue;
                }
            };
            made += 1;
            for _ in 0..5 {
                let message = samples.message();
                assert!(
                    model.parse(message.as_bytes()).is_ok(),
                    "{schema:#}\n{message}"
                );
            }
            for kind in samples.kinds() {
                let Some(junk) = samples.junk(kind) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&junk);
                assert!(model.parse(&junk).is_err(), "{kind}: {schema:#}\n{text}");
            }
        }
        assert!(made > 30 * not_made, "{made} {not_made}");
    }
}
