//! From a JSON Schema (2020-12) to a model. Every mistake is found here, with the JSON pointer at which it stands in the
//! schema.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Json};

use super::check::{Keyword, Range, Says, TextCheck};
use super::code::Code;
use super::model::{Known, Model};
use super::rejection::quote;
use super::shape::{Field, Kind, List, Object, Table, Value, token};
use super::slot::Slot;
use super::{straight, write};

/// The longest key in bytes. Postgres' b-tree refuses what is longer than 2,704 bytes; 1,000 leaves room, and no real id comes
/// near.
pub const MAX_KEY_BYTES: usize = 1_000;

/// What is wrong in a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where in the schema, as a JSON pointer.
    pub pointer: String,
    pub message: String,
}

type Result<T> = std::result::Result<T, Mistake>;

/// Words that say something about a value and ask nothing of it.
const ANNOTATIONS: [&str; 5] = ["title", "description", "examples", "x-code", "default"];

impl Model {
    /// Compiles the schema of what is called `one`, is known by the field at the pointer `key`, and is looked up by those at
    /// `lookups`.
    pub fn compile(one: &str, schema: &Json, key: &str, lookups: &[&str]) -> Result<Self> {
        let mut compiler = Compiler {
            lists: Vec::new(),
            indexed: lookups.iter().copied().chain([key]).collect(),
        };
        let mut width = 0;
        let value = compiler.value("", "", schema, &mut width)?;
        let Kind::Object(object) = value.kind else {
            return mistake("/type", "A message must be of the type `object`.");
        };
        let about = |word| schema.get(word).and_then(Json::as_str).unwrap_or("");
        let mut model = Self {
            one: one.to_owned(),
            title: about("title").to_owned(),
            about: about("description").to_owned(),
            straight: straight::compile(&object),
            served: write::served(&object),
            stored: write::stored(&object),
            key: Known {
                name: String::new(),
                slot: 0,
                taken: Code::KeyTaken,
            },
            lists: compiler.lists,
            object,
            width,
        };
        model.key = model.known(key)?;
        for lookup in lookups {
            model.known(lookup)?;
        }
        Ok(model)
    }

    /// The text that a pointer leads to.
    fn known(&self, pointer: &str) -> Result<Known> {
        let name = pointer.strip_prefix('/').unwrap_or(pointer);
        match self.field(&[name]) {
            Some(field) if matches!(field.value.kind, Kind::Text(_)) && field.required => {
                Ok(Known {
                    name: name.to_owned(),
                    slot: field.slot,
                    taken: field.value.says.code(Keyword::Key, Code::KeyTaken),
                })
            }
            _ => mistake("", format!("{pointer} leads to no required text.")),
        }
    }
}

fn mistake<T>(pointer: &str, message: impl Into<String>) -> Result<T> {
    Err(Mistake {
        pointer: pointer.to_owned(),
        message: message.into(),
    })
}

struct Compiler<'s> {
    lists: Vec<Table>,
    /// The pointers, in a message, of what an index has to take.
    indexed: HashSet<&'s str>,
}

