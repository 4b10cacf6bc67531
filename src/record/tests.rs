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
    Model::compile("thing", &schema, &["/id"], &[]).unwrap()
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
        (json!({"type": "string", "minLenght": 1}), "/minLenght"),
        (json!({"type": "text"}), "/type"),
        (json!({"type": "integer", "default": ""}), "/default"),
        (
            json!({"type": "integer", "minimum": 1, "default": 0}),
            "/default",
        ),
        (
            json!({"type": "string", "enum": ["a"], "default": "b"}),
            "/default",
        ),
        (json!({"type": "object", "default": {}}), "/default"),
        (
            json!({"anyOf": [{"type": "string"}], "default": 1}),
            "/default",
        ),
        (json!({"type": "string", "minLength": -1}), "/minLength"),
        (json!({"type": "string", "pattern": "("}), "/pattern"),
        (json!({"type": "string", "pattern": "(?=a)"}), "/pattern"),
        (json!({"type": "string", "format": 1}), "/format"),
        (json!({"type": "string", "enum": "a"}), "/enum"),
        (json!({"type": "integer", "minimum": "1"}), "/minimum"),
        (json!({"type": "object", "required": "x"}), "/required"),
        (
            json!({"type": "string", "x-code": {"minLength": "empty_field"}}),
            "/x-code/minLength",
        ),
        (
            json!({"type": "string", "minLength": 1, "x-code": {"minLength": "nix"}}),
            "/x-code/minLength",
        ),
        (
            json!({"type": "string", "x-message": {"type": ""}}),
            "/x-message/type",
        ),
        (json!({"$ref": "https://example.com/a.json"}), "/$ref"),
        (json!({"$ref": "#/nowhere"}), "/$ref"),
        (json!({"$dynamicRef": "#a"}), "/$dynamicRef"),
        (json!({"oneOf": [{"type": "nix"}]}), "/oneOf/0/type"),
        (json!(1), ""),
    ];
    for (field, pointer) in cases {
        let mistake = Model::compile("thing", &with(field.clone()), &["/id"], &[]).unwrap_err();
        assert_eq!(
            mistake.pointer,
            format!("/properties/f{pointer}"),
            "{field}: {}",
            mistake.message
        );
    }
    let typing_error = with(json!({"type": "string", "minLenght": 1}));
    let mistake = Model::compile("thing", &typing_error, &["/id"], &[]).unwrap_err();
    assert!(
        mistake.message.ends_with("Is it minLength?"),
        "{}",
        mistake.message
    );
    let required = json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "default": "a"}}});
    assert!(Model::compile("thing", &required, &["/id"], &[]).is_err());
    assert!(Model::compile("thing", &with(json!({"type": "string"})), &["/f"], &[]).is_err());
}

