//! A schema, compiled: which fields there are, where each stands in a record, and what is asked of it. All that knows what a
//! document looks like follows from this table: reading, writing, what is wrong with a message, the published schema, the
//! columns of an export, and what a rule may speak of.

use std::borrow::Cow;

use super::code::{Code, Reason};
use super::judge::Judge;
use super::rejection::{Rejection, Violation, quote};
use super::shape::{Field, Kind, Object, Others, Table, names_of, token};
use super::slot::{Record, Row, Slot};
use super::{straight, write};

/// A list in jsonb may have 256 MiB (its offsets have 28 bits). The difference is room for the fields beside it.
const MAX_JSONB_BYTES: usize = 250 << 20;

#[derive(Debug)]
pub struct Model {
    /// What one document is called in sentences: `order`.
    pub one: String,
    pub title: String,
    pub about: String,
    pub examples: Vec<serde_json::Value>,
    pub object: Object,
    /// How many slots the message itself has.
    pub width: usize,
    /// For each list, by its number.
    pub(super) lists: Vec<Table>,
    /// Whether any part is kept as it was sent.
    pub(super) keeps: bool,
    /// The fields that a document is known by.
    pub(super) keys: Vec<Known>,
    /// The slots of the fields that `lenient` never leaves out.
    pub(super) fixed: Vec<usize>,
    /// What the schema asks of a message beside what its kinds can check.
    pub(super) judge: Option<Judge>,
    pub(super) straight: Vec<straight::Step>,
    pub(super) served: Vec<write::Step>,
    pub(super) stored: Vec<write::Step>,
}

#[derive(Debug)]
pub(super) struct Known {
    /// The names on the way to it.
    pub path: Vec<String>,
    pub slot: usize,
    /// The code of a message whose key is taken.
    pub taken: Code,
}

impl Model {
    /// True if a message of so many bytes, whose lists have so many slots, might not fit in jsonb. It is larger there than in
    /// the message, since missing fields are filled in.
    pub(super) fn is_too_large(&self, bytes: usize, slots: impl Iterator<Item = usize>) -> bool {
        let rows = |(table, slots): (&Table, usize)| slots / table.width * table.jsonb_bytes;
        let filled: usize = self.lists.iter().zip(slots).map(rows).sum();
        // Of what is kept as it was sent, [1,1] is eight times as large there.
        let kept = if self.keeps {
            bytes.saturating_mul(8)
        } else {
            bytes
        };
        kept.saturating_add(filled) > MAX_JSONB_BYTES
    }

    /// The field at a path of names (`payment`, `amount`), not into lists.
    pub fn field<'m>(&'m self, path: &[&str]) -> Option<&'m Field> {
        let (first, rest) = path.split_first()?;
        let mut field = self.object.field(first)?;
        for name in rest {
            let Kind::Object(object) = &field.value.kind else {
                return None;
            };
            field = object.field(name)?;
        }
        Some(field)
    }

    /// The field that a pointer leads to, if it and all on the way to it is in every message.
    pub fn always(&self, pointer: &str) -> Option<&Field> {
        let path = names_of(pointer);
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let mut last = None;
        for length in 1..=names.len() {
            let field = self.field(&names[..length])?;
            last = Some(field).filter(|field| field.required && !field.may_be_null);
            last?;
        }
        last
    }

    /// How many slots there are, for fields of all depths.
    pub fn slots(&self) -> usize {
        self.width + self.lists.iter().map(|table| table.width).sum::<usize>()
    }

    /// Whether fields of a message itself that the schema does not name are left out.
    pub fn drops_others(&self) -> bool {
        matches!(self.object.others, Others::Dropped)
    }

    /// Without a key each message is a document of its own.
    pub fn has_key(&self) -> bool {
        !self.keys.is_empty()
    }

    /// "" if there is no such text.
    pub fn text<'r>(&self, record: &'r Record<'_>, path: &[&str]) -> &'r str {
        self.field(path)
            .map_or("", |field| record.text(Row::ROOT, field.slot))
    }

    /// 0 if there is no such number.
    pub fn whole(&self, record: &Record<'_>, path: &[&str]) -> i64 {
        self.field(path)
            .map_or(0, |field| record.whole(Row::ROOT, field.slot))
    }

    /// How many elements a list has.
    pub fn count(&self, record: &Record<'_>, path: &[&str]) -> usize {
        self.field(path)
            .map_or(0, |field| record.count(Row::ROOT, field.slot))
    }

    /// Another document already has this key, with other content.
    pub fn conflict(&self, key: &str) -> Rejection {
        let article = match self.one.starts_with(['a', 'e', 'i', 'o', 'u']) {
            true => "An",
            false => "A",
        };
        let names: Vec<String> = self.keys.iter().map(|key| key.path.join(".")).collect();
        let message = format!(
            "{article} {} with the {} {} and other content is already there; the first one stays.",
            self.one,
            names.join(", "),
            quote(key)
        );
        let first = self.keys.first();
        let path = first.map_or(&[][..], |key| &key.path);
        let pointer: String = path
            .iter()
            .map(|name| format!("/{}", token(name)))
            .collect();
        let taken = first.map_or(Code::KeyTaken, |key| key.taken);
        let violation = Violation::new(taken, pointer, message);
        Rejection::new(Reason::Conflict, violation).of(Some(key))
    }

    /// Postgres would not take the document, although the schema did.
    pub fn refused_by_postgres(&self, sqlstate: &str, key: Option<&str>) -> Rejection {
        let message = format!(
            "Postgres refused the {} with SQLSTATE {}; it will be tried again.",
            self.one,
            quote(sqlstate)
        );
        let violation = Violation::new(Code::RefusedByPostgres, "", message);
        Rejection::new(Reason::Unstorable, violation).of(key)
    }

    /// What the document is known by: a text, a number's digits, or a list of both as JSON. "" if it has no key.
    pub fn key<'r>(&self, record: &'r Record<'_>) -> Cow<'r, str> {
        match self.keys.as_slice() {
            [] => Cow::Borrowed(""),
            [key] => record.known(Row::ROOT, key.slot),
            keys => {
                let part = |key: &Known| match record.slot(Row::ROOT, key.slot) {
                    Slot::Text(text) => serde_json::Value::from(&**text),
                    Slot::Whole(number) => serde_json::Value::from(*number),
                    _ => serde_json::Value::Null,
                };
                let parts = keys.iter().map(part).collect();
                Cow::Owned(serde_json::Value::Array(parts).to_string())
            }
        }
    }

    /// Appends the served form: the canonical compact JSON. Two documents are equal if it is.
    pub fn write_served(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        write::write(&self.served, record, Row::ROOT, out);
    }

    /// Appends the stored form.
    pub fn write_stored(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        write::write(&self.stored, record, Row::ROOT, out);
    }

    /// The served form.
    pub fn to_json(&self, record: &Record<'_>) -> String {
        let mut json = Vec::with_capacity(2048);
        self.write_served(record, &mut json);
        String::from_utf8(json).expect("texts and ASCII between them")
    }
}
