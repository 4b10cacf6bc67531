//! What orders do not have: fields that may be missing and have no default, truths, lists of texts, lists in lists.

use serde_json::{Value, json};

use super::{Code, Model};

fn model() -> Model {
    let schema = json!({
        "type": "object",
        "required": ["id", "on", "rows"],
        "properties": {
            "note": {"type": "string"},
            "id": {"type": "string", "minLength": 1},
            "place": {
                "type": "object",
                "required": ["x"],
                "properties": {
                    "x": {"type": "integer", "maximum": 9},
                    "name": {"type": "string", "default": "here"},
                    "y": {"type": "integer"},
                },
            },
            "on": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 3},
            "rows": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "n": {"type": "integer"},
                        "marks": {"type": "array", "items": {"type": "integer"}},
                    },
                },
            },
            "a \"b\" \u{e9}/~": {"type": "integer"},
        },
    });
    Model::compile("thing", &schema, "/id", &[]).unwrap()
}

/// As it is served; and whatever is served is read again by the short way.
fn served(message: &str) -> String {
    let model = model();
    let record = model.parse(message.as_bytes()).unwrap();
    let json = model.to_json(&record);
    let (width, lists) = (model.width, model.lists.len());
    let straight = super::straight::read(&model.straight, width, lists, &json);
    assert_eq!(straight.as_ref(), Some(&record));
    let read = super::read::read(&model.object, width, lists, &json);
    assert_eq!(read.as_ref(), Some(&record));
    let mut stored = Vec::new();
    model.write_stored(&record, &mut stored);
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!(stored, serde_json::from_str::<Value>(&json).unwrap());
    assert_eq!(
        model.explain(message.as_bytes()).first().code,
        Code::Unexplained
    );
    json
}

#[test]
fn what_may_be_missing_stays_missing_and_what_has_a_default_gets_it() {
    let bare = r#"{"id":"a","on":true,"rows":[]}"#;
    assert_eq!(served(bare), bare);
    let nulls = r#"{"id":"a","on":true,"rows":[],"note":null,"place":null,"tags":null}"#;
    assert_eq!(served(nulls), bare);
    assert_eq!(
        served(r#"{"rows": [{}, {"n": 1.0}], "on": false, "id": "a", "place": {"x": 1}}"#),
        r#"{"id":"a","place":{"x":1,"name":"here"},"on":false,"rows":[{},{"n":1}]}"#
    );
    let full = concat!(
        r#"{"note":"","id":"a","place":{"x":1,"name":"","y":2},"on":false,"tags":["a","é"],"#,
        r#""rows":[{"n":1,"marks":[]},{"marks":[1,2]},{},{"n":-7,"marks":[3]}],"a \"b\" é/~":5}"#
    );
    assert_eq!(served(full), full);
}

#[test]
fn each_keyword_says_what_is_wrong_and_where() {
    let cases = [
        (r#"{"id":"","on":true,"rows":[]}"#, "empty_field /id"),
        (r#"{"id":"a","on":1,"rows":[]}"#, "wrong_type /on"),
        (r#"{"id":"a","rows":[]}"#, "missing_field /on"),
        (
            r#"{"id":"a","on":true,"rows":[],"place":{"x":10}}"#,
            "too_great /place/x",
        ),
        (
            r#"{"id":"a","on":true,"rows":[],"place":{}}"#,
            "missing_field /place/x",
        ),
        (
            r#"{"id":"a","on":true,"rows":[],"tags":["abcd"]}"#,
            "too_long /tags/0",
        ),
        (
            r#"{"id":"a","on":true,"rows":[],"tags":["","","",""]}"#,
            "too_many /tags",
        ),
        (
            r#"{"id":"a","on":true,"rows":[null]}"#,
            "wrong_type /rows/0",
        ),
        (
            r#"{"id":"a","on":true,"rows":[{"marks":[1,"2"]}]}"#,
            "wrong_type /rows/0/marks/1",
        ),
        (
            r#"{"id":"a","on":true,"rows":[],"a \"b\" é/~":[]}"#,
            "wrong_type /a \"b\" é~1~0",
        ),
    ];
    for (message, expected) in cases {
        let rejection = model().parse(message.as_bytes()).unwrap_err();
        let found = rejection.first();
        assert_eq!(format!("{} {}", found.code, found.pointer), expected);
        assert_eq!(rejection.violations().len(), 1, "{rejection:?}");
    }
}

#[test]
fn a_schema_with_a_mistake_is_refused_where_it_stands() {
    let with = |field: Value| json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "f": field}});
    let cases = [
        (
            json!({"type": "string", "minimum": 1}),
            "/properties/f/minimum",
        ),
        (json!({"type": "text"}), "/properties/f/type"),
        (json!({"type": ["string", "integer"]}), "/properties/f"),
        (
            json!({"type": "integer", "default": ""}),
            "/properties/f/default",
        ),
        (
            json!({"type": "integer", "minimum": 1, "default": 0}),
            "/properties/f/default",
        ),
        (
            json!({"type": "string", "minLength": -1}),
            "/properties/f/minLength",
        ),
        (
            json!({"type": "string", "format": "color"}),
            "/properties/f/format",
        ),
        (json!({"type": "array"}), "/properties/f"),
        (
            json!({"type": "object", "required": ["x"]}),
            "/properties/f/required",
        ),
        (
            json!({"type": "string", "x-code": {"minLength": "empty_field"}}),
            "/properties/f/x-code",
        ),
        (
            json!({"type": "string", "minLength": 1, "x-code": {"minLength": "nix"}}),
            "/properties/f/x-code/minLength",
        ),
        (json!(true), "/properties/f"),
    ];
    for (field, pointer) in cases {
        let mistake = Model::compile("thing", &with(field.clone()), "/id", &[]).unwrap_err();
        assert_eq!(mistake.pointer, pointer, "{field}: {}", mistake.message);
    }
    let required = json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "default": "a"}}});
    assert!(Model::compile("thing", &required, "/id", &[]).is_err());
    assert!(Model::compile("thing", &with(json!({"type": "string"})), "/f", &[]).is_err());
}
