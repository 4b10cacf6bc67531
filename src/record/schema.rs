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

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::check::{Format, Keyword, NumberCheck, Says, TextCheck, WholeCheck};
use super::code::Code;
use super::judge::{Judge, Validators};
use super::model::{Known, Model};
use super::number::{self, Whole};
use super::pattern::Pattern;
use super::rejection::quote;
use super::shape::{Field, Kind, List, Object, Others, Table, Value, names_of, token};
use super::slot::Slot;
use super::{straight, write};

/// The longest key in bytes. Postgres' b-tree refuses what is longer than 2,704 bytes; 1,000 leaves room, and no real id comes
/// near.
pub const MAX_KEY_BYTES: usize = 1_000;
const MAX_MESSAGE_CHARS: usize = 500;

/// What is wrong in a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where in the schema, as a JSON pointer.
    pub pointer: String,
    pub message: String,
    /// The key or lookup that it is about, if it is not about the schema itself.
    pub of: Option<String>,
}

/// The schema of what a schema does not describe.
static ANYTHING: Json = Json::Bool(true);

type Result<T> = std::result::Result<T, Mistake>;

/// Words that ask nothing of a value.
const ANNOTATIONS: [&str; 15] = [
    "$comment",
    "$defs",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
    "x-code",
];
/// Words that ask something of a text, a number, an object or a list, and nothing of any other type.
const OF_TEXTS: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const OF_NUMBERS: [&str; 5] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
const OF_OBJECTS: [&str; 11] = [
    "properties",
    "required",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
];
const OF_LISTS: [&str; 9] = [
    "items",
    "minItems",
    "maxItems",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "unevaluatedItems",
];
/// Words that can ask something of any value.
const OF_ALL: [&str; 11] = [
    "type", "enum", "const", "$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else",
];

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

fn mistake<T>(pointer: &str, message: impl Into<String>) -> Result<T> {
    Err(Mistake {
        pointer: pointer.to_owned(),
        message: message.into(),
        of: None,
    })
}

