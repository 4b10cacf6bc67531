//! The checks of a message, tried with orders: whatever bytes come, a record or a rejection comes out.

use serde_json::Value;

use super::corpus::corpus;
use super::{EXAMPLE, orders};
use crate::record::{Code, MAX_VIOLATIONS, Model, Reason, Record, Rejection};

fn model() -> &'static Model {
    &orders().model
}

fn parse(payload: &[u8]) -> Result<Record<'_>, Rejection> {
    model().parse(payload)
}

/// The two opinions on one message; whatever comes, they agree, and what is accepted is stable.
fn judge(payload: &[u8]) -> Result<Record<'_>, Rejection> {
    let slow = model().explain(payload);
    let nothing_found = slow.first().code == Code::Unexplained;
    let verdict = parse(payload);
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(2_000)]);
    assert_eq!(verdict.is_ok(), nothing_found, "{shown}\n{slow:#?}");
    match &verdict {
        Ok(order) => {
            let json = model().to_json(order);
            assert!(!json.replace("\\\\", "").contains("\\u0000"), "{shown}");
            assert_eq!(parse(json.as_bytes()).as_ref(), Ok(order), "{shown}");
        }
        Err(rejection) => {
            for violation in rejection.violations() {
                assert!(
                    violation.code.reasons().contains(&rejection.reason()),
                    "{violation:?}"
                );
                assert!(violation.message.len() < 1_000, "{violation:?}");
                assert!(violation.pointer.len() < 100, "{violation:?}");
                assert!(
                    violation.line >= Some(1) && violation.column >= Some(1),
                    "{violation:?}"
                );
            }
            let stored = serde_json::to_string(rejection).unwrap();
            assert!(!stored.replace("\\\\", "").contains("\\u0000"), "{stored}");
        }
    }
    verdict
}

#[test]
fn model_is_an_order_and_so_is_it_under_another_uid() {
    let order = parse(EXAMPLE.as_bytes()).unwrap();
    let canonical: Value = serde_json::from_str(&model().to_json(&order)).unwrap();
    assert_eq!(canonical, serde_json::from_str::<Value>(EXAMPLE).unwrap());
    let compact: String = EXAMPLE
        .lines()
        .map(|line| line.trim().replace("\": ", "\":"))
        .collect();
    assert_eq!(
        model().to_json(&order),
        compact,
        "the canonical JSON has the model's order of fields"
    );

    let other = EXAMPLE.replacen("b563feb7b2b84b6test", "another", 1);
    assert_eq!(model().key(&judge(other.as_bytes()).unwrap()), "another");
}

#[test]
fn texts_without_escapes_are_borrowed() {
    use std::borrow::Cow;
    let text = EXAMPLE.replace("Test Testov", "Test \\u0442");
    let order = parse(text.as_bytes()).unwrap();
    let owned: Vec<_> = order
        .texts()
        .filter(|text| matches!(text, Cow::Owned(_)))
        .collect();
    assert_eq!(owned, ["Test т"]);
}

#[test]
fn both_opinions_agree_on_every_mutation_of_a_valid_order() {
    let values = [
        "null",
        "true",
        "\"\"",
        "\"x\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"\\n\"",
        "0",
        "-0",
        "-1",
        "1.0",
        "1e2",
        "1e999999",
        "-1e999999",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "00",
        "[]",
        "{}",
        "[{}]",
        "[null]",
        "[[]]",
        "[1",
        "{\"a\":1,\"a\":2}",
        "{\"price\":1,\"price\":2}",
        "\"2021-11-26T06:22:19Z\"",
        "\"2021-11-26\"",
        "\"unclosed",
        "{\"x\":[{\"y\":\"\\ud800\\u0000\"}],\"z\":1e999999}",
        "",
        "{\"\\ud800\":1}",
        "{\"\\u0070rice\":1}",
        "NaN",
        "'x'",
    ];
    let bytes: &[&[u8]] = &[
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\n",
        b" ",
        b"-",
        b"9",
        b".",
        b"e",
        b"u",
        b"\xef\xbb\xbf",
        b"\x7f",
        b"\"a\":1,",
        b"null",
        b"\\u0000",
        b"\\ud800",
    ];
    let random = &mut fastrand::Rng::with_seed(1);
    let lines: Vec<_> = EXAMPLE.lines().collect();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..30_000 {
        let mut message = lines.clone();
        let mut edited: Vec<String> = Vec::new();
        // First whole lines, which are mostly fields: another value, another name, twice, missing, elsewhere.
        for _ in 0..random.usize(0..3) {
            let at = random.usize(..message.len());
            let Some((name, value)) = message[at].split_once(": ") else {
                continue;
            };
            let comma = if value.ends_with(',') { "," } else { "" };
            match random.u8(0..6) {
                0 => drop(message.remove(at)),
                1 => message.insert(at, message[at]),
                2 => message.insert(random.usize(..message.len()), message[at]),
                3 => edited.push(format!("{at} \"unknown{name}: {value}")),
                _ => edited.push(format!(
                    "{at} {name}: {}{comma}",
                    values[random.usize(..values.len())]
                )),
            }
        }
        for edit in &edited {
            let (at, line) = edit.split_once(' ').unwrap();
            if let Some(place) = message.get_mut(at.parse::<usize>().unwrap()) {
                *place = line;
            }
        }
        // Then bytes, in some of them.
        let mut message = message.join("\n").into_bytes();
        for _ in 0..random.usize(0..4).saturating_sub(1) {
            let at = random.usize(..message.len());
            match random.u8(0..4) {
                0 => message[at] = random.u8(..),
                1 => drop(message.remove(at)),
                2 => message.truncate(at.max(1)),
                _ => {
                    drop(message.splice(at..at, bytes[random.usize(..bytes.len())].iter().copied()))
                }
            }
        }
        match judge(&message) {
            Ok(_) => good += 1,
            Err(_) => bad += 1,
        }
    }
    assert!(good > 3_000 && bad > 3_000, "{good} {bad}");
}

