//! The official JSON Schema test suite (draft 2020-12): each schema as that of a field, each of its documents as that field.
//!
//! `.ci/tools` brings the suite; src/record/schema/mod.rs names what is refused, and where we
//! differ on purpose.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use waybill::record::Model;

const SUITE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/.tools/json-schema/draft2020-12"
);

/// What a schema is refused for, wherever in it these words stand: by name they lead elsewhere, or they change what words mean.
const REFUSED: [&str; 5] = [
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$vocabulary",
];

/// Files whose demands are not ours at all: schemas that are fetched, and what other vocabularies do.
const ELSEWHERE: [&str; 2] = ["refRemote.json", "vocabulary.json"];

/// Where we differ, and why.
const DIFFERENT: [&str; 6] = [
    // Postgres holds no NUL.
    "const.json: nul characters in strings: match string with nul",
    "enum.json: nul characters in strings: match string with nul",
    // These three are asserted.
    "format.json: date format: invalid date string is only an annotation by default",
    "format.json: date-time format: invalid date-time string is only an annotation by default",
    "format.json: uuid format: invalid uuid string is only an annotation by default",
    // A default that the schema itself does not allow is a mistake.
    "default.json: the default keyword does not do anything if the property is missing",
];

/// `$ref: "#/…"` as it must be if the schema stands one field down.
fn moved(schema: &Value) -> Value {
    match schema {
        Value::Object(object) => {
            let entry = |(name, value): (&String, &Value)| {
                let value = match value.as_str().and_then(|text| text.strip_prefix('#')) {
                    Some(rest) if name == "$ref" => json!(format!("#/properties/f{rest}")),
                    // In an enum or a const nothing is a schema.
                    _ if matches!(name.as_str(), "enum" | "const") => value.clone(),
                    _ => moved(value),
                };
                (name.clone(), value)
            };
            object
                .iter()
                .map(entry)
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(list) => list.iter().map(moved).collect(),
        other => other.clone(),
    }
}

/// The first of the words that a schema has as a keyword or as a name.
fn has<'w>(schema: &Value, words: &[&'w str]) -> Option<&'w str> {
    match schema {
        Value::Object(object) => words
            .iter()
            .find(|word| object.contains_key(**word))
            .copied()
            .or_else(|| object.values().find_map(|value| has(value, words))),
        Value::Array(list) => list.iter().find_map(|value| has(value, words)),
        _ => None,
    }
}

/// Whether a `$ref` leads out of the schema.
fn leads_out(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => object.iter().any(|(name, value)| match value.as_str() {
            Some(text) => name == "$ref" && !text.starts_with('#'),
            None => leads_out(value),
        }),
        Value::Array(list) => list.iter().any(leads_out),
        _ => false,
    }
}

/// Whether null stands anywhere in the document: it means that a field is not there.
fn has_null(document: &Value) -> bool {
    match document {
        Value::Null => true,
        Value::Object(object) => object.values().any(has_null),
        Value::Array(list) => list.iter().any(has_null),
        _ => false,
    }
}

#[test]
fn the_official_suite_passes_for_each_word_that_is_not_refused() {
    assert!(
        Path::new(SUITE).is_dir(),
        "the JSON Schema test suite is missing: run .ci/tools test"
    );
    let mut files: Vec<_> = fs::read_dir(SUITE)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let (mut passed, mut different, mut wrong) = (0, 0, Vec::new());
    let mut refused: BTreeMap<String, u32> = BTreeMap::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        if file.extension().is_none_or(|ending| ending != "json") || ELSEWHERE.contains(&name) {
            continue;
        }
        let groups: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for group in groups.as_array().unwrap() {
            let title = format!("{name}: {}", group["description"].as_str().unwrap());
            let schema = json!({"type": "object", "properties": {"f": moved(&group["schema"])}});
            let model = match Model::compile("thing", &schema, &[], &[]) {
                Ok(model) => model,
                Err(mistake) => {
                    match has(&group["schema"], &REFUSED) {
                        Some(word) => *refused.entry(word.to_owned()).or_default() += 1,
                        None if leads_out(&group["schema"]) => {
                            *refused.entry("$ref elsewhere".to_owned()).or_default() += 1;
                        }
                        None if DIFFERENT.contains(&title.as_str()) => different += 1,
                        None => wrong.push(format!("{title}: refused: {mistake:?}")),
                    }
                    continue;
                }
            };
            for test in group["tests"].as_array().unwrap() {
                if has_null(&test["data"]) {
                    continue;
                }
                let message = json!({"f": test["data"]}).to_string();
                let found = model.parse(message.as_bytes());
                let title = format!("{title}: {}", test["description"].as_str().unwrap());
                if found.is_ok() == test["valid"].as_bool().unwrap() {
                    passed += 1;
                } else if DIFFERENT.contains(&title.as_str()) {
                    different += 1;
                } else {
                    wrong.push(format!("{title}: {message}: {found:?}"));
                }
            }
        }
    }
    println!("{passed} passed, refused for {refused:?}");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(different, DIFFERENT.len(), "one of these does not differ");
    assert!(passed > 1_000, "only {passed}");
}
