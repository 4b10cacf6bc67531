//! What orders do not have: numbers with a fraction, lists in lists.

use serde_json::{Value, json};

use super::super::Rules;
use crate::record::{Code, Model};

fn model() -> Model {
    let schema = json!({
        "type": "object",
        "required": ["id", "t"],
        "properties": {
            "id": {"type": "string"},
            "t": {"type": "number"},
            "limit": {"type": "number"},
            "count": {"type": "integer", "default": 3},
            "any": {"oneOf": [{"type": "string"}, {"type": "object"}]},
            "rows": {"type": "array", "items": {
                "type": "object",
                "properties": {
                    "price": {"type": "number"},
                    "n": {"type": "integer"},
                    "marks": {"type": "array", "items": {"type": "integer"}},
                    "parts": {"type": "array", "items": {
                        "type": "object",
                        "properties": {
                            "w": {"type": "number"},
                            "tags": {"type": "array", "items": {"type": "string"}},
                        },
                    }},
                },
            }},
            "grid": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        },
    });
    Model::compile("thing", &schema, &["/id"], &[]).unwrap()
}

fn compiled(rule: &str) -> Result<Rules, String> {
    let rule = serde_json::to_string(rule).unwrap();
    let file = format!("- id: a\n  message: Some message.\n  field: thing\n  rule: {rule}\n");
    let wrong = |error: super::RulesError| {
        let mistake = &error.mistakes[0];
        format!("{}: {}", mistake.column - 9, mistake.message)
    };
    Rules::compile(&file, &model()).map_err(wrong)
}

/// The value for a message; or why it has none.
fn value(rule: &str, message: &str) -> Result<bool, String> {
    let (rules, model) = (compiled(rule)?, model());
    let record = model.parse(message.as_bytes()).unwrap();
    match rules.check(&model, &record) {
        Ok(()) => Ok(true),
        Err(rejection) if rejection.first().code == Code::RuleViolated => Ok(false),
        Err(rejection) => Err(rejection.first().message.clone()),
    }
}

fn thing() -> Value {
    json!({
        "id": "a",
        "t": 0.1,
        "rows": [
            {"price": 19.99, "n": 3, "marks": [1, 5], "parts": [
                {"w": 0.5, "tags": ["x", "y"]},
                {"w": 1.25, "tags": []},
            ]},
            {"price": 0.01, "n": 1, "marks": [], "parts": [{"w": 7, "tags": ["z"]}]},
            {"price": 2, "n": 2},
        ],
        "grid": [[1, 2], [], [3]],
    })
}

#[test]
fn numbers_with_a_fraction_are_compared_and_reckoned_with_exactly() {
    let message = thing().to_string();
    for (rule, expected) in [
        ("thing.t == 0.1", true),
        ("thing.t == 0.10", true),
        ("thing.t != 0.1", false),
        (
            "thing.t < 1 && 1 > thing.t && thing.t <= 0.1 && thing.t >= 0.1",
            true,
        ),
        ("thing.t > -0.1 && thing.t > - 0.1 && thing.t > -1e-3", true),
        ("-thing.t == -0.1 && --thing.t == 0.1", true),
        ("thing.t + 0.2 == 0.3", true),
        ("thing.t * thing.t == 0.01", true),
        ("1 - thing.t == 0.9 && thing.t - 1 == -0.9", true),
        ("thing.t * 3 - 0.3 == 0", true),
        ("thing.t in [0.5, 0.1, 1]", true),
        ("thing.t in [1, 2]", false),
        ("thing.count in [0.5, 3]", true),
        ("(thing.count > 2 ? thing.t : 1) == 0.1", true),
        ("(thing.count > 2 ? 1 : 2.5) < 1.5", true),
        (
            "thing.count == 3.0 && thing.count < 3.000000000000000000001",
            true,
        ),
        ("0.30000000000000004 == 0.3", false),
        ("9007199254740993 == 9007199254740992.0", false),
        ("9223372036854775807 < 9223372036854775807.5", true),
        ("1e3 == 1000 && 12.5E-1 == 1.25", true),
        ("thing.rows.sum(r, r.price) == 22.0", true),
        ("thing.rows.map(r, r.price * r.n).sum() == 63.98", true),
        ("thing.rows.filter(r, r.price > 1.5).size() == 2", true),
        ("thing.rows[0].price == 19.99", true),
        ("has(thing.limit)", false),
        ("!has(thing.limit) || thing.t < thing.limit", true),
        ("has(thing.rows[0].price)", true),
    ] {
        assert_eq!(value(rule, &message), Ok(expected), "{rule}");
    }
    // The message's own digits, of which a double has but seventeen.
    let long = r#"{"id": "a", "t": 0.1000000000000000000000000000000000000000000000000001, "limit": 1e-30}"#;
    for (rule, expected) in [
        ("thing.t == 0.1", false),
        ("thing.t > 0.1", true),
        (
            "thing.t > 0.1000000000000000000000000000000000000000000000000000",
            true,
        ),
        (
            "thing.t == 0.1000000000000000000000000000000000000000000000000001",
            true,
        ),
        ("thing.limit * 10 == 1e-29 && thing.limit > 0", true),
    ] {
        assert_eq!(value(rule, long), Ok(expected), "{rule}");
    }
    for (rule, why) in [
        ("thing.t + 1 > 0", "grow past 38 digits"),
        ("thing.limit * thing.limit > 0", "grow past 38 digits"),
        ("thing.rows[0].price > 0", "not there"),
        (
            "thing.rows.sum(r, r.price) == 0 && thing.t * 1 > 0",
            "grow past 38 digits",
        ),
    ] {
        let outcome = value(rule, long);
        let message = outcome.clone().expect_err(rule);
        assert!(message.contains(why), "{rule}: {message}");
    }
    let absent = value("thing.limit < 1", &message);
    assert!(
        absent
            .expect_err("absent")
            .contains("a field that is not there")
    );
}

