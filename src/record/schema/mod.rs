//! From a JSON Schema (2020-12) to a model. Every mistake is found here, with the JSON pointer at which it stands in the
//! schema.
//!
//! What has one type is typed: `type`, `properties`, `required`, `items`, `default`, `enum`, `const`, the bounds of numbers,
//! texts and lists, `pattern`, `format`, `additionalProperties`, local `$ref`. What a schema asks beside that (`oneOf`, `if`,
//! `uniqueItems`, …) is asked by the crate `jsonschema` (`judge`). What has no one type, or leads back to itself by `$ref`, is
//! kept as it was sent, and judged by it alone.
//!
//! Where this is not the standard, on purpose:
//! - Null in a field means that it is not there, if it may be missing or null. What is required may be null only if its type
//!   says so.
//! - `integer` has 64 bits, `number` 1,000 digits; neither is rounded. A text holds no NUL, an object each name once, and what is
//!   kept nests 128 levels deep at most: Postgres' jsonb would not give them back.
//! - `format` asks something if it is date-time, date or uuid. Any other is a remark.
//! - A pattern has no look-around and no back-references, and `\d`, `\w`, `\s` know ASCII alone.
//! - Refused: `$id`, `$anchor`, `$dynamicRef`, `$dynamicAnchor`, `$vocabulary`, a `$ref` that leads out of the schema, a word that is
//!   none of JSON Schema's and does not begin with x-, a `default` that the schema itself does not allow or that stands beside
//!   `required`.

mod demand;
mod mistake;
mod object;
mod says;
mod shown;
mod typed;
mod word;

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use demand::{count, fraction, listed, whole};
pub use mistake::Mistake;
use mistake::{Result, misled, mistake};
use says::says;
use typed::Types;
use word::{asks_of, is_annotation, is_known, unknown};

use super::check::{Format, Keyword, TextCheck};
use super::code::Code;
use super::judge::{Judge, Validators};
use super::model::{Known, Model};
use super::pattern::Pattern;
use super::rejection::quote;
use super::shape::{Kind, Shown, Table, Value, names_of, token};
use super::{sample, straight, write};

/// The longest key in bytes. Postgres' b-tree refuses what is longer than 2,704 bytes; 1,000 leaves room, and no real id comes
/// near.
pub const MAX_KEY_BYTES: usize = 1_000;

/// The schema of what a schema does not describe.
static ANYTHING: Json = Json::Bool(true);

impl Model {
    /// Compiles the schema of what is called `one`. It is known by the fields at the pointers `keys`, if there are any, and is
    /// looked up by those at `lookups`.
    pub fn compile(one: &str, schema: &Json, keys: &[&str], lookups: &[&str]) -> Result<Self> {
        let mut compiler = Compiler {
            root: schema,
            validators: None,
            needs_validators: false,
            keeps: false,
            open: Vec::new(),
            lists: Vec::new(),
            indexed: lookups.iter().chain(keys).copied().collect(),
        };
        let model = compiler.model(one, keys, lookups)?;
        if !compiler.needs_validators {
            return Ok(model);
        }
        // The first time has found that there are parts that no kind of ours can check.
        let validators = Validators::compile(schema);
        let validators = validators.map_err(|(pointer, message)| Mistake {
            pointer,
            message,
            of: None,
        })?;
        compiler.validators = Some(validators);
        compiler.model(one, keys, lookups)
    }

    /// The required text or whole number that a pointer leads to.
    fn known(&self, pointer: &str) -> Result<Known> {
        let path = names_of(pointer);
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match self.field(&names) {
            Some(field) if matches!(field.value.kind, Kind::Text(_) | Kind::Whole(_)) => {
                Ok(Known {
                    slot: field.slot,
                    taken: field.value.says.code(Keyword::Key, Code::KeyTaken),
                    path,
                })
            }
            _ => misled(
                pointer,
                format!("{pointer} leads to no text and no whole number."),
            ),
        }
    }
}

