//! Messages whose very bytes are wrong: not UTF-8, or something that is no text at all.

use super::super::model::Model;
use super::super::rejection::{Code, Violation};
use super::super::scan::{Scanner, Span, decode};
use super::super::shape::{Kind, Object, Value, token};

/// At most so many places are named; a file of random bytes has thousands.
const MAX_PLACES: usize = 50;

/// What a message that cannot be JSON seems to be, by its first bytes.
pub fn foreign(bytes: &[u8]) -> Option<(Code, &'static str)> {
    let compressed = |name| Some((Code::Compressed, name));
    match bytes {
        [0x1f, 0x8b, ..] => {
            compressed("The message is compressed with gzip; it must be plain JSON.")
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            compressed("The message is compressed with zstd; it must be plain JSON.")
        }
        [b'P', b'K', 3, 4, ..] => {
            compressed("The message is a zip archive; it must be plain JSON.")
        }
        [b'B', b'Z', b'h', ..] => {
            compressed("The message is compressed with bzip2; it must be plain JSON.")
        }
        [0x78, 0x01 | 0x9c | 0xda, ..] => {
            compressed("The message is compressed with zlib; it must be plain JSON.")
        }
        [0xff, 0xfe, ..]
        | [0xfe, 0xff, ..]
        | [0, 1..=255, 0, 1..=255, ..]
        | [1..=255, 0, 1..=255, 0, ..] => Some((
            Code::Utf16,
            "The message is in UTF-16; it must be in UTF-8.",
        )),
        _ => None,
    }
}

/// The places that are not UTF-8, one for each field. At least one, if the bytes are not UTF-8.
pub fn bad_places(model: &Model, bytes: &[u8]) -> Vec<(usize, Violation)> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut blamed_until = 0;
    for chunk in bytes.utf8_chunks() {
        at += chunk.valid().len();
        let bad = chunk.invalid();
        if !bad.is_empty() && at >= blamed_until {
            let whole = Blame {
                pointer: String::new(),
                until: bytes.len(),
            };
            let blame = in_object(bytes, &model.object, 0, at, "").unwrap_or(whole);
            blamed_until = blame.until;
            let message = format!(
                "The message must be in UTF-8, but its byte {} (0x{:02X}) is not.",
                at + 1,
                bad.first().copied().unwrap_or_default()
            );
            found.push((at, Violation::new(Code::NotUtf8, blame.pointer, message)));
            if found.len() == MAX_PLACES || blamed_until == bytes.len() {
                break;
            }
        }
        at += bad.len();
    }
    found
}

struct Blame {
    pointer: String,
    /// The end of the field; a bad byte behind it belongs to another field.
    until: usize,
}

/// The deepest known field around the byte `at`, as far as the message can be read.
fn in_object(bytes: &[u8], object: &Object, start: usize, at: usize, path: &str) -> Option<Blame> {
    let around = |span: Span| (span.start..span.end).contains(&at);
    let mut hit = None;
    // A syntax error behind the byte does not matter, since the fields before it were read.
    let _ = Scanner::new(bytes, start).object(|name, value| {
        if around(value) || around(name) {
            let name = decode(bytes, name);
            hit = Some((name.and_then(|name| object.field(&name)), value));
        }
    });
    let (field, span) = hit?;
    let Some(field) = field else {
        return Some(Blame {
            pointer: path.to_owned(),
            until: span.end,
        });
    };
    let pointer = format!("{path}/{}", token(&field.name));
    Some(in_value(bytes, &field.value, span, at, pointer))
}

/// The deepest known field around the byte in this value, or the value itself.
fn in_value(bytes: &[u8], value: &Value, span: Span, at: usize, pointer: String) -> Blame {
    let around = |span: Span| (span.start..span.end).contains(&at);
    let inner = match &value.kind {
        Kind::Object(object) => in_object(bytes, object, span.start, at, &pointer),
        Kind::List(list) => {
            let mut index = 0;
            let mut hit = None;
            let _ = Scanner::new(bytes, span.start).list(|value| {
                if around(value) {
                    hit = Some((index, value));
                }
                index += 1;
            });
            hit.map(|(index, span)| {
                in_value(bytes, &list.element, span, at, format!("{pointer}/{index}"))
            })
        }
        _ => None,
    };
    inner.unwrap_or(Blame {
        pointer,
        until: span.end,
    })
}
