//! JSON that is kept as it was sent, without the white space between its parts: what the schema does not say the shape of. It is
//! looked through once, for what Postgres' jsonb would not take, or would give back otherwise.

use std::borrow::Cow;
use std::collections::HashSet;

use super::number;
use super::scan::{Scanner, Span, decode};

/// Nesting beyond which a value is too deep; serde_json's own limit.
pub const MAX_DEPTH: usize = 128;

/// Why a value cannot be kept, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unkept {
    /// A name is there twice in one object, and jsonb would keep the last.
    Duplicate(usize),
    UnreadableName(usize),
    TooDeep(usize),
    Nul(usize),
    LoneSurrogate(usize),
    NumberOutOfRange(usize),
}

/// How many names of an object are looked through one after the other; beyond it there is a set.
const FEW: usize = 16;

/// The names of one object.
#[derive(Default)]
pub struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    /// False if it was there before.
    pub fn add(&mut self, name: Cow<'a, str>) -> bool {
        if let Some(many) = &mut self.many {
            return many.insert(name);
        }
        if self.few.contains(&name) {
            return false;
        }
        self.few.push(name);
        if self.few.len() > FEW {
            self.many = Some(self.few.drain(..).collect());
        }
        true
    }
}

/// The value in this span, which is JSON, without white space; borrowed if it has none.
pub fn keep(text: &str, span: Span) -> Result<Cow<'_, str>, Unkept> {
    let bytes = text.as_bytes();
    let mut compact = Compact {
        text,
        from: span.start,
        written: String::new(),
    };
    // For each open bracket, the names so far if it is an object.
    let mut open: Vec<Option<Names<'_>>> = Vec::new();
    let mut is_name = false;
    let mut at = span.start;
    while let Some(byte) = bytes.get(at).filter(|_| at < span.end) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                compact.leave_out(at);
                at += 1;
            }
            b'{' | b'[' => {
                if open.len() == MAX_DEPTH {
                    return Err(Unkept::TooDeep(at));
                }
                is_name = *byte == b'{';
                open.push(is_name.then(Names::default));
                at += 1;
            }
            b'}' | b']' => {
                open.pop();
                is_name = false;
                at += 1;
            }
            b',' => {
                is_name = matches!(open.last(), Some(Some(_)));
                at += 1;
            }
            b':' => {
                is_name = false;
                at += 1;
            }
            _ => {
                let part = Scanner::new(bytes, at).value();
                let end = part.map_or(span.end, |part| part.end);
                let part = Span { start: at, end };
                if *byte == b'"' {
                    let names = open.last_mut().and_then(Option::as_mut);
                    look_at_text(bytes, part, names.filter(|_| is_name))?;
                } else if matches!(byte, b'-' | b'0'..=b'9') {
                    let number = text.get(at..end).unwrap_or_default();
                    if number::plain(number).is_none() {
                        return Err(Unkept::NumberOutOfRange(at));
                    }
                }
                at = end;
            }
        }
    }
    Ok(compact.end(span.end))
}

fn look_at_text<'a>(
    bytes: &'a [u8],
    span: Span,
    names: Option<&mut Names<'a>>,
) -> Result<(), Unkept> {
    let at = span.start;
    let text = decode(bytes, span);
    match (text, names) {
        (None, Some(_)) => Err(Unkept::UnreadableName(at)),
        (None, None) => Err(Unkept::LoneSurrogate(at)),
        (Some(text), _) if matches!(&text, Cow::Owned(text) if text.contains('\0')) => {
            Err(Unkept::Nul(at))
        }
        (Some(name), Some(names)) => match names.add(name) {
            true => Ok(()),
            false => Err(Unkept::Duplicate(at)),
        },
        (Some(_), None) => Ok(()),
    }
}

/// A text of which parts are left out.
struct Compact<'a> {
    text: &'a str,
    /// What is not written yet begins here.
    from: usize,
    written: String,
}

impl<'a> Compact<'a> {
    fn leave_out(&mut self, at: usize) {
        self.written += self.text.get(self.from..at).unwrap_or_default();
        self.from = at + 1;
    }

    fn end(mut self, end: usize) -> Cow<'a, str> {
        let rest = self.text.get(self.from..end).unwrap_or_default();
        if self.written.is_empty() {
            return Cow::Borrowed(rest);
        }
        self.written += rest;
        Cow::Owned(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Result<String, Unkept> {
        let span = Scanner::new(text.as_bytes(), 0).value().unwrap();
        keep(text, span).map(Cow::into_owned)
    }

    #[test]
    fn white_space_goes_and_all_else_stays() {
        for (text, expected) in [
            ("1", "1"),
            (" { } ", "{}"),
            ("[ 1 , 2.50 ,\n\"a b\" ]", "[1,2.50,\"a b\"]"),
            (
                "{\"a\" : {\"a\": [{}, {\"\\u0061\":null}]} }",
                "{\"a\":{\"a\":[{},{\"\\u0061\":null}]}}",
            ),
        ] {
            assert_eq!(kept(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_jsonb_would_not_give_back_is_not_kept() {
        let deep = "[".repeat(129) + &"]".repeat(129);
        for (text, expected) in [
            ("{\"a\":1,\"b\":2,\"\\u0061\":3}", Unkept::Duplicate(13)),
            ("[{\"\\ud800\":1}]", Unkept::UnreadableName(2)),
            ("[\"\\ud800\"]", Unkept::LoneSurrogate(1)),
            ("{\"a\":\"\\u0000\"}", Unkept::Nul(5)),
            ("{\"\\u0000\":1}", Unkept::Nul(1)),
            ("[1e9999]", Unkept::NumberOutOfRange(1)),
            (&deep, Unkept::TooDeep(128)),
        ] {
            assert_eq!(kept(text), Err(expected), "{text}");
        }
        let many: Vec<String> = (0..40).map(|number| format!("\"n{number}\":0")).collect();
        assert!(kept(&format!("{{{}}}", many.join(","))).is_ok());
        assert!(kept(&format!("{{{},\"n7\":0}}", many.join(","))).is_err());
        assert!(kept("[{\"a\":1},{\"a\":1}]").is_ok());
    }
}