/// About a key or a lookup.
fn misled<T>(pointer: &str, message: impl Into<String>) -> Result<T> {
    Err(Mistake {
        pointer: String::new(),
        message: message.into(),
        of: Some(pointer.to_owned()),
    })
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
            model.keys.push(known);
        }
        for lookup in lookups {
            model.known(lookup)?;
        }
        Ok(model)
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
            kind: Kind::Any,
            says: Says::default(),
            judge,
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
        Ok((Value { kind, says, judge }, types.null))
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

    fn object(
        &mut self,
        place: Place<'_>,
        schema: &'s Map<String, Json>,
        width: &mut usize,
    ) -> Result<Object> {
        let at = place.at;
        let mut fields = Vec::new();
        let required = names(at, schema)?;
        match schema.get("properties") {
            None => {}
            Some(Json::Object(properties)) => {
                for (name, schema) in properties {
                    let at = format!("{at}/properties/{}", token(name));
                    let path = format!("{}/{}", place.path, token(name));
                    let place = Place {
                        at: &at,
                        path: &path,
                        is_root: false,
                    };
                    let required = required.contains(&name.as_str());
                    fields.push(self.field(place, name, required, schema, width)?);
                }
            }
            Some(_) => return mistake(&format!("{at}/properties"), "It must be an object."),
        }
        // What is required and not described is any JSON, or what all others are.
        let undescribed = schema.get("additionalProperties").unwrap_or(&ANYTHING);
        for name in required {
            if !fields.iter().any(|field| field.name == name) {
                let at = format!("{at}/additionalProperties");
                let path = format!("{}/{}", place.path, token(name));
                let place = Place {
                    at: &at,
                    path: &path,
                    is_root: false,
                };
                fields.push(self.field(place, name, true, undescribed, width)?);
            }
        }
        let others = match schema.get("additionalProperties") {
            // Without any field there is nothing to choose by: all are kept.
            None if schema.contains_key("properties") => Others::Dropped,
            Some(Json::Bool(false)) => Others::Refused,
            None | Some(Json::Bool(true)) => self.kept(None, width),
            Some(_) => {
                let judge = self.judge(&format!("{at}/additionalProperties"))?;
                self.kept(judge, width)
            }
        };
        let by_name = fields
            .iter()
            .enumerate()
            .map(|(index, field): (usize, &Field)| (field.name.clone(), index))
            .collect();
        Ok(Object {
            fields,
            others,
            by_name,
        })
    }

    fn kept(&mut self, judge: Option<Judge>, width: &mut usize) -> Others {
        self.keeps = true;
        let slot = *width;
        *width += 1;
        Others::Kept { slot, judge }
    }

    fn field(
        &mut self,
        place: Place<'_>,
        name: &str,
        required: bool,
        schema: &'s Json,
        width: &mut usize,
    ) -> Result<Field> {
        let at = place.at;
        if name.contains('\0') {
            return mistake(at, "A name with NUL cannot be kept by Postgres.");
        }
        let (value, null) = self.value(place, schema, width)?;
        let mut field = Field {
            name: name.to_owned(),
            quoted: Json::from(name).to_string().into(),
            title: String::new(),
            about: String::new(),
            required,
            may_be_null: !required || null,
            default: None,
            // Behind those of what is in it.
            slot: *width,
            value,
        };
        // An object that must be there needs no slot to say that it is.
        *width += usize::from(field.has_slot());
        let words = self.words(schema);
        let word = |name| words.iter().find_map(|schema| schema.get(name));
        let text = |name| {
            word(name)
                .and_then(Json::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        (field.title, field.about) = (text("title"), text("description"));
        let pointer = || format!("{at}/default");
        field.default = match word("default") {
            None => None,
            Some(_) if required => {
                let message = "What is required has no default: it is never missing.";
                return mistake(&pointer(), message);
            }
            Some(default) => match constant(&field.value, default) {
                Some(constant) => Some(constant),
                None => {
                    let message = "A default must be a value that the schema allows here; a list's can only be [], and an \
                                   object has none: its fields have.";
                    return mistake(&pointer(), message);
                }
            },
        };
        Ok(field)
    }

    /// The schema and what its `$ref` leads to: whatever the first does not say of the field, the next may.
    fn words(&self, schema: &'s Json) -> Vec<&'s Json> {
        let mut found = vec![schema];
        let mut last = schema;
        while let Some(Json::String(reference)) = last.get("$ref")
            && let Some(next) = self
                .root
                .pointer(&unescaped(reference.trim_start_matches('#')))
            && !found.iter().any(|schema| std::ptr::eq(*schema, next))
        {
            found.push(next);
            last = next;
        }
        found
    }

    fn list(&mut self, place: Place<'_>, schema: &'s Map<String, Json>) -> Result<List> {
        let at = place.at;
        let number = self.lists.len();
        self.lists.push(Table {
            width: 0,
            jsonb_bytes: 0,
        });
        let items = schema.get("items").unwrap_or(&ANYTHING);
        let inner_at = format!("{at}/items");
        let inner = Place {
            at: &inner_at,
            path: &format!("{}/*", place.path),
            is_root: false,
        };
        let (lists, mut width) = (self.lists.len(), 0);
        let (mut element, null) = self.value(inner, items, &mut width)?;
        if null {
            // An element cannot be missing, so its null stays.
            self.lists.truncate(lists);
            (element, _) = self.any(&inner_at)?;
        }
        if !matches!(element.kind, Kind::Object(_)) {
            width = 1;
        }
        // A row without slots could not be counted.
        let width = width.max(1);
        self.lists[number] = Table {
            width,
            jsonb_bytes: jsonb_bytes(&element),
        };
        Ok(List {
            number,
            width,
            element,
            least: count(at, schema, "minItems")?.unwrap_or(0),
            most: count(at, schema, "maxItems")?.unwrap_or(usize::MAX),
        })
    }
}

/// The most that a value takes in jsonb beside its texts: an entry, a number's header and digits, names, padding.
fn jsonb_bytes(value: &Value) -> usize {
    match &value.kind {
        Kind::Text(_) | Kind::Truth | Kind::List(_) | Kind::Any => 11,
        Kind::Whole(_) | Kind::Number(_) => 27,
        Kind::Object(object) => {
            let field = |field: &Field| {
                let default = match &field.default {
                    Some(Slot::Text(text)) => text.len(),
                    _ => 0,
                };
                field.name.len() + 4 + default + jsonb_bytes(&field.value)
            };
            11 + object.fields.iter().map(field).sum::<usize>()
        }
    }
}

fn unescaped(fragment: &str) -> String {
    percent_encoding::percent_decode_str(fragment)
        .decode_utf8_lossy()
        .into_owned()
}

fn is_annotation(word: &str) -> bool {
    word.starts_with("x-") || ANNOTATIONS.contains(&word)
}

fn is_known(word: &str) -> bool {
    is_annotation(word)
        || [&OF_TEXTS[..], &OF_NUMBERS, &OF_OBJECTS, &OF_LISTS, &OF_ALL]
            .iter()
            .any(|words| words.contains(&word))
}

fn unknown(word: &str) -> String {
    let near = |known: &&&str| known.eq_ignore_ascii_case(word) || is_near(known, word);
    let all = [&OF_TEXTS[..], &OF_NUMBERS, &OF_OBJECTS, &OF_LISTS, &OF_ALL];
    let mut all = all.iter().flat_map(|words| words.iter());
    let hint = match all.find(|word| near(word)) {
        Some(known) => format!(" Is it {known}?"),
        None => " What is yours alone begins with x-.".to_owned(),
    };
    format!("{} is no word of a schema here.{hint}", quote(word))
}

/// One letter more, fewer, or another.
fn is_near(known: &str, word: &str) -> bool {
    let (known, word) = (known.as_bytes(), word.as_bytes());
    let same = known.iter().zip(word).take_while(|(a, b)| a == b).count();
    let (rest, other) = (&known[same..], &word[same..]);
    known.len() > 3
        && (rest.get(1..) == Some(other)
            || other.get(1..) == Some(rest)
            || matches!((rest.get(1..), other.get(1..)), (Some(a), Some(b)) if a == b)
            || matches!((rest, other), ([a, b, rest @ ..], [c, d, other @ ..]) if a == d && b == c && rest == other))
}

/// Whether the word asks something of a value of this type.
fn asks_of(one: Option<&str>, word: &str) -> bool {
    let of = |words: &[&str], types: &[&str]| {
        words.contains(&word) && one.is_some_and(|one| types.contains(&one))
    };
    of(&OF_TEXTS, &["string"])
        || of(&OF_NUMBERS, &["integer", "number"])
        || of(&OF_OBJECTS, &["object"])
        || of(&OF_LISTS, &["array"])
        || OF_ALL.contains(&word) && word != "type"
}

/// What `type` says, or what follows from the values that are listed.
struct Types<'s> {
    /// The one type beside null, if there is one.
    one: Option<&'s str>,
    null: bool,
}

impl<'s> Types<'s> {
    fn of(at: &str, schema: &'s Map<String, Json>, is_root: bool) -> Result<Self> {
        let named: Vec<&str> = match schema.get("type") {
            None => return Ok(Self::listed(schema, is_root)),
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(types)) => types.iter().filter_map(Json::as_str).collect(),
            Some(_) => Vec::new(),
        };
        const TYPES: [&str; 7] = [
            "string", "integer", "number", "boolean", "object", "array", "null",
        ];
        if named.is_empty() || named.iter().any(|name| !TYPES.contains(name)) {
            let message = format!("It must be one of {}, or a list of them.", TYPES.join(", "));
            return mistake(&format!("{at}/type"), message);
        }
        let others: Vec<&str> = named
            .iter()
            .copied()
            .filter(|name| *name != "null")
            .collect();
        Ok(Self {
            one: match others.as_slice() {
                [one] => Some(one),
                _ => None,
            },
            null: named.len() > others.len() && may_be_null(schema),
        })
    }

    fn listed(schema: &Map<String, Json>, is_root: bool) -> Self {
        let values = match (schema.get("enum"), schema.get("const")) {
            (Some(Json::Array(values)), None) => values.as_slice(),
            (None, Some(value)) => std::slice::from_ref(value),
            _ => &[],
        };
        let others: Vec<&Json> = values.iter().filter(|value| !value.is_null()).collect();
        let all =
            |is: fn(&Json) -> bool| !others.is_empty() && others.iter().all(|value| is(value));
        let one = match () {
            () if is_root => Some("object"),
            () if all(Json::is_string) => Some("string"),
            () if all(Json::is_i64) => Some("integer"),
            () => None,
        };
        Self {
            one,
            null: values.len() > others.len(),
        }
    }
}

