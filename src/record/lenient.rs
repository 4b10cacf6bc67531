//! How a message looks by a model that need not take it: by the last definition of a collection, if an earlier one has accepted
//! the message. Each value that the model takes is kept, and each that it does not take is left out. The slow way: messages
//! that the model takes as a whole are written as ever.
//!
//! - A field that the message lacks gets its default; one that was left out does not. What is required may be missing.
//! - An object keeps the fields that fit, a list the elements that fit; then it is asked itself (`minItems`, `oneOf`, …), as it was
//!   sent and as it has become: either will do. The message itself is not asked, since it cannot be left out.
//! - Of fields with the same name the last one counts, as in jsonb.
//! - A fixed field (`Model::fix`) is left out only if it has another type.
//! - If the whole might be too large for jsonb, all lists are left out, and all that is kept as it was sent.

use std::borrow::Cow;
use std::collections::HashMap;

use super::kept;
use super::model::Model;
use super::number::{self, Whole};
use super::scan::{Scanner, Span, decode};
use super::shape::{Field, Kind, List, Object, Others, Value};
use super::slot::{Record, Slot};
use super::write;

/// A message as a model shows it.
#[derive(Debug)]
pub struct Rendered<'m, 'a> {
    model: &'m Model,
    form: Form<'m, 'a>,
}

#[derive(Debug)]
enum Form<'m, 'a> {
    /// The model takes the message.
    Whole(Record<'a>),
    /// What of the message fits.
    Part(Members<'m, 'a>),
}

impl Model {
    /// Shows any bytes. What is no JSON object is shown as one without fields.
    pub fn render<'a>(&self, bytes: &'a [u8]) -> Rendered<'_, 'a> {
        let form = match self.take(bytes) {
            Some((record, _)) => Form::Whole(record),
            None => Form::Part(self.what_fits(bytes)),
        };
        Rendered { model: self, form }
    }

    /// A field of the message itself that every definition of the collection has with the same type: it is rendered whatever else is
    /// asked of it. A key's fields are fixed from the beginning.
    pub fn fix(&mut self, slot: usize) {
        self.fixed.push(slot);
    }

    fn what_fits<'a>(&self, bytes: &'a [u8]) -> Members<'_, 'a> {
        let Some((text, span)) = whole_object(bytes) else {
            return Members::default();
        };
        let mut fitter = Fitter {
            text,
            without_bulk: false,
        };
        let all = fitter.object(&self.object, span, &self.fixed);
        let mut slots = vec![0; self.lists.len()];
        all.count(&mut slots);
        if !self.is_too_large(bytes.len(), slots.into_iter()) {
            return all;
        }
        fitter.without_bulk = true;
        fitter.object(&self.object, span, &self.fixed)
    }
}

impl Rendered<'_, '_> {
    /// True if the model takes the message, so that nothing was left out but what it drops from every message.
    pub fn is_whole(&self) -> bool {
        matches!(self.form, Form::Whole(_))
    }

    /// Appends the served form.
    pub fn write_served(&self, out: &mut Vec<u8>) {
        match &self.form {
            Form::Whole(record) => self.model.write_served(record, out),
            Form::Part(members) => members.write(Order::Served, out),
        }
    }

    /// Appends the stored form.
    pub fn write_stored(&self, out: &mut Vec<u8>) {
        match &self.form {
            Form::Whole(record) => self.model.write_stored(record, out),
            Form::Part(members) => members.write(Order::Stored, out),
        }
    }
}

/// The bytes as text, if they are one JSON object and nothing else.
fn whole_object(bytes: &[u8]) -> Option<(&str, Span)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut scanner = Scanner::new(bytes, 0);
    let span = scanner.value().ok()?;
    let is_object = bytes.get(span.start) == Some(&b'{') && scanner.place() == bytes.len();
    is_object.then_some((text, span))
}

/// A value that fits.
#[derive(Debug)]
enum Part<'m, 'a> {
    Scalar(Slot<'a>),
    Object(Members<'m, 'a>),
    List(&'m List, Vec<Part<'m, 'a>>),
}

/// In which order an object's fields are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The schema's.
    Served,
    /// That of jsonb (`write`).
    Stored,
}

/// The fields of an object that fit.
#[derive(Debug, Default)]
struct Members<'m, 'a> {
    fields: Vec<(&'m Field, Part<'m, 'a>)>,
    /// Those that the schema does not name, as JSON with commas between them.
    others: String,
}

struct Fitter<'a> {
    /// JSON, so that scanning it cannot fail.
    text: &'a str,
    without_bulk: bool,
}

impl<'a> Fitter<'a> {
    fn object<'m>(&self, object: &'m Object, span: Span, fixed: &[usize]) -> Members<'m, 'a> {
        let bytes = self.text.as_bytes();
        let mut found = vec![None; object.fields.len()];
        let mut others = Vec::new();
        let mut hint = 0;
        let _ = Scanner::new(bytes, span.start).object(|name, value| {
            let Some(known) = decode(bytes, name) else {
                return;
            };
            match object.find(&known, hint) {
                Some(index) => {
                    hint = index + 1;
                    found[index] = Some(value);
                }
                None => others.push((known, name, value)),
            }
        });
        let fields = object.fields.iter().zip(found);
        Members {
            fields: fields
                .filter_map(|(field, found)| Some((field, self.field(field, found, fixed)?)))
                .collect(),
            others: self.others(&object.others, &others),
        }
    }

