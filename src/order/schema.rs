//! The order as JSON Schema (2020-12), for senders and their tools: what `validate` checks, as far as a schema can say
//! it. It cannot say that a field is there twice, that an id is counted in bytes, or that 1.0 is no whole number.

use serde_json::{Map, Value, json};

use super::read::MAX_KEY_BYTES;
use super::shape::{Field, Kind, ORDER};

/// The model: an order as real senders send it.
pub const EXAMPLE: &str = include_str!("model.json");

/// The schema that `GET /schema/order.json` answers.
pub fn schema() -> Value {
    let mut schema = object(ORDER);
    let example: Value = serde_json::from_str(EXAMPLE).unwrap_or_default();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Order");
    schema["description"] = json!(
        "An order. Unknown fields are ignored; an optional field that is missing or null is the empty text or 0."
    );
    schema["examples"] = json!([example]);
    schema
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<_, _> = fields
        .iter()
        .map(|field| (field.name.to_owned(), property(field)))
        .collect();
    let required: Vec<_> = fields
        .iter()
        .filter(|f| f.required)
        .map(|f| f.name)
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn property(field: &Field) -> Value {
    // JSON Schema's patterns see NUL as this escape.
    let text = json!({ "type": "string", "pattern": "^[^\\u0000]*$" });
    let mut property = match field.kind {
        Kind::Text => text,
        Kind::Key => {
            let mut key = text;
            key["minLength"] = json!(1);
            key["maxLength"] = json!(MAX_KEY_BYTES);
            key
        }
        Kind::Date => json!({ "type": "string", "format": "date-time" }),
        Kind::Integer => json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX }),
        Kind::Money => json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
        Kind::Object(fields) => object(fields),
        Kind::List(fields) => json!({ "type": "array", "minItems": 1, "items": object(fields) }),
    };
    if !field.required {
        property["type"] = json!([property["type"], "null"]);
    }
    property["description"] = json!(field.about);
    property
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::corpus::corpus;
    use crate::order::read::is_rfc3339;
    use crate::order::{Reason, parse};

    /// As much of JSON Schema as ours uses; a keyword that it does not know fails the test.
    fn accepts(schema: &Value, value: &Value) -> bool {
        let types = match &schema["type"] {
            Value::Array(types) => types.clone(),
            one => vec![one.clone()],
        };
        let found = match value {
            Value::Null => "null",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
            _ => "other",
        };
        if !types.iter().any(|wanted| wanted == found) {
            return false;
        }
        if value.is_null() {
            return true;
        }
        schema.as_object().unwrap().iter().all(|(keyword, wanted)| {
            let wanted_length = wanted.as_u64().unwrap_or_default() as usize;
            let text = value.as_str().unwrap_or_default();
            match keyword.as_str() {
                "$schema" | "title" | "description" | "examples" | "type" => true,
                "required" => wanted
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|name| value.get(name.as_str().unwrap()).is_some()),
                "properties" => wanted.as_object().unwrap().iter().all(|(name, schema)| {
                    value.get(name).is_none_or(|value| accepts(schema, value))
                }),
                "items" => value
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|value| accepts(wanted, value)),
                "minItems" => value.as_array().unwrap().len() >= wanted_length,
                "minLength" => text.chars().count() >= wanted_length,
                "maxLength" => text.chars().count() <= wanted_length,
                "minimum" => value
                    .as_i64()
                    .is_none_or(|number| number >= wanted.as_i64().unwrap()),
                "maximum" => value.as_i64().is_some(),
                "pattern" => wanted == "^[^\\u0000]*$" && !text.contains('\0'),
                "format" => wanted == "date-time" && is_rfc3339(text.as_bytes()),
                other => panic!("{other}"),
            }
        })
    }

    #[test]
    fn schema_agrees_with_the_checks() {
        let schema = schema();
        assert!(accepts(&schema, &schema["examples"][0]), "the example");
        let (mut good, mut bad) = (0, 0);
        for case in corpus().cases {
            let payload = case.payload();
            let Ok(value) = serde_json::from_slice::<Value>(&payload) else {
                continue;
            };
            let verdict = parse(&payload).map_err(|rejection| rejection.reason());
            if verdict == Err(Reason::NotJson) {
                continue;
            }
            let accepted = accepts(&schema, &value);
            assert_eq!(
                accepted,
                verdict.is_ok() || case.schema_cannot_say,
                "{}",
                case.name
            );
            if verdict.is_ok() { good += 1 } else { bad += 1 }
        }
        assert!(good > 10 && bad > 20, "{good} {bad}");
    }
}
