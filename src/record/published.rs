//! A model as JSON Schema (2020-12), for senders and their tools: what is asked of a message, and what is served, as far as a
//! schema can say it. It cannot say that a field is there twice, or that a key is counted in bytes.

use serde_json::{Map, Value as Json, json};

use super::check::{Format, NumberCheck, TextCheck, WholeCheck};
use super::model::Model;
use super::shape::{Field, Kind, Object, Others, Value};
use super::slot::Slot;

/// For whom a schema is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Senders,
    /// What is missing has its default by then, and nothing is null.
    Readers,
}

impl Model {
    /// What senders may send.
    pub fn schema(&self) -> Json {
        let mut schema = object(&self.object, For::Senders);
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = json!(self.title);
        schema["description"] = json!(self.about);
        if !self.examples.is_empty() {
            schema["examples"] = json!(self.examples);
        }
        schema
    }

    /// What readers are served.
    pub fn served_schema(&self) -> Json {
        object(&self.object, For::Readers)
    }
}

/// What readers are served of one value.
pub fn served(of: &Value) -> Json {
    value(of, For::Readers)
}

fn object(object: &Object, whom: For) -> Json {
    let properties: Map<_, _> = object
        .fields
        .iter()
        .map(|field| (field.name.clone(), property(field, whom)))
        .collect();
    let required: Vec<_> = object
        .fields
        .iter()
        .filter(|field| match whom {
            For::Senders => field.required,
            For::Readers => field.is_certain(),
        })
        .map(|field| field.name.as_str())
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties, "required": required });
    match object.others {
        Others::Dropped => {}
        Others::Refused => schema["additionalProperties"] = json!(false),
        Others::Kept { .. } => schema["additionalProperties"] = json!(true),
    }
    schema
}

fn property(field: &Field, whom: For) -> Json {
    let mut property = value(&field.value, whom);
    if whom == For::Senders && field.may_be_null && !property["type"].is_null() {
        property["type"] = json!([property["type"], "null"]);
        if let Some(Json::Array(values)) = property.get_mut("enum") {
            values.push(Json::Null);
        }
    }
    if !field.title.is_empty() {
        property["title"] = json!(field.title);
    }
    if !field.about.is_empty() {
        property["description"] = json!(field.about);
    }
    if whom == For::Senders
        && let Some(default) = &field.default
    {
        property["default"] = constant(default);
    }
    property
}

fn constant(slot: &Slot<'_>) -> Json {
    match slot {
        Slot::Text(text) => json!(text),
        Slot::Whole(number) => json!(number),
        Slot::Truth(truth) => json!(truth),
        Slot::Number(json) | Slot::Kept(json) => serde_json::from_str(json).unwrap_or(Json::Null),
        Slot::List { .. } => json!([]),
        Slot::Absent | Slot::Present => Json::Null,
    }
}

fn value(value: &Value, whom: For) -> Json {
    match &value.kind {
        Kind::Text(check) => text(check),
        Kind::Whole(check) => whole(check),
        Kind::Number(check) => number(check),
        Kind::Any => json!({}),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Object(inner) => object(inner, whom),
        Kind::List(list) => {
            let mut schema = json!({ "type": "array", "items": self::value(&list.element, whom) });
            if list.least > 0 {
                schema["minItems"] = json!(list.least);
            }
            if list.most < usize::MAX {
                schema["maxItems"] = json!(list.most);
            }
            schema
        }
    }
}

fn text(check: &TextCheck) -> Json {
    let mut schema = json!({ "type": "string" });
    if let Some((source, _)) = &check.pattern {
        schema["pattern"] = json!(source);
    } else if check.format.is_none() && check.one_of.is_none() {
        // JSON Schema's patterns see NUL as this escape.
        schema["pattern"] = json!("^[^\\u0000]*$");
    }
    if let Some(format) = check.format {
        schema["format"] = json!(Format::name(format));
    }
    if let Some(values) = &check.one_of {
        schema["enum"] = json!(values);
    }
    if check.shortest > 0 {
        schema["minLength"] = json!(check.shortest);
    }
    let longest = check.longest.min(check.most_bytes);
    if longest < usize::MAX {
        schema["maxLength"] = json!(longest);
    }
    schema
}

fn whole(check: &WholeCheck) -> Json {
    let mut schema = json!({ "type": "integer", "minimum": check.least, "maximum": check.most });
    if let Some(values) = &check.one_of {
        schema["enum"] = json!(values);
    }
    schema
}

fn number(check: &NumberCheck) -> Json {
    let json = |digits: &String| serde_json::from_str(digits).unwrap_or(Json::Null);
    let mut schema = json!({ "type": "number" });
    for (keyword, bound) in &check.bounds {
        schema[keyword.word()] = json(bound);
    }
    if let Some(values) = &check.one_of {
        schema["enum"] = values.iter().map(json).collect();
    }
    schema
}
