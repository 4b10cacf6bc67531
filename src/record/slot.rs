//! What stands in a message, as typed slots. A record has one row of slots for the message itself, and for each list of the
//! model a table with one row for each element. Texts borrow from the message wherever they can.

use std::borrow::Cow;

/// The value of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot<'a> {
    /// The message has no such field, or null, and the schema has no default.
    Absent,
    /// An object that may be missing is there; its fields have slots of their own.
    Present,
    Text(Cow<'a, str>),
    Whole(i64),
    /// A number that may have a fraction, written plainly.
    Number(Cow<'a, str>),
    Truth(bool),
    /// Any JSON without white space; or the members of an object that its schema does not name.
    Kept(Cow<'a, str>),
    /// These rows of the list's table.
    List {
        start: usize,
        count: usize,
    },
}

impl Slot<'_> {
    pub(super) fn into_owned(self) -> Slot<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Slot::Text(text) => Slot::Text(owned(text)),
            Slot::Number(text) => Slot::Number(owned(text)),
            Slot::Kept(text) => Slot::Kept(owned(text)),
            Slot::Absent => Slot::Absent,
            Slot::Present => Slot::Present,
            Slot::Whole(number) => Slot::Whole(number),
            Slot::Truth(truth) => Slot::Truth(truth),
            Slot::List { start, count } => Slot::List { start, count },
        }
    }
}

/// One message, read by a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    pub(super) root: Vec<Slot<'a>>,
    /// By the number of the list.
    pub(super) lists: Vec<Vec<Slot<'a>>>,
}

/// Where slots are counted from: the message itself, or an element of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// None is the message itself.
    pub(super) list: Option<usize>,
    /// The place of its first slot in its table.
    pub(super) start: usize,
}

impl Row {
    pub const ROOT: Row = Row {
        list: None,
        start: 0,
    };
}

impl<'a> Record<'a> {
    pub(super) fn table(&self, list: Option<usize>) -> &[Slot<'a>] {
        match list {
            None => &self.root,
            Some(list) => &self.lists[list],
        }
    }

    pub(super) fn table_mut(&mut self, list: Option<usize>) -> &mut Vec<Slot<'a>> {
        match list {
            None => &mut self.root,
            Some(list) => &mut self.lists[list],
        }
    }

    pub fn slot(&self, row: Row, slot: usize) -> &Slot<'a> {
        &self.table(row.list)[row.start + slot]
    }

    /// "" if the field is no text or is not there.
    pub fn text(&self, row: Row, slot: usize) -> &str {
        match self.slot(row, slot) {
            Slot::Text(text) => text,
            _ => "",
        }
    }

    /// 0 if the field is no whole number or is not there.
    pub fn whole(&self, row: Row, slot: usize) -> i64 {
        match self.slot(row, slot) {
            Slot::Whole(number) => *number,
            _ => 0,
        }
    }

    /// What something is known by: a text, or a whole number's digits.
    pub fn known(&self, row: Row, slot: usize) -> Cow<'_, str> {
        match self.slot(row, slot) {
            Slot::Text(text) => Cow::Borrowed(text),
            Slot::Whole(number) => Cow::Owned(number.to_string()),
            _ => Cow::Borrowed(""),
        }
    }

    /// How many elements the list in this slot has.
    pub fn count(&self, row: Row, slot: usize) -> usize {
        match self.slot(row, slot) {
            Slot::List { count, .. } => *count,
            _ => 0,
        }
    }

    /// The row of an element of the list in this slot, if it has so many.
    pub fn element(
        &self,
        row: Row,
        slot: usize,
        number: usize,
        width: usize,
        index: usize,
    ) -> Option<Row> {
        match self.slot(row, slot) {
            Slot::List { start, count } if index < *count => Some(Row {
                list: Some(number),
                start: start + index * width,
            }),
            _ => None,
        }
    }

    /// All its texts.
    #[cfg(test)]
    pub fn texts(&self) -> impl Iterator<Item = &Cow<'a, str>> {
        let slots = self.root.iter().chain(self.lists.iter().flatten());
        slots.filter_map(|slot| match slot {
            Slot::Text(text) => Some(text),
            _ => None,
        })
    }

    /// How many slots all elements of each list have.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.lists.iter().map(Vec::len)
    }
}
