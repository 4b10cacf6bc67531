//! Paths of documents: `/api/v1/{collection}` and what is below it. Every other path under /api/v1 is a noun of ours, which no
//! collection can be called.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::collection;

pub const PREFIX: &str = "/api/v1/";

/// The collection that a path names, and what follows its slash.
pub fn collection(path: &str) -> Option<(&str, Option<&str>)> {
    let rest = path.strip_prefix(PREFIX)?;
    let (name, rest) = match rest.split_once('/') {
        Some((name, rest)) => (name, Some(rest)),
        None => (rest, None),
    };
    collection::may_be_called(name).then_some((name, rest))
}

/// One segment of a path with its escapes decoded; none if what they stand for is not UTF-8. Every way to a document asks here: a
/// hit and a miss must mean the same one.
pub fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    match memchr::memchr(b'%', segment.as_bytes()) {
        None => Some(Cow::Borrowed(segment)),
        Some(_) => percent_decode_str(segment).decode_utf8().ok(),
    }
}

/// The key that a path of one segment names; none if it has more, or what its escapes stand for is not UTF-8.
pub fn key(rest: &str) -> Option<Cow<'_, str>> {
    if rest.is_empty() || rest.contains('/') {
        return None;
    }
    decoded(rest)
}

/// A text as a segment of a path.
pub fn encoded(segment: &str) -> String {
    use std::fmt::Write;
    segment.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}
