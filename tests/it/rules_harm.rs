//! Rules and definitions that want to do harm, by HTTP: refused with a place and a reason, soon, while readers are served.

use std::fmt::Write;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use reqwest::Method;

use crate::harness::{Bench, OCTETS, Service, Weight, order, with_rules};

/// In a debug build, on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(8);

fn rule(expression: &str) -> String {
    let quoted = serde_json::to_string(expression).unwrap();
    format!("- id: hostile\n  message: No.\n  field: order\n  rule: {quoted}\n")
}

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let times = |text: &str, count: usize| text.repeat(count);
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (from, to) in ('a'..'j').zip('b'..) {
        writeln!(
            bomb,
            "{to}: &{to} [{}*{from}]",
            times(&format!("*{from},"), 8)
        )
        .unwrap();
    }
    let many = |count: usize| -> String {
        (0..count)
            .map(|n| format!("- {{id: r{n}, message: m, field: order, rule: 'true'}}\n"))
            .collect()
    };
    let patterns: String = (0..60)
        .map(|n| format!("- {{id: p{n}, message: m, field: order, rule: \"order.entry.matches('(a{{90}}){{90}}')\"}}\n"))
        .collect();
    let text = |text: String| text.into_bytes();
    vec![
        (
            "a long chain",
            text(rule(&format!("1{} == 1", times("+1", 1_230)))),
        ),
        (
            "a chain of indices",
            text(rule(&format!(
                "order.items{}.price == 1",
                times("[0]", 330)
            ))),
        ),
        (
            "a chain of calls",
            text(rule(&format!("order{}", times(".f()", 250)))),
        ),
        (
            "a chain of fields",
            text(rule(&format!("order{}", times(".entry", 5_000)))),
        ),
        ("parentheses", text(rule(&times("(", 1_000)))),
        (
            "balanced parentheses",
            text(rule(&format!("{}true{}", times("(", 500), times(")", 500)))),
        ),
        (
            "a deep conditional",
            text(rule(&format!("{}true", times("true ? true : ", 2_000)))),
        ),
        (
            "loops in loops",
            text(rule(
                "order.items.all(a, order.items.all(b, order.items.all(c, a.price + b.price + c.price > 0)))",
            )),
        ),
        (
            "a pattern that explodes",
            text(rule("order.entry.matches('((((a{99}){99}){99}){99})')")),
        ),
        ("many patterns", text(patterns)),
        ("a YAML bomb", text(bomb)),
        ("deep YAML", text(times("[", 100_000))),
        (
            "deep YAML by lines",
            text(
                (0..2_000)
                    .map(|n| format!("{}- \n", times(" ", n % 1_000)))
                    .collect(),
            ),
        ),
        ("one enormous line", text(times("x", 200_000))),
        ("too many rules", text(many(1_000))),
        ("too large", text(many(20_000))),
        ("no UTF-8", b"- id: \xff\xfe".to_vec()),
        ("NUL", b"- id: a\0b".to_vec()),
        ("an anchor to itself", text("&a [*a]".to_owned())),
        ("no list", text("rules: none".to_owned())),
        (
            "a tag",
            text("!!python/object/apply:os.system ['true']".to_owned()),
        ),
    ]
}

