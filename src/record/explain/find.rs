//! Where in a message something stands: what a pointer leads to, and the key.

use std::borrow::Cow;

use super::super::model::{Known, Model};
use super::super::number::{self, Whole};
use super::super::scan::{Scanner, Span, decode};
use super::super::shape::names_of;

/// Where in a value something stands; as near as the pointer leads.
pub fn place(bytes: &[u8], span: Span, pointer: &str) -> Span {
    let mut at = span;
    for name in names_of(pointer) {
        let mut found = None;
        match bytes.get(at.start) {
            Some(b'{') => {
                let _ = Scanner::new(bytes, at.start).object(|key, value| {
                    if decode(bytes, key).is_some_and(|key| *key == *name) {
                        found = Some(value);
                    }
                });
            }
            Some(b'[') => {
                let wanted = name.parse::<usize>().ok();
                let mut index = 0;
                let _ = Scanner::new(bytes, at.start).list(|value| {
                    if Some(index) == wanted {
                        found = Some(value);
                    }
                    index += 1;
                });
            }
            _ => {}
        }
        match found {
            Some(value) => at = value,
            None => break,
        }
    }
    at
}

/// The key of a message that may be broken further on.
pub fn key<'a>(model: &Model, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    let part = |known: &Known| {
        let mut at = 0;
        let mut found = None;
        for wanted in &known.path {
            found = None;
            let _ = Scanner::new(bytes, at).object(|name, value| {
                if found.is_none() && decode(bytes, name).as_deref() == Some(wanted.as_str()) {
                    found = Some(value);
                }
            });
            at = found?.start;
        }
        found
    };
    let digits = |span: Span| {
        let digits = std::str::from_utf8(bytes.get(span.start..span.end)?).ok()?;
        match number::whole(digits) {
            Whole::Fits(number) if !digits.starts_with('"') => Some(number),
            _ => None,
        }
    };
    if let [known] = model.keys.as_slice() {
        let span = part(known)?;
        return match bytes.get(span.start) {
            Some(b'"') => decode(bytes, span),
            Some(b'-' | b'0'..=b'9') => Some(Cow::Owned(digits(span)?.to_string())),
            _ => None,
        };
    }
    let parts = model.keys.iter().map(|known| {
        let span = part(known)?;
        match bytes.get(span.start) {
            Some(b'"') => Some(serde_json::Value::from(decode(bytes, span)?)),
            Some(b'-' | b'0'..=b'9') => Some(serde_json::Value::from(digits(span)?)),
            _ => None,
        }
    });
    let parts: Option<Vec<_>> = parts.collect();
    let parts = parts.filter(|parts| !parts.is_empty())?;
    Some(Cow::Owned(serde_json::Value::Array(parts).to_string()))
}
