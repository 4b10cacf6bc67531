//! The model and the crate `jsonschema` are asked about random schemas and random documents, and must agree, but for what
//! `schema` names: null means that a field is not there, whole numbers have 64 bits, three formats are asserted.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::Model;

const PAIRS: usize = 100_000;
pub const TEXTS: [&str; 8] = ["", "a", "ab", "abc", "é", "2024-02-29", "b1", "zzzzzz"];
const NUMBERS: [&str; 14] = [
    "0", "1", "-1", "2", "3", "10", "1.0", "0.5", "-0.5", "1e1", "2.5", "100", "-3", "1.25",
];
const NAMES: [&str; 5] = ["a", "b", "c", "d e", "f/~"];

pub fn one<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())].clone()
}

pub fn number(rng: &mut Rng) -> Value {
    serde_json::from_str(one(rng, &NUMBERS)).unwrap()
}

/// With a chance of one in `of`.
fn sometimes(rng: &mut Rng, of: u32, schema: &mut Value, word: &str, value: Value) {
    if rng.u32(..of) == 0 {
        schema[word] = value;
    }
}

fn schema(rng: &mut Rng, depth: u32) -> Value {
    let kinds = if depth == 0 { 7 } else { 12 };
    match rng.u32(..kinds) {
        0 | 1 => {
            let mut schema = json!({"type": "string"});
            let (short, long) = (rng.usize(..3), rng.usize(1..5));
            sometimes(rng, 3, &mut schema, "minLength", json!(short));
            sometimes(rng, 3, &mut schema, "maxLength", json!(long));
            let pattern = one(rng, &["^a", "b$", "^[a-z]*$", "\\d", "é"]);
            sometimes(rng, 4, &mut schema, "pattern", json!(pattern));
            let texts = json!([one(rng, &TEXTS), one(rng, &TEXTS)]);
            if texts[0] != texts[1] {
                sometimes(rng, 5, &mut schema, "enum", texts);
            }
            sometimes(rng, 8, &mut schema, "format", json!("date"));
            schema
        }
        2 | 3 => {
            let mut schema = json!({"type": one(rng, &["integer", "number"])});
            for word in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
                let bound = number(rng);
                sometimes(rng, 5, &mut schema, word, bound);
            }
            let constant = number(rng);
            sometimes(rng, 8, &mut schema, "const", constant);
            sometimes(rng, 8, &mut schema, "multipleOf", json!(0.5));
            schema
        }
        4 => json!({"type": "boolean"}),
        5 => one(
            rng,
            &[
                json!({}),
                json!(true),
                json!({"enum": ["a", 1, [2]]}),
                json!({"type": ["string", "integer"], "minimum": 2}),
                json!({"$ref": "#/$defs/small"}),
                json!({"$ref": "#/$defs/tree"}),
                json!({"minLength": 2, "maximum": 5}),
            ],
        ),
        6 => json!({"const": one(rng, &TEXTS)}),
        7 | 8 => object(rng, depth),
        9 | 10 => {
            let mut list = json!({"type": "array", "items": schema(rng, depth - 1)});
            let (least, most) = (rng.usize(..2), rng.usize(1..4));
            sometimes(rng, 3, &mut list, "minItems", json!(least));
            sometimes(rng, 3, &mut list, "maxItems", json!(most));
            sometimes(rng, 5, &mut list, "uniqueItems", json!(true));
            sometimes(rng, 9, &mut list, "contains", json!({"type": "string"}));
            list
        }
        _ => {
            let both = [schema(rng, depth - 1), schema(rng, depth - 1)];
            let word = one(rng, &["anyOf", "oneOf", "allOf"]);
            json!({word: both})
        }
    }
}

/// The schema of a message.
pub fn message(rng: &mut Rng) -> Value {
    let mut root = object(rng, 3);
    root["$defs"] = json!({
        "small": {"type": "integer", "maximum": 2},
        "tree": {"type": "object", "properties": {"in": {"$ref": "#/$defs/tree"}}},
    });
    root
}

