//! A reader for messages that are the canonical JSON already: all fields in the schema's order, and no white space. It knows
//! which byte must come next, so it compares and does not search. The model is compiled into steps: skip these bytes, a text
//! into the next slot, a whole number into the next slot. It rejects nothing: any other message, valid or not, is left to
//! `read`.

use std::borrow::Cow;

use super::check::{Range, TextCheck};
use super::plain::plain;
use super::shape::{Field, Kind, Object, Value};
use super::slot::{Record, Slot};

#[derive(Debug)]
pub enum Step {
    /// These bytes must stand here: names, punctuation, and the quotes of the texts between them.
    Skip(Box<str>),
    /// A text of which nothing is asked, up to its closing quote.
    Text,
    CheckedText(Box<TextCheck>),
    Whole(Range),
    Truth,
    List(Box<ListSteps>),
    /// A field's name with the colon, behind a comma if another field stands before it.
    Name {
        name: Box<str>,
        /// If the field may be missing.
        missing: Option<Missing>,
    },
    /// An object that may be missing is there.
    Present,
}

#[derive(Debug)]
pub struct Missing {
    /// How many steps the value has.
    steps: usize,
    /// How many slots stay empty without it.
    slots: usize,
}

#[derive(Debug)]
pub struct ListSteps {
    number: usize,
    width: usize,
    least: usize,
    most: usize,
    steps: Vec<Step>,
}

/// The record, if `text` is its canonical JSON byte for byte.
pub fn read<'a>(steps: &[Step], width: usize, lists: usize, text: &'a str) -> Option<Record<'a>> {
    let mut root = Vec::with_capacity(width);
    let mut lists: Vec<Vec<Slot<'a>>> = (0..lists).map(|_| Vec::new()).collect();
    let mut rest = Rest { text, at: 0 };
    run(steps, &mut rest, &mut root, &mut lists)?;
    (rest.at == text.len()).then_some(Record { root, lists })
}

/// What is not read yet begins at `at`, which is always the beginning of a character.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline(always)]
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        begins_with(self.bytes(), expected).then(|| self.at += expected.len())
    }

    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        let end = self.at + plain(self.bytes());
        let text = self.text.get(self.at..end)?;
        self.at = end;
        Some(text)
    }

    /// A whole number in canonical form (no leading zero), and too short to overflow.
    fn whole(&mut self) -> Option<i64> {
        let bytes = self.bytes();
        let negative = bytes.first() == Some(&b'-');
        let unsigned = bytes.get(usize::from(negative)..)?;
        let mut number = 0;
        let mut length = 0;
        for byte in unsigned
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .take(18)
        {
            number = number * 10 + i64::from(byte - b'0');
            length += 1;
        }
        let zero = unsigned.first() == Some(&b'0');
        if length == 0 || (zero && (length > 1 || negative)) {
            return None;
        }
        self.at += length + usize::from(negative);
        Some(if negative { -number } else { number })
    }
}

/// Most of what is skipped has 8 to 24 bytes: comparing words is faster than a call that compares bytes.
#[inline(always)]
pub fn begins_with(bytes: &[u8], expected: &[u8]) -> bool {
    let Some(found) = bytes.get(..expected.len()) else {
        return false;
    };
    let (words, _) = found.as_chunks::<8>();
    let (wanted, _) = expected.as_chunks::<8>();
    match (found.last_chunk::<8>(), expected.last_chunk::<8>()) {
        (Some(last), Some(wanted_last)) => {
            let mut differs = u64::from_ne_bytes(*last) ^ u64::from_ne_bytes(*wanted_last);
            for (word, wanted) in words.iter().zip(wanted) {
                differs |= u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(*wanted);
            }
            differs == 0
        }
        _ => found == expected,
    }
}

fn run<'a>(
    steps: &[Step],
    rest: &mut Rest<'a>,
    row: &mut Vec<Slot<'a>>,
    lists: &mut [Vec<Slot<'a>>],
) -> Option<()> {
    let mut index = 0;
    while let Some(step) = steps.get(index) {
        index += 1;
        match step {
            Step::Skip(expected) => rest.skip(expected.as_bytes())?,
            // NUL needs no check: in JSON it is an escape, and a text with an escape is not read here.
            Step::Text => row.push(Slot::Text(Cow::Borrowed(rest.text()?))),
            Step::CheckedText(check) => {
                let text = rest.text()?;
                if !check.holds(text) {
                    return None;
                }
                row.push(Slot::Text(Cow::Borrowed(text)));
            }
            Step::Whole(range) => {
                let number = rest.whole()?;
                if range.broken(number).is_some() {
                    return None;
                }
                row.push(Slot::Whole(number));
            }
            Step::Truth => {
                let truth = rest.skip(b"true").is_some();
                if !truth {
                    rest.skip(b"false")?;
                }
                row.push(Slot::Truth(truth));
            }
            Step::List(list) => {
                let (start, count) = elements(list, rest, lists)?;
                row.push(Slot::List { start, count });
            }
            Step::Name { name, missing } => {
                let before = rest.at;
                let first = rest.text.as_bytes()[..rest.at].last() == Some(&b'{');
                let there =
                    (first || rest.skip(b",").is_some()) && rest.skip(name.as_bytes()).is_some();
                if !there {
                    let missing = missing.as_ref()?;
                    rest.at = before;
                    index += missing.steps;
                    row.extend(std::iter::repeat_n(Slot::Absent, missing.slots));
                }
            }
            Step::Present => row.push(Slot::Present),
        }
    }
    Some(())
}

