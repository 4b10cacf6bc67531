//! Values made of what the schema asks. How each is made is decided once (`How`); then it is made for each message.

use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::Value as Json;

use super::super::check::{Format, Keyword, NumberCheck, TextCheck, WholeCheck};
use super::super::constant::constant;
use super::super::model::Model;
use super::super::number::{self, Whole};
use super::super::shape::{Kind, Made, Object as Shape, Value};
use super::super::slot::{Record, Row, Slot};
use super::super::write;
use super::like::Like;

const SPAN_SECONDS: i64 = 30 * 86_400;
/// Of a number without a bound on one side, this far from the other, or from 0.
const SPAN: i64 = 1_000;
/// A key that is a number has no bound: this many are there.
const MOST_WHOLE_KEYS: i64 = 1 << 50;
/// So long is a key that may be any text: 76 bits.
const KEY_DIGITS: usize = 19;
/// Room for a text of most lengths.
const ROOM: usize = 40;
/// How often a value is made until it is as the schema wants it.
const TRIES: usize = 50;
/// One element is commonest, so many are rare; unless the schema wants more.
const MOST_ELEMENTS: usize = 5;

/// What makes values.
#[derive(Debug)]
pub struct Maker<'m> {
    pub rng: Rng,
    /// In seconds since 1970.
    pub now: i64,
    /// What is being made.
    pub record: Record<'m>,
    /// Every other field that may be missing is left out: some schemas want it so.
    pub is_sparse: bool,
    /// A field that must be there, and no value was found for it.
    pub unmade: Option<&'m str>,
}

/// How the fields of an object are made.
#[derive(Debug)]
pub struct Object<'m> {
    fields: Vec<Field<'m>>,
    /// Its examples, each with what it has for each field.
    examples: Vec<Vec<Option<&'m Json>>>,
}

#[derive(Debug)]
struct Field<'m> {
    name: &'m str,
    is_needed: bool,
    slot: Option<usize>,
    one: One<'m>,
}

/// How one value is made.
#[derive(Debug)]
struct One<'m> {
    value: &'m Value,
    how: How<'m>,
    /// Whether it is taken from an example of what is around it.
    is_shown: bool,
}