/// Null is not taken if the values are listed and it is not among them.
fn may_be_null(schema: &Map<String, Json>) -> bool {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Json::Array(values)), _) => values.contains(&Json::Null),
        (_, Some(value)) => value.is_null(),
        _ => true,
    }
}

fn names<'s>(at: &str, schema: &'s Map<String, Json>) -> Result<Vec<&'s str>> {
    let wrong = || mistake(&format!("{at}/required"), "It must be a list of names.");
    match schema.get("required") {
        None => Ok(Vec::new()),
        Some(Json::Array(list)) => {
            let names: Vec<_> = list.iter().filter_map(Json::as_str).collect();
            if names.len() == list.len() {
                Ok(names)
            } else {
                wrong()
            }
        }
        Some(_) => wrong(),
    }
}

fn count(at: &str, schema: &Map<String, Json>, word: &str) -> Result<Option<usize>> {
    let Some(count) = schema.get(word) else {
        return Ok(None);
    };
    let whole = match number::whole(&count.to_string()) {
        Whole::Fits(count) if count_is_number(schema, word) => usize::try_from(count).ok(),
        _ => None,
    };
    match whole {
        Some(count) => Ok(Some(count)),
        None => mistake(
            &format!("{at}/{word}"),
            "It must be a whole number, 0 or more.",
        ),
    }
}

