//! What a message is read into. A `Model` is compiled from a JSON Schema; it reads a message into a `Record` of typed slots
//! or says what is wrong with it, and writes a record as JSON again. Pure: no clock, no IO, no panic, and no other room. It
//! gives the same verdict everywhere and for ever within one `CODE_VERSION`.
//!
//! Valid messages take the fast path: one check of UTF-8, then one typed read that borrows from the message and checks every
//! field on the way (`read`). A message that is the canonical JSON already is read by a shorter way (`straight`). Only what
//! fails is read a second time, slowly, to list everything that is wrong (`explain`).
//!
//! What is accepted, Postgres accepts as jsonb and reads back equal: every text is UTF-8 without NUL, every number an
//! integer of 64 bits, every object has its names once, and the whole is not larger than jsonb can be.

#[cfg(test)]
mod agreement;
mod check;
mod code;
mod columns;
mod constant;
mod date;
mod explain;
mod judge;
mod kept;
mod lenient;
mod model;
pub mod number;
mod pattern;
mod plain;
mod published;
mod read;
mod rejection;
mod required;
mod sample;
mod scan;
mod schema;
mod shape;
mod slot;
mod straight;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;

pub use check::{Format, TextCheck};
pub use code::{Code, Reason};
pub use columns::Columns;
pub use date::{Instant, Version};
pub use lenient::Rendered;
pub use model::Model;
pub use pattern::Pattern;
pub use rejection::{MAX_VIOLATIONS, Rejection, Violation, quote};
pub use sample::{Junk, NoSample, Samples, UnknownJunk};
pub use schema::Mistake;
pub use shape::{Field, Kind, List, Object, Value, names_of};
pub use slot::{Record, Row, Slot};

/// To be raised whenever a verdict can change, so that letters judged by older code are judged again. Checks may only
/// become more lenient: what was accepted once stays accepted.
pub const CODE_VERSION: i32 = 2;

impl Model {
    /// Judges one message by the schema.
    pub fn parse<'a>(&self, payload: &'a [u8]) -> Result<Record<'a>, Rejection> {
        self.read(payload).map(|(record, _)| record)
    }

    /// Reads a message and renders its canonical JSON, in an allocation of exactly its size, since the cache keeps it.
    /// `scratch` is a buffer to be used again for the next message.
    pub fn parse_to_serve<'a>(
        &self,
        payload: &'a [u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(Record<'a>, Bytes), Rejection> {
        let (record, is_canonical) = self.read(payload)?;
        let json = if is_canonical {
            payload
        } else {
            scratch.clear();
            self.write_served(&record, scratch);
            scratch
        };
        let json = Bytes::copy_from_slice(json);
        Ok((record, json))
    }

    /// What is wrong with a message that is not taken.
    pub fn explain(&self, payload: &[u8]) -> Rejection {
        explain::explain(self, payload)
    }

    /// Reads a message; true if it is the canonical JSON already.
    fn read<'a>(&self, payload: &'a [u8]) -> Result<(Record<'a>, bool), Rejection> {
        self.take(payload).ok_or_else(|| self.explain(payload))
    }

    /// Reads a message that the model takes.
    fn take<'a>(&self, payload: &'a [u8]) -> Option<(Record<'a>, bool)> {
        let text = std::str::from_utf8(payload).ok()?;
        let (width, lists) = (self.width, self.lists.len());
        let straight = straight::read(&self.straight, width, lists, text);
        let is_canonical = straight.is_some();
        let record = straight.or_else(|| read::read(&self.object, width, lists, text))?;
        let fits = self.judge.as_ref().is_none_or(|judge| judge.takes(text))
            && !self.is_too_large(payload.len(), record.rows());
        fits.then_some((record, is_canonical))
    }
}