#[derive(Debug)]
enum How<'m> {
    /// It follows from others.
    Follows,
    /// Nothing is known of it.
    Nothing,
    Pick(Vec<Slot<'m>>),
    Like(Like),
    Format(Format),
    /// Digits of a key, so many.
    Digits(usize),
    /// The field's name and a number.
    Numbered(&'m str),
    Letters(usize, usize),
    Whole(i64, i64),
    /// In hundredths.
    Number(i64, i64),
    Object(Object<'m>),
    List(usize, usize, Box<One<'m>>),
}

impl<'m> Maker<'m> {
    pub fn one_of<T>(&mut self, of: &'m [T]) -> Option<&'m T> {
        of.get(self.rng.usize(..of.len().max(1)))
    }

    fn set(&mut self, row: Row, slot: usize, value: Slot<'m>) {
        self.record.table_mut(row.list)[row.start + slot] = value;
    }
}

impl<'m> Object<'m> {
    pub fn of(model: &'m Model) -> Self {
        let is_key = |slot: usize| model.keys.iter().any(|known| known.slot == slot);
        Self::plan(&model.object, &model.examples, &is_key)
    }

    fn plan(object: &'m Shape, examples: &'m [Json], is_key: &dyn Fn(usize) -> bool) -> Self {
        let fields = object.fields.iter().map(|field| {
            let slot = Some(field.slot).filter(|_| field.has_slot());
            let how = Plan {
                value: &field.value,
                name: &field.name,
                default: field.default.as_ref(),
                is_key: slot.is_some_and(is_key),
                is_needed: field.required,
            };
            let one = how.one(is_key);
            Field {
                name: &field.name,
                is_needed: field.required,
                slot,
                one,
            }
        });
        let fields: Vec<_> = fields.collect();
        let of = |example: &'m Json| {
            let members = fields.iter().map(|field| example.get(field.name));
            members.collect()
        };
        Self {
            examples: examples.iter().map(of).collect(),
            fields,
        }
    }

    /// Makes all fields. An example of what is around it may have some.
    pub fn make(&self, maker: &mut Maker<'m>, row: Row, around: Option<&'m Json>) {
        let example = maker.rng.usize(..self.examples.len().max(1));
        let own = self.examples.get(example);
        for (index, field) in self.fields.iter().enumerate() {
            let shown = match own {
                _ if !field.one.looks_around() => None,
                Some(own) => own[index],
                None => around.and_then(|around| around.get(field.name)),
            };
            if maker.is_sparse && !field.is_needed && maker.rng.bool() {
                continue;
            }
            match (field.one.make(maker, row, shown), field.slot) {
                (Some(made), Some(slot)) => maker.set(row, slot, made),
                (None, _) if field.is_needed && !matches!(field.one.how, How::Follows) => {
                    maker.unmade = Some(field.name);
                }
                _ => {}
            }
        }
    }
}

/// What is known of a value when it is decided how it is made.
struct Plan<'p, 'm> {
    value: &'m Value,
    name: &'m str,
    default: Option<&'p Slot<'static>>,
    is_key: bool,
    is_needed: bool,
}

impl<'m> Plan<'_, 'm> {
    fn one(&self, is_key: &dyn Fn(usize) -> bool) -> One<'m> {
        let value = self.value;
        let own = self.own();
        let is_shown = own.is_none()
            && !self.is_key
            && !matches!(&value.kind, Kind::Text(check) if check.format.is_some());
        let how = own.unwrap_or_else(|| match &value.kind {
            Kind::Object(object) => {
                How::Object(Object::plan(object, &value.shown.examples, is_key))
            }
            Kind::List(list) => {
                let element = Plan {
                    value: &list.element,
                    name: self.name.strip_suffix('s').unwrap_or(self.name),
                    default: None,
                    is_key: false,
                    is_needed: true,
                };
                let element = element.one(&|_| false);
                How::List(list.least, list.most, Box::new(element))
            }
            Kind::Text(check) => self.text(check),
            Kind::Whole(check) => self.whole(check),
            Kind::Number(check) => self.number(check),
            Kind::Truth => How::Pick(vec![Slot::Truth(true), Slot::Truth(false)]),
            Kind::Any => self.any(),
        });
        One {
            value,
            how,
            is_shown,
        }
    }

    /// As the schema shows it, if it does.
    fn own(&self) -> Option<How<'m>> {
        match &self.value.shown.made {
            Some(Made::Like(hir)) => return Some(How::Like(Like::of(hir))),
            Some(Made::Same(_) | Made::Sum(_)) => return Some(How::Follows),
            None => {}
        }
        let examples = self.value.shown.examples.iter();
        let examples: Vec<_> = { examples }
            .filter_map(|json| constant(self.value, json))
            .filter(|slot| !matches!(slot, Slot::List { .. }))
            .collect();
        (!examples.is_empty() && !self.is_key).then_some(How::Pick(examples))
    }

    fn text(&self, check: &'m TextCheck) -> How<'m> {
        let longest = check.longest.min(check.most_bytes);
        if let Some(texts) = &check.one_of {
            let text = |text: &'m String| Slot::Text(text.as_str().into());
            return How::Pick(texts.iter().map(text).collect());
        }
        if let Some(format) = check.format {
            return How::Format(format);
        }
        if let Some((source, _)) = &check.pattern
            && let Ok(hir) = regex_syntax::parse(source)
        {
            return How::Like(Like::of(&hir));
        }
        if self.is_key {
            return How::Digits(longest.min(KEY_DIGITS.max(check.shortest)));
        }
        if let Some(default) = self.default {
            return How::Pick(vec![default.clone()]);
        }
        match self.name.len() + 4 <= longest && check.shortest <= self.name.len() + 2 {
            true => How::Numbered(self.name),
            false => How::Letters(
                check.shortest,
                longest.min(check.shortest.saturating_add(8)),
            ),
        }
    }

    fn whole(&self, check: &'m WholeCheck) -> How<'m> {
        if let Some(numbers) = &check.one_of {
            return How::Pick(numbers.iter().copied().map(Slot::Whole).collect());
        }
        let is_bound = check.least != i64::MIN || check.most != i64::MAX;
        if let Some(default) = self.default.filter(|_| !is_bound) {
            return How::Pick(vec![default.clone()]);
        }
        let span = if self.is_key { MOST_WHOLE_KEYS } else { SPAN };
        let (least, most) = match (check.least, check.most) {
            (i64::MIN, i64::MAX) => (0, span),
            (i64::MIN, most) => (below(most, span), most),
            (least, i64::MAX) => (least, least.saturating_add(span)),
            bounds => bounds,
        };
        How::Whole(least, most.max(least))
    }

    fn number(&self, check: &'m NumberCheck) -> How<'m> {
        if let Some(numbers) = &check.one_of {
            let number = |number: &'m String| Slot::Number(number.as_str().into());
            return How::Pick(numbers.iter().map(number).collect());
        }
        if let Some(default) = self.default.filter(|_| check.bounds.is_empty()) {
            return How::Pick(vec![default.clone()]);
        }
        let hundredths = |bound: &str| (bound.parse::<f64>().unwrap_or(0.0) * 100.0) as i64;
        let (mut low, mut high) = (None, None);
        for (keyword, bound) in &check.bounds {
            match keyword {
                Keyword::Minimum | Keyword::ExclusiveMinimum => {
                    low = low.max(Some(hundredths(bound)))
                }
                _ => high = Some(high.unwrap_or(i64::MAX).min(hundredths(bound))),
            }
        }
        let (low, high) = match (low, high) {
            (None, None) => (0, SPAN * 100),
            (None, Some(high)) => (below(high, SPAN * 100), high),
            (Some(low), None) => (low, low.saturating_add(SPAN * 100)),
            (Some(low), Some(high)) => (low, high),
        };
        How::Number(low, high.max(low))
    }

    /// Any JSON, of which nothing is known but what its judge says.
    fn any(&self) -> How<'m> {
        if let Some(default) = self.default {
            return How::Pick(vec![default.clone()]);
        }
        const KINDS: [&str; 6] = ["\"a\"", "1", "true", "{}", "[]", "[1]"];
        let judge = self.value.judge.as_ref();
        let taken = KINDS
            .iter()
            .filter(|json| judge.is_none_or(|judge| judge.takes(json)));
        let taken: Vec<_> = taken.map(|json| Slot::Kept((*json).into())).collect();
        match self.is_needed && !taken.is_empty() {
            true => How::Pick(taken),
            false => How::Nothing,
        }
    }
}

impl<'m> One<'m> {
    /// Whether it asks what an example of the whole has in its place.
    fn looks_around(&self) -> bool {
        self.is_shown || matches!(self.how, How::Object(_) | How::List(..))
    }

    /// None if nothing that was tried is as the schema wants it.
    fn make(&self, maker: &mut Maker<'m>, row: Row, around: Option<&'m Json>) -> Option<Slot<'m>> {
        match &self.how {
            How::Follows => None,
            How::Nothing => {
                let shown = around.filter(|_| self.is_shown)?;
                constant(self.value, shown)
            }
            How::Object(object) => {
                object.make(maker, row, around);
                Some(Slot::Present)
            }
            How::List(least, most, element) => {
                let own = maker.one_of(&self.value.shown.examples);
                Some(self.list(maker, (*least, *most), element, own.or(around)))
            }
            How::Pick(slots) if !self.is_shown => pick(&mut maker.rng, slots),
            how => {
                if let Some(shown) = around.filter(|_| self.is_shown)
                    && let Some(slot) = constant(self.value, shown)
                {
                    return Some(slot);
                }
                for _ in 0..TRIES {
                    let made = scalar(how, &self.value.kind, maker);
                    if made.as_ref().is_some_and(|slot| fits(self.value, slot)) {
                        return made;
                    }
                }
                None
            }
        }
    }

    fn list(
        &self,
        maker: &mut Maker<'m>,
        (least, most): (usize, usize),
        element: &One<'m>,
        shown: Option<&'m Json>,
    ) -> Slot<'m> {
        let Kind::List(list) = &self.value.kind else {
            return Slot::Absent;
        };
        let shown = shown.and_then(Json::as_array).map(Vec::as_slice);
        let rng = &mut maker.rng;
        let likely = rng
            .usize(1..=MOST_ELEMENTS)
            .min(rng.usize(1..=MOST_ELEMENTS));
        let count = likely.max(least).min(most);
        let is_object = matches!(element.how, How::Object(_));
        let start = maker.record.lists[list.number].len();
        let empty = start + count * list.width;
        maker.record.lists[list.number].resize(empty, Slot::Absent);
        let mut made = 0;
        for _ in 0..count {
            let shown = maker.one_of(shown.unwrap_or_default());
            let row = Row {
                list: Some(list.number),
                start: start + made * list.width,
            };
            if let Some(slot) = element.make(maker, row, shown) {
                if !is_object {
                    maker.set(row, 0, slot);
                }
                made += 1;
            }
        }
        maker.record.lists[list.number].truncate(start + made * list.width);
        Slot::List { start, count: made }
    }
}

