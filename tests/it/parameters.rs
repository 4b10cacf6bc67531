//! Parameters as strangers send them: one that a route does not take, or takes once, or cannot read, is said to be so. A list
//! that has pages gives all of them.

use reqwest::Method;

use crate::harness::{Bench, Weight};
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
    ] {
        let path = format!("/api/v1/{path}");
        let answer = service.ask(method, &path, &[JSON], "{}").await;
        let problem = is_problem(&answer, 400, &path);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(words), "{path}: {detail}");
    }
}
