//! What exactly is wrong with a message that could not be read: every violation of the first layer that objects, each with
//! its place. It may be slower than the fast path, but not by much: a flood of junk must not slow good messages down. Its
//! time is linear in the message, and it does not recurse deeper than the schema. A valid message never comes here; a test
//! checks that the fast path and this one agree about every message.

mod encoding;
mod find;
mod layer;
mod scalar;
mod sentence;

use find::{key, place};
use layer::{Layer, Path};

use super::check::{Keyword, Says};
use super::code::{Code, Reason};
use super::judge::Judge;
use super::kept::{self, MAX_DEPTH, Names, Unkept};
use super::model::Model;
use super::rejection::{MAX_VIOLATIONS, Rejection, Violation};
use super::scan::{Scanner, Span, decode, too_deep};
use super::shape::{Kind, List, Object, Others, Value};

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
            _ => self.wrong_type(Wanted::Object, &Says::default(), span, Path::Message),
        }
        if let Some(judge) = &model.judge {
            self.judged(judge, span, Path::Message);
        }
        let slots = std::mem::take(&mut self.slots);
        if model.is_too_large(bytes.len(), slots.into_iter()) {
            self.unstorable
                .add(0, Code::TooLarge, Path::Message, |name| {
                    format!("{name} is larger than Postgres' jsonb can be.")
                });
        }
    }

    fn value(&mut self, value: &Value, may_be_null: bool, span: Span, path: Path<'_>) {
        let first = self.bytes.get(span.start).copied().unwrap_or_default();
        let says = &value.says;
        match (&value.kind, first) {
            (_, b'n') if may_be_null => return,
            (Kind::Object(object), b'{') => self.object(object, span, path),
            (Kind::List(list), b'[') => self.list(list, says, span, path),
            (Kind::Text(check), b'"') => self.text(check, says, span, path),
            (Kind::Whole(check), b'-' | b'0'..=b'9') => self.whole(check, says, span, path),
            (Kind::Number(check), b'-' | b'0'..=b'9') => self.fraction(check, says, span, path),
            (Kind::Truth, b't' | b'f') => {}
            (Kind::Any, _) => self.kept(span, path),
            (kind, _) => return self.wrong_type(Wanted::of(kind), says, span, path),
        }
        if let Some(judge) = &value.judge {
            self.judged(judge, span, path);
        }
    }

    /// Any JSON: what of it Postgres could not give back.
    fn kept(&mut self, span: Span, path: Path<'_>) {
        let text = std::str::from_utf8(self.bytes).unwrap_or_default();
        let Err(unkept) = kept::keep(text, span) else {
            return;
        };
        match unkept {
            Unkept::Duplicate(at) => self.json.add(at, Code::DuplicateField, path, |name| {
                format!("{name} holds an object in which a name is there twice.")
            }),
            Unkept::UnreadableName(at) => self.json.add(at, Code::UnreadableName, path, |name| {
                format!("{name} has a name with half of a surrogate pair, which is no character.")
            }),
            Unkept::TooDeep(at) => self.too_deep(at, path),
            Unkept::Nul(at) => self.unstorable.add(at, Code::NulCharacter, path, |name| {
                format!("{name} holds the character NUL, which Postgres cannot store.")
            }),
            Unkept::LoneSurrogate(at) => {
                self.unstorable.add(at, Code::LoneSurrogate, path, |name| {
                    format!("{name} holds half of a surrogate pair, which is no character.")
                });
            }
            Unkept::NumberOutOfRange(at) => {
                self.schema.add(at, Code::NumberOutOfRange, path, |name| {
                    format!("{name} holds a number of more than 1,000 digits.")
                });
            }
        }
    }

    /// What the schema asks beside what the kinds can check. If these have found something, that is enough.
    fn judged(&mut self, judge: &Judge, span: Span, path: Path<'_>) {
        if !self.schema.is_empty() || !self.json.is_empty() {
            return;
        }
        let json = self.bytes.get(span.start..span.end).unwrap_or_default();
        let json = std::str::from_utf8(json).unwrap_or_default();
        if judge.takes(json) {
            return;
        }
        let objections = judge.objections(json, MAX_VIOLATIONS);
        if objections.is_empty() {
            // It can be no value of serde_json's.
            return match too_deep(self.bytes, span, MAX_DEPTH - 1) {
                Some(at) => self.too_deep(at, path),
                None => self
                    .schema
                    .add(span.start, Code::SchemaViolated, path, |name| {
                        format!("{name} is not as the schema wants it.")
                    }),
            };
        }
        for objection in objections {
            let at = place(self.bytes, span, &objection.pointer).start;
            self.schema.add_with(at, || {
                let pointer = format!("{}{}", path.pointer(), objection.pointer);
                let name = sentence::name(&pointer);
                let message: String = objection.message.chars().take(300).collect();
                let message = format!("{name} is not as the schema wants it: {message}.");
                Violation::new(
                    Code::SchemaViolated,
                    pointer,
                    message.replace('\0', "\u{fffd}"),
                )
            });
        }
    }

    fn too_deep(&mut self, at: usize, path: Path<'_>) {
        self.json.add(at, Code::TooDeep, path, |name| {
            format!("{name} is nested more than {MAX_DEPTH} levels deep.")
        });
    }

    fn object(&mut self, object: &Object, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        let json = &mut self.json;
        let mut found = vec![None; object.fields.len()];
        let mut others = Vec::new();
        let mut hint = 0;
        // The whole message was read before, so this cannot fail.
        let _ = Scanner::new(bytes, span.start).object(|name, value| {
            let Some(known) = decode(bytes, name) else {
                return json.add(name.start, Code::UnreadableName, path, |_| {
                    "A field's name has half of a surrogate pair, which is no character.".to_owned()
                });
            };
            let Some(index) = object.find(&known, hint) else {
                if !matches!(object.others, Others::Dropped) {
                    others.push((known, name, value));
                }
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
            let says = &field.value.says;
            match value {
                Some(value) => self.value(&field.value, field.may_be_null, value, path),
                None if field.required => {
                    let (keyword, code) = (Keyword::Required, Code::MissingField);
                    self.schema
                        .say(span.start, says, keyword, code, path, |name| {
                            format!("{name} is missing.")
                        });
                }
                None => {}
            }
        }
        let mut names = Names::default();
        for (known, name, value) in others {
            let path = Path::Field(&path, &known);
            let judge = match &object.others {
                Others::Kept { judge, .. } => judge,
                _ => {
                    self.schema
                        .add(name.start, Code::UnknownField, path, |name| {
                            format!("{name} is no field that the schema knows.")
                        });
                    continue;
                }
            };
            if known.contains('\0') {
                self.unstorable
                    .add(name.start, Code::NulCharacter, path, |_| {
                        "A field's name holds the character NUL, which Postgres cannot store."
                            .to_owned()
                    });
            }
            if !names.add(known.clone()) {
                self.json
                    .add(name.start, Code::DuplicateField, path, |name| {
                        format!("{name} is there twice.")
                    });
            }
            self.kept(value, path);
            if let Some(judge) = judge {
                self.judged(judge, value, path);
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
            let (keyword, code) = (Keyword::MinItems, Code::TooFew);
            let least = list.least;
            self.schema
                .say(span.start, says, keyword, code, path, |name| match least {
                    1 => format!("{name} must not be empty."),
                    _ => {
                        format!("{name} must have {least} elements or more, but it has {count}.")
                    }
                });
        }
        if count > list.most {
            let (keyword, code) = (Keyword::MaxItems, Code::TooMany);
            let most = list.most;
            self.schema
                .say(span.start, says, keyword, code, path, |name| {
                    format!("{name} must have {most} elements at most, but it has {count}.")
                });
        }
    }

    fn wrong_type(&mut self, wanted: Wanted, says: &Says, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        if let Some(at) = too_deep(bytes, span, MAX_DEPTH) {
            return self.too_deep(at, path);
        }
        let one = &self.model.one;
        let (keyword, code) = (Keyword::Type, Code::WrongType);
        self.schema
            .say(span.start, says, keyword, code, path, |name| {
                sentence::wrong_type(one, bytes, wanted, span, name)
            });
    }
}

/// The type that a field must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    Whole,
    Number,
    Truth,
    Object,
    List,
    Any,
}

impl Wanted {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Text(_) => Self::Text,
            Kind::Whole(_) => Self::Whole,
            Kind::Number(_) => Self::Number,
            Kind::Truth => Self::Truth,
            Kind::Object(_) => Self::Object,
            Kind::List(_) => Self::List,
            Kind::Any => Self::Any,
        }
    }
}
