//! Values that a schema has itself: defaults, examples.

use serde_json::{Number, Value as Json};

use super::kept;
use super::number::{self, Whole};
use super::scan::Span;
use super::shape::{Kind, Value};
use super::slot::Slot;

fn whole(number: &Number) -> Whole {
    match number.as_i64() {
        Some(number) => Whole::Fits(number),
        None => number::whole(&number.to_string()),
    }
}

/// A value of the schema's own, checked as a message's would be.
pub fn constant<'j>(value: &Value, json: &'j Json) -> Option<Slot<'j>> {
    let text = || json.to_string();
    if value
        .judge
        .as_ref()
        .is_some_and(|judge| !judge.takes(&text()))
    {
        return None;
    }
    match (&value.kind, json) {
        (Kind::Text(check), Json::String(text)) if check.holds(text) && !text.contains('\0') => {
            Some(Slot::Text(text.as_str().into()))
        }
        (Kind::Whole(check), Json::Number(number)) => match whole(number) {
            Whole::Fits(number) if check.broken(number).is_none() => Some(Slot::Whole(number)),
            _ => None,
        },
        (Kind::Number(check), Json::Number(_)) => {
            let number = number::plain(&text())?.into_owned();
            check
                .broken(&number)
                .is_none()
                .then_some(Slot::Number(number.into()))
        }
        (Kind::Truth, Json::Bool(truth)) => Some(Slot::Truth(*truth)),
        (Kind::List(list), Json::Array(elements)) if elements.is_empty() && list.least == 0 => {
            Some(Slot::List { start: 0, count: 0 })
        }
        (Kind::Any, json) if !json.is_null() => {
            let text = text();
            let end = text.len();
            let kept = kept::keep(&text, Span { start: 0, end }).ok()?;
            Some(Slot::Kept(kept.into_owned().into()))
        }
        _ => None,
    }
}