fn elements<'a>(
    list: &ListSteps,
    rest: &mut Rest<'a>,
    lists: &mut [Vec<Slot<'a>>],
) -> Option<(usize, usize)> {
    // Lists inside this one have tables of their own, so this table can be taken out.
    let mut table = std::mem::take(lists.get_mut(list.number)?);
    let start = table.len();
    let mut count = 0;
    rest.skip(b"[")?;
    if rest.skip(b"]").is_none() {
        if table.is_empty() {
            // Most lists have at most six elements, so the table seldom grows.
            table.reserve(6 * list.width);
        }
        loop {
            let row = table.len();
            run(&list.steps, rest, &mut table, lists)?;
            table.resize(row + list.width, Slot::Absent);
            count += 1;
            if rest.skip(b",").is_none() {
                rest.skip(b"]")?;
                break;
            }
        }
    }
    *lists.get_mut(list.number)? = table;
    (list.least..=list.most)
        .contains(&count)
        .then_some((start, count))
}

pub fn compile(object: &Object) -> Vec<Step> {
    let mut compiler = Compiler::default();
    compiler.object(object);
    compiler.flush();
    compiler.steps
}

#[derive(Default)]
struct Compiler {
    steps: Vec<Step>,
    /// Bytes that are certain to stand before the next value.
    pending: String,
}

impl Compiler {
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let skipped = std::mem::take(&mut self.pending);
            self.steps.push(Step::Skip(skipped.into()));
        }
    }

    fn object(&mut self, object: &Object) {
        self.pending.push('{');
        // As long as each field before was certain, it is known whether a comma stands before the next.
        let mut certain = true;
        for (index, field) in object.fields.iter().enumerate() {
            certain &= field.is_certain();
            if certain {
                if index > 0 {
                    self.pending.push(',');
                }
                self.pending += &name(field);
                self.value(&field.value);
            } else {
                self.apart(field);
            }
        }
        self.pending.push('}');
    }

    /// A field of which it is not known whether a comma stands before it.
    fn apart(&mut self, field: &Field) {
        self.flush();
        let mut inner = Compiler::default();
        if let Kind::Object(_) = &field.value.kind
            && field.has_slot()
        {
            inner.steps.push(Step::Present);
        }
        inner.value(&field.value);
        inner.flush();
        self.steps.push(Step::Name {
            name: name(field).into(),
            missing: (!field.is_certain()).then(|| Missing {
                steps: inner.steps.len(),
                slots: usize::from(field.has_slot()) + inner_slots(&field.value),
            }),
        });
        self.steps.append(&mut inner.steps);
    }

    fn value(&mut self, value: &Value) {
        match &value.kind {
            Kind::Text(check) => {
                self.pending.push('"');
                self.flush();
                self.steps.push(match check.is_any() {
                    true => Step::Text,
                    false => Step::CheckedText(Box::new(check.clone())),
                });
                self.pending.push('"');
            }
            Kind::Whole(range) => {
                self.flush();
                self.steps.push(Step::Whole(*range));
            }
            Kind::Truth => {
                self.flush();
                self.steps.push(Step::Truth);
            }
            Kind::Object(object) => self.object(object),
            Kind::List(list) => {
                self.flush();
                let mut element = Compiler::default();
                element.value(&list.element);
                element.flush();
                self.steps.push(Step::List(Box::new(ListSteps {
                    number: list.number,
                    width: list.width,
                    least: list.least,
                    most: list.most,
                    steps: element.steps,
                })));
            }
        }
    }
}

/// How many slots the fields of an object have.
fn inner_slots(value: &Value) -> usize {
    match &value.kind {
        Kind::Object(object) => object
            .fields
            .iter()
            .map(|field| usize::from(field.has_slot()) + inner_slots(&field.value))
            .sum(),
        _ => 0,
    }
}

/// A field's name as it stands in the JSON.
fn name(field: &Field) -> String {
    format!("{}:", serde_json::Value::from(field.name.as_str()))
}
