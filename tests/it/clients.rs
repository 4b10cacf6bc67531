//! What clients do: send again, turn pages while more comes in, and dawdle.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Bench, OCTETS, Service, Weight, order, order_with, orders, within};

async fn post_with_key(service: &Service, key: &str, payload: Bytes) -> Answer {
    let headers = [OCTETS, ("idempotency-key", key)];
    service
        .ask(Method::POST, "/api/v1/orders", &headers, payload)
        .await
}

#[tokio::test]
async fn a_key_makes_a_repetition_harmless_and_other_content_is_refused() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    for restart in [false, true] {
        let first = post_with_key(&service, "key-1", order("keyed")).await;
        assert_eq!(first.status, 202, "{first:?}");
        assert_eq!(first.json(), json!({"position": 1, "repeated": restart}));
        assert_eq!(first.header("location"), "/api/v1/inbox/1");
        let again = post_with_key(&service, "key-1", order("keyed")).await;
        assert_eq!(again.json(), json!({"position": 1, "repeated": true}));
        let other = post_with_key(&service, "key-1", order("other")).await;
        assert_eq!(other.status, 422, "{other:?}");
        let problem = other.json();
        assert_eq!(problem["links"][0]["href"], "/api/v1/inbox/1");
        service.kill();
        service.start().await;
    }
    // Many at once are one.
    let at_once = (0..20).map(|_| post_with_key(&service, "key-2", order("at-once")));
    for answer in futures_util::future::join_all(at_once).await {
        assert_eq!(
            (answer.status, &answer.json()["position"]),
            (202, &json!(2))
        );
    }
    // Without a key each is a row of its own.
    assert_eq!(service.post(order("keyed")).await, 3);
    assert_eq!(service.post(order("keyed")).await, 4);
    service.rests(10, 4).await;
    let account = service.json("/api/v1/reconciliation").await;
    assert_eq!(
        (&account["documents"], &account["duplicates"]),
        (&json!(2), &json!(2))
    );
}

/// All pages; while they are turned, more comes in.
async fn turn_pages(service: &Service, path: &str, more: Bytes) -> Vec<Value> {
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let page = service.json(&format!("{path}limit=10{after}")).await;
        let found = page["items"].as_array().unwrap();
        assert!(found.len() <= 10);
        items.extend(found.iter().cloned());
        let Some(next) = page["next"].as_str() else {
            return items;
        };
        after = format!("&after={next}");
        service.post(more.clone()).await;
        service.rests(10, 0).await;
    }
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_more_comes_in() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let customers = |n: usize| format!("\"customer_id\": \"c{}\"", n % 2);
    for number in 0..60 {
        let customer = customers(number);
        let edits = [("\"customer_id\": \"test\"", &customer[..])];
        service
            .post(order_with(&format!("page-{number}"), &edits))
            .await;
    }
    for number in 0..25 {
        service.post(format!("junk {number}")).await;
    }
    service.rests(10, 85).await;
    let uids = |items: &[Value]| -> Vec<String> {
        let uid = |item: &Value| item["order_uid"].as_str().unwrap().to_owned();
        items.iter().map(uid).collect()
    };
    let expect = |filter: fn(&usize) -> bool| -> Vec<String> {
        let numbers = (0..60).rev().filter(filter);
        numbers.map(|number| format!("page-{number}")).collect()
    };
    let all = turn_pages(&service, "/api/v1/orders?", order("new-1")).await;
    assert_eq!(uids(&all), expect(|_| true));
    let path = "/api/v1/orders?customer_id=c1&";
    let odd = turn_pages(&service, path, order("new-2")).await;
    assert_eq!(uids(&odd), expect(|number| number % 2 == 1));
    let path = "/api/v1/orders?customer_id=c0&track_number=WBILMTESTTRACK&";
    let even = turn_pages(&service, path, order("new-3")).await;
    assert_eq!(uids(&even), expect(|number| number % 2 == 0));
    let path = "/api/v1/orders?track_number=nowhere&";
    assert!(turn_pages(&service, path, order("new-4")).await.is_empty());

    let path = "/api/v1/dead-letters?reason=not_json&";
    let letters = turn_pages(&service, path, "junk more".into()).await;
    let ids: Vec<i64> = letters
        .iter()
        .map(|letter| letter["id"].as_i64().unwrap())
        .collect();
    let expected: Vec<i64> = (61..=85).rev().collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_harm_nobody_else() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for payload in orders("quick", 20) {
        service.post(payload).await;
    }
    service.rests(10, 20).await;
    let address = service.url.strip_prefix("http://").unwrap();
    let mut slow = Vec::new();
    for number in 0..600 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let beginning = match number % 3 {
            0 => "GET /api/v1/orders/quick-1 HTTP/1.1\r\nhost: he",
            1 => {
                "POST /api/v1/orders HTTP/1.1\r\nhost: h\r\ncontent-type: application/octet-stream\r\ncontent-length: 900000\r\n\r\n{"
            }
            _ => "",
        };
        socket.write_all(beginning.as_bytes()).await.unwrap();
        slow.push(socket);
    }
    let started = Instant::now();
    let mut asked = 0;
    let mut slowest = Duration::ZERO;
    while started.elapsed() < Duration::from_secs(5) {
        let before = Instant::now();
        let uid = format!("quick-{}", asked % 20);
        assert_eq!(service.order(&uid).await.status, 200);
        slowest = slowest.max(before.elapsed());
        asked += 1;
        // They go on, a byte at a time.
        let socket = &mut slow[asked % 600];
        let _ = socket.write_all(b"x").await;
    }
    assert!(asked > 500, "only {asked} answers in 5 s");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(service.post(order("also-quick")).await == 21);
    // Headers that do not come and bodies that do not end have their time, and no more.
    within(60, "all of them are cut off", async {
        for socket in &mut slow {
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer).await;
        }
    })
    .await;
    assert_eq!(service.json("/api/v1/stats").await["received"], 21);
}
