//! The fields of a model: which there are, where each stands in a record, and what is asked of it.

use std::collections::HashMap;
use std::sync::Arc;

use regex_syntax::hir::Hir;
use serde_json::Value as Json;

use super::check::{NumberCheck, Says, TextCheck, WholeCheck};
use super::judge::Judge;
use super::slot::Slot;

/// What all elements of a list need.
#[derive(Debug)]
pub(super) struct Table {
    pub width: usize,
    /// The most that one element takes in jsonb without its texts: names, an entry for each name and value, numbers, padding.
    pub jsonb_bytes: usize,
}

#[derive(Debug)]
pub struct Object {
    pub fields: Vec<Field>,
    pub(super) others: Others,
    pub(super) by_name: HashMap<String, usize>,
}

/// What becomes of the fields that the schema does not name.
#[derive(Debug)]
pub(super) enum Others {
    Dropped,
    Refused,
    /// They are kept in a slot of their own, as they were sent; each is judged, if the schema says how.
    Kept {
        slot: usize,
        judge: Option<Judge>,
    },
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    /// The name as it mostly stands in JSON.
    pub(super) quoted: Box<str>,
    /// What it is called, if the schema says so.
    pub title: String,
    /// What it means.
    pub about: String,
    pub required: bool,
    /// Null means that it is not there. If it must be there, null will do only if the schema says so.
    pub(super) may_be_null: bool,
    /// What a message has that lacks the field.
    pub default: Option<Slot<'static>>,
    /// Its place in its row. An object that must be there has none.
    pub slot: usize,
    pub value: Value,
}

#[derive(Debug)]
pub struct Value {
    pub kind: Kind,
    /// How it is said that a keyword is broken, if the schema says so itself.
    pub(super) says: Says,
    /// What the schema asks beside what its kind can check.
    pub(super) judge: Option<Judge>,
    pub(super) shown: Shown,
}

/// What the schema says of how a value may look: for samples, and never asked of a message.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Its `examples`.
    pub examples: Vec<Json>,
    /// Its `x-sample`.
    pub made: Option<Made>,
}

/// How a sample's value is made.
#[derive(Debug)]
pub(super) enum Made {
    /// A text, or a number's digits, that the pattern describes.
    Like(Hir),
    /// What stands at this pointer.
    Same(String),
    /// The sum of what stands at these.
    Sum(Vec<String>),
}

#[derive(Debug)]
pub enum Kind {
    Text(Arc<TextCheck>),
    Whole(Arc<WholeCheck>),
    /// A number that may have a fraction.
    Number(Arc<NumberCheck>),
    Truth,
    Object(Object),
    List(Box<List>),
    /// Any JSON, kept as it was sent.
    Any,
}

#[derive(Debug)]
pub struct List {
    pub number: usize,
    pub width: usize,
    pub element: Value,
    pub least: usize,
    pub most: usize,
}

/// How many fields an object may have that are looked at one after the other; beyond it they are looked up by name.
const FEW: usize = 16;

impl Value {
    /// Any JSON at all.
    pub(super) fn any() -> Self {
        Self {
            kind: Kind::Any,
            says: Says::default(),
            judge: None,
            shown: Shown::default(),
        }
    }
}

impl Object {
    /// Finds a field by its name, first at `hint`, since most senders have the fields in the schema's order.
    pub(super) fn find(&self, name: &str, hint: usize) -> Option<usize> {
        let is = |field: &Field| field.name == name;
        if self.fields.get(hint).is_some_and(is) {
            return Some(hint);
        }
        match self.fields.len() > FEW {
            true => self.by_name.get(name).copied(),
            false => self.fields.iter().position(is),
        }
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.find(name, 0).map(|index| &self.fields[index])
    }
}

impl Object {
    /// How many fields there are of all depths, for people.
    pub fn count(&self) -> usize {
        let inner = |field: &Field| match &field.value.kind {
            Kind::Object(object) => object.count(),
            Kind::List(list) => match &list.element.kind {
                Kind::Object(object) => object.count(),
                _ => 1,
            },
            _ => 1,
        };
        self.fields.iter().map(inner).sum()
    }
}

impl Field {
    /// Its name as a token of a JSON pointer.
    pub fn token(&self) -> String {
        token(&self.name)
    }

    /// True if it is in every record: it is required, or has a default.
    pub fn is_certain(&self) -> bool {
        self.required && !self.may_be_null || self.default.is_some()
    }

    /// True if the field itself has a slot, and not only what is in it.
    pub(super) fn has_slot(&self) -> bool {
        !self.required || self.may_be_null || !matches!(self.value.kind, Kind::Object(_))
    }
}

/// A name as a token of a JSON pointer.
pub fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The names on the way that a JSON pointer leads.
pub fn names_of(pointer: &str) -> Vec<String> {
    let name = |token: &str| token.replace("~1", "/").replace("~0", "~");
    pointer.split('/').skip(1).map(name).collect()
}
