//! A model as JSON Schema (2020-12), for senders and their tools: what is asked of a message, and what is served, as far as a
//! schema can say it. It cannot say that a field is there twice, or that a key is counted in bytes.

use serde_json::{Map, Value as Json, json};

use super::check::{Range, TextCheck};
use super::model::Model;
use super::shape::{Field, Kind, Object, Value};
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
        schema
    }

    /// What readers are served.
    pub fn served_schema(&self) -> Json {
        object(&self.object, For::Readers)
    }
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
        .filter(|field| field.required || whom == For::Readers && field.is_certain())
        .map(|field| field.name.as_str())
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn property(field: &Field, whom: For) -> Json {
    let mut property = value(&field.value, whom);
    if whom == For::Senders && !field.required {
        property["type"] = json!([property["type"], "null"]);
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
        Slot::Absent | Slot::Present | Slot::List { .. } => Json::Null,
    }
}

fn value(value: &Value, whom: For) -> Json {
    match &value.kind {
        Kind::Text(check) => text(check),
        Kind::Whole(range) => whole(*range),
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
    if check.is_date_time {
        schema["format"] = json!("date-time");
    } else {
        // JSON Schema's patterns see NUL as this escape.
        schema["pattern"] = json!("^[^\\u0000]*$");
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

fn whole(range: Range) -> Json {
    json!({ "type": "integer", "minimum": range.least, "maximum": range.most })
}