struct Compiler<'s> {
    root: &'s Json,
    validators: Option<Arc<Validators>>,
    needs_validators: bool,
    keeps: bool,
    /// What is compiled at this moment by way of a `$ref`: one that leads back here has no end.
    open: Vec<String>,
    lists: Vec<Table>,
    /// The pointers, in a message, of what an index has to take.
    indexed: HashSet<&'s str>,
}

/// Where a value stands: in the schema, in a message, and what it is there.
#[derive(Clone, Copy)]
struct Place<'p> {
    at: &'p str,
    path: &'p str,
    is_root: bool,
}

/// A compiled value, and whether null will do.
type Compiled = (Value, bool);

impl<'s> Compiler<'s> {
    fn model(&mut self, one: &str, keys: &[&str], lookups: &[&str]) -> Result<Model> {
        self.lists.clear();
        let root = self.root;
        let place = Place {
            at: "",
            path: "",
            is_root: true,
        };
        let mut width = 0;
        let (value, _) = self.value(place, root, &mut width)?;
        let Kind::Object(object) = value.kind else {
            return mistake("/type", "A message must be of the type `object`.");
        };
        let about = |word| root.get(word).and_then(Json::as_str).unwrap_or("");
        let mut model = Model {
            one: one.to_owned(),
            title: about("title").to_owned(),
            about: about("description").to_owned(),
            examples: match root.get("examples") {
                Some(Json::Array(examples)) => examples.clone(),
                _ => Vec::new(),
            },
            straight: straight::compile(&object),
            served: write::served(&object),
            stored: write::stored(&object),
            keys: Vec::new(),
            fixed: Vec::new(),
            keeps: self.keeps,
            lists: std::mem::take(&mut self.lists),
            judge: value.judge,
            object,
            width,
        };
        for key in keys {
            let known = model.known(key)?;
            if model.always(key).is_none() {
                return misled(
                    key,
                    format!("{key} is not in every message; a key must be required."),
                );
            }
            model.fix(known.slot);
            model.keys.push(known);
        }
        for lookup in lookups {
            model.known(lookup)?;
        }
        match sample::follows(&model) {
            Ok(_) => Ok(model),
            Err(message) => mistake("", message),
        }
    }

    fn judge(&mut self, at: &str) -> Result<Option<Judge>> {
        self.needs_validators = true;
        let Some(validators) = &self.validators else {
            return Ok(None);
        };
        match Judge::new(validators, at) {
            Some(judge) => Ok(Some(judge)),
            None => mistake(at, "This part of the schema cannot be reached."),
        }
    }

    /// Any JSON, judged by the schema at this place.
    fn any(&mut self, at: &str) -> Result<Compiled> {
        self.keeps = true;
        let judge = self.judge(at)?;
        let value = Value {
            judge,
            ..Value::any()
        };
        Ok((value, false))
    }

    fn value(&mut self, place: Place<'_>, schema: &'s Json, width: &mut usize) -> Result<Compiled> {
        let opened = self.open.len();
        let compiled = self.followed(place, schema, width);
        self.open.truncate(opened);
        compiled
    }

    /// Follows `$ref`, as long as nothing but words about the field stands beside it.
    fn followed(
        &mut self,
        place: Place<'_>,
        schema: &'s Json,
        width: &mut usize,
    ) -> Result<Compiled> {
        let Some(reference) = schema.get("$ref") else {
            return self.direct(place, schema, width);
        };
        let at = format!("{}/$ref", place.at);
        let Some(target) = reference.as_str().and_then(|text| text.strip_prefix('#')) else {
            return mistake(
                &at,
                "A `$ref` must begin with #: only this schema itself is known.",
            );
        };
        let Some(found) = self.root.pointer(&unescaped(target)) else {
            return mistake(&at, format!("There is nothing at {}.", quote(target)));
        };
        let only_words = |schema: &Map<String, Json>| {
            let mut others = schema.keys().filter(|word| *word != "$ref");
            others.all(|word| is_annotation(word))
        };
        let is_plain = schema.as_object().is_some_and(only_words);
        if !is_plain || target.is_empty() || self.open.iter().any(|open| open == target) {
            return self.any(place.at);
        }
        self.open.push(target.to_owned());
        let place = Place {
            at: target,
            ..place
        };
        self.value(place, found, width)
    }

