//! What exactly is wrong with a message that `validate` could not read: every violation of the first layer that objects,
//! each with its place. It may be slower than the fast path, but not by much: a flood of junk must not slow good messages down.
//! Its time is linear in the message, and it does not recurse. A valid message never comes here; a test checks that the fast
//! path and this one agree about every message.

use std::borrow::Cow;

use super::encoding;
use super::layer::{Layer, Path};
use super::read::{MAX_KEY_BYTES, is_rfc3339};
use super::rejection::{Code, Reason, Rejection, Violation};
use super::scan::{Scanner, Span, decode, too_deep};
use super::sentence;
use super::shape::{Field, Kind, ORDER};
use super::write::is_too_large;

/// Nesting in a known field beyond which it is reported as too deep and not as a wrong type; serde_json's own limit. Unknown
/// fields may be nested without limit.
const MAX_DEPTH: usize = 128;

static MESSAGE: Field = Field {
    name: "",
    kind: Kind::Object(ORDER),
    required: true,
    about: "",
};

/// What is wrong with a message that is no order.
pub fn diagnose(bytes: &[u8]) -> Rejection {
    let mut diagnosis = Diagnosis {
        bytes,
        encoding: Layer::default(),
        json: Layer::default(),
        schema: Layer::default(),
        unstorable: Layer::default(),
        items: 0,
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
        .of_order(order_uid(bytes).as_deref())
}

struct Diagnosis<'a> {
    bytes: &'a [u8],
    encoding: Layer,
    json: Layer,
    schema: Layer,
    unstorable: Layer,
    items: usize,
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
            for (at, violation) in encoding::bad_places(bytes) {
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
                sentence::trailing(bytes, rest),
            );
        }
        self.value(&MESSAGE, span, Path::Message);
        if is_too_large(bytes.len(), self.items) {
            self.unstorable
                .add(0, Code::TooLarge, Path::Message, |name| {
                    format!("{name} is an order larger than Postgres' jsonb can be.")
                });
        }
    }

    fn value(&mut self, field: &Field, span: Span, path: Path<'_>) {
        let first = self.bytes.get(span.start).copied().unwrap_or_default();
        match (field.kind, first) {
            (_, b'n') if !field.required => {}
            (Kind::Object(fields), b'{') => self.object(fields, span, path),
            (Kind::List(fields), b'[') => self.list(fields, span, path),
            (Kind::Text | Kind::Key | Kind::Date, b'"') => self.text(field.kind, span, path),
            (Kind::Integer | Kind::Money, b'-' | b'0'..=b'9') => {
                self.number(field.kind, span, path)
            }
            _ => self.wrong_type(field.kind, span, path),
        }
    }

    fn object(&mut self, fields: &'static [Field], span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        let json = &mut self.json;
        let mut found = vec![None; fields.len()];
        // The whole message was read before, so this cannot fail.
        let _ = Scanner::new(bytes, span.start).object(|name, value| {
            let Some(known) = decode(bytes, name) else {
                return json.add(name.start, Code::UnreadableName, path, |_| {
                    "A field's name has half of a surrogate pair, which is no character.".to_owned()
                });
            };
            let mut both = fields.iter().zip(&mut found);
            match both.find(|(field, _)| field.name == known) {
                Some((field, Some(_))) => {
                    let path = Path::Field(&path, field.name);
                    json.add(name.start, Code::DuplicateField, path, |name| {
                        format!("{name} is there twice.")
                    });
                }
                Some((_, missing)) => *missing = Some(value),
                None => {}
            }
        });
        for (field, value) in fields.iter().zip(found) {
            let path = Path::Field(&path, field.name);
            match value {
                Some(value) => self.value(field, value, path),
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

    fn list(&mut self, fields: &'static [Field], span: Span, path: Path<'_>) {
        let element = Field {
            kind: Kind::Object(fields),
            ..MESSAGE
        };
        let mut count = 0;
        let _ = Scanner::new(self.bytes, span.start).list(|value| {
            self.value(&element, value, Path::Element(&path, count));
            count += 1;
        });
        self.items = count;
        if count == 0 {
            self.schema.add(span.start, Code::NoItems, path, |name| {
                format!("{name} must not be empty.")
            });
        }
    }

    fn text(&mut self, kind: Kind, span: Span, path: Path<'_>) {
        let at = span.start;
        let Some(text) = decode(self.bytes, span) else {
            if matches!(kind, Kind::Date) {
                return self.bad_date(span, path);
            }
            return self.unstorable.add(at, Code::LoneSurrogate, path, |name| {
                format!("{name} holds half of a surrogate pair, which is no character.")
            });
        };
        if matches!(kind, Kind::Date) && !is_rfc3339(text.as_bytes()) {
            self.bad_date(span, path);
        }
        if matches!(kind, Kind::Key) && text.is_empty() {
            self.schema.add(at, Code::EmptyField, path, |name| {
                format!("{name} must not be empty.")
            });
        }
        if text.contains('\0') {
            self.unstorable.add(at, Code::NulCharacter, path, |name| {
                format!("{name} holds the character NUL, which Postgres cannot store.")
            });
        }
        let length = text.len();
        if matches!(kind, Kind::Key) && length > MAX_KEY_BYTES {
            self.unstorable.add(at, Code::TooLong, path, |name| {
                format!(
                    "{name} has {length} bytes, but an index takes no more than {MAX_KEY_BYTES}."
                )
            });
        }
    }

    fn bad_date(&mut self, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        self.schema.add(span.start, Code::BadDate, path, |name| {
            let found = sentence::value(bytes, span);
            format!(
                "{name} must be a date like 2021-11-26T06:22:19Z (RFC 3339), but it is {found}."
            )
        });
    }

    fn number(&mut self, kind: Kind, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        let digits = bytes.get(span.start..span.end).unwrap_or_default();
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        // serde_json reads -0 as a floating-point number.
        if digits.contains(['.', 'e', 'E']) || digits == "-0" {
            let size = digits.parse::<f64>().unwrap_or(f64::INFINITY).abs();
            if size < i64::MAX as f64 {
                return self.wrong_type(kind, span, path);
            }
        } else if let Ok(number) = digits.parse::<i64>() {
            if number < 0 && matches!(kind, Kind::Money) {
                self.schema
                    .add(span.start, Code::NegativeMoney, path, |name| {
                        format!("{name} must not be negative, but it is {number}.")
                    });
            }
            return;
        }
        self.schema
            .add(span.start, Code::NumberOutOfRange, path, |name| {
                let found = sentence::value(bytes, span);
                format!("{name} must fit in 64 bits, but it is {found}.")
            });
    }

    fn wrong_type(&mut self, kind: Kind, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        if let Some(at) = too_deep(bytes, span, MAX_DEPTH) {
            return self.json.add(at, Code::TooDeep, path, |name| {
                format!("{name} is nested more than {MAX_DEPTH} levels deep.")
            });
        }
        self.schema.add(span.start, Code::WrongType, path, |name| {
            sentence::wrong_type(bytes, kind, span, name)
        });
    }
}

/// The order_uid of a message that may be broken further on.
fn order_uid(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let mut found = None;
    let _ = Scanner::new(bytes, 0).object(|name, value| {
        if found.is_none()
            && bytes.get(value.start) == Some(&b'"')
            && decode(bytes, name).as_deref() == Some("order_uid")
        {
            found = decode(bytes, value);
        }
    });
    found
}
