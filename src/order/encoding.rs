//! Messages whose very bytes are wrong: not UTF-8, or something that is no text at all. Called by `diagnose` only.

use super::rejection::{Code, Violation};
use super::scan::{Scanner, Span, decode};
use super::shape::{Field, Kind, ORDER};

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
pub fn bad_places(bytes: &[u8]) -> Vec<(usize, Violation)> {
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
            let blame = blame(bytes, ORDER, 0, at, "").unwrap_or(whole);
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
fn blame(bytes: &[u8], fields: &[Field], start: usize, at: usize, path: &str) -> Option<Blame> {
    let around = |span: Span| (span.start..span.end).contains(&at);
    let mut hit: Option<(Option<&Field>, Span)> = None;
    // A syntax error behind the byte does not matter, since the fields before it were read.
    let _ = Scanner::new(bytes, start).object(|name, value| {
        if around(value) || around(name) {
            let name = decode(bytes, name);
            let field = fields
                .iter()
                .find(|field| name.as_deref() == Some(field.name));
            hit = Some((field, value));
        }
    });
    let (field, span) = hit?;
    let until = span.end;
    let Some(field) = field else {
        return Some(Blame {
            pointer: path.to_owned(),
            until,
        });
    };
    let pointer = format!("{path}/{}", field.name);
    let inner = match field.kind {
        Kind::Object(fields) => blame(bytes, fields, span.start, at, &pointer),
        Kind::List(fields) => {
            let mut index = 0;
            let mut hit = None;
            let _ = Scanner::new(bytes, span.start).list(|value| {
                if around(value) {
                    hit = Some((index, value));
                }
                index += 1;
            });
            hit.map(|(index, value)| {
                let pointer = format!("{pointer}/{index}");
                let inner = blame(bytes, fields, value.start, at, &pointer);
                inner.unwrap_or(Blame {
                    pointer,
                    until: value.end,
                })
            })
        }
        _ => None,
    };
    Some(inner.unwrap_or(Blame { pointer, until }))
}
