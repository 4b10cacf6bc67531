//! Reads any JSON by a model, and checks each value on the way: the general way of the fast path. It gives up at the first thing
//! that is not as the model wants it; `explain` then looks for what, where, and how to say it.
//!
//! Written by hand and not by serde: what a model wants is known only at run time, and serde's way there (a seed and a visitor
//! for each value) took 2.8 µs for an order of 1.1 kB with spaces, this one 1.7.

use std::borrow::Cow;

use super::kept::{self, Names};
use super::number::{self, Whole};
use super::plain::plain;
use super::scan::{Scanner, Span, decode};
use super::shape::{Field, Kind, List, Object, Others, Value};
use super::slot::{Record, Row, Slot};
use super::straight::begins_with;

/// Reads a message; none if it is not as the model wants it.
pub fn read<'a>(object: &Object, width: usize, lists: usize, text: &'a str) -> Option<Record<'a>> {
    let mut reader = Reader {
        text,
        at: 0,
        record: Record {
            root: (0..width).map(|_| Slot::Absent).collect(),
            lists: (0..lists).map(|_| Vec::new()).collect(),
        },
    };
    reader.object(object, Row::ROOT)?;
    let is_end = reader.peek().is_none();
    is_end.then_some(reader.record)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    record: Record<'a>,
}

impl<'a> Reader<'a> {
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no white space, which stays.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    fn byte(&mut self, expected: u8) -> Option<()> {
        (self.peek() == Some(expected)).then(|| self.at += 1)
    }

