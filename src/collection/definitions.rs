//! Definitions, tried: one of each kind with its tests, and what is mistaken, with its place.

use super::definition::Collection;
use super::trial;

const PURCHASES: &str = r#"# What a till sells.
collection: purchases
one: purchase
title: Purchases
about: What a till has sold.
schema:
  type: object
  required: [purchase_id, customer, amount, at]
  properties:
    purchase_id: {type: string, minLength: 1, maxLength: 64}
    customer: {type: string, minLength: 1, maxLength: 64}
    level: {enum: [plain, silver, gold], default: plain}
    amount: {type: integer, minimum: 0, title: Paid}
    at: {type: string, format: date-time}
key: /purchase_id
keep: first
lookups: [/customer]
sum:
  per: /customer
  add: "purchase.level == 'gold' ? purchase.amount * 3 / 100 : purchase.amount / 100"
  floor: 0
rules:
  - {id: not_absurd, field: /amount, message: Nobody pays that much., rule: "purchase.amount < 100000000"}
tests:
  - send: [{purchase_id: p1, customer: c1, level: gold, amount: 1000, at: "2026-11-30T10:00:00Z"}]
    expect: {documents: 1, sums: {c1: 30}}
  - send: ["{not json"]
    expect: {dead_letters: [{code: syntax}]}
  - send:
      - {purchase_id: p1, customer: c1, level: gold, amount: 1000, at: "2026-11-30T10:00:00Z"}
      - {purchase_id: p1, customer: c1, amount: 1, at: "2026-11-30T10:00:00Z"}
      - {purchase_id: p2, customer: c1, amount: 100000000, at: "2026-11-30T10:00:00Z"}
    expect: {documents: 1, duplicates: 1, sums: {c1: 30}, dead_letters: [{}, {code: key_taken}, {rule: not_absurd}]}
"#;

const PLACES: &str = r#"
collection: couriers
one: place
schema:
  type: object
  required: [courier, at, lat]
  properties:
    courier: {type: string}
    at: {type: string, format: date-time}
    lat: {type: number}
    off: {type: boolean, default: false}
key: [/courier]
keep: latest
version: /at
gone: place.off
tests:
  - send:
      - {courier: a, at: "2026-11-30T10:00:00Z", lat: 1.5}
      - {courier: a, at: "2026-11-30T10:00:01.5Z", lat: 1.6}
      - {courier: a, at: "2026-11-30T10:00:01.25Z", lat: 1.7}
      - {courier: a, at: "2026-11-30T11:00:00+01:00", lat: 1.5}
      - {courier: a, at: "2026-11-30T10:00:00Z", lat: 9}
    expect: {documents: 1, superseded: 1, duplicates: 0, dead_letters: [{code: key_taken}, {code: key_taken}]}
  - send: [{courier: a, at: "2026-11-30T12:00:00Z", lat: 0, off: true}]
    expect: {documents: 0}
"#;

fn compiled(text: &str) -> Collection {
    Collection::compile(text).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:#?}"))
}

/// Line, column, and message of each mistake.
fn mistakes(text: &str) -> Vec<(u64, u64, String)> {
    let Err(mistakes) = Collection::compile(text) else {
        panic!("it compiles:\n{text}");
    };
    let told =
        |mistake: crate::expression::Mistake| (mistake.line, mistake.column, mistake.message);
    mistakes.into_iter().map(told).collect()
}

fn differences(text: &str) -> Vec<String> {
    let failed = trial::run(&compiled(text));
    failed
        .into_iter()
        .flat_map(|failed| failed.differences)
        .collect()
}

#[test]
fn a_definition_is_the_whole_and_its_tests_say_what_becomes_of_what_is_sent() {
    let purchases = compiled(PURCHASES);
    assert_eq!(
        (purchases.name.as_str(), purchases.title.as_str()),
        ("purchases", "Purchases")
    );
    assert_eq!((purchases.tests.len(), purchases.rules.len()), (3, 1));
    assert_eq!(differences(PURCHASES), [""; 0]);
    assert_eq!(differences(PLACES), [""; 0]);
}

