//! Which route needs which right: the one place that says so. The gate lets nothing through that has no row here, so a route
//! that was forgotten answers nobody; a test compares the rows with what is routed.

use poem::http::Method;

use crate::access::{Right, Rights};
use crate::api::assets::PAGES;
use crate::api::gone::MOVED;
use crate::api::path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Whoever asks: health for probes, the page's own files, which hold no data, and signing in.
    Nothing,
    /// Somebody, with whatever rights: what is the same for all.
    Somebody,
    /// Somebody who sees every collection, for numbers that count all of them.
    Everything,
    /// At least one of these rights.
    Any(Rights),
}

const fn any(rights: &[Right]) -> Need {
    Need::Any(Rights::of(rights))
}

const READ: Need = any(&[Right::Read]);
const LETTERS: Need = any(&[Right::Letters]);
const PUBLISH: Need = any(&[Right::Publish]);
const DECIDE: Need = any(&[Right::Decide]);
const DEFINE: Need = any(&[Right::Define]);
const OPERATE: Need = any(&[Right::Operate]);
const ADMIN: Need = any(&[Right::Admin]);
/// Definitions explain verdicts, and whoever may see either may see them.
const SEE_DEFINITIONS: Need = any(&[Right::Read, Right::Letters, Right::Define]);
/// Each kind of operation is asked for with another of these rights. Whoever has none of them has no operations; of others'
/// the handlers show and steer what the principal may.
const OWN_OPERATIONS: Need = any(&[Right::Decide, Right::Define, Right::Operate]);
const SEE_OPERATIONS: Need = any(&[Right::Letters, Right::Decide, Right::Define, Right::Operate]);

type Row = (Method, &'static str, Need);

/// The first that fits counts. A HEAD is a GET. Documents have no row: their paths are by collection, and looked for first, since
/// the hot read is with each request.
static TABLE: &[Row] = &[
    (Method::GET, "/api/v1/collections", Need::Somebody),
    (Method::GET, "/api/v1/collections/:name", SEE_DEFINITIONS),
    (Method::PUT, "/api/v1/collections/:name", DEFINE),
    (Method::DELETE, "/api/v1/collections/:name", DEFINE),
    (
        Method::GET,
        "/api/v1/collections/:name/definitions",
        SEE_DEFINITIONS,
    ),
    (
        Method::GET,
        "/api/v1/collections/:name/schema",
        Need::Somebody,
    ),
    (
        Method::POST,
        "/api/v1/collections/:name/validate",
        Need::Somebody,
    ),
    (Method::GET, "/api/v1/collections/:name/export", READ),
    (Method::GET, "/api/v1/collections/:name/versions", READ),
    (Method::GET, "/api/v1/collections/:name/sums", READ),
    (Method::GET, "/api/v1/collections/:name/sums/:account", READ),
    (Method::POST, "/api/v1/plans", DEFINE),
    (Method::GET, "/api/v1/inbox/:position", LETTERS),
    (Method::GET, "/api/v1/inbox/:position/payload", LETTERS),
    (Method::GET, "/api/v1/dead-letters", LETTERS),
    (Method::GET, "/api/v1/dead-letters/export", LETTERS),
    (Method::POST, "/api/v1/dead-letters/batch", DECIDE),
    (Method::GET, "/api/v1/dead-letters/:id", LETTERS),
    (Method::GET, "/api/v1/dead-letters/:id/payload", LETTERS),
    (Method::POST, "/api/v1/dead-letters/:id/retry", DECIDE),
    (Method::POST, "/api/v1/dead-letters/:id/discard", DECIDE),
    (Method::POST, "/api/v1/dead-letters/:id/reopen", DECIDE),
    (Method::POST, "/api/v1/dead-letters/:id/notes", DECIDE),
    (Method::POST, "/api/v1/dead-letters/:id/resubmit", DECIDE),
    (Method::GET, "/api/v1/dead-letter-groups", LETTERS),
    (Method::GET, "/api/v1/dead-letter-groups/trend", LETTERS),
    (Method::POST, "/api/v1/replays", OPERATE),
    (Method::GET, "/api/v1/operations", SEE_OPERATIONS),
    (Method::GET, "/api/v1/operations/:id", SEE_OPERATIONS),
    (Method::GET, "/api/v1/operations/:id/letters", LETTERS),
    (Method::POST, "/api/v1/operations/:id/pause", OWN_OPERATIONS),
    (
        Method::POST,
        "/api/v1/operations/:id/resume",
        OWN_OPERATIONS,
    ),
    (
        Method::POST,
        "/api/v1/operations/:id/cancel",
        OWN_OPERATIONS,
    ),
    (Method::GET, "/api/v1/reconciliation", Need::Everything),
    (Method::GET, "/api/v1/stats", Need::Everything),
    (Method::GET, "/api/v1/stream", Need::Somebody),
    (Method::GET, "/api/v1/me", Need::Somebody),
    (Method::GET, "/api/v1/session", Need::Nothing),
    (Method::POST, "/api/v1/session", Need::Nothing),
    (Method::DELETE, "/api/v1/session", Need::Nothing),
    (Method::GET, "/api/v1/audit", ADMIN),
    (Method::GET, "/metrics", Need::Everything),
    (Method::GET, "/docs", Need::Somebody),
    (Method::GET, "/openapi.json", Need::Somebody),
    (Method::GET, "/healthz/live", Need::Nothing),
    (Method::GET, "/healthz/ready", Need::Nothing),
    (Method::GET, "/sign-in/oidc", Need::Nothing),
    (Method::GET, "/sign-in/oidc/callback", Need::Nothing),
    (Method::GET, "/favicon.ico", Need::Nothing),
    (Method::GET, "/ui/*path", Need::Nothing),
];

#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Route(Need),
    /// The path is one, but not with this method: those that it takes.
    OtherMethods(Vec<Method>),
    Nowhere,
}

