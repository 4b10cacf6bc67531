//! The type of what a schema describes.

use serde_json::{Map, Value as Json};

use super::mistake::{Result, mistake};

/// What `type` says, or what follows from the values that are listed.
pub struct Types<'s> {
    /// The one type beside null, if there is one.
    pub one: Option<&'s str>,
    pub null: bool,
}

impl<'s> Types<'s> {
    pub fn of(at: &str, schema: &'s Map<String, Json>, is_root: bool) -> Result<Self> {
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
