//! What a definition means, apart from how it is written: by it letters are judged anew and caches emptied.

use serde_json::Value;

/// A schema without what is said for people alone.
pub fn meant(schema: &Value) -> Value {
    const REMARKS: [&str; 5] = ["title", "description", "examples", "x-sample", "$comment"];
    /// In these, names are the user's.
    const NAMES: [&str; 5] = [
        "properties",
        "patternProperties",
        "$defs",
        "definitions",
        "dependentSchemas",
    ];
    /// In these, nothing is a schema.
    const VALUES: [&str; 3] = ["enum", "const", "default"];
    match schema {
        Value::Object(object) => {
            let words = object
                .iter()
                .filter(|(word, _)| !REMARKS.contains(&word.as_str()));
            let word = |(word, value): (&String, &Value)| {
                let value = match (word.as_str(), value) {
                    (word, Value::Object(named)) if NAMES.contains(&word) => named
                        .iter()
                        .map(|(name, schema)| (name.clone(), meant(schema)))
                        .collect(),
                    (word, value) if VALUES.contains(&word) => value.clone(),
                    (_, value) => meant(value),
                };
                (word.clone(), value)
            };
            Value::Object(words.map(word).collect())
        }
        Value::Array(list) => list.iter().map(meant).collect(),
        value => value.clone(),
    }
}