#[test]
fn a_test_that_comes_out_otherwise_says_how() {
    let other = PURCHASES.replace(
        "documents: 1, sums: {c1: 30}}",
        "documents: 2, sums: {c1: 10, c2: 1}}",
    );
    let other = other.replace("[{code: syntax}]", "[]");
    let found = differences(&other);
    assert_eq!(found[0], "documents: expected 2, found 1");
    assert_eq!(found[1], "sum of c1: expected 10, found 30");
    assert_eq!(found[2], "sum of c2: expected 1, found 0");
    assert!(
        found[3].starts_with("dead letters: expected 0, found 1\n    syntax : "),
        "{found:?}"
    );
}

#[test]
fn a_negative_entry_below_the_floor_is_a_letter_and_adds_nothing() {
    let text = "
collection: points
one: entry
schema:
  type: object
  required: [id, who, n]
  properties: {id: {type: string}, who: {type: string}, n: {type: integer}}
key: /id
sum: {per: /who, add: entry.n, floor: 0}
tests:
  - send: [{id: a, who: w, n: 5}, {id: b, who: w, n: -6}, {id: c, who: w, n: -5}, {id: d, who: w, n: -9223372036854775808}]
    expect: {documents: 2, sums: {w: 0}, dead_letters: [{code: sum_too_low}, {code: sum_too_low}]}
";
    assert_eq!(differences(text), [""; 0]);
}

#[test]
fn without_a_key_each_message_is_a_document_and_without_a_schema_any_object_is() {
    let text = "
collection: scans
tests:
  - send: [{a: 1, b: [{c: 1.50}]}, {a: 1, b: [{c: 1.50}]}, [1]]
    expect: {documents: 2, duplicates: 0, dead_letters: [{code: wrong_type}]}
";
    assert_eq!(differences(text), [""; 0]);
    let collection = compiled(text);
    let message = br#"{ "b" : [ {"c": 1.50} ], "a": "\u00e9" }"#;
    let record = collection.model.parse(message).unwrap();
    assert_eq!(
        collection.model.to_json(&record),
        r#"{"b":[{"c":1.50}],"a":"\u00e9"}"#
    );
}

#[test]
fn each_mistake_has_its_place() {
    let cases = [
        (
            "collection: purchases",
            "collection: Purchases",
            (2, 13, "a-z"),
        ),
        (
            "collection: purchases",
            "collection: inbox",
            (2, 13, "is ours"),
        ),
        (
            "collection: purchases",
            "collection: drop table",
            (2, 13, "a-z"),
        ),
        ("one: purchase", "one: size", (3, 6, "means something")),
        (
            "type: string, minLength: 1, maxLength: 64}",
            "type: string, minLenght: 1}",
            (10, 44, "Is it minLength?"),
        ),
        (
            "key: /purchase_id",
            "key: /nix",
            (15, 6, "leads to no text"),
        ),
        (
            "key: /purchase_id",
            "key: /level",
            (15, 6, "must be required"),
        ),
        ("key: /purchase_id", "key: 7", (15, 6, "JSON pointer")),
        ("keep: first", "keep: last", (16, 7, "two ways")),
        (
            "keep: first",
            "keep: first\nversion: /at",
            (17, 10, "Only with"),
        ),
        (
            "keep: first",
            "keep: first\ngone: purchase.amount == 0",
            (17, 7, "Only with"),
        ),
        ("keep: first", "keep: latest", (19, 8, "no sum")),
        (
            "lookups: [/customer]",
            "lookups: [/customer, /nix]",
            (17, 22, "leads to no text"),
        ),
        (
            "lookups: [/customer]",
            "lookups: [/customer, /customer]",
            (17, 22, "twice"),
        ),
        (
            "  per: /customer",
            "  per: /level",
            (19, 8, "no required text"),
        ),
        (
            "purchase.amount / 100\"",
            "purchase.amuont / 100\"",
            (20, 72, "no field `amuont`"),
        ),
        (
            "\"purchase.amount < 100000000\"",
            "\"purchase.amount\"",
            (23, 78, "true or false"),
        ),
        ("field: /amount", "field: /amuont", (23, 29, "no field")),
        ("title: Purchases", "titel: Purchases", (4, 1, "titel")),
        ("title: Purchases", "title: a\ntitle: b", (5, 1, "uplicate")),
        ("keep: first", "keep: &a first", (16, 7, "")),
    ];
    for (from, to, (line, column, message)) in cases {
        let text = PURCHASES.replacen(from, to, 1);
        assert_ne!(text, PURCHASES, "{from}");
        if message.is_empty() {
            continue;
        }
        let found = mistakes(&text);
        assert_eq!((found[0].0, found[0].1), (line, column), "{to}: {found:?}");
        assert!(found[0].2.contains(message), "{to}: {found:?}");
    }
}

