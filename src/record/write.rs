//! Writes a record as JSON, in two forms. The served form is the canonical JSON, with the fields in the schema's order. The
//! stored form is what Postgres is given: the same members, but each object's names in jsonb's own order (shorter names
//! first, then by bytes). Postgres sorts the names of every object, which is a sixth of its work with one, unless they are
//! sorted.
//!
//! Written by hand and not by serde: this runs for every message, and most texts need no escape.

use super::plain::is_plain;
use super::shape::{Field, Kind, Object, Others, Value};
use super::slot::{Record, Row, Slot};

#[derive(Debug)]
pub enum Step {
    /// Names, punctuation, and the quotes of the texts between them.
    Bytes(Literal),
    /// A text without its quotes.
    Text(usize),
    Whole(usize),
    Truth(usize),
    /// As it is kept: a number's digits, or any JSON.
    Kept(usize),
    /// The members that the schema does not name.
    Others(usize),
    List {
        slot: usize,
        number: usize,
        width: usize,
        element: Vec<Step>,
    },
    /// A field's name, behind a comma if another field stands before it. If the field may be missing and its slot is empty, so
    /// many steps are passed over.
    Name {
        name: Box<[u8]>,
        missing: Option<(usize, usize)>,
    },
}

/// Some bytes in a block of fixed size. To copy a whole block and take back what is too much is faster than to copy a number of
/// bytes that is not known when this is compiled.
#[derive(Debug)]
pub struct Literal {
    block: [u8; BLOCK],
    length: usize,
}

const BLOCK: usize = 32;

impl Literal {
    #[inline(always)]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.block);
        out.truncate(out.len() - (BLOCK - self.length));
    }
}

pub fn write(steps: &[Step], record: &Record<'_>, row: Row, out: &mut Vec<u8>) {
    let slots = record.table(row.list).get(row.start..).unwrap_or_default();
    let mut index = 0;
    while let Some(step) = steps.get(index) {
        index += 1;
        match step {
            Step::Bytes(literal) => literal.write(out),
            Step::Text(slot) => {
                if let Slot::Text(text) = &slots[*slot] {
                    write_text(text, out);
                }
            }
            Step::Whole(slot) => {
                if let Slot::Whole(number) = &slots[*slot] {
                    serde_json::to_writer(&mut *out, number)
                        .expect("a number is always writable as JSON");
                }
            }
            Step::Kept(slot) => {
                if let Slot::Number(text) | Slot::Kept(text) = &slots[*slot] {
                    out.extend_from_slice(text.as_bytes());
                }
            }
            Step::Others(slot) => {
                if let Slot::Kept(members) = &slots[*slot]
                    && !members.is_empty()
                {
                    if out.last() != Some(&b'{') {
                        out.push(b',');
                    }
                    out.extend_from_slice(members.as_bytes());
                }
            }
            Step::Truth(slot) => {
                let truth = slots[*slot] == Slot::Truth(true);
                out.extend_from_slice(if truth { b"true" } else { b"false" });
            }
            Step::List {
                slot,
                number,
                width,
                element,
            } => {
                out.push(b'[');
                if let Slot::List { start, count } = &slots[*slot] {
                    for index in 0..*count {
                        if index > 0 {
                            out.push(b',');
                        }
                        let row = Row {
                            list: Some(*number),
                            start: start + index * width,
                        };
                        write(element, record, row, out);
                    }
                }
                out.push(b']');
            }
            Step::Name { name, missing } => match missing {
                Some((slot, steps)) if slots[*slot] == Slot::Absent => index += steps,
                _ => {
                    if out.last() != Some(&b'{') {
                        out.push(b',');
                    }
                    out.extend_from_slice(name);
                }
            },
        }
    }
}

/// Writes a text between quotes that others write.
fn write_text(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    // The quote before it is there, and the one behind it comes.
    out.pop();
    serde_json::to_writer(&mut *out, text).expect("a text is always writable as JSON");
    out.pop();
}