impl Compiler<'_> {
    /// `at` is the place in the schema, `path` the place in a message.
    fn value(&mut self, at: &str, path: &str, schema: &Json, width: &mut usize) -> Result<Value> {
        let Some(schema) = schema.as_object() else {
            return mistake(at, "A schema must be an object.");
        };
        let types = types(at, schema)?;
        let says = says(at, schema)?;
        let (kind, words): (Kind, &[&str]) = match types {
            "string" => (
                Kind::Text(self.text(at, path, schema)?),
                &["minLength", "maxLength", "format"],
            ),
            "integer" => (Kind::Whole(range(at, schema)?), &["minimum", "maximum"]),
            "boolean" => (Kind::Truth, &[]),
            "object" => (
                Kind::Object(self.object(at, path, schema, width)?),
                &["properties", "required"],
            ),
            "array" => (
                Kind::List(Box::new(self.list(at, path, schema)?)),
                &["items", "minItems", "maxItems"],
            ),
            other => {
                let message = format!(
                    "The type {} is not known here; there are string, integer, boolean, object and array.",
                    quote(other)
                );
                return mistake(&format!("{at}/type"), message);
            }
        };
        let known = |word: &&String| {
            let word = word.as_str();
            word == "type" || ANNOTATIONS.contains(&word) || words.contains(&word)
        };
        match schema.keys().find(|word| !known(word)) {
            Some(word) => mistake(
                &format!("{at}/{word}"),
                format!("`{word}` is not known for the type {types}."),
            ),
            None => Ok(Value { kind, says }),
        }
    }

    fn text(&self, at: &str, path: &str, schema: &Map<String, Json>) -> Result<TextCheck> {
        let shortest = count(at, schema, "minLength")?.unwrap_or(0);
        let longest = count(at, schema, "maxLength")?.unwrap_or(usize::MAX);
        let format = schema.get("format").map(Json::as_str);
        if let Some(format) = format
            && format != Some("date-time")
        {
            return mistake(
                &format!("{at}/format"),
                "Of the formats only date-time is known here.",
            );
        }
        Ok(TextCheck {
            shortest,
            longest,
            most_bytes: match self.indexed.contains(path) {
                true => MAX_KEY_BYTES,
                false => usize::MAX,
            },
            is_date_time: format.is_some(),
        })
    }

    fn object(
        &mut self,
        at: &str,
        path: &str,
        schema: &Map<String, Json>,
        width: &mut usize,
    ) -> Result<Object> {
        let none = Map::new();
        let properties = match schema.get("properties") {
            None => &none,
            Some(Json::Object(properties)) => properties,
            Some(_) => return mistake(&format!("{at}/properties"), "It must be an object."),
        };
        let required = names(at, schema)?;
        if let Some(name) = required
            .iter()
            .find(|name| !properties.contains_key(**name))
        {
            let message = format!("{} is required and not among the properties.", quote(name));
            return mistake(&format!("{at}/required"), message);
        }
        let mut fields = Vec::with_capacity(properties.len());
        for (name, schema) in properties {
            let at = format!("{at}/properties/{}", token(name));
            let path = format!("{path}/{}", token(name));
            let required = required.contains(name.as_str());
            fields.push(self.field(&at, &path, name, required, schema, width)?);
        }
        let by_name = fields
            .iter()
            .enumerate()
            .map(|(index, field)| (field.name.clone(), index))
            .collect();
        Ok(Object { fields, by_name })
    }

    fn field(
        &mut self,
        at: &str,
        path: &str,
        name: &str,
        required: bool,
        schema: &Json,
        width: &mut usize,
    ) -> Result<Field> {
        if name.contains('\0') {
            return mistake(at, "A name with NUL cannot be kept by Postgres.");
        }
        let slot = *width;
        // An object that must be there needs no slot to say that it is.
        let is_object = schema.get("type").and_then(Json::as_str) == Some("object");
        if !(required && is_object) {
            *width += 1;
        }
        let value = self.value(at, path, schema, width)?;
        let default = match schema.get("default") {
            None => None,
            Some(_) if required => {
                return mistake(
                    &format!("{at}/default"),
                    "What is required has no default: it is never missing.",
                );
            }
            Some(default) => Some(constant(&value, default).ok_or_else(|| Mistake {
                pointer: format!("{at}/default"),
                message:
                    "The default is none of the values that the schema allows here.".to_owned(),
            })?),
        };
        let about = schema.get("description").and_then(Json::as_str);
        Ok(Field {
            name: name.to_owned(),
            quoted: Json::from(name).to_string().into(),
            about: about.unwrap_or_default().to_owned(),
            required,
            default,
            slot,
            value,
        })
    }

    fn list(&mut self, at: &str, path: &str, schema: &Map<String, Json>) -> Result<List> {
        let Some(items) = schema.get("items") else {
            return mistake(at, "A list needs `items`: what its elements are.");
        };
        let number = self.lists.len();
        self.lists.push(Table {
            width: 0,
            jsonb_bytes: 0,
        });
        let is_object = items.get("type").and_then(Json::as_str) == Some("object");
        let mut width = usize::from(!is_object);
        let element = self.value(
            &format!("{at}/items"),
            &format!("{path}/*"),
            items,
            &mut width,
        )?;
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
        Kind::Text(_) | Kind::Truth | Kind::List(_) => 11,
        Kind::Whole(_) => 27,
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

/// One name, or a name and null.
fn types<'s>(at: &str, schema: &'s Map<String, Json>) -> Result<&'s str> {
    let found = match schema.get("type") {
        Some(Json::String(one)) => Some(one.as_str()),
        Some(Json::Array(types)) => {
            let mut others = types
                .iter()
                .filter_map(Json::as_str)
                .filter(|name| *name != "null");
            let first = others.next();
            first.filter(|_| others.next().is_none())
        }
        _ => None,
    };
    match found {
        Some(found) => Ok(found),
        None => mistake(at, "`type` must be one type, or one and null."),
    }
}