/// What took longer than this is no longer linear, or a stack that nearly overflowed; also in a debug build.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

#[test]
fn monsters_are_judged_in_time_and_without_a_stack() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep_objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    let digits = "9".repeat(1 << 20);
    let in_field = |name: &str, value: &str| {
        let (before, after) = EXAMPLE.split_once(&format!("\"{name}\": ")).unwrap();
        let rest = &after[after.find(['\n']).unwrap()..];
        format!("{before}\"{name}\": {value},{rest}")
    };
    let unknown = |value: &str| EXAMPLE.replacen('{', &format!("{{\"unknown\": {value},"), 1);
    let empty_items = format!("{{\"items\": [{}{{}}]}}", "{},".repeat(300_000));
    let many_names = format!("{{{}\"a\":1}}", "\"order_uid\":1,".repeat(70_000));
    let cases = [
        (deep.clone(), Some((Reason::NotJson, Code::TooDeep))),
        (
            "[".repeat(100_000),
            Some((Reason::NotJson, Code::Truncated)),
        ),
        (
            in_field("sm_id", &deep),
            Some((Reason::NotJson, Code::TooDeep)),
        ),
        (
            in_field("entry", &deep_objects),
            Some((Reason::NotJson, Code::TooDeep)),
        ),
        (unknown(&deep), None),
        (unknown(&deep_objects), None),
        (digits.clone(), Some((Reason::Schema, Code::WrongType))),
        (
            in_field("sm_id", &digits),
            Some((Reason::Schema, Code::NumberOutOfRange)),
        ),
        (
            in_field("sm_id", &format!("0.{digits}")),
            Some((Reason::Schema, Code::WrongType)),
        ),
        (
            in_field("sm_id", &format!("1e{digits}")),
            Some((Reason::Schema, Code::NumberOutOfRange)),
        ),
        (unknown(&digits), None),
        (unknown("1e999999"), None),
        (unknown("\"\\ud800\\u0000\""), None),
        (
            in_field("sm_id", "1e999999"),
            Some((Reason::Schema, Code::NumberOutOfRange)),
        ),
        (
            in_field("order_uid", &format!("\"{digits}\"")),
            Some((Reason::Unstorable, Code::TooLong)),
        ),
        (empty_items, Some((Reason::Schema, Code::MissingField))),
        (many_names, Some((Reason::NotJson, Code::DuplicateField))),
        (" ".repeat(1 << 20), Some((Reason::NotJson, Code::Empty))),
        ("\0".repeat(1 << 20), Some((Reason::NotJson, Code::Syntax))),
    ];
    for (payload, expected) in cases {
        let start = std::time::Instant::now();
        let verdict = judge(payload.as_bytes());
        let found = verdict.err().map(|r| (r.reason(), r.first().code));
        assert_eq!(found, expected, "{}", &payload[..100]);
        assert!(
            start.elapsed() < PATIENCE,
            "{:?} {}",
            start.elapsed(),
            &payload[..100]
        );
    }
}

#[test]
fn random_bytes_of_any_length_are_rejected() {
    let random = &mut fastrand::Rng::with_seed(2);
    for length in (0..200).chain([1 << 20]) {
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect();
        let start = std::time::Instant::now();
        let rejection = judge(&bytes).unwrap_err();
        assert!(rejection.violations().len() <= MAX_VIOLATIONS);
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn an_order_that_jsonb_cannot_hold_is_unstorable() {
    let item = "{\"chrt_id\":1,\"price\":1,\"total_price\":1},";
    let head = EXAMPLE.find("[").unwrap() + 1;
    let many = format!(
        "{}{}{}",
        &EXAMPLE[..head],
        item.repeat(700_000),
        &EXAMPLE[head..]
    );
    let rejection = judge(many.as_bytes()).unwrap_err();
    assert_eq!(rejection.first().code, Code::TooLarge);
    assert_eq!(rejection.key(), Some("b563feb7b2b84b6test"));
}

#[test]
fn schema_agrees_with_the_checks() {
    let schema = orders().schema();
    let judge = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let accepts = |value: &Value| judge.is_valid(value);
    assert!(accepts(&schema["examples"][0]), "the example");
    let (mut good, mut bad) = (0, 0);
    for case in corpus().cases {
        let payload = case.payload();
        let Ok(value) = serde_json::from_slice::<Value>(&payload) else {
            continue;
        };
        let verdict = parse(&payload).map_err(|rejection| rejection.reason());
        if verdict == Err(Reason::NotJson) {
            continue;
        }
        let accepted = accepts(&value);
        assert_eq!(
            accepted,
            verdict.is_ok() || case.schema_cannot_say,
            "{}",
            case.name
        );
        if verdict.is_ok() { good += 1 } else { bad += 1 }
    }
    assert!(good > 10 && bad > 20, "{good} {bad}");
}

#[test]
fn the_example_of_the_definition_is_the_one_in_the_file() {
    assert_eq!(orders().model.examples, [super::example()]);
}
