//! Parameters as strangers send them: one that a route does not take, or takes once, or cannot read, is said to be so. A list
//! that has pages gives all of them.

use reqwest::Method;

use crate::harness::{Bench, Weight, order_with};
use crate::http::{JSON, is_problem};

#[tokio::test]
async fn what_cannot_be_read_is_told_in_words() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for (method, path, words) in [
        (
            Method::POST,
            "dead-letters/abc/discard",
            "A part of the path cannot be read: a whole number",
        ),
        (
            Method::GET,
            "dead-letters?from=x",
            "from cannot be read: a whole number",
        ),
        (
            Method::GET,
            "reconciliation?verify=maybe",
            "verify cannot be read: true or false",
        ),
        (
            Method::GET,
            "orders/export?format=xml",
            "format cannot be read: it is none",
        ),
        (Method::GET, "dead-letter-groups?limit=0", "limit=0 is not"),
        (
            Method::GET,
            "dead-letter-groups?after=1.2",
            "after=\"1.2\" is no cursor",
        ),
    ] {
        let path = format!("/api/v1/{path}");
        let answer = service.ask(method, &path, &[JSON], "{}").await;
        let problem = is_problem(&answer, 400, &path);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(words), "{path}: {detail}");
    }
}

#[tokio::test]
async fn groups_come_page_by_page() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let mut sent = 0;
    for (letters, field) in [
        "track_number",
        "customer_id",
        "delivery",
        "payment",
        "items",
    ]
    .iter()
    .enumerate()
    {
        for copy in 0..=letters / 2 {
            let (with, without) = (format!("\"{field}\""), format!("\"no_{field}\""));
            let own = format!("{field}-{copy}");
            service.post(order_with(&own, &[(&with, &without)])).await;
            sent += 1;
        }
    }
    service.rests(10, sent).await;
    let all = service.json("/api/v1/dead-letter-groups").await;
    assert!(all["next"].is_null());
    let all = all["items"].as_array().unwrap().clone();
    assert_eq!(all.len(), 5, "{all:#?}");
    let (mut paged, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = format!("/api/v1/dead-letter-groups?limit=2{after}");
        let page = service.json(&page).await;
        paged.extend(page["items"].as_array().unwrap().clone());
        pages += 1;
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    assert_eq!((paged, pages), (all, 3));
}