pub fn find(method: &Method, path: &str) -> Found {
    let asked = match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    };
    if let Some((_, rest)) = path::collection(path) {
        return of_documents(asked, rest);
    }
    let mut others = Vec::new();
    for (gone, path_gone, _) in &MOVED {
        if gone == asked && path.strip_prefix("/api/v1") == Some(*path_gone) {
            return Found::Route(Need::Somebody);
        }
    }
    for (method, pattern, need) in TABLE {
        if fits(pattern, path) {
            if method == asked {
                return Found::Route(*need);
            }
            others.push(method.clone());
        }
    }
    if PAGES.iter().any(|pattern| fits(pattern, path)) {
        if asked == Method::GET {
            return Found::Route(Need::Nothing);
        }
        others.push(Method::GET);
    }
    match others.as_slice() {
        [] => Found::Nowhere,
        _ => Found::OtherMethods(others),
    }
}

fn of_documents(asked: &Method, rest: Option<&str>) -> Found {
    match (rest, asked) {
        (Some(""), _) => Found::Nowhere,
        (_, &Method::GET) => Found::Route(READ),
        (None, &Method::POST) => Found::Route(PUBLISH),
        (None, _) => Found::OtherMethods(vec![Method::GET, Method::POST]),
        (Some(_), _) => Found::OtherMethods(vec![Method::GET]),
    }
}

/// Segment by segment, undecoded, as poem routes: `:name` stands for one that is not empty, `*name` for all that are left.
fn fits(pattern: &str, path: &str) -> bool {
    // Nearly every row is passed over here, by one comparison: this is on the way of each request.
    let (same, rest) = match pattern.find([':', '*']) {
        None => return pattern == path,
        Some(at) => pattern.split_at(at),
    };
    let Some(path) = path.strip_prefix(same) else {
        return false;
    };
    let (mut pattern, mut path) = (rest.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(_)) if wanted.starts_with('*') => return true,
            (Some(wanted), Some(given)) if wanted.starts_with(':') && !given.is_empty() => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Method and path of each route of the specification, `{id}` as `:id`.
    fn specified() -> BTreeSet<(String, String)> {
        let text = crate::api::specification();
        let specification: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut routes = BTreeSet::new();
        for (path, methods) in specification["paths"].as_object().unwrap() {
            let path = path.replace('{', ":").replace('}', "");
            let path = path.replace("/collections/orders/", "/collections/:name/");
            if path::collection(&format!("/api/v1{path}")).is_some() {
                continue;
            }
            for method in methods.as_object().unwrap().keys() {
                routes.insert((method.to_uppercase(), format!("/api/v1{path}")));
            }
        }
        routes
    }

    #[test]
    fn every_route_has_a_row_and_every_row_a_route() {
        let rows: BTreeSet<(String, String)> = TABLE
            .iter()
            .filter(|(_, path, _)| path.starts_with("/api/"))
            .map(|(method, path, _)| (method.to_string(), (*path).to_owned()))
            .collect();
        assert_eq!(rows, specified());
        assert_eq!(
            rows.len(),
            TABLE
                .iter()
                .filter(|row| row.1.starts_with("/api/"))
                .count()
        );
    }

    /// A row above could take what is another row's: then that one's need would be another's.
    #[test]
    fn each_row_is_found_by_its_own_path() {
        for (method, path, need) in TABLE {
            assert_eq!(find(method, path), Found::Route(*need), "{method} {path}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_nowhere() {
        let route = |path| find(&Method::GET, path);
        assert_eq!(route("/api/v1/orders/a%2Fb"), Found::Route(READ));
        for path in [
            "/api/v1/orders/",
            "/api/v1/",
            "/api/v1",
            "/api/v1/%73tats",
            "/api/v1/stats/",
            "//api/v1/stats",
            "/API/v1/stats",
            "/m%65trics",
            "/metrics/",
            "",
        ] {
            assert_eq!(route(path), Found::Nowhere, "{path}");
        }
        assert_eq!(
            find(&Method::HEAD, "/api/v1/orders/x"),
            Found::Route(READ),
            "a HEAD is a GET"
        );
        assert_eq!(
            find(&Method::POST, "/api/v1/collections/x"),
            Found::OtherMethods(vec![Method::GET, Method::PUT, Method::DELETE])
        );
        // What 0.1 had is said to be gone, not to be nowhere.
        assert_eq!(
            find(&Method::PUT, "/api/v1/rules"),
            Found::Route(Need::Somebody)
        );
        assert_eq!(find(&Method::POST, "/api/v1/any"), Found::Route(PUBLISH));
        assert_eq!(
            find(&Method::PUT, "/api/v1/any"),
            Found::OtherMethods(vec![Method::GET, Method::POST])
        );
        assert_eq!(
            find(&Method::POST, "/letters/7"),
            Found::OtherMethods(vec![Method::GET])
        );
        assert_eq!(route("/ui/view/find.js"), Found::Route(Need::Nothing));
    }
}