    fn field<'m>(
        &self,
        field: &'m Field,
        found: Option<Span>,
        fixed: &[usize],
    ) -> Option<Part<'m, 'a>> {
        let is_null = |span: &Span| self.text.as_bytes().get(span.start) == Some(&b'n');
        match found.filter(|span| !field.may_be_null || !is_null(span)) {
            Some(span) => self.value(&field.value, span, fixed, is_fixed(field, fixed)),
            None => match field.default.as_ref()? {
                Slot::List { .. } => match &field.value.kind {
                    Kind::List(list) => Some(Part::List(list, Vec::new())),
                    _ => None,
                },
                default => Some(Part::Scalar(default.clone())),
            },
        }
    }

    /// The members that the schema does not name.
    fn others(&self, others: &Others, members: &[(Cow<'a, str>, Span, Span)]) -> String {
        let mut json = String::new();
        let Others::Kept { judge, .. } = others else {
            return json;
        };
        if self.without_bulk {
            return json;
        }
        let numbered = members.iter().enumerate();
        let last: HashMap<&str, usize> = numbered
            .map(|(index, (known, _, _))| (&**known, index))
            .collect();
        for (index, (known, name, value)) in members.iter().enumerate() {
            if last.get(&**known) != Some(&index) || known.contains('\0') {
                continue;
            }
            let Ok(value) = kept::keep(self.text, *value) else {
                continue;
            };
            if judge.as_ref().is_some_and(|judge| !judge.takes(&value)) {
                continue;
            }
            if !json.is_empty() {
                json.push(',');
            }
            json += self.json(*name);
            json.push(':');
            json += &value;
        }
        json
    }

    /// The value in this span, if it fits.
    fn value<'m>(
        &self,
        value: &'m Value,
        span: Span,
        fixed: &[usize],
        is_fixed: bool,
    ) -> Option<Part<'m, 'a>> {
        let json = self.json(span);
        let first = json.as_bytes().first()?;
        let part = match (&value.kind, first) {
            (Kind::Text(check), b'"') => {
                let text = decode(self.text.as_bytes(), span)?;
                if text.contains('\0') || !(is_fixed || check.holds(&text)) {
                    return None;
                }
                Part::Scalar(Slot::Text(text))
            }
            (Kind::Whole(check), b'-' | b'0'..=b'9') => match number::whole(json) {
                Whole::Fits(number) if is_fixed || check.broken(number).is_none() => {
                    Part::Scalar(Slot::Whole(number))
                }
                _ => return None,
            },
            (Kind::Number(check), b'-' | b'0'..=b'9') => {
                let number = number::plain(json)?;
                if check.broken(&number).is_some() {
                    return None;
                }
                Part::Scalar(Slot::Number(number))
            }
            (Kind::Truth, b't' | b'f') => Part::Scalar(Slot::Truth(*first == b't')),
            (Kind::Any, _) if !self.without_bulk => {
                Part::Scalar(Slot::Kept(kept::keep(self.text, span).ok()?))
            }
            (Kind::Object(object), b'{') => Part::Object(self.object(object, span, fixed)),
            (Kind::List(list), b'[') if !self.without_bulk => self.list(list, span)?,
            _ => return None,
        };
        let fits = is_fixed
            || value
                .judge
                .as_ref()
                .is_none_or(|judge| judge.takes(json) || judge.takes(&part.to_json()));
        fits.then_some(part)
    }

    fn list<'m>(&self, list: &'m List, span: Span) -> Option<Part<'m, 'a>> {
        let mut elements = Vec::new();
        let _ = Scanner::new(self.text.as_bytes(), span.start).list(|element| {
            elements.extend(self.value(&list.element, element, &[], false));
        });
        let fits = (list.least..=list.most).contains(&elements.len());
        fits.then_some(Part::List(list, elements))
    }

    fn json(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }
}

/// True if the field, or one in it, is fixed.
pub fn is_fixed(field: &Field, fixed: &[usize]) -> bool {
    match &field.value.kind {
        Kind::Object(object) => object.fields.iter().any(|field| is_fixed(field, fixed)),
        Kind::Text(_) | Kind::Whole(_) => fixed.contains(&field.slot),
        _ => false,
    }
}

impl Members<'_, '_> {
    /// Adds up how many slots the elements of each list would have.
    fn count(&self, slots: &mut [usize]) {
        for (_, part) in &self.fields {
            part.count(slots);
        }
    }

    fn write(&self, order: Order, out: &mut Vec<u8>) {
        let mut fields: Vec<_> = self.fields.iter().collect();
        if order == Order::Stored {
            fields.sort_by_key(|(field, _)| write::jsonb_order(field));
        }
        out.push(b'{');
        for (index, (field, part)) in fields.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(field.quoted.as_bytes());
            out.push(b':');
            part.write(order, out);
        }
        if !self.others.is_empty() {
            if !self.fields.is_empty() {
                out.push(b',');
            }
            out.extend_from_slice(self.others.as_bytes());
        }
        out.push(b'}');
    }
}

impl Part<'_, '_> {
    fn count(&self, slots: &mut [usize]) {
        match self {
            Part::Scalar(_) => {}
            Part::Object(members) => members.count(slots),
            Part::List(list, elements) => {
                slots[list.number] += elements.len() * list.width;
                for element in elements {
                    element.count(slots);
                }
            }
        }
    }

    fn write(&self, order: Order, out: &mut Vec<u8>) {
        match self {
            Part::Scalar(slot) => write::scalar(slot, out),
            Part::Object(members) => members.write(order, out),
            Part::List(_, elements) => {
                out.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    element.write(order, out);
                }
                out.push(b']');
            }
        }
    }

    fn to_json(&self) -> String {
        let mut json = Vec::new();
        self.write(Order::Served, &mut json);
        String::from_utf8(json).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