fn count_is_number(schema: &Map<String, Json>, word: &str) -> bool {
    schema.get(word).is_some_and(Json::is_number)
}

/// The values of `enum` or `const` that are of the type, if there is a list.
fn listed<T>(
    at: &str,
    schema: &Map<String, Json>,
    read: impl Fn(&Json) -> Option<T>,
) -> Result<Option<Vec<T>>> {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Json::Array(values)), None) => Ok(Some(values.iter().filter_map(read).collect())),
        (None, Some(value)) => Ok(Some(read(value).into_iter().collect())),
        (Some(Json::Array(values)), Some(value)) => {
            let both = values.iter().filter(|one| *one == value);
            Ok(Some(both.filter_map(read).collect()))
        }
        (Some(_), _) => mistake(&format!("{at}/enum"), "It must be a list."),
        (None, None) => Ok(None),
    }
}

const BOUNDS: [Keyword; 4] = [
    Keyword::Minimum,
    Keyword::ExclusiveMinimum,
    Keyword::Maximum,
    Keyword::ExclusiveMaximum,
];

/// The bounds that a schema sets to a number, written plainly.
fn bounds(at: &str, schema: &Map<String, Json>) -> Result<Vec<(Keyword, String)>> {
    let mut found = Vec::new();
    for keyword in BOUNDS {
        match schema.get(keyword.word()) {
            None => {}
            Some(Json::Number(number)) => match number::plain(&number.to_string()) {
                Some(plain) => found.push((keyword, plain.into_owned())),
                None => {
                    return mistake(
                        &format!("{at}/{}", keyword.word()),
                        "It has too many digits.",
                    );
                }
            },
            Some(_) => return mistake(&format!("{at}/{}", keyword.word()), "It must be a number."),
        }
    }
    Ok(found)
}

fn whole(at: &str, schema: &Map<String, Json>) -> Result<WholeCheck> {
    let mut check = WholeCheck {
        one_of: listed(at, schema, |value| {
            match number::whole(&value.to_string()) {
                Whole::Fits(number) if value.is_number() => Some(number),
                _ => None,
            }
        })?,
        is_const: schema.contains_key("const"),
        ..WholeCheck::default()
    };
    for (keyword, bound) in bounds(at, schema)? {
        let exclusive = matches!(
            keyword,
            Keyword::ExclusiveMinimum | Keyword::ExclusiveMaximum
        );
        let is_lower = matches!(keyword, Keyword::Minimum | Keyword::ExclusiveMinimum);
        let nearest = nearest(&bound, is_lower, exclusive);
        match nearest {
            // No number of 64 bits is on its right side.
            None => (check.least, check.most) = (i64::MAX, i64::MIN),
            Some(least) if is_lower && least > check.least => {
                (check.least, check.exclusive.0) = (least, exclusive);
            }
            Some(most) if !is_lower && most < check.most => {
                (check.most, check.exclusive.1) = (most, exclusive);
            }
            Some(_) => {}
        }
    }
    Ok(check)
}

