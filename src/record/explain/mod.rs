//! What exactly is wrong with a message that could not be read: every violation of the first layer that objects, each with
//! its place. It may be slower than the fast path, but not by much: a flood of junk must not slow good messages down. Its
//! time is linear in the message, and it does not recurse deeper than the schema. A valid message never comes here; a test
//! checks that the fast path and this one agree about every message.

mod encoding;
mod layer;
mod sentence;

use std::borrow::Cow;

use layer::{Layer, Path};

use super::check::{Keyword, Range, Says, TextCheck};
use super::code::{Code, Reason};
use super::model::Model;
use super::number::{self, Whole};
use super::rejection::{Rejection, Violation};
use super::scan::{Scanner, Span, decode, too_deep};
use super::shape::{Kind, List, Object, Value};

/// Nesting in a known field beyond which it is reported as too deep and not as a wrong type; serde_json's own limit. Unknown
/// fields may be nested without limit.
const MAX_DEPTH: usize = 128;

/// What is wrong with a message that the model does not take.
pub fn explain(model: &Model, bytes: &[u8]) -> Rejection {
    let mut diagnosis = Diagnosis {
        model,
        bytes,
        encoding: Layer::default(),
        json: Layer::default(),
        schema: Layer::default(),
        unstorable: Layer::default(),
        slots: vec![0; model.lists.len()],
    };
    diagnosis.message();
    let layers = [
        (Reason::NotUtf8, diagnosis.encoding),
        (Reason::NotJson, diagnosis.json),
        (Reason::Schema, diagnosis.schema),
        (Reason::Unstorable, diagnosis.unstorable),
    ];
    let rejection = layers
        .into_iter()
        .find_map(|(reason, layer)| layer.rejection(reason, bytes));
    let unexplained = || {
        let message = "The message cannot be read, and no check can say why; please report it.";
        Rejection::new(
            Reason::NotJson,
            Violation::new(Code::Unexplained, "", message),
        )
    };
    rejection
        .unwrap_or_else(unexplained)
        .of(key(model, bytes).as_deref())
}

struct Diagnosis<'a> {
    model: &'a Model,
    bytes: &'a [u8],
    encoding: Layer,
    json: Layer,
    schema: Layer,
    unstorable: Layer,
    /// For each list, how many slots its elements would have.
    slots: Vec<usize>,
}

