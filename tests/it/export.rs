//! Exports: all of it, as it is served; safe in a spreadsheet; whole, or visibly not.

use serde_json::Value;

use crate::harness::{Bench, Weight, order, order_with};

#[tokio::test]
async fn an_export_is_what_is_listed_and_served() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for number in 0..40 {
        service.post(order(&format!("order-{number}"))).await;
        service.post(format!("junk {number}")).await;
    }
    service.post(&b"\xff\xfe"[..]).await;
    let formula = [
        ("Test Testov", "=HYPERLINK(\\\"x\\\")"),
        (
            "test\",\n  \"delivery_service",
            "me, myself\",\n  \"delivery_service",
        ),
    ];
    let formula = order_with("order-formula", &formula[..1]);
    let last = service.post(formula).await;
    service.rests(30, 82).await;

    let orders = service.get("/api/v1/orders/export").await;
    assert_eq!(orders.header("content-type"), "application/x-ndjson");
    assert!(
        orders
            .header("content-disposition")
            .starts_with("attachment; filename=\"orders-")
    );
    let text = String::from_utf8(orders.body.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 41);
    for line in text.lines() {
        let order: Value = serde_json::from_str(line).unwrap();
        let served = service.order(order["order_uid"].as_str().unwrap()).await;
        assert_eq!(served.body, line.as_bytes());
    }
    // By span, by customer; what there is none of is empty, not an error.
    for (query, wanted) in [
        ("from=3&to=5".to_owned(), 2),
        (format!("from={last}"), 1),
        ("customer_id=test".to_owned(), 41),
        (
            "track_number=WBILMTESTTRACK&customer_id=test".to_owned(),
            41,
        ),
        ("customer_id=nobody".to_owned(), 0),
    ] {
        let answer = service.get(&format!("/api/v1/orders/export?{query}")).await;
        assert_eq!(answer.status, 200);
        let lines = answer.body.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, wanted, "{query}");
    }
    let csv = service
        .get(&format!("/api/v1/orders/export?format=csv&from={last}"))
        .await;
    let csv = String::from_utf8(csv.body.to_vec()).unwrap();
    assert_eq!(csv.matches("\r\n").count(), 2, "{csv}");
    assert!(csv.starts_with("order_uid,track_number,"), "{csv}");
    assert!(
        csv.contains(",\"'=HYPERLINK(\"\"x\"\")\",'+9720000000,"),
        "{csv}"
    );

    let letters = service.get("/api/v1/dead-letters/export").await;
    let letters: Vec<Value> = String::from_utf8(letters.body.to_vec())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let listed = service.json("/api/v1/dead-letters?limit=500").await;
    let listed = listed["items"].as_array().unwrap();
    assert_eq!((letters.len(), listed.len()), (41, 41));
    for (letter, listed) in letters.iter().zip(listed) {
        for (name, value) in listed.as_object().unwrap() {
            assert_eq!(&letter[name], value);
        }
    }
    assert_eq!(letters[0]["hex"], "fffe");
    assert_eq!(letters[1]["text"], "junk 39");
    for (query, wanted) in [
        ("reason=not_utf8", 1),
        ("text=JUNK", 0),
        ("to=10&format=csv", 6),
        ("state=replaced", 0),
    ] {
        let answer = service
            .get(&format!("/api/v1/dead-letters/export?{query}"))
            .await;
        let lines = answer.body.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, wanted, "{query}");
    }
    for path in [
        "dead-letters/export?state=x",
        "dead-letters/export?format=xml",
        "orders/export?customer_id=%00",
    ] {
        let answer = service.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn an_order_that_is_called_export_is_found_all_the_same() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.post(order("export")).await;
    service.rests(30, 1).await;
    let found = service.order("%65xport").await;
    assert_eq!(found.json()["order_uid"], "export");
    let all = service.get("/api/v1/orders/export").await;
    assert_eq!(all.header("content-type"), "application/x-ndjson");
    assert_eq!(all.json(), found.json());
}

#[tokio::test]
async fn an_export_that_cannot_be_finished_is_cut_off() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    for number in 0..400 {
        service
            .post(format!("{number} {}", "x".repeat(100_000)))
            .await;
    }
    service.rests(60, 400).await;
    let mut response = reqwest::get(format!("{}/api/v1/dead-letters/export", service.url))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut read = response.chunk().await.unwrap().unwrap().len();
    // 40 MB are more than any buffer on the way holds.
    service.kill();
    let outcome = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(outcome.is_err(), "{read} bytes seem to be all of it");
    assert!(read < 40_000_000);
}
