//! What 0.1 had and is gone: it answers where the same is now, instead of a bare 404. Behind the gate, and before parameters are
//! looked at.

use poem::Request;
use poem::http::{Method, StatusCode};

use super::problem::Problem;

/// The method, the path under /api/v1, and its new place.
pub const MOVED: [(Method, &str, &str); 7] = [
    (Method::POST, "/inbox", "POST /api/v1/orders"),
    (
        Method::POST,
        "/validate",
        "POST /api/v1/collections/orders/validate",
    ),
    (
        Method::GET,
        "/schema/order.json",
        "GET /api/v1/collections/orders/schema",
    ),
    (
        Method::GET,
        "/rules",
        "GET /api/v1/collections/orders: rules are part of the definition",
    ),
    (
        Method::PUT,
        "/rules",
        "PUT /api/v1/collections/orders: rules are part of the definition",
    ),
    (
        Method::GET,
        "/rules/history",
        "GET /api/v1/collections/orders/definitions",
    ),
    (Method::POST, "/rules/check", "POST /api/v1/plans"),
];

fn gone(what: &str, now: &str) -> Problem {
    Problem::new(
        StatusCode::GONE,
        "moved",
        format!("{what} is gone since 0.2. Its new place: {now}."),
    )
}

pub fn check(request: &Request) -> Result<(), Problem> {
    let Some(path) = request.uri().path().strip_prefix("/api/v1") else {
        return Ok(());
    };
    let is =
        |(method, known, _): &&(Method, &str, &str)| method == request.method() && *known == path;
    if let Some((method, path, now)) = MOVED.iter().find(is) {
        return Err(gone(&format!("{method} /api/v1{path}"), now));
    }
    let query = request.uri().query().unwrap_or_default();
    let old = |part: &str| part.split('=').next() == Some("order_uid");
    if path.starts_with("/dead-letters") && query.split('&').any(old) {
        return Err(gone("The parameter order_uid", "key"));
    }
    Ok(())
}