    /// After a value in an object or a list: true if another follows, false if it ends here.
    fn goes_on(&mut self, closing: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            byte if byte == closing => Some(false),
            _ => None,
        }
    }

    /// True if the object or the list that was opened is empty.
    fn is_empty(&mut self, closing: u8) -> bool {
        self.byte(closing).is_some()
    }

    fn object(&mut self, object: &Object, row: Row) -> Option<()> {
        self.byte(b'{')?;
        let mut seen = Seen::default();
        let mut others = Members::default();
        let mut hint = 0;
        let mut more = !self.is_empty(b'}');
        while more {
            let found = self.name(object, hint)?;
            self.byte(b':')?;
            match found {
                Found::Other(name) => self.other(&object.others, name, &mut others)?,
                Found::Field(index) => {
                    hint = index + 1;
                    if !seen.add(index) {
                        return None;
                    }
                    self.field(&object.fields[index], row)?;
                }
            }
            more = self.goes_on(b'}')?;
        }
        for (index, field) in object.fields.iter().enumerate() {
            if field.required && !seen.has(index) {
                return None;
            }
            if let Some(default) = &field.default
                && *self.record.slot(row, field.slot) == Slot::Absent
            {
                self.set(row, field.slot, default.clone());
            }
        }
        if let Others::Kept { slot, .. } = &object.others {
            self.set(row, *slot, Slot::Kept(Cow::Owned(others.json)));
        }
        Some(())
    }

    /// A field that the schema does not name.
    fn other(&mut self, others: &Others, name: Span, members: &mut Members<'a>) -> Option<()> {
        let bytes = self.text.as_bytes();
        let span = Scanner::new(bytes, self.at).value().ok()?;
        self.at = span.end;
        let judge = match others {
            Others::Dropped => return Some(()),
            Others::Refused => return None,
            Others::Kept { judge, .. } => judge,
        };
        let decoded = decode(bytes, name)?;
        if decoded.contains('\0') || !members.names.add(decoded) {
            return None;
        }
        let value = kept::keep(self.text, span).ok()?;
        if judge.as_ref().is_some_and(|judge| !judge.takes(&value)) {
            return None;
        }
        if !members.json.is_empty() {
            members.json.push(',');
        }
        members.json += self.text.get(name.start..name.end)?;
        members.json.push(':');
        members.json += &value;
        Some(())
    }

    /// Finds the field of the name that stands here.
    fn name(&mut self, object: &Object, hint: usize) -> Option<Found> {
        self.peek();
        if let Some(field) = object.fields.get(hint)
            && begins_with(self.bytes(), field.quoted.as_bytes())
        {
            self.at += field.quoted.len();
            return Some(Found::Field(hint));
        }
        let start = self.at;
        let name = self.text()?;
        let end = self.at;
        Some(match object.find(&name, hint) {
            Some(index) => Found::Field(index),
            None => Found::Other(Span { start, end }),
        })
    }

    fn field(&mut self, field: &Field, row: Row) -> Option<()> {
        // Null means what a missing field means.
        if self.peek() == Some(b'n') {
            let is_null = field.may_be_null && self.bytes().starts_with(b"null");
            return is_null.then(|| self.at += 4);
        }
        let slot = Some(field.slot).filter(|_| field.has_slot());
        self.value(&field.value, row, slot)
    }

    /// The slot is none for an object that must be there.
    fn value(&mut self, value: &Value, row: Row, slot: Option<usize>) -> Option<()> {
        self.peek();
        let start = self.at;
        let read = match &value.kind {
            Kind::Text(check) => {
                let text = self.text()?;
                // JSON allows NUL only as an escape, and a text with escapes is never borrowed.
                let has_nul = matches!(&text, Cow::Owned(text) if text.contains('\0'));
                if has_nul || !check.holds(&text) {
                    return None;
                }
                Slot::Text(text)
            }
            Kind::Whole(check) => {
                let number = self.whole()?;
                if check.broken(number).is_some() {
                    return None;
                }
                Slot::Whole(number)
            }
            Kind::Number(check) => {
                let number = number::plain(self.number()?)?;
                if check.broken(&number).is_some() {
                    return None;
                }
                Slot::Number(number)
            }
            Kind::Any => {
                let span = Scanner::new(self.text.as_bytes(), self.at).value().ok()?;
                self.at = span.end;
                Slot::Kept(kept::keep(self.text, span).ok()?)
            }
            Kind::Truth => {
                let truth = self.peek()? == b't';
                let word: &[u8] = if truth { b"true" } else { b"false" };
                if !self.bytes().starts_with(word) {
                    return None;
                }
                self.at += word.len();
                Slot::Truth(truth)
            }
            Kind::Object(object) => {
                self.object(object, row)?;
                Slot::Present
            }
            Kind::List(list) => self.list(list)?,
        };
        if let Some(judge) = &value.judge
            && !judge.takes(self.text.get(start..self.at)?)
        {
            return None;
        }
        if let Some(slot) = slot {
            self.set(row, slot, read);
        }
        Some(())
    }

    fn set(&mut self, row: Row, slot: usize, value: Slot<'a>) {
        self.record.table_mut(row.list)[row.start + slot] = value;
    }

    fn list(&mut self, list: &List) -> Option<Slot<'a>> {
        self.byte(b'[')?;
        let start = self.record.lists[list.number].len();
        let mut count = 0;
        let is_object = matches!(list.element.kind, Kind::Object(_));
        let mut more = !self.is_empty(b']');
        while more {
            let table = &mut self.record.lists[list.number];
            let row = Row {
                list: Some(list.number),
                start: table.len(),
            };
            table.extend((0..list.width).map(|_| Slot::Absent));
            self.value(&list.element, row, (!is_object).then_some(0))?;
            count += 1;
            more = self.goes_on(b']')?;
        }
        (list.least..=list.most)
            .contains(&count)
            .then_some(Slot::List { start, count })
    }

    /// The text whose opening quote stands here.
    fn text(&mut self) -> Option<Cow<'a, str>> {
        let bytes = self.bytes();
        if bytes.first() != Some(&b'"') {
            return None;
        }
        let length = plain(&bytes[1..]);
        if bytes.get(1 + length) == Some(&b'"') {
            let start = self.at + 1;
            self.at = start + length + 1;
            return self.text.get(start..start + length).map(Cow::Borrowed);
        }
        let span = Scanner::new(self.text.as_bytes(), self.at).value().ok()?;
        self.at = span.end;
        decode(self.text.as_bytes(), span)
    }

    fn whole(&mut self) -> Option<i64> {
        self.peek();
        let bytes = self.bytes();
        let negative = bytes.first() == Some(&b'-');
        let digits = bytes.get(usize::from(negative)..)?;
        let length = digits
            .iter()
            .take(19)
            .take_while(|byte| byte.is_ascii_digit());
        let length = length.count();
        let goes_on = matches!(digits.get(length), Some(b'.' | b'e' | b'E'));
        if (1..19).contains(&length) && !goes_on && (digits[0] != b'0' || length == 1) {
            let digit = |number, byte: &u8| number * 10 + i64::from(byte - b'0');
            let number = digits[..length].iter().fold(0, digit);
            self.at += usize::from(negative) + length;
            return Some(if negative { -number } else { number });
        }
        // With a fraction or an exponent (1.0, 1e2), with many digits, or no number at all.
        match number::whole(self.number()?) {
            Whole::Fits(number) => Some(number),
            Whole::Fraction | Whole::TooLarge => None,
        }
    }

    /// A number, as it stands there.
    fn number(&mut self) -> Option<&'a str> {
        if !matches!(self.bytes().first(), Some(b'-' | b'0'..=b'9')) {
            return None;
        }
        let span = Scanner::new(self.text.as_bytes(), self.at).value().ok()?;
        self.at = span.end;
        self.text.get(span.start..span.end)
    }
}

/// Whose name it is.
enum Found {
    Field(usize),
    /// No field of the schema's.
    Other(Span),
}

/// The members of an object that its schema does not name.
#[derive(Default)]
struct Members<'a> {
    names: Names<'a>,
    /// As JSON, with commas between them.
    json: String,
}

/// Which fields were there. The first 64 need no memory.
#[derive(Default)]
struct Seen {
    few: u64,
    more: Vec<bool>,
}

impl Seen {
    fn has(&self, index: usize) -> bool {
        match index {
            0..64 => self.few & 1 << index != 0,
            _ => self.more.get(index - 64).copied().unwrap_or(false),
        }
    }

    /// False if it was there before.
    fn add(&mut self, index: usize) -> bool {
        if self.has(index) {
            return false;
        }
        if index < 64 {
            self.few |= 1 << index;
        } else {
            let length = self.more.len().max(index - 63);
            self.more.resize(length, false);
            self.more[index - 64] = true;
        }
        true
    }
}