    fn direct(
        &mut self,
        place: Place<'_>,
        schema: &'s Json,
        width: &mut usize,
    ) -> Result<Compiled> {
        let at = place.at;
        self.keeps |= !schema.is_object();
        let schema = match schema {
            Json::Object(schema) => schema,
            Json::Bool(true) if !place.is_root => return Ok((Value::any(), false)),
            Json::Bool(false) if !place.is_root => return self.any(at),
            _ => return mistake(at, "A schema must be an object."),
        };
        if let Some(word) = schema.keys().find(|word| !is_known(word)) {
            return mistake(&format!("{at}/{}", token(word)), unknown(word));
        }
        let types = Types::of(at, schema, place.is_root)?;
        let says = says(at, schema)?;
        let (kind, words): (Kind, &[&str]) = match types.one {
            None if schema.keys().all(|word| is_annotation(word)) => {
                self.keeps = true;
                return Ok((
                    Value {
                        says,
                        ..Value::any()
                    },
                    false,
                ));
            }
            None => {
                let (value, _) = self.any(at)?;
                return Ok((Value { says, ..value }, false));
            }
            Some("string") => {
                let check = self.text(place, schema)?;
                (
                    Kind::Text(Arc::new(check)),
                    &[
                        "minLength",
                        "maxLength",
                        "pattern",
                        "format",
                        "enum",
                        "const",
                    ],
                )
            }
            Some("integer") => (
                Kind::Whole(Arc::new(whole(at, schema)?)),
                &[
                    "minimum",
                    "maximum",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "enum",
                    "const",
                ],
            ),
            Some("number") => (
                Kind::Number(Arc::new(fraction(at, schema)?)),
                &[
                    "minimum",
                    "maximum",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "enum",
                    "const",
                ],
            ),
            Some("boolean") => (Kind::Truth, &[]),
            Some("object") => {
                let object = self.object(place, schema, width)?;
                (
                    Kind::Object(object),
                    &["properties", "required", "additionalProperties"],
                )
            }
            Some("array") if schema.contains_key("prefixItems") => return self.any(at),
            Some(_) => {
                let list = self.list(place, schema)?;
                (
                    Kind::List(Box::new(list)),
                    &["items", "minItems", "maxItems"],
                )
            }
        };
        let asks = |word: &&String| !words.contains(&word.as_str()) && asks_of(types.one, word);
        let judge = match schema.keys().any(|word| asks(&word)) {
            true => self.judge(at)?,
            false => None,
        };
        let shown = Shown::default();
        let value = Value {
            kind,
            says,
            judge,
            shown,
        };
        Ok((value, types.null))
    }

    fn text(&self, place: Place<'_>, schema: &Map<String, Json>) -> Result<TextCheck> {
        let at = place.at;
        let format = match schema.get("format") {
            None => None,
            Some(Json::String(name)) => Format::of(name),
            Some(_) => return mistake(&format!("{at}/format"), "It must be a text."),
        };
        let pattern = match schema.get("pattern") {
            None => None,
            Some(Json::String(source)) => match Pattern::compile(source) {
                Ok(pattern) => Some((source.clone(), pattern)),
                Err(message) => return mistake(&format!("{at}/pattern"), message),
            },
            Some(_) => return mistake(&format!("{at}/pattern"), "It must be a text."),
        };
        let texts = |value: &Json| value.as_str().map(str::to_owned);
        Ok(TextCheck {
            shortest: count(at, schema, "minLength")?.unwrap_or(0),
            longest: count(at, schema, "maxLength")?.unwrap_or(usize::MAX),
            most_bytes: match self.indexed.contains(place.path) {
                true => MAX_KEY_BYTES,
                false => usize::MAX,
            },
            format,
            pattern,
            one_of: listed(at, schema, texts)?,
            is_const: schema.contains_key("const"),
        })
    }
}

fn unescaped(fragment: &str) -> String {
    percent_encoding::percent_decode_str(fragment)
        .decode_utf8_lossy()
        .into_owned()
}
