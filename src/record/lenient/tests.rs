//! Examples, and random messages that one random schema takes, rendered by another.

use fastrand::Rng;
use serde_json::{Value as Json, json};

use super::super::agreement::{TEXTS, document, message, number, one};
use super::super::{Code, Model};
use super::*;

fn model(schema: &Json) -> Model {
    Model::compile("thing", schema, &[], &[]).unwrap_or_else(|mistake| panic!("{mistake:?}"))
}

/// The served form; the stored form has the same members.
fn served(model: &Model, bytes: &[u8]) -> String {
    let rendered = model.render(bytes);
    let (mut served, mut stored) = (Vec::new(), Vec::new());
    rendered.write_served(&mut served);
    rendered.write_stored(&mut stored);
    let served = String::from_utf8(served).unwrap();
    let value: Json = serde_json::from_str(&served).unwrap();
    let same: Json = serde_json::from_slice(&stored).unwrap();
    assert_eq!(value, same, "{served}");
    let end = served.len();
    let kept = kept::keep(&served, Span { start: 0, end });
    assert_eq!(kept.as_deref(), Ok(served.as_str()), "{served}");
    served
}

fn assert_served(schema: Json, cases: &[(&str, &str)]) {
    let model = model(&schema);
    for (message, expected) in cases {
        assert_eq!(served(&model, message.as_bytes()), *expected, "{message}");
    }
}

