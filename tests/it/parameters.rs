//! Parameters as strangers send them: one that a route does not take, or takes once, or cannot read, is said to be so. A list
//! that has pages gives all of them.

use reqwest::Method;

use crate::harness::{Bench, Weight, order, order_with};
use crate::http::{JSON, is_problem};

#[tokio::test]
async fn a_parameter_that_no_route_takes_is_refused_on_every_one() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.post(order("known")).await;
    service.rests(10, 1).await;
    assert_eq!(service.order("known").await.status, 200, "it is cached now");
    let specification = service.json("/openapi.json").await;
    let mut twice = 0;
    for (path, methods) in specification["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path
                .replace("{key}", "known")
                .replace("{id}", "1")
                .replace("{position}", "1")
                .replace("{name}", "orders")
                .replace("{account}", "x");
            let url = format!("/api/v1{path}?stat=discarded");
            let answer = service.ask(method.clone(), &url, &[JSON], "{}").await;
            let problem = is_problem(&answer, 400, &format!("{method} {url}"));
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("`stat`"), "{method} {url}: {detail}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let mut query = parameters.filter(|parameter| parameter["in"] == "query");
            let Some(name) = query.next().map(|one| one["name"].as_str().unwrap()) else {
                continue;
            };
            let url = format!("/api/v1{path}?{name}=1&{name}=2");
            let answer = service.ask(method.clone(), &url, &[JSON], "{}").await;
            let problem = is_problem(&answer, 400, &url);
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("more than once"), "{url}: {detail}");
            twice += 1;
        }
    }
    assert!(twice > 10, "{twice}");
    // A page's address is the page's own.
    assert_eq!(service.get("/letters?anything=else").await.status, 200);
}

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
            "collections/orders/export?format=xml",
            "format=\"xml\" is none of",
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
