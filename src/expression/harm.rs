//! Rules that want to do harm, and orders that want to help them.

use std::time::{Duration, Instant};

use super::Rules;
use super::tests::{EXAMPLE, file, orders, parse, run};

/// Longer than this, and it would stall the service; also in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn no_expression_can_harm() {
    let times = |text: &str, count: usize| text.repeat(count);
    let cases = [
        format!("1{} == 1", times("+1", 1_230)),
        format!("1{} == 1", times("+1", 500)),
        format!("order.items{}.price == 1", times("[0]", 330)),
        format!("order{}", times(".f()", 250)),
        format!("order{}", times(".entry", 160)),
        times("(", 1_000),
        format!("{}1{}", times("(", 500), times(")", 500)),
        format!("{}true{}", times("(", 90), times(")", 90)),
        times("[", 1_000),
        times("{", 1_000),
        times(")", 1_000),
        times("f(", 500),
        times("true ? ", 140),
        format!("{}true", times("true ? true : ", 70)),
        format!("{}true{}", times("true ? ", 100), times(": true", 40)),
        format!("1{} == 1", times("*(1", 300)),
        format!("{}true", times("!", 1_000)),
        format!("{}1 == 1", times("-", 1_000)),
        format!("{}1 == 1", times("- ", 500)),
        format!("true{}", times("&&true", 160)),
        format!("true{}", times("||(true", 140)),
        format!("1{}", times("<1", 500)),
        format!("'{}'", times("\\", 1_000)),
        times("'", 1_000),
        times("\"\"\"", 300),
        times("$", 1_000),
        times("\u{1F600}", 250),
        times("`", 1_000),
        format!("true{}x", times(" ", 900)),
        format!(
            "order.entry.matches('{}{}')",
            times("(", 300),
            times(")", 300)
        ),
        format!("order.entry.matches('{}')", times("(a{99})", 1).repeat(20)),
        "order.entry.matches('((((a{99}){99}){99}){99})')".to_owned(),
        format!("order.sm_id in [{}1]", times("1,", 400)),
        format!("true //{}", times("/", 2_000)),
        times("x", 1 << 16),
    ];
    for rule in cases {
        let start = Instant::now();
        // Whatever comes of it, it comes, and the rule can run on this small stack and be dropped on it.
        if let Ok(rules) = Rules::compile(&file(&rule), orders()) {
            let small = std::thread::Builder::new().stack_size(256 << 10);
            let check = move || {
                rules
                    .check(orders(), &parse(EXAMPLE.as_bytes()).unwrap())
                    .is_ok()
            };
            small.spawn(check).unwrap().join().unwrap();
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{:?} {}",
            start.elapsed(),
            &rule[..rule.len().min(40)]
        );
    }
}

#[test]
fn no_token_salad_can_harm() {
    let tokens = [
        "order",
        ".",
        "items",
        "payment",
        "amount",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "<",
        "&&",
        "||",
        "!",
        "in",
        "1",
        "'a'",
        "true",
        "null",
        "i",
        ".all(i, ",
        ".sum(i, ",
        ".matches('",
        "')",
        "\\",
        "я",
        " ",
        "\n",
        "0x",
        "1u",
        "1.5",
        "b'a'",
        "has(",
        "//",
        "`",
        "@",
        "r'",
        "'''",
        "\"",
    ];
    let random = &mut fastrand::Rng::with_seed(3);
    let start = Instant::now();
    for _ in 0..40 {
        let rules: Vec<_> = (0..50)
            .map(|index| {
                let salad: String = (0..random.usize(1..40))
                    .map(|_| tokens[random.usize(..tokens.len())])
                    .collect();
                file(&salad).replace("id: a", &format!("id: a{index}"))
            })
            .collect();
        if let Err(error) = Rules::compile(&rules.concat(), orders()) {
            for mistake in error.mistakes {
                assert!(mistake.line >= 1 && mistake.column >= 1 && mistake.message.len() < 1_000);
            }
        }
    }
    assert!(start.elapsed() < 2 * PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn no_file_can_harm() {
    let rule = file("true");
    let many = |count: usize| -> String {
        (0..count)
            .map(|index| rule.replace("id: a", &format!("id: a{index}")))
            .collect()
    };
    assert_eq!(Rules::compile(&many(100), orders()).unwrap().len(), 100);
    let patterns = "order.entry.matches('^(a|b)*a(a|b){11}$') || ".repeat(20) + "true";
    let heavy: String = (0..60)
        .map(|index| file(&patterns).replace("id: a", &format!("id: a{index}")))
        .collect();
    let bomb = (0..9).fold("a0: &a0 [x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        let next = n + 1;
        text + &format!("a{next}: &a{next} [*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n}]\n")
    });
    let bad = [
        many(101),
        "x".repeat(1 << 20),
        "[".repeat(60_000),
        "- ".repeat(30_000),
        "{a: ".repeat(15_000),
        "- a\n".repeat(15_000),
        "---\n".repeat(15_000),
        format!("- id: {}\n", "a".repeat(60_000)),
        "\"".to_owned() + &"\\u0041".repeat(10_000),
        bomb,
        "&a [*a]".to_owned(),
        "%YAML 9\n".repeat(7_000),
        "! ".repeat(30_000),
        rule.replace("Some", &"x".repeat(501)),
        heavy,
    ];
    for text in bad {
        let start = Instant::now();
        assert!(Rules::compile(&text, orders()).is_err(), "{}", &text[..60]);
        assert!(
            start.elapsed() < PATIENCE,
            "{:?} {}",
            start.elapsed(),
            &text[..60]
        );
    }
}

#[test]
fn no_order_is_too_large_for_the_service_but_some_are_for_a_rule() {
    let item =
        "{\"chrt_id\": 1, \"price\": 1, \"total_price\": 1, \"name\": \"xxxxxxxxxxxxxxxxxxxx\"},";
    let many = EXAMPLE.replace(
        "\"items\": [",
        &format!("\"items\": [{}", item.repeat(12_000)),
    );
    let long = many.replace("Ploshad Mira 15", &"x".repeat(500_000));
    let start = Instant::now();
    assert_eq!(
        run(
            "order.items.all(i, i.price >= 1) && order.items.sum(i, i.price) > 12000",
            &many
        ),
        Ok(true)
    );
    for costly in [
        "order.items.all(i, order.delivery.address.matches('x$'))",
        "order.items.all(i, !order.delivery.address.contains('y'))",
        "order.items.all(i, order.delivery.address == order.delivery.address)",
        "order.items.all(i, size(order.delivery.address) > 1)",
        "order.items.exists(i, size(order.delivery.address) < 1) || true",
        "true || order.items.exists(i, size(order.delivery.address) < 1)",
    ] {
        let outcome = run(costly, &long);
        let settled = costly.starts_with("true");
        assert!(
            settled || outcome.unwrap_err().contains("too large"),
            "{costly}"
        );
    }
    assert!(start.elapsed() < 2 * PATIENCE, "{:?}", start.elapsed());
}