fn names<'s>(at: &str, schema: &'s Map<String, Json>) -> Result<HashSet<&'s str>> {
    let wrong = || mistake(&format!("{at}/required"), "It must be a list of names.");
    match schema.get("required") {
        None => Ok(HashSet::new()),
        Some(Json::Array(list)) => {
            let names: HashSet<_> = list.iter().filter_map(Json::as_str).collect();
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
    match schema.get(word) {
        None => Ok(None),
        Some(count) => match count.as_u64().and_then(|count| usize::try_from(count).ok()) {
            Some(count) => Ok(Some(count)),
            None => mistake(
                &format!("{at}/{word}"),
                "It must be a whole number, 0 or more.",
            ),
        },
    }
}

fn range(at: &str, schema: &Map<String, Json>) -> Result<Range> {
    let bound = |word: &str, otherwise| match schema.get(word) {
        None => Ok(otherwise),
        Some(bound) => match bound.as_i64() {
            Some(bound) => Ok(bound),
            None => mistake(
                &format!("{at}/{word}"),
                "It must be a whole number of 64 bits.",
            ),
        },
    };
    Ok(Range {
        least: bound("minimum", i64::MIN)?,
        most: bound("maximum", i64::MAX)?,
    })
}

/// `x-code: {minimum: negative_money}`.
fn says(at: &str, schema: &Map<String, Json>) -> Result<Says> {
    let mut says = HashMap::new();
    let at = format!("{at}/x-code");
    let entries = match schema.get("x-code") {
        None => return Ok(Says::default()),
        Some(Json::Object(entries)) => entries,
        Some(_) => return mistake(&at, "It must name a code for a keyword: {minimum: …}."),
    };
    for (word, code) in entries {
        let keyword = Keyword::ALL
            .into_iter()
            .find(|keyword| keyword.word() == word);
        let Some(keyword) = keyword
            .filter(|keyword| *keyword == Keyword::Key || schema.contains_key(keyword.word()))
        else {
            return mistake(&at, format!("There is no keyword {} here.", quote(word)));
        };
        let code = code.as_str().and_then(|code| code.parse::<Code>().ok());
        let Some(code) = code.filter(|code| *code != Code::Unknown) else {
            return mistake(&format!("{at}/{word}"), "That is none of the codes.");
        };
        says.insert(keyword, code);
    }
    Ok(Says(says))
}

/// A value of the schema's own, checked as a message's would be.
fn constant(value: &Value, json: &Json) -> Option<Slot<'static>> {
    match (&value.kind, json) {
        (Kind::Text(check), Json::String(text)) if check.holds(text) && !text.contains('\0') => {
            Some(Slot::Text(text.clone().into()))
        }
        (Kind::Whole(range), Json::Number(number)) => {
            let number = number.as_i64()?;
            range
                .broken(number)
                .is_none()
                .then_some(Slot::Whole(number))
        }
        (Kind::Truth, Json::Bool(truth)) => Some(Slot::Truth(*truth)),
        _ => None,
    }
}