#[test]
fn what_does_not_fit_is_left_out() {
    assert_served(
        json!({
            "type": "object",
            "required": ["name", "count"],
            "properties": {
                "name": {"type": "string", "maxLength": 3},
                "count": {"type": "integer", "maximum": 9},
                "rate": {"type": "number", "minimum": 0.5},
                "on": {"type": "boolean"},
                "day": {"type": "string", "format": "date"},
                "kind": {"enum": ["a", "b"]},
                "code": {"type": "string", "pattern": "^[a-z]+$"},
                "other": {"oneOf": [{"type": "string"}, {"type": "null"}]},
            },
        }),
        &[
            (r#"{"name":"abc","count":1e1}"#, r#"{"name":"abc"}"#),
            (r#"{"name":"abcd","count":1.0}"#, r#"{"count":1}"#),
            (r#"{"name":null,"count":9223372036854775808}"#, "{}"),
            (
                r#"{"count":1.5,"rate":5e-1,"on":true}"#,
                r#"{"rate":0.5,"on":true}"#,
            ),
            (
                r#"{"rate":0.4,"on":"true","day":"2024-02-29"}"#,
                r#"{"day":"2024-02-29"}"#,
            ),
            (
                r#"{"day":"2023-02-29","kind":"a","code":"a"}"#,
                r#"{"kind":"a","code":"a"}"#,
            ),
            (r#"{"kind":"c","code":"1","other":1,"more":1}"#, "{}"),
        ],
    );
}

#[test]
fn an_object_keeps_the_fields_that_fit_and_a_list_the_elements() {
    let numbers = json!({"type": "array", "items": {"type": "integer"}});
    let few = json!({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2});
    assert_served(
        json!({
            "type": "object",
            "required": ["place"],
            "properties": {
                "place": {
                    "type": "object",
                    "required": ["x"],
                    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                },
                "numbers": numbers,
                "few": few,
                "rows": {
                    "type": "array",
                    "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "in": few}},
                },
            },
        }),
        &[
            (r#"{"place":{"x":"1","y":2}}"#, r#"{"place":{"y":2}}"#),
            (
                r#"{"place":[],"numbers":[1,"2",null,3]}"#,
                r#"{"numbers":[1,3]}"#,
            ),
            (r#"{"few":["1"],"numbers":["1"]}"#, r#"{"numbers":[]}"#),
            (r#"{"few":[1,"2",3]}"#, r#"{"few":[1,3]}"#),
            (r#"{"few":[1,2,3]}"#, "{}"),
            (
                r#"{"rows":[{"a":1},{"in":[],"a":"b"},7,{"in":[1]}]}"#,
                r#"{"rows":[{},{"a":"b"},{"in":[1]}]}"#,
            ),
        ],
    );
}

#[test]
fn what_was_left_out_stays_out() {
    assert_served(
        json!({
            "type": "object",
            "required": ["must"],
            "properties": {
                "must": {"type": "integer"},
                "text": {"type": "string", "maxLength": 1, "default": "-"},
                "list": {"type": "array", "maxItems": 1, "default": []},
                "in": {"type": "object", "properties": {"number": {"type": "number", "default": 1.50}}},
            },
        }),
        &[
            ("{}", r#"{"text":"-","list":[]}"#),
            (r#"{"text":null,"list":null}"#, r#"{"text":"-","list":[]}"#),
            (r#"{"text":"ab","list":[1,2]}"#, "{}"),
            (
                r#"{"text":"ab","in":{"number":"1"}}"#,
                r#"{"list":[],"in":{}}"#,
            ),
            (
                r#"{"text":"a","in":{}}"#,
                r#"{"text":"a","list":[],"in":{"number":1.5}}"#,
            ),
        ],
    );
}

#[test]
fn what_postgres_cannot_hold_is_left_out() {
    let deep = format!(
        r#"{{"a":"","any":{}1{}}}"#,
        "[".repeat(129),
        "]".repeat(129)
    );
    let long = format!(
        r#"{{"any":1e2000,"b":1e2000,"a":"","more":[{}]}}"#,
        "1".repeat(1_001)
    );
    assert_served(
        json!({
            "type": "object",
            "required": ["b"],
            "properties": {
                "a": {"type": "string"},
                "b": {"type": "number"},
                "any": {},
                "texts": {"type": "array", "items": {"type": "string"}},
            },
            "additionalProperties": true,
        }),
        &[
            (
                r#"{"a":"\u0000","texts":["\ud800","\u0000","a"]}"#,
                r#"{"texts":["a"]}"#,
            ),
            (
                r#"{"any":["\u0000"],"more":"\ud800","a":""}"#,
                r#"{"a":""}"#,
            ),
            (r#"{"any":{"a":1,"\u0061":2},"a":""}"#, r#"{"a":""}"#),
            (
                r#"{"\u0000":1,"\ud800":2,"\u0061":"","m":1}"#,
                r#"{"a":"","m":1}"#,
            ),
            (&deep, r#"{"a":""}"#),
            (&long, r#"{"a":""}"#),
        ],
    );
}

#[test]
fn a_document_too_large_for_jsonb_loses_its_lists() {
    let names = (0..40).map(|number| {
        (
            format!("field {number}"),
            json!({"type": "integer", "default": 0}),
        )
    });
    let row = json!({"type": "object", "properties": names.collect::<serde_json::Map<_, _>>()});
    let model = model(&json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "few": {"type": "array", "items": {"type": "string"}},
            "rows": {"type": "array", "items": row},
        },
    }));
    let rows = "{},".repeat(200_000);
    let message = format!(r#"{{"few":["a"],"rows":[{rows}{{}}],"name":"n"}}"#);
    let rejection = model.parse(message.as_bytes()).unwrap_err();
    assert_eq!(rejection.first().code, Code::TooLarge);
    assert_eq!(served(&model, message.as_bytes()), r#"{"name":"n"}"#);
    // What is left out of the lists is not counted.
    let message = format!(
        r#"{{"few":["a"],"rows":[{}{{}}],"name":"n"}}"#,
        "[],".repeat(200_000)
    );
    assert!(served(&model, message.as_bytes()).starts_with(r#"{"name":"n","few":["a"],"rows":[{"#));
}

#[test]
fn fields_that_the_schema_does_not_name_are_kept_if_it_says_so() {
    let with = |others: Json| {
        let mut schema = json!({
            "type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}},
        });
        if !others.is_null() {
            schema["additionalProperties"] = others;
        }
        served(
            &model(&schema),
            br#"{"b": "x", "a": "1", "c": [ 1 ], "b": 2}"#,
        )
    };
    assert_eq!(with(Json::Null), "{}");
    assert_eq!(with(json!(false)), "{}");
    assert_eq!(with(json!(true)), r#"{"c":[1],"b":2}"#);
    assert_eq!(with(json!({"type": "integer"})), r#"{"b":2}"#);
}

#[test]
fn of_fields_with_the_same_name_the_last_one_counts() {
    assert_served(
        json!({"type": "object", "properties": {"a": {"type": "integer", "default": 7}}}),
        &[
            (r#"{"a":1,"\u0061":2}"#, r#"{"a":2}"#),
            (r#"{"a":1,"a":null}"#, r#"{"a":7}"#),
            (r#"{"a":1,"a":"2"}"#, "{}"),
        ],
    );
}

#[test]
fn a_part_is_judged_as_it_was_sent_and_as_it_has_become() {
    let both = json!({
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "minProperties": 1,
        "dependentRequired": {"a": ["b"]},
    });
    assert_served(
        json!({"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}, "in": both}}),
        &[
            (r#"{"in":{"a":1,"b":2}}"#, r#"{"in":{"a":1,"b":2}}"#),
            // As it was sent it is not empty.
            (r#"{"in":{"more":1}}"#, r#"{"in":{}}"#),
            // Without what does not fit it is as the schema wants it.
            (r#"{"in":{"a":"1","b":2}}"#, r#"{"in":{"b":2}}"#),
            (r#"{"in":{"a":1,"b":"2"}}"#, "{}"),
            (r#"{"in":{}}"#, "{}"),
        ],
    );
}

#[test]
fn what_is_fixed_is_rendered_whatever_is_asked_of_it() {
    let schema = json!({
        "type": "object",
        "required": ["id", "at", "with"],
        "properties": {
            "id": {"type": "string", "maxLength": 2},
            "at": {"type": "object", "required": ["version"], "properties": {"version": {"type": "integer", "maximum": 9}}, "maxProperties": 1},
            "with": {"enum": ["one", "two"]},
        },
    });
    let mut model = Model::compile("thing", &schema, &["/id"], &[]).unwrap();
    let message = br#"{"id":"long","at":{"version":10,"b":1},"with":"three"}"#;
    assert_eq!(served(&model, message), r#"{"id":"long"}"#);
    for path in [&["at", "version"][..], &["with"]] {
        model.fix(model.field(path).unwrap().slot);
    }
    let all = r#"{"id":"long","at":{"version":10},"with":"three"}"#;
    assert_eq!(served(&model, message), all);
    // No definition has accepted this one.
    assert_eq!(
        served(&model, br#"{"id":1,"at":{"version":"1"},"with":"\u0000"}"#),
        r#"{"at":{}}"#
    );
}

#[test]
fn what_is_no_json_object_is_rendered_without_fields() {
    let model = model(&json!({
        "type": "object", "properties": {"a": {"type": "integer", "default": 1}},
    }));
    let random: Vec<u8> = (0..=255).collect();
    for bytes in [
        &b""[..],
        b"null",
        b"[{}]",
        b"{\"a\":2",
        b"{\"a\":2}}",
        b"\xff{}",
        &random,
    ] {
        assert_eq!(served(&model, bytes), "{}");
    }
    assert_eq!(served(&model, b" { } "), r#"{"a":1}"#);
}

/// A model of a random schema, and its schema. Some optional fields have defaults.
fn any_model(rng: &mut Rng, with_defaults: bool) -> (Json, Model) {
    let mut schema = message(rng);
    let mut compiled = model(&schema);
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for (name, property) in properties {
        let default = match property["type"].as_str() {
            Some("string") => json!(one(rng, &TEXTS)),
            Some("integer" | "number") => number(rng),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            _ => continue,
        };
        if !with_defaults || required.contains(&json!(name)) {
            continue;
        }
        let mut tried = schema.clone();
        tried["properties"][&name]["default"] = default;
        if let Ok(model) = Model::compile("thing", &tried, &[], &[]) {
            (schema, compiled) = (tried, model);
        }
    }
    (schema, compiled)
}

/// A message that the schema mostly takes. Where it drops a field, it takes what Postgres could not hold.
fn any_message(rng: &mut Rng, schema: &Json) -> String {
    let message = document(rng, schema, schema, 5);
    let message = match rng.bool() {
        true => message.to_string(),
        false => format!("{message:#}"),
    };
    match rng.u8(..4) {
        0 => message.replacen("\"ab\"", "\"\\u0000\"", 1),
        1 => message.replacen("\"ab\"", "\"\\ud800\"", 1),
        _ => message,
    }
}

/// True if an object or a list has a judge of its own: what it takes as it was sent, it may not take as it is served.
fn judges_what_is_composed(value: &Value) -> bool {
    match &value.kind {
        Kind::Object(object) => {
            let inner = |field: &Field| judges_what_is_composed(&field.value);
            value.judge.is_some() || object.fields.iter().any(inner)
        }
        Kind::List(list) => value.judge.is_some() || judges_what_is_composed(&list.element),
        _ => false,
    }
}

#[test]
fn rendering_cannot_fail_for_bytes_that_were_once_accepted() {
    let rng = &mut Rng::with_seed(17);
    let (mut accepted, mut part, mut same) = (0, 0, 0);
    for round in 0..600 {
        let with_defaults = round % 2 == 0;
        let (schema, first) = any_model(rng, with_defaults);
        let (other, last) = any_model(rng, with_defaults);
        let fields = last.object.fields.iter();
        let is_judged =
            last.judge.is_some() || { fields }.any(|field| judges_what_is_composed(&field.value));
        for _ in 0..40 {
            let message = any_message(rng, &schema);
            if first.parse(message.as_bytes()).is_err() {
                continue;
            }
            accepted += 1;
            let once = served(&last, message.as_bytes());
            part += u32::from(!last.render(message.as_bytes()).is_whole());
            // What is served is as the last definition wants it, but for what is missing.
            let told = last.explain(once.as_bytes());
            let is_about = |code| match code {
                Code::MissingField | Code::Unexplained => true,
                Code::SchemaViolated => is_judged,
                _ => false,
            };
            let violations = told.violations();
            assert!(
                violations.iter().all(|one| is_about(one.code)),
                "{other:#}\n{message}\n{once}\n{told:?}"
            );
            let twice = served(&last, once.as_bytes());
            if !with_defaults && !is_judged {
                assert_eq!(twice, once, "{other:#}\n{message}");
                same += 1;
            }
        }
    }
    assert!(
        accepted > 5_000 && part > 2_000 && same > 1_000,
        "{accepted} {part} {same}"
    );
}

#[test]
fn no_bytes_make_rendering_fail() {
    let rng = &mut Rng::with_seed(18);
    let mut objects = 0;
    for _ in 0..300 {
        let (schema, model) = any_model(rng, true);
        for _ in 0..40 {
            let mut bytes = any_message(rng, &schema).into_bytes();
            for _ in 0..rng.usize(1..3) {
                let at = rng.usize(..bytes.len());
                match rng.u8(..3) {
                    0 => bytes[at] = one(rng, b"{}[]\",:\\u0d8 1e\xc3"),
                    1 => drop(bytes.splice(at..at, *b"\\u0000")),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            objects += u32::from(served(&model, &bytes) != "{}");
        }
    }
    assert!(objects > 500, "{objects}");
}

#[test]
fn what_a_model_takes_is_rendered_as_it_writes_it() {
    let rng = &mut Rng::with_seed(19);
    let mut taken = 0;
    for _ in 0..600 {
        let (schema, model) = any_model(rng, true);
        for _ in 0..20 {
            let message = any_message(rng, &schema);
            let Ok(record) = model.parse(message.as_bytes()) else {
                continue;
            };
            taken += 1;
            let slowly = Rendered {
                model: &model,
                form: Form::Part(model.what_fits(message.as_bytes())),
            };
            for (rendered, is_whole) in [(model.render(message.as_bytes()), true), (slowly, false)]
            {
                assert_eq!(rendered.is_whole(), is_whole);
                let [mut served, mut stored, mut wanted] = [Vec::new(), Vec::new(), Vec::new()];
                rendered.write_served(&mut served);
                rendered.write_stored(&mut stored);
                assert_eq!(
                    String::from_utf8(served).unwrap(),
                    model.to_json(&record),
                    "{message}"
                );
                model.write_stored(&record, &mut wanted);
                assert_eq!(stored, wanted, "{message}");
            }
        }
    }
    assert!(taken > 3_000, "{taken}");
}

/// Some of its fields are as in another schema, or are required as there.
fn changed(rng: &mut Rng, schema: &Json) -> Json {
    let other = message(rng);
    let mut changed = schema.clone();
    for (name, property) in other["properties"].as_object().into_iter().flatten() {
        if rng.u8(..4) == 0 {
            changed["properties"][name] = property.clone();
        }
    }
    if rng.u8(..4) == 0 {
        changed["required"] = other["required"].clone();
    }
    changed
}

#[test]
fn what_the_served_schema_requires_is_in_every_document() {
    let rng = &mut Rng::with_seed(20);
    let (mut documents, mut required) = (0, 0);
    for _ in 0..400 {
        let first = message(rng);
        let schemas = [&first, &changed(rng, &first), &changed(rng, &first)].map(Json::clone);
        let models = schemas.each_ref().map(model);
        let [earlier @ .., last] = &models.each_ref();
        let served_schema = last.served_schema_since(earlier);
        required += served_schema["required"].as_array().unwrap().len();
        let judge = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&served_schema)
            .unwrap();
        for (schema, model) in schemas.iter().zip(&models) {
            for _ in 0..20 {
                let message = any_message(rng, schema);
                if model.parse(message.as_bytes()).is_err() {
                    continue;
                }
                documents += 1;
                let served = served(last, message.as_bytes());
                let value = serde_json::from_str(&served).unwrap();
                let mistakes: Vec<_> = judge.iter_errors(&value).map(|it| it.to_string()).collect();
                assert!(
                    mistakes.is_empty(),
                    "{message}\n{served}\n{served_schema:#}\n{mistakes:#?}"
                );
            }
        }
    }
    assert!(
        documents > 5_000 && required > 200,
        "{documents} {required}"
    );
}