fn object(rng: &mut Rng, depth: u32) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for name in NAMES {
        if rng.bool() {
            properties.insert(name.to_owned(), schema(rng, depth.saturating_sub(1)));
        }
        if rng.u32(..4) == 0 {
            required.push(name);
        }
    }
    let mut object = json!({"type": "object"});
    sometimes(rng, 9, &mut object, "minProperties", json!(1));
    sometimes(
        rng,
        9,
        &mut object,
        "dependentRequired",
        json!({"a": ["b"]}),
    );
    sometimes(rng, 9, &mut object, "not", json!({"required": ["c"]}));
    if !properties.is_empty() {
        object["properties"] = properties.into();
    }
    object["required"] = json!(required);
    let others = match rng.u32(..5) {
        0 => json!(false),
        1 => json!(true),
        2 => schema(rng, depth.saturating_sub(1)),
        _ => return object,
    };
    object["additionalProperties"] = others;
    object
}

/// A document that the schema mostly takes.
pub fn document(rng: &mut Rng, root: &Value, schema: &Value, depth: u32) -> Value {
    if rng.u32(..12) == 0 || depth == 0 {
        return one(
            rng,
            &[
                json!("a"),
                json!(1),
                json!(true),
                json!([]),
                json!({}),
                json!([1, 1]),
                json!({"a": 1}),
            ],
        );
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return document(rng, root, target, depth - 1);
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        if let Some(list) = schema[word].as_array() {
            let schema = one(rng, list);
            return document(rng, root, &schema, depth);
        }
    }
    if let Some(values) = schema["enum"].as_array()
        && rng.u32(..4) > 0
    {
        return one(rng, values);
    }
    if !schema["const"].is_null() && rng.u32(..4) > 0 {
        return schema["const"].clone();
    }
    match schema["type"].as_str() {
        Some("string") => json!(one(rng, &TEXTS)),
        Some("integer" | "number") => number(rng),
        Some("boolean") => json!(rng.bool()),
        Some("array") => {
            let count = rng.usize(..4);
            let element = |_| document(rng, root, &schema["items"], depth - 1);
            (0..count).map(element).collect()
        }
        Some("object") => {
            let mut object = Map::new();
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            for name in NAMES {
                let described = &schema["properties"][name];
                let must = required.contains(&json!(name)) && rng.u32(..10) > 0;
                if must || rng.u32(..3) == 0 {
                    object.insert(name.to_owned(), document(rng, root, described, depth - 1));
                }
            }
            object.into()
        }
        _ => one(
            rng,
            &[
                json!("ab"),
                json!(2),
                json!([2]),
                json!({"in": {}}),
                json!(false),
            ],
        ),
    }
}

#[test]
fn the_model_and_another_judge_agree_on_random_schemas_and_documents() {
    let rng = &mut Rng::with_seed(16);
    let (mut good, mut bad, mut schemas) = (0, 0, 0);
    while good + bad < PAIRS {
        let root = message(rng);
        let other = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&root)
            .unwrap();
        let model = Model::compile("thing", &root, &[], &[]);
        let model = model.unwrap_or_else(|mistake| panic!("{root:#}\n{mistake:?}"));
        schemas += 1;
        for _ in 0..50 {
            let document = document(rng, &root, &root, 5);
            let text = match rng.bool() {
                true => document.to_string(),
                false => format!("{document:#}"),
            };
            let expected = other.is_valid(&document);
            let found = model.parse(text.as_bytes());
            assert_eq!(found.is_ok(), expected, "{root:#}\n{text}\n{found:?}");
            let explained = model.explain(text.as_bytes());
            let silent = explained.first().code == super::Code::Unexplained;
            assert_eq!(silent, expected, "{root:#}\n{text}\n{explained:?}");
            match found {
                Ok(record) => {
                    good += 1;
                    let json = model.to_json(&record);
                    // What unknown fields were needed for (minProperties, uniqueItems) may be missing without them.
                    if let Ok(again) = model.parse(json.as_bytes()) {
                        assert_eq!(again, record, "{root:#}\n{text}");
                    }
                }
                Err(_) => bad += 1,
            }
        }
    }
    assert!(
        good > PAIRS / 5 && bad > PAIRS / 5,
        "{good} good, {bad} bad, {schemas} schemas"
    );
}
