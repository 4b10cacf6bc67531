//! What samples of real definitions look like: orders, and the examples.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::corpus::STRICT;
use super::{Collection, EXAMPLE, orders};
use crate::expression::Rules;
use crate::record::{Junk, Model, NoSample, Samples};

fn seeded(model: &Model, seed: u64) -> Samples<'_> {
    Samples::seeded(model, seed).unwrap()
}

/// The definitions in examples/.
fn examples() -> Vec<Collection> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = std::fs::read_to_string(path).unwrap();
            found
                .push(Collection::compile(&text).unwrap_or_else(|mistakes| panic!("{mistakes:?}")));
        }
    }
    assert!(found.len() >= 6, "{}", found.len());
    found
}

#[test]
fn every_order_obeys_the_strict_rules_and_is_as_large_as_real_ones() {
    let model = &orders().model;
    let rules = Rules::compile(STRICT, model).unwrap();
    let mut samples = seeded(model, 7);
    let (mut keys, mut counts, mut bytes) = (HashSet::new(), HashSet::new(), 0);
    for _ in 0..5_000 {
        let order = samples.message();
        let record = model.parse(order.as_bytes()).unwrap();
        rules
            .check(model, &record)
            .unwrap_or_else(|rejection| panic!("{order}\n{rejection:?}"));
        let key = model.key(&record).into_owned();
        assert_eq!(key.len(), 19, "{order}");
        assert!(keys.insert(key));
        counts.insert(model.count(&record, &["items"]));
        bytes += order.len();
    }
    assert_eq!(counts, HashSet::from([1, 2, 3, 4, 5]));
    assert!(
        (1_000..1_300).contains(&(bytes / 5_000)),
        "{}",
        bytes / 5_000
    );
}

#[test]
fn an_order_has_the_members_of_the_example() {
    fn members(value: &Value, path: &str, into: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    members(value, &format!("{path}/{name}"), into);
                }
            }
            Value::Array(items) => members(&items[0], &format!("{path}/0"), into),
            _ => into.push(path.to_owned()),
        }
    }
    let of = |json: &str| {
        let mut names = Vec::new();
        members(&serde_json::from_str(json).unwrap(), "", &mut names);
        names
    };
    assert_eq!(of(&seeded(&orders().model, 1).message()), of(EXAMPLE));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let model = &orders().model;
    let (mut one, mut other) = (seeded(model, 3), seeded(model, 3));
    for kind in Junk::ALL {
        assert_eq!(one.message(), other.message());
        assert_eq!(one.junk(kind), other.junk(kind));
    }
    assert_ne!(seeded(model, 4).message(), seeded(model, 3).message());
    let now = 1_800_000_000;
    let of = |now| Samples::new(model, 3, now).unwrap().message();
    assert_ne!(of(now), of(now + 86_400));
}

#[test]
fn what_should_be_no_json_is_none_and_the_rest_is() {
    use Junk::*;
    let mut samples = seeded(&orders().model, 11);
    samples.message();
    assert_eq!(samples.kinds(), Junk::ALL);
    for kind in Junk::ALL {
        for _ in 0..200 {
            let bytes = samples.junk(kind).unwrap();
            assert!(bytes.len() <= 10_000, "{kind}: {} bytes", bytes.len());
            let json = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok();
            let text = std::str::from_utf8(&bytes).is_ok();
            let (is_text, is_json) = match kind {
                NotUtf8 => (false, json),
                Utf16 | Gzip => (false, false),
                RandomBytes => (text, false),
                Empty | Truncated | Bom | Xml => (true, false),
                _ => (true, true),
            };
            assert_eq!((text, json), (is_text, is_json), "{kind}");
        }
    }
}

