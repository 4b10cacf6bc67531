//! One order by its id: the same answer whichever way it takes, from the cache or from Postgres.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::harness::{Answer, Bench, Service, Weight, order_with, orders};

/// Orders whose ids a careless path would confuse.
const ORDER_UIDS: &[&str] = &[
    "pAx", "p%41x", "a/b", "a+b", "a b", "p%zz", "p%", "p%4", "ä", "export",
];

/// What follows /orders/, and whose order it is; none if it is nobody's.
const PATHS: &[(&str, Option<&str>)] = &[
    ("pAx", Some("pAx")),
    ("p%41x", Some("pAx")),
    ("%70%41%78", Some("pAx")),
    ("p%2541x", Some("p%41x")),
    ("a%2Fb", Some("a/b")),
    ("a%2fb", Some("a/b")),
    ("a/b", None),
    ("a+b", Some("a+b")),
    ("a%2Bb", Some("a+b")),
    ("a%20b", Some("a b")),
    ("p%zz", Some("p%zz")),
    ("p%25zz", Some("p%zz")),
    ("p%", Some("p%")),
    ("p%25", Some("p%")),
    ("p%4", Some("p%4")),
    ("%C3%A4", Some("ä")),
    ("%65xport", Some("export")),
    ("p%ff", None),
    ("%C3", None),
    ("p%00x", None),
];

async fn counter(service: &Service, name: &str) -> i64 {
    service.json("/api/v1/stats").await[name].as_i64().unwrap()
}

fn order_uid(answer: &Answer) -> Option<String> {
    let order = (answer.status == 200).then(|| answer.json())?;
    Some(order["order_uid"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_path_means_the_same_order_cached_and_not() {
    let bench = Bench::new(Weight::Light).await;
    // Larger than a part of the smallest cache, smaller than a part of a large one.
    let large = "x".repeat(700_000);
    let cached = bench.serve(None, &["--cache-bytes", "1073741824"]).await;
    for order_uid in ORDER_UIDS {
        let payload = order_with(order_uid, &[("Test Testov", &large)]);
        cached.post(payload).await;
    }
    cached.rests(10, ORDER_UIDS.len() as i64).await;
    let missing = bench.serve(None, &["--cache-bytes", "1048576"]).await;
    missing.is_ready().await;

    let mut wrong = Vec::new();
    for (path, wanted) in PATHS {
        let (hits, misses) = (
            counter(&cached, "cache_hits").await,
            counter(&missing, "cache_misses").await,
        );
        let hit = cached.order(path).await;
        let miss = missing.order(path).await;
        // poem's endpoint, of an order in the cache.
        let head = cached
            .ask(Method::HEAD, &format!("/api/v1/orders/{path}"), &[], "")
            .await;
        let (hits, misses) = (
            counter(&cached, "cache_hits").await - hits,
            counter(&missing, "cache_misses").await - misses,
        );
        let found = [&hit, &miss].map(order_uid);
        let tags = [&hit, &miss, &head].map(|answer| answer.header("etag"));
        let same = hit.body == miss.body && tags == [tags[0]; 3];
        let (status, ways) = match wanted {
            Some(_) => (200, (2, 1)),
            None => (404, (0, 0)),
        };
        let statuses = [hit.status, miss.status, head.status];
        if found.iter().any(|found| found.as_deref() != *wanted)
            || statuses != [status; 3]
            || !same
            || (hits, misses) != ways
        {
            wrong.push(format!(
                "{path}: {found:?} {statuses:?} {tags:?}, {hits} hits, {misses} misses"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn another_order_has_another_etag() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for payload in orders("tagged", 8) {
        service.post(payload).await;
    }
    service.rests(10, 8).await;
    let mut tags = BTreeSet::new();
    for number in 0..8 {
        let answer = service.order(&format!("tagged-{number}")).await;
        assert_eq!(answer.status, 200);
        tags.insert(answer.header("etag").to_owned());
    }
    assert_eq!(tags.len(), 8, "{tags:?}");
    let path = "/api/v1/orders/tagged-0";
    for tag in tags {
        let mine = service.order("tagged-0").await.header("etag") == tag;
        let headers = [("if-none-match", tag.as_str())];
        let answer = service.ask(Method::GET, path, &headers, "").await;
        assert_eq!(answer.status, if mine { 304 } else { 200 }, "{tag}");
    }
}
