//! Whether a page of another origin asks. A browser sends such a request on behalf of whoever sits before it, without being
//! asked; it says so in `Origin`, or else in `Sec-Fetch-Site`. Who sends neither is no browser, and goes on.

use hyper::Request;
use poem::http::header::ORIGIN;
use poem::http::{Method, StatusCode};

use super::Refused;
use super::host::Names;

const SITE: &str = "sec-fetch-site";
const MODE: &str = "sec-fetch-mode";
const DESTINATION: &str = "sec-fetch-dest";

pub fn check<B>(request: &Request<B>, names: &Names) -> Result<(), Refused> {
    if !is_foreign(request, names) || is_navigation(request) {
        return Ok(());
    }
    let from = request
        .headers()
        .get(ORIGIN)
        .and_then(|origin| origin.to_str().ok())
        .map_or_else(String::new, |origin| {
            format!(" ({:?})", origin.chars().take(100).collect::<String>())
        });
    Err(Refused::new(
        StatusCode::FORBIDDEN,
        "cross-site",
        format!(
            "A web page of another origin{from} asks, and its browser did not ask whoever uses it; only pages of this \
             service may. If it is this service's own page, behind a proxy, start it with --public-url https://NAME. \
             A script need not send Origin."
        ),
    ))
}

fn is_foreign<B>(request: &Request<B>, names: &Names) -> bool {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) {
        let own = |origin: &str| names.is_own(origin, request);
        return !headers
            .get_all(ORIGIN)
            .into_iter()
            .all(|origin| origin.to_str().is_ok_and(own));
    }
    // `none`: typed by hand, or a bookmark. `same-site` is another origin: another port of this host, say.
    headers
        .get(SITE)
        .is_some_and(|site| site != "same-origin" && site != "none")
}

/// A link that somebody followed: it reads, and the page that led here sees nothing of the answer.
fn is_navigation<B>(request: &Request<B>) -> bool {
    let says = |name, value| {
        request
            .headers()
            .get(name)
            .is_some_and(|said| said == value)
    };
    matches!(*request.method(), Method::GET | Method::HEAD)
        && says(MODE, "navigate")
        && says(DESTINATION, "document")
}