#[test]
fn junk_of_each_kind_is_refused_for_what_it_is() {
    let model = &orders().model;
    let mut samples = seeded(model, 13);
    for (kind, codes) in [
        (Junk::Empty, &["empty"][..]),
        (Junk::Bom, &["byte_order_mark"]),
        (Junk::Utf16, &["utf16"]),
        (Junk::Gzip, &["compressed"]),
        (Junk::NotUtf8, &["not_utf8"]),
        (Junk::Array, &["wrong_type"]),
        (Junk::WrongType, &["wrong_type"]),
        (Junk::MissingField, &["missing_field"]),
        (Junk::NegativeMoney, &["negative_money"]),
        (Junk::HugeNumber, &["number_out_of_range"]),
        (Junk::BadDate, &["bad_date"]),
        (Junk::NoItems, &["no_items"]),
        (Junk::EmptyUid, &["empty_field"]),
        (Junk::LongUid, &["too_long"]),
        // In the place of a date they are no date.
        (Junk::LoneSurrogate, &["lone_surrogate", "bad_date"]),
        (Junk::NulEscape, &["nul_character", "bad_date"]),
        (Junk::DuplicateField, &["duplicate_field"]),
        (Junk::DeepNesting, &["too_deep"]),
    ] {
        for _ in 0..50 {
            let bytes = samples.junk(kind).unwrap();
            let rejection = model.parse(&bytes).unwrap_err();
            let code = rejection.first().code.to_string();
            assert!(codes.contains(&code.as_str()), "{kind}: {rejection:?}");
        }
    }
}

#[test]
fn conflicts_take_the_key_of_a_message_made_before() {
    let model = &orders().model;
    let mut samples = seeded(model, 5);
    let first = samples.junk(Junk::Conflict).unwrap();
    let second = samples.junk(Junk::Conflict).unwrap();
    assert_ne!(first, second);
    let [first, second] = [&first, &second].map(|bytes| model.parse(bytes).unwrap());
    assert_eq!(model.key(&first), model.key(&second));
}

#[test]
fn samples_of_the_examples_obey_their_rules() {
    for collection in examples() {
        let (name, model) = (&collection.name, &collection.model);
        let mut samples = seeded(model, 1);
        let mut keys = HashSet::new();
        let mut broken = 0;
        for _ in 0..500 {
            let message = samples.message();
            let record = model.parse(message.as_bytes()).unwrap();
            broken += u32::from(collection.rules.check(model, &record).is_err());
            let is_new = keys.insert(model.key(&record).into_owned());
            assert!(is_new || !model.has_key(), "{name}: {message}");
        }
        assert!(broken <= 25, "{name}: {broken}\n{}", samples.message());
        let kinds = samples.kinds();
        for kind in Junk::ALL {
            for _ in 0..20 {
                let junk = samples.junk(kind);
                assert_eq!(junk.is_some(), kinds.contains(&kind), "{name}: {kind}");
                let refused = junk.is_none_or(|junk| model.parse(&junk).is_err());
                assert!(refused || kind == Junk::Conflict, "{name}: {kind}");
            }
        }
        assert_eq!(kinds.contains(&Junk::Conflict), name != "telemetry");
        assert!(!kinds.contains(&Junk::NoItems), "{name}");
    }
}

#[test]
fn a_schema_that_nothing_can_be_made_of_is_told() {
    let compile = |properties: &str| {
        let text = format!(
            "collection: things\nschema: {{type: object, required: [a], properties: {{a: {properties}}}}}"
        );
        Collection::compile(&text)
    };
    let made = |properties: &str| {
        let collection = compile(properties).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        Samples::seeded(&collection.model, 1).map(|mut samples| samples.message())
    };
    let hard = made(r#"{type: string, pattern: "^a$", minLength: 2}"#);
    assert!(matches!(&hard, Err(NoSample(_))), "{hard:?}");
    assert!(hard.unwrap_err().to_string().contains("`examples`"));
    assert!(made(r#"{type: integer, multipleOf: 7, exclusiveMinimum: 100, maximum: 110}"#).is_ok());
    assert!(made(r#"{type: number, exclusiveMaximum: 0}"#).is_ok());
    assert!(made(r#"{oneOf: [{type: string}, {type: "null"}]}"#).is_ok());
    assert!(
        made(r#"{type: array, items: {enum: [1, 2, 3]}, minItems: 2, uniqueItems: true}"#).is_ok()
    );
    assert_eq!(made(r#"{enum: [7]}"#).unwrap(), r#"{"a":7}"#);
    // What `x-sample` says wrongly is a mistake of the definition.
    for wrong in ["same: /b", "same: /a", "sum: [/a]", "like: '('", "likes: a"] {
        assert!(
            compile(&format!("{{type: string, x-sample: {{{wrong}}}}}")).is_err(),
            "{wrong}"
        );
    }
}