impl Diagnosis<'_> {
    fn message(&mut self) {
        let bytes = self.bytes;
        let is_utf8 = std::str::from_utf8(bytes).is_ok();
        let outermost = if is_utf8 {
            &mut self.json
        } else {
            &mut self.encoding
        };
        let mut whole = |at, code, message: String| {
            outermost.add(at, code, Path::Message, |_| message);
        };
        if let Some((code, message)) = encoding::foreign(bytes) {
            return whole(0, code, message.to_owned());
        }
        if !is_utf8 {
            for (at, violation) in encoding::bad_places(self.model, bytes) {
                self.encoding.add_with(at, || violation);
            }
            return;
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            let message =
                "The message must begin with its JSON, but a byte order mark stands before it.";
            return whole(0, Code::ByteOrderMark, message.to_owned());
        }
        let mut scanner = Scanner::new(bytes, 0);
        if scanner.place() == bytes.len() {
            return whole(0, Code::Empty, "The message is empty.".to_owned());
        }
        // Reads the whole message once, so that no step below has to handle a syntax error.
        let span = match scanner.value() {
            Ok(span) => span,
            Err(mistake) => {
                let truncated = mistake.at >= bytes.len();
                let code = if truncated {
                    Code::Truncated
                } else {
                    Code::Syntax
                };
                return whole(mistake.at, code, sentence::mistake(bytes, mistake));
            }
        };
        let rest = scanner.place();
        if rest < bytes.len() {
            whole(
                rest,
                Code::TrailingCharacters,
                sentence::trailing(&self.model.one, bytes, rest),
            );
        }
        let model = self.model;
        match bytes.get(span.start) {
            Some(b'{') => self.object(&model.object, span, Path::Message),
            _ => self.wrong_type(Wanted::Object, span, Path::Message),
        }
        let slots = std::mem::take(&mut self.slots);
        if model.is_too_large(bytes.len(), slots.into_iter()) {
            self.unstorable
                .add(0, Code::TooLarge, Path::Message, |name| {
                    format!("{name} is larger than Postgres' jsonb can be.")
                });
        }
    }

    fn value(&mut self, value: &Value, optional: bool, span: Span, path: Path<'_>) {
        let first = self.bytes.get(span.start).copied().unwrap_or_default();
        match (&value.kind, first) {
            (_, b'n') if optional => {}
            (Kind::Object(object), b'{') => self.object(object, span, path),
            (Kind::List(list), b'[') => self.list(list, &value.says, span, path),
            (Kind::Text(check), b'"') => self.text(check, &value.says, span, path),
            (Kind::Whole(range), b'-' | b'0'..=b'9') => {
                self.number(*range, &value.says, span, path);
            }
            (Kind::Truth, b't' | b'f') => {}
            (kind, _) => self.wrong_type(Wanted::of(kind), span, path),
        }
    }

    fn object(&mut self, object: &Object, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        let json = &mut self.json;
        let mut found = vec![None; object.fields.len()];
        let mut hint = 0;
        // The whole message was read before, so this cannot fail.
        let _ = Scanner::new(bytes, span.start).object(|name, value| {
            let Some(known) = decode(bytes, name) else {
                return json.add(name.start, Code::UnreadableName, path, |_| {
                    "A field's name has half of a surrogate pair, which is no character.".to_owned()
                });
            };
            let Some(index) = object.find(&known, hint) else {
                return;
            };
            hint = index + 1;
            if found[index].is_some() {
                let path = Path::Field(&path, &object.fields[index].name);
                json.add(name.start, Code::DuplicateField, path, |name| {
                    format!("{name} is there twice.")
                });
            } else {
                found[index] = Some(value);
            }
        });
        for (field, value) in object.fields.iter().zip(found) {
            let path = Path::Field(&path, &field.name);
            match value {
                Some(value) => self.value(&field.value, !field.required, value, path),
                None if field.required => {
                    self.schema
                        .add(span.start, Code::MissingField, path, |name| {
                            format!("{name} is missing.")
                        });
                }
                None => {}
            }
        }
    }

    fn list(&mut self, list: &List, says: &Says, span: Span, path: Path<'_>) {
        let mut count = 0;
        let _ = Scanner::new(self.bytes, span.start).list(|value| {
            self.value(&list.element, false, value, Path::Element(&path, count));
            count += 1;
        });
        self.slots[list.number] += count * list.width;
        if count < list.least {
            let code = says.code(Keyword::MinItems, Code::TooFew);
            self.schema
                .add(span.start, code, path, |name| match list.least {
                    1 => format!("{name} must not be empty."),
                    least => {
                        format!("{name} must have {least} elements or more, but it has {count}.")
                    }
                });
        }
        if count > list.most {
            let code = says.code(Keyword::MaxItems, Code::TooMany);
            let most = list.most;
            self.schema.add(span.start, code, path, |name| {
                format!("{name} must have {most} elements at most, but it has {count}.")
            });
        }
    }

    fn text(&mut self, check: &TextCheck, says: &Says, span: Span, path: Path<'_>) {
        let at = span.start;
        let Some(text) = decode(self.bytes, span) else {
            if check.is_date_time {
                return self.broken(check, says, Keyword::Format, "", span, path);
            }
            return self.unstorable.add(at, Code::LoneSurrogate, path, |name| {
                format!("{name} holds half of a surrogate pair, which is no character.")
            });
        };
        for keyword in check.broken(&text) {
            self.broken(check, says, keyword, &text, span, path);
        }
        if text.contains('\0') {
            self.unstorable.add(at, Code::NulCharacter, path, |name| {
                format!("{name} holds the character NUL, which Postgres cannot store.")
            });
        }
        let (length, most) = (text.len(), check.most_bytes);
        if length > most {
            self.unstorable.add(at, Code::TooLong, path, |name| {
                format!("{name} has {length} bytes, but an index takes no more than {most}.")
            });
        }
    }

    /// A text breaks this keyword.
    fn broken(
        &mut self,
        check: &TextCheck,
        says: &Says,
        keyword: Keyword,
        text: &str,
        span: Span,
        path: Path<'_>,
    ) {
        let bytes = self.bytes;
        let (usual, sentence): (Code, &dyn Fn(&str) -> String) = match keyword {
            Keyword::MinLength if text.is_empty() => (Code::EmptyField, &|name| {
                format!("{name} must not be empty.")
            }),
            Keyword::MinLength => (Code::TooShort, &|name| {
                let (least, count) = (check.shortest, text.chars().count());
                format!("{name} must have {least} characters or more, but it has {count}.")
            }),
            Keyword::MaxLength => (Code::TooLong, &|name| {
                let (most, count) = (check.longest, text.chars().count());
                format!("{name} must have {most} characters at most, but it has {count}.")
            }),
            _ => (Code::BadDate, &|name| {
                let found = sentence::value(bytes, span);
                format!(
                    "{name} must be a date like 2021-11-26T06:22:19Z (RFC 3339), but it is {found}."
                )
            }),
        };
        self.schema
            .add(span.start, says.code(keyword, usual), path, sentence);
    }

    fn number(&mut self, range: Range, says: &Says, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        let digits = bytes.get(span.start..span.end).unwrap_or_default();
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let number = match number::whole(digits) {
            Whole::Fits(number) => number,
            Whole::Fraction => return self.wrong_type(Wanted::Whole, span, path),
            Whole::TooLarge => {
                return self
                    .schema
                    .add(span.start, Code::NumberOutOfRange, path, |name| {
                        let found = sentence::value(bytes, span);
                        format!("{name} must fit in 64 bits, but it is {found}.")
                    });
            }
        };
        let Some(keyword) = range.broken(number) else {
            return;
        };
        let (usual, wanted) = match keyword {
            Keyword::Minimum if range.least == 0 => (Code::TooSmall, "not be negative".to_owned()),
            Keyword::Minimum => (Code::TooSmall, format!("be {} or more", range.least)),
            _ => (Code::TooGreat, format!("be {} or less", range.most)),
        };
        self.schema
            .add(span.start, says.code(keyword, usual), path, |name| {
                format!("{name} must {wanted}, but it is {number}.")
            });
    }

    fn wrong_type(&mut self, wanted: Wanted, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        if let Some(at) = too_deep(bytes, span, MAX_DEPTH) {
            return self.json.add(at, Code::TooDeep, path, |name| {
                format!("{name} is nested more than {MAX_DEPTH} levels deep.")
            });
        }
        let one = &self.model.one;
        self.schema.add(span.start, Code::WrongType, path, |name| {
            sentence::wrong_type(one, bytes, wanted, span, name)
        });
    }
}

/// The type that a field must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    Whole,
    Truth,
    Object,
    List,
}

impl Wanted {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Text(_) => Self::Text,
            Kind::Whole(_) => Self::Whole,
            Kind::Truth => Self::Truth,
            Kind::Object(_) => Self::Object,
            Kind::List(_) => Self::List,
        }
    }
}

/// The key of a message that may be broken further on.
fn key<'a>(model: &Model, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    let mut found = None;
    let _ = Scanner::new(bytes, 0).object(|name, value| {
        if found.is_none()
            && bytes.get(value.start) == Some(&b'"')
            && decode(bytes, name).as_deref() == Some(model.key.name.as_str())
        {
            found = decode(bytes, value);
        }
    });
    found
}