/// Each as the orders' rules, and as a whole definition; and what harm a schema could do.
fn hostile_definitions() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (what, rules) in hostile() {
        let mut definition = with_rules("").into_bytes();
        for line in rules.split(|byte| *byte == b'\n') {
            definition.extend_from_slice(b"  ");
            definition.extend_from_slice(line);
            definition.push(b'\n');
        }
        all.push((format!("{what}, as rules"), definition));
        all.push((format!("{what}, as a definition"), rules));
    }
    let orders = |schema: String| format!("collection: orders\nschema: {schema}\n").into_bytes();
    let fields: String = (0..11_000)
        .map(|n| format!("f{n}: {{type: string}}, "))
        .collect();
    let deep = |depth: usize| {
        let open = "{type: object, properties: {x: ".repeat(depth);
        format!("{open}{{type: string}}{}", "}}".repeat(depth))
    };
    let pattern =
        "{type: object, properties: {x: {type: string, pattern: '((((a{99}){99}){99}){99})'}}}";
    all.extend([
        ("a schema's pattern".to_owned(), orders(pattern.to_owned())),
        (
            "a schema of too many fields".to_owned(),
            orders(format!("{{type: object, properties: {{{fields}}}}}")),
        ),
        ("a deep schema".to_owned(), orders(deep(5_000))),
    ]);
    all
}

const PUT: &str = "/api/v1/collections/orders?as=mallory";

async fn put(service: &Service, body: Vec<u8>) -> crate::harness::Answer {
    service.ask(Method::PUT, PUT, &[OCTETS], body).await
}

#[tokio::test]
async fn hostile_rules_are_refused_soon_and_the_service_lives() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    service.post(order("witness")).await;
    service.rests(10, 1).await;
    for (what, body) in hostile_definitions() {
        for method in [Method::PUT, Method::POST] {
            let path = match method {
                Method::PUT => PUT,
                _ => "/api/v1/plans?as=mallory",
            };
            let started = Instant::now();
            let answer = service.ask(method, path, &[OCTETS], body.clone()).await;
            assert!(
                matches!(answer.status, 400 | 413 | 422),
                "{what}: {answer:?}"
            );
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{what}"
            );
            if answer.status == 422 {
                let mistakes = &answer.json()["mistakes"];
                assert!(
                    mistakes[0]["line"].as_u64() > Some(0),
                    "{what}: {mistakes:#}"
                );
            }
            eprintln!("{what}: {:?}", started.elapsed());
            assert!(
                started.elapsed() < PATIENCE,
                "{what}: {:?}",
                started.elapsed()
            );
        }
    }
    // Many at once: readers are served meanwhile.
    let all = join_all(
        hostile_definitions()
            .into_iter()
            .map(|(_, body)| put(&service, body)),
    );
    let reading = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..100 {
            let started = Instant::now();
            assert_eq!(service.order("witness").await.status, 200);
            slowest = slowest.max(started.elapsed());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        slowest
    };
    let (_, slowest) = join(all, reading).await;
    eprintln!("the slowest read: {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let orders = "/api/v1/collections/orders";
    assert_eq!(service.json(orders).await["position"], 0);
    let history = service.json(&format!("{orders}/definitions")).await;
    assert_eq!(history["items"].as_array().unwrap().len(), 0);
    assert!(service.ended().is_none());
}

#[tokio::test]
async fn the_heaviest_rules_that_are_taken_do_not_hold_the_projection_up() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    // A hundred rules, each a loop over all items with as much in it as fits.
    let inner = vec!["i.price >= 0"; 14].join(" && ");
    let rules: String = (0..100)
        .map(|n| {
            format!(
                "- {{id: r{n}, message: m, field: order, rule: \"order.items.all(i, {inner})\"}}\n"
            )
        })
        .collect();
    let applied = service.try_apply("", &rules).await.unwrap();
    assert_eq!(applied.status, 200, "{applied:?}");
    // The largest message that is taken by default, of many items.
    let model = String::from_utf8(order("heavy").to_vec()).unwrap();
    let mut heavy: serde_json::Value = serde_json::from_str(&model).unwrap();
    let item = serde_json::json!({"chrt_id": 1, "price": 1, "total_price": 1});
    heavy["items"] = vec![item; 20_000].into();
    let started = Instant::now();
    service.post(heavy.to_string()).await;
    let position = service.post(order("after-it")).await;
    service.rests(20, position).await;
    eprintln!("judged in {:?}", started.elapsed());
    assert_eq!(service.order("after-it").await.status, 200);
}
