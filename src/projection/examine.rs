//! What a message's bytes say by a definition, before anybody asks whether its key is free. The slow part of projecting a row: it
//! runs ahead of the fold.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::Error;
use super::definitions::Defined;
use crate::collection::{Collection, Id, Keep, Known};
use crate::inbox::Position;
use crate::record::{Record, Rejection, Version};

/// What bytes say, by which definition of which collection.
#[derive(Clone, Debug)]
pub struct Examined {
    pub id: Id,
    pub by: Position,
    /// Of the bytes, for `latest`.
    pub digest: Option<Digest16>,
    pub said: Said,
}

pub type Digest16 = [u8; 16];

#[derive(Clone, Debug)]
pub enum Said {
    Document(Candidate),
    Rejected(Rejection),
}

/// What is a document if its key is free, and nobody else objects.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// None if each message is a document of its own.
    pub key: Option<Arc<str>>,
    /// The canonical JSON, as it is served; none for a replay, which serves nobody.
    pub data: Option<Bytes>,
    /// The same in the form that is sent to Postgres.
    pub stored: Bytes,
    /// What the rules object.
    pub ruled: Option<Rejection>,
    pub more: Option<Box<More>>,
}

/// What only some collections ask.
#[derive(Clone, Debug)]
pub struct More {
    pub version: Option<Version>,
    pub account: Option<Arc<str>>,
    /// What it adds to its account's sum.
    pub add: Option<Result<i64, Rejection>>,
    /// Whether it takes its document away.
    pub gone: Option<Result<bool, Rejection>>,
}

impl Examined {
    pub fn is_by(&self, defined: &Defined) -> bool {
        self.id == defined.id && self.by == defined.position
    }

    pub fn key(&self) -> Option<&str> {
        match &self.said {
            Said::Document(candidate) => candidate.key.as_deref(),
            Said::Rejected(rejection) => rejection.key(),
        }
    }

    pub fn version(&self) -> Option<&Version> {
        self.more()?.version.as_ref()
    }

    pub fn account(&self) -> Option<&Arc<str>> {
        self.more()?.account.as_ref()
    }

    fn more(&self) -> Option<&More> {
        match &self.said {
            Said::Document(candidate) => candidate.more.as_deref(),
            Said::Rejected(_) => None,
        }
    }

    /// Whether it becomes a document if its key is free.
    pub fn is_document(&self) -> bool {
        matches!(&self.said, Said::Document(candidate) if candidate.ruled.is_none())
    }
}

pub fn digest(bytes: &[u8]) -> Digest16 {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(bytes)[..16]);
    digest
}

/// Examines rows one after the other and reuses its buffers.
#[derive(Default)]
pub struct Examiner {
    scratch: Vec<u8>,
    chunk: BytesMut,
}

/// Bytes of one allocation, which the `stored` of many documents share. They are freed together anyway, with their batch.
const CHUNK: usize = 256 * 1024;

impl Examiner {
    pub fn examine(&mut self, bytes: &[u8], defined: &Defined) -> Result<Examined, Error> {
        let collection = defined.collection()?;
        let model = &collection.model;
        let said = match model.parse_to_serve(bytes, &mut self.scratch) {
            Err(rejection) => Said::Rejected(rejection),
            Ok((record, data)) => Said::Document(Candidate {
                key: model.has_key().then(|| model.key(&record).into()),
                data: Some(data),
                stored: self.stored(collection, &record),
                ruled: collection.rules.check(model, &record).err(),
                more: more(collection, &record),
            }),
        };
        Ok(Examined {
            id: defined.id,
            by: defined.position,
            digest: (collection.keep == Keep::Latest).then(|| digest(bytes)),
            said,
        })
    }

    /// For a replay, which judges nothing and serves nobody: what a document looks like by the last definition of its collection,
    /// and what it is known by, which no definition changes.
    pub fn examine_to_store(&mut self, bytes: &[u8], id: Id, looks: &Collection) -> Examined {
        let model = &looks.model;
        let (stored, known) = match model.parse(bytes) {
            Ok(record) => {
                let known = Known {
                    key: model.has_key().then(|| model.key(&record).into_owned()),
                    version: looks.version_of(&record),
                    account: looks.account_of(&record),
                };
                (self.stored(looks, &record), Some(known))
            }
            Err(_) => {
                let mut stored = Vec::new();
                model.render(bytes).write_stored(&mut stored);
                (stored.into(), looks.known(bytes))
            }
        };
        let said = match known {
            // It was rejected, and its verdict says why; nobody asks this one.
            None => Said::Rejected(model.explain(bytes)),
            Some(known) => Said::Document(Candidate {
                key: known.key.map(Into::into),
                data: None,
                stored,
                ruled: None,
                more: (known.version.is_some() || known.account.is_some()).then(|| {
                    Box::new(More {
                        version: known.version,
                        account: known.account.map(Into::into),
                        add: None,
                        gone: None,
                    })
                }),
            }),
        };
        Examined {
            id,
            by: Position(0),
            digest: (looks.keep == Keep::Latest).then(|| digest(bytes)),
            said,
        }
    }

    fn stored(&mut self, collection: &Collection, record: &Record<'_>) -> Bytes {
        self.scratch.clear();
        collection.model.write_stored(record, &mut self.scratch);
        if self.chunk.capacity() < self.scratch.len() {
            self.chunk = BytesMut::with_capacity(CHUNK.max(self.scratch.len()));
        }
        self.chunk.extend_from_slice(&self.scratch);
        self.chunk.split().freeze()
    }
}

fn more(collection: &Collection, record: &Record<'_>) -> Option<Box<More>> {
    if collection.version.is_none() && collection.sum.is_none() && collection.gone.is_none() {
        return None;
    }
    Some(Box::new(More {
        version: collection.version_of(record),
        account: collection.account_of(record).map(Into::into),
        add: collection.added_by(record),
        gone: collection.takes_away(record),
    }))
}