/// The whole number nearest to a bound that is on its right side.
fn nearest(bound: &str, is_lower: bool, exclusive: bool) -> Option<i64> {
    let negative = bound.starts_with('-');
    match number::whole(bound) {
        Whole::Fits(number) if exclusive && is_lower => number.checked_add(1),
        Whole::Fits(number) if exclusive => number.checked_sub(1),
        Whole::Fits(number) => Some(number),
        Whole::Fraction => {
            let (cut, _) = bound.split_once('.')?;
            // Towards zero; a bound that it passes by is one further.
            let cut: i64 = cut.parse().ok()?;
            match (is_lower, negative) {
                (true, false) => cut.checked_add(1),
                (false, true) => cut.checked_sub(1),
                _ => Some(cut),
            }
        }
        Whole::TooLarge if is_lower == negative => Some(if negative { i64::MIN } else { i64::MAX }),
        Whole::TooLarge => None,
    }
}

fn fraction(at: &str, schema: &Map<String, Json>) -> Result<NumberCheck> {
    Ok(NumberCheck {
        bounds: bounds(at, schema)?,
        one_of: listed(at, schema, |value| match value {
            Json::Number(number) => {
                number::plain(&number.to_string()).map(|plain| plain.into_owned())
            }
            _ => None,
        })?,
        is_const: schema.contains_key("const"),
    })
}

/// `x-code: {minimum: negative_money}` and `x-message: {minimum: "…"}`.
fn says(at: &str, schema: &Map<String, Json>) -> Result<Says> {
    let mut says = Says::default();
    for (keyword, code, pointer) in spoken(at, schema, "x-code")? {
        match code.parse::<Code>() {
            Ok(code) if code != Code::Unknown => says.codes.insert(keyword, code),
            _ => return mistake(&pointer, "That is none of the codes."),
        };
    }
    for (keyword, message, pointer) in spoken(at, schema, "x-message")? {
        let length = message.chars().count();
        if length == 0 || length > MAX_MESSAGE_CHARS || message.contains('\0') {
            let message = format!("A message has 1 to {MAX_MESSAGE_CHARS} characters, and no NUL.");
            return mistake(&pointer, message);
        }
        says.messages.insert(keyword, message.to_owned());
    }
    Ok(says)
}

/// What `x-code` or `x-message` says of each keyword, and where.
fn spoken<'s>(
    at: &str,
    schema: &'s Map<String, Json>,
    word: &str,
) -> Result<Vec<(Keyword, &'s str, String)>> {
    let at = format!("{at}/{word}");
    let entries = match schema.get(word) {
        None => return Ok(Vec::new()),
        Some(Json::Object(entries)) => entries,
        Some(_) => {
            return mistake(
                &at,
                "It names keywords, and what is said of each: {minimum: …}.",
            );
        }
    };
    let mut found = Vec::new();
    for (name, said) in entries {
        let keyword = Keyword::ALL
            .into_iter()
            .find(|keyword| keyword.word() == name);
        let is_here =
            |keyword: &Keyword| keyword.is_of_field() || schema.contains_key(keyword.word());
        let pointer = format!("{at}/{}", token(name));
        match (keyword.filter(is_here), said.as_str()) {
            (Some(keyword), Some(said)) => found.push((keyword, said, pointer)),
            (None, _) => {
                let message = format!("Nothing can be said of {} here.", quote(name));
                return mistake(&pointer, message);
            }
            (_, None) => return mistake(&pointer, "It must be a text."),
        }
    }
    Ok(found)
}

/// A value of the schema's own, checked as a message's would be.
fn constant(value: &Value, json: &Json) -> Option<Slot<'static>> {
    let text = json.to_string();
    if value
        .judge
        .as_ref()
        .is_some_and(|judge| !judge.takes(&text))
    {
        return None;
    }
    match (&value.kind, json) {
        (Kind::Text(check), Json::String(text)) if check.holds(text) && !text.contains('\0') => {
            Some(Slot::Text(text.clone().into()))
        }
        (Kind::Whole(check), Json::Number(_)) => match number::whole(&text) {
            Whole::Fits(number) if check.broken(number).is_none() => Some(Slot::Whole(number)),
            _ => None,
        },
        (Kind::Number(check), Json::Number(_)) => {
            let number = number::plain(&text)?.into_owned();
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
            let end = text.len();
            let kept = super::kept::keep(&text, super::scan::Span { start: 0, end }).ok()?;
            Some(Slot::Kept(kept.into_owned().into()))
        }
        _ => None,
    }
}