#[test]
fn a_walk_goes_over_the_lists_of_an_element() {
    let message = thing().to_string();
    for (rule, expected) in [
        ("thing.rows.exists(r, r.marks.exists(m, m == 5))", true),
        ("thing.rows.all(r, r.marks.all(m, m < 5))", false),
        // Of what is not there, there are none.
        ("thing.rows.all(r, r.marks.size() <= 2)", true),
        ("thing.rows.exists_one(r, size(r.marks) == 2)", true),
        ("thing.rows.sum(r, r.marks.sum(m, m * r.n)) == 18", true),
        (
            "thing.rows.map(r, r.marks.map(m, m).sum()).sum() == 6",
            true,
        ),
        (
            "thing.rows.all(r, r.parts.all(p, p.w <= 7 && r.n > 0 && thing.count == 3))",
            true,
        ),
        (
            "thing.rows.exists(r, r.parts.exists(p, p.tags.exists(t, t == 'z' && p.w == 7)))",
            true,
        ),
        (
            "thing.rows.exists(r, r.parts.exists(p, p.tags.exists(t, t == 'z' && p.w == 0.5)))",
            false,
        ),
        (
            "thing.rows.sum(r, r.parts.filter(p, p.tags.exists(t, t == 'x')).sum(p, p.w)) == 0.5",
            true,
        ),
        ("thing.rows[0].parts.all(p, p.w < 2)", true),
        ("thing.rows[0].parts[1].w == 1.25", true),
        ("thing.rows[0].marks[1] == 5", true),
        (
            "thing.rows.exists(r, r.marks.exists(m, true) && r.marks[0] == 1)",
            true,
        ),
        (
            "thing.rows.exists(r, r.parts.exists(p, r.marks.exists(m, m == 5)))",
            true,
        ),
        ("thing.rows.exists(r, thing.rows[0].n == r.n)", true),
        ("thing.rows.all(r, thing.rows.size() == 3)", true),
        ("thing.grid.sum(g, g.sum(n, n)) == 6", true),
        (
            "thing.grid.exists(g, size(g) == 0) && thing.grid[0][1] == 2",
            true,
        ),
        // The inner name is meant.
        ("thing.rows.exists(i, i.marks.exists(i, i == 5))", true),
        (
            "thing.rows.filter(r, r.marks.exists(m, m > 1)).all(r, r.parts.exists(p, p.w == 0.5))",
            true,
        ),
    ] {
        assert_eq!(value(rule, &message), Ok(expected), "{rule}");
    }
    // One such element outweighs a failure for another, at each depth; without one it does not.
    let of = |wanted| format!("thing.rows.exists(r, r.marks.exists(m, 10 / (m - 1) == {wanted}))");
    assert_eq!(value(&of(2), &message), Ok(true));
    assert!(value(&of(9), &message).is_err());
}

#[test]
fn what_cannot_be_exact_or_would_cost_too_much_is_refused() {
    for (rule, wanted) in [
        (
            "thing.t / 2 > 0.1",
            "9: Numbers with a fraction are not divided",
        ),
        (
            "thing.count % 1.5 == 0",
            "13: Numbers with a fraction are not divided",
        ),
        ("thing.t == 'a'", "cannot be compared so"),
        ("thing.t in ['a']", "this is not one"),
        ("thing.id in [0.5]", "this is not one"),
        ("thing.t in [thing.t]", "written out"),
        (
            "thing.t",
            "1: It must be true or false, but this is a number that may have a fraction.",
        ),
        ("thing.t ? true : false", "`?` wants true or false"),
        ("thing.t.size() == 1", "counts a text or a list"),
        ("thing.rows[0.5].n == 1", "`[ ]` is known only as"),
        ("thing.any == 'a'", "JSON of any shape"),
        (
            "thing.rows.all(r, thing.grid.all(g, true))",
            "inside another, unless",
        ),
        (
            "thing.rows.all(r, thing.rows[0].marks.all(m, true))",
            "inside another, unless",
        ),
        (
            "thing.rows.all(r, r.marks.all(m, m.x == 1))",
            "has no fields",
        ),
        (
            "thing.rows.all(r, r.marks.all(m, true) && m == 1)",
            "`m` is not known",
        ),
        ("has(thing.t)", "always there"),
        (
            "thing.rows.all(r, r.parts.all(p, p.tags.all(t, r.marks.all(m, true))))",
            "nest 3 deep at most",
        ),
    ] {
        let message = compiled(rule).map(drop).expect_err(rule);
        assert!(message.contains(wanted), "{rule}: {message}");
    }
}

#[test]
fn no_message_is_too_large_for_the_service_but_some_are_for_a_walk_in_a_walk() {
    let row = json!({"marks": vec![1; 300]});
    let large = json!({"id": "a", "t": 1, "rows": vec![row; 300]}).to_string();
    assert_eq!(
        value("thing.rows.all(r, r.marks.all(m, m == 1))", &large),
        Ok(true)
    );
    let costly = "thing.rows.all(r, r.marks.all(m, r.marks.all(o, o == m)))";
    let outcome = value(costly, &large).expect_err(costly);
    assert!(outcome.contains("too large"), "{outcome}");
}
