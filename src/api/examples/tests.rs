//! The examples fit their types, and the whole specification has one for each body.

use super::super::problem::MEDIA_TYPE;
use super::*;

#[test]
fn an_example_has_each_field_of_its_type_and_no_other() {
    for (name, written, read) in all() {
        assert_eq!(Some(written), read, "{name}");
    }
}

/// With its example, where it refers to a schema of its own name.
fn example<'a>(specification: &'a Value, media: &'a Value) -> &'a Value {
    let schema = &media["schema"];
    match schema["$ref"].as_str() {
        Some(path) => &specification.pointer(&path[1..]).unwrap()["example"],
        None => &schema["example"],
    }
}

#[test]
fn every_body_has_an_example_and_every_error_is_a_problem() {
    let specification: Value = serde_json::from_str(&super::super::specification()).unwrap();
    let mut looked = 0;
    for (path, methods) in specification["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = format!("{method} {path}");
            if let Some(contents) = operation.pointer("/requestBody/content") {
                for (kind, media) in contents.as_object().unwrap() {
                    assert!(!example(&specification, media).is_null(), "{name}: {kind}");
                    looked += 1;
                }
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                // These have no body, and nothing else has none.
                let Some(contents) = response["content"].as_object() else {
                    assert!(
                        ["204", "304"].contains(&status.as_str()),
                        "{name}: {status}"
                    );
                    continue;
                };
                if !status.starts_with('2') {
                    let kinds: Vec<_> = contents.keys().collect();
                    assert_eq!(kinds, [MEDIA_TYPE], "{name}: {status}");
                    let schema = &contents[MEDIA_TYPE]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/Problem", "{name}: {status}");
                }
                for (kind, media) in contents {
                    // A stream's events have theirs; a payload is whatever somebody sent.
                    if kind.contains("json") || kind.contains("csv") {
                        assert!(!example(&specification, media).is_null(), "{name}: {kind}");
                        looked += 1;
                    }
                }
            }
        }
    }
    assert!(looked > 70, "only {looked} bodies");
}