/// What orders have no use for, each with a message that it takes and one that it does not.
#[test]
fn each_word_of_a_schema_is_asked() {
    let cases = [
        (
            json!({"type": "number", "minimum": 0.5}),
            "0.5",
            "0.4",
            "too_small /f",
        ),
        (
            json!({"type": "number", "exclusiveMaximum": 1}),
            "0.99999",
            "1.0",
            "too_great /f",
        ),
        (
            json!({"type": "integer", "minimum": 0.5}),
            "1",
            "0",
            "too_small /f",
        ),
        (
            json!({"type": "integer", "exclusiveMinimum": -1}),
            "0",
            "-1",
            "too_small /f",
        ),
        (
            json!({"enum": ["a", "b"]}),
            "\"b\"",
            "\"c\"",
            "not_one_of /f",
        ),
        (json!({"const": 7}), "7.0", "8", "not_one_of /f"),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            "\"aa\"",
            "\"ab\"",
            "no_match /f",
        ),
        (
            json!({"type": "string", "format": "date"}),
            "\"2024-02-29\"",
            "\"2023-02-29\"",
            "bad_date /f",
        ),
        (
            json!({"type": "string", "format": "uuid"}),
            "\"2eb8aa08-aa98-11ea-b4aa-73b441d16380\"",
            "\"2eb8aa08\"",
            "bad_uuid /f",
        ),
        (
            json!({"type": "string", "format": "email"}),
            "\"no e-mail\"",
            "1",
            "wrong_type /f",
        ),
        (
            json!({"type": "object", "additionalProperties": false, "properties": {"a": {}}}),
            "{\"a\":[1]}",
            "{\"b\":1}",
            "unknown_field /f/b",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            "{\"b\":1}",
            "{\"b\":\"\"}",
            "schema_violated /f/b",
        ),
        (
            json!({"type": "array", "uniqueItems": true}),
            "[1,2]",
            "[1,1]",
            "schema_violated /f",
        ),
        (
            json!({"type": "array", "items": {"type": ["integer", "null"]}}),
            "[1,null]",
            "[\"\"]",
            "schema_violated /f/0",
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"minimum": 3}]}),
            "3",
            "2",
            "schema_violated /f",
        ),
        (
            json!({"type": ["string", "integer"]}),
            "1",
            "true",
            "schema_violated /f",
        ),
        (
            json!({"type": "integer", "multipleOf": 3}),
            "9",
            "10",
            "schema_violated /f",
        ),
        (json!({"$ref": "#/$defs/small"}), "9", "10", "too_great /f"),
        (
            json!({"$ref": "#/$defs/tree"}),
            "{\"in\":{\"in\":{}}}",
            "{\"in\":{\"in\":1}}",
            "schema_violated /f/in/in",
        ),
        (json!(false), "", "1", "schema_violated /f"),
        (
            json!(true),
            "[{\"a\":[]}]",
            "{\"a\":1,\"a\":2}",
            "duplicate_field /f",
        ),
    ];
    for (field, good, bad, expected) in cases {
        let schema = json!({
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "f": field},
            "$defs": {
                "small": {"type": "integer", "maximum": 9},
                "tree": {"type": "object", "properties": {"in": {"$ref": "#/$defs/tree"}}},
            },
        });
        let model = Model::compile("thing", &schema, &["/id"], &[]).unwrap();
        if !good.is_empty() {
            let message = format!("{{\"id\":\"a\",\"f\":{good}}}");
            let record = model.parse(message.as_bytes()).unwrap();
            let json = model.to_json(&record);
            assert_eq!(
                model.parse(json.as_bytes()).as_ref(),
                Ok(&record),
                "{field}"
            );
        }
        let message = format!("{{\"id\":\"a\",\"f\":{bad}}}");
        let rejection = model.parse(message.as_bytes()).unwrap_err();
        let first = rejection.first();
        assert_eq!(
            format!("{} {}", first.code, first.pointer),
            expected,
            "{field}: {first:?}"
        );
    }
}

#[test]
fn a_schema_may_say_it_in_its_own_words() {
    let schema = json!({
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "string", "x-message": {"required": "Who is it?"}},
            "n": {"type": "integer", "minimum": 0, "x-code": {"minimum": "negative_money"}, "x-message": {"minimum": "No debts."}},
        },
    });
    let model = Model::compile("thing", &schema, &["/id"], &[]).unwrap();
    let said = |message: &str| {
        let rejection = model.parse(message.as_bytes()).unwrap_err();
        format!("{} {}", rejection.first().code, rejection.first().message)
    };
    assert_eq!(said("{}"), "missing_field Who is it?");
    assert_eq!(said(r#"{"id":"a","n":-1}"#), "negative_money No debts.");
}

#[test]
fn a_key_may_be_a_number_deep_inside_or_of_several_parts() {
    let schema = json!({
        "type": "object",
        "required": ["a", "b"],
        "properties": {
            "a": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
            "b": {"type": "string"},
        },
    });
    let key = |keys: &[&str]| {
        let model = Model::compile("thing", &schema, keys, &[]).unwrap();
        let message = br#"{"b":"x\u0021","a":{"n":1e2}}"#;
        let record = model.parse(message).unwrap();
        let key = model.key(&record).into_owned();
        // A message that is broken elsewhere has its key all the same.
        let broken = br#"{"b":"x\u0021","a":{"n":1e2},"b":1}"#;
        let rejection = model.parse(broken).unwrap_err();
        assert_eq!(rejection.key().unwrap_or_default(), key);
        key
    };
    assert_eq!(key(&["/b"]), "x!");
    assert_eq!(key(&["/a/n"]), "100");
    assert_eq!(key(&["/b", "/a/n"]), r#"["x!",100]"#);
    assert_eq!(key(&[]), "");
    assert!(Model::compile("thing", &schema, &["/a"], &[]).is_err());
    assert!(Model::compile("thing", &schema, &["/c"], &[]).is_err());
}