#[test]
fn a_hostile_definition_is_refused_in_bounded_time_and_memory() {
    let deep = format!(
        "collection: a\nschema: {}1{}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let huge = format!("collection: a\nabout: {}", "x".repeat(300_000));
    let fields: String = (0..12_000)
        .map(|number| format!("    f{number}: {{type: integer}}\n"))
        .collect();
    let wide = format!("collection: a\nschema:\n  type: object\n  properties:\n{fields}");
    let pattern = "collection: a\nschema: {type: object, properties: {a: {type: string, pattern: '(a{1,1000}){1,1000}'}}}";
    let recursive = "collection: a\nschema: {type: object, properties: {a: {$ref: '#'}}}\ntests:\n  - send: [{a: {a: {a: {}}}}]\n    expect: {documents: 1}";
    let url = "collection: a\nschema: {type: object, properties: {a: {$ref: 'https://example.com/x.json'}}}";
    let aliases = "collection: a\nabout: &x [a, a]\ntitle: *x\n";
    let start = std::time::Instant::now();
    for text in [
        &deep,
        &huge,
        &wide,
        pattern,
        url,
        aliases,
        "",
        "[]",
        "a",
        "collection: a\n---\ncollection: b",
    ] {
        let found = mistakes(text);
        assert!(
            found[0].0 >= 1 && found[0].2.len() < 1_000,
            "{:?}",
            found[0]
        );
    }
    assert_eq!(differences(recursive), [""; 0]);
    assert!(
        start.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_changed_comment_or_description_changes_the_text_and_not_what_it_means() {
    let before = compiled(PURCHASES);
    let remark = compiled(
        &PURCHASES
            .replace("# What a till sells.", "# Other words.")
            .replace(
                "title: Paid",
                "title: Sum, examples: [3], x-sample: {like: '7'}",
            ),
    );
    assert_ne!(before.hash, remark.hash);
    assert_eq!(before.meaning, remark.meaning);
    for (from, to) in [
        ("minimum: 0", "minimum: 1"),
        ("floor: 0", "floor: 1"),
        ("amount < 100000000", "amount < 100000001"),
        ("lookups: [/customer]", "lookups: []"),
    ] {
        assert_ne!(
            before.meaning,
            compiled(&PURCHASES.replace(from, to)).meaning,
            "{to}"
        );
    }
}

#[test]
fn what_the_manual_shows_is_so() {
    let manual = include_str!("../../docs/collections.md");
    let yaml = manual
        .split("```yaml")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert_eq!(differences(yaml), [""; 0]);
    // The table names each key, in the order in which a mistaken one is answered.
    let (_, _, message) = mistakes("nix: 1").remove(0);
    let (_, keys) = message.split_once("expected one of ").unwrap();
    for key in keys.trim_end_matches('.').split(", ") {
        assert!(manual.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn each_example_is_a_definition_and_its_tests_pass() {
    let mut seen = Vec::new();
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let collection = compiled(&text);
        assert_eq!(
            path.file_stem().unwrap().to_str(),
            Some(collection.name.as_str())
        );
        assert!(
            !collection.tests.is_empty() && !collection.about.is_empty(),
            "{path:?}"
        );
        assert_eq!(differences(&text), [""; 0], "{path:?}");
        seen.push(collection.name);
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "couriers",
            "kitchen",
            "loyalty",
            "scans",
            "stock",
            "telemetry"
        ]
    );
}