pub fn served(object: &Object) -> Vec<Step> {
    compile(object, |_| {})
}

pub fn stored(object: &Object) -> Vec<Step> {
    compile(object, |fields| {
        fields.sort_by_key(|field| jsonb_order(field));
    })
}

/// What jsonb sorts names by.
pub fn jsonb_order(field: &Field) -> (usize, &[u8]) {
    (field.name.len(), field.name.as_bytes())
}

/// Writes the value of a slot that is neither an object nor a list.
pub fn scalar(slot: &Slot<'_>, out: &mut Vec<u8>) {
    match slot {
        Slot::Text(text) => {
            out.push(b'"');
            write_text(text, out);
            out.push(b'"');
        }
        Slot::Whole(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Slot::Truth(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
        Slot::Number(json) | Slot::Kept(json) => out.extend_from_slice(json.as_bytes()),
        Slot::Absent | Slot::Present | Slot::List { .. } => out.extend_from_slice(b"null"),
    }
}

fn compile(object: &Object, order: fn(&mut [&Field])) -> Vec<Step> {
    let mut compiler = Compiler {
        steps: Vec::new(),
        pending: Vec::new(),
        order,
    };
    compiler.object(object);
    compiler.end()
}

struct Compiler {
    steps: Vec<Step>,
    pending: Vec<u8>,
    order: fn(&mut [&Field]),
}

impl Compiler {
    fn inner(&self) -> Self {
        Self {
            steps: Vec::new(),
            pending: Vec::new(),
            order: self.order,
        }
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            for piece in self.pending.chunks(BLOCK) {
                let mut block = [0; BLOCK];
                block[..piece.len()].copy_from_slice(piece);
                let length = piece.len();
                self.steps.push(Step::Bytes(Literal { block, length }));
            }
            self.pending.clear();
        }
    }

    fn end(mut self) -> Vec<Step> {
        self.flush();
        self.steps
    }

    fn object(&mut self, object: &Object) {
        let mut fields: Vec<&Field> = object.fields.iter().collect();
        (self.order)(&mut fields);
        self.pending.push(b'{');
        // As long as each field before was certain, it is known whether a comma stands before the next.
        let mut certain = true;
        for (index, field) in fields.into_iter().enumerate() {
            certain &= field.is_certain();
            let name = format!("{}:", serde_json::Value::from(field.name.as_str()));
            if certain {
                if index > 0 {
                    self.pending.push(b',');
                }
                self.pending.extend_from_slice(name.as_bytes());
                self.value(&field.value, field.slot);
                continue;
            }
            self.flush();
            let mut inner = self.inner();
            inner.value(&field.value, field.slot);
            let mut inner = inner.end();
            self.steps.push(Step::Name {
                name: name.into_bytes().into(),
                missing: (!field.is_certain()).then_some((field.slot, inner.len())),
            });
            self.steps.append(&mut inner);
        }
        if let Others::Kept { slot, .. } = &object.others {
            self.flush();
            self.steps.push(Step::Others(*slot));
        }
        self.pending.push(b'}');
    }

    fn value(&mut self, value: &Value, slot: usize) {
        match &value.kind {
            Kind::Text(_) => {
                self.pending.push(b'"');
                self.flush();
                self.steps.push(Step::Text(slot));
                self.pending.push(b'"');
            }
            Kind::Whole(_) => {
                self.flush();
                self.steps.push(Step::Whole(slot));
            }
            Kind::Number(_) | Kind::Any => {
                self.flush();
                self.steps.push(Step::Kept(slot));
            }
            Kind::Truth => {
                self.flush();
                self.steps.push(Step::Truth(slot));
            }
            Kind::Object(object) => self.object(object),
            Kind::List(list) => {
                self.flush();
                let mut inner = self.inner();
                inner.value(&list.element, 0);
                let element = inner.end();
                self.steps.push(Step::List {
                    slot,
                    number: list.number,
                    width: list.width,
                    element,
                });
            }
        }
    }
}