/// Where to begin if only the end is known.
fn below(end: i64, span: i64) -> i64 {
    match end > 0 {
        true => 0,
        false => end.saturating_sub(span),
    }
}

fn pick<'m>(rng: &mut Rng, of: &[Slot<'m>]) -> Option<Slot<'m>> {
    of.get(rng.usize(..of.len().max(1))).cloned()
}

/// One value; most are as the schema wants them.
fn scalar<'m>(how: &How<'m>, kind: &Kind, maker: &mut Maker<'m>) -> Option<Slot<'m>> {
    let rng = &mut maker.rng;
    let mut text = String::with_capacity(ROOM);
    match how {
        How::Pick(slots) => return pick(rng, slots),
        How::Whole(least, most) => return Some(Slot::Whole(rng.i64(*least..=*most))),
        How::Number(low, high) => {
            let hundredths = rng.i64(*low..=*high);
            let sign = if hundredths < 0 { "-" } else { "" };
            let size = hundredths.unsigned_abs();
            let number = format!("{sign}{}.{:02}", size / 100, size % 100);
            return Some(Slot::Number(number.into()));
        }
        How::Like(like) => like.write(rng, &mut text),
        How::Format(format) => write_format(*format, maker, &mut text),
        How::Digits(length) => {
            while text.len() < *length {
                _ = write!(text, "{:016x}", rng.u64(..));
            }
            text.truncate(*length);
        }
        How::Numbered(name) => _ = write!(text, "{name} {}", rng.u32(1..=999)),
        How::Letters(least, most) => {
            let length = rng.usize(*least.min(most)..=*most);
            text.extend((0..length).map(|_| rng.lowercase()));
        }
        How::Follows | How::Nothing | How::Object(_) | How::List(..) => return None,
    }
    // A number that is made like a pattern is a text until here.
    match kind {
        Kind::Whole(_) => match number::whole(&text) {
            Whole::Fits(number) => Some(Slot::Whole(number)),
            _ => None,
        },
        Kind::Number(_) => Some(Slot::Number(number::plain(&text)?.into_owned().into())),
        _ => Some(Slot::Text(text.into())),
    }
}

fn write_format(format: Format, maker: &mut Maker<'_>, text: &mut String) {
    let rng = &mut maker.rng;
    let second = maker.now.saturating_sub(rng.i64(0..SPAN_SECONDS));
    // Out of range only in the year 10,000.
    let moment = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX);
    // Writing to a String does not fail.
    _ = match format {
        Format::DateTime => write!(text, "{moment}"),
        Format::Date => write!(text, "{}", moment.strftime("%Y-%m-%d")),
        Format::Uuid => {
            let [a, b] = [rng.u64(..), rng.u64(..)];
            let (first, second, third) = (a >> 32, a >> 16 & 0xffff, a & 0xfff);
            let (fourth, fifth) = (b >> 48 & 0x3fff | 0x8000, b & 0xffff_ffff_ffff);
            write!(
                text,
                "{first:08x}-{second:04x}-4{third:03x}-{fourth:04x}-{fifth:012x}"
            )
        }
    };
}

/// True if a value that was made is as the schema wants it.
fn fits(value: &Value, slot: &Slot<'_>) -> bool {
    let holds = match (&value.kind, slot) {
        (Kind::Text(check), Slot::Text(text)) => check.is_any() || check.holds(text),
        (Kind::Whole(check), Slot::Whole(number)) => check.broken(*number).is_none(),
        (Kind::Number(check), Slot::Number(number)) => check.broken(number).is_none(),
        _ => true,
    };
    holds
        && value.judge.as_ref().is_none_or(|judge| {
            let mut json = Vec::new();
            write::scalar(slot, &mut json);
            judge.takes(&String::from_utf8_lossy(&json))
        })
}
