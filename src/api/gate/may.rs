//! Whether the one who asks may.

use poem::http::header::{ALLOW, WWW_AUTHENTICATE};
use poem::http::{HeaderValue, Method, StatusCode};

use super::Refused;
use super::table::{Found, Need};
use super::who::Asks;
use crate::access::Collections;

pub fn check(found: &Found, path: &str, asks: &Asks) -> Result<(), Refused> {
    let principal = &asks.principal;
    match found {
        // The page's own 404, for people; it needs no name.
        Found::Nowhere if !path.starts_with("/api/") => Ok(()),
        Found::Nowhere => {
            somebody(asks)?;
            Err(nowhere())
        }
        Found::OtherMethods(methods) => {
            if path.starts_with("/api/") {
                somebody(asks)?;
            }
            Err(other_methods(methods))
        }
        Found::Route(Need::Nothing) => Ok(()),
        Found::Route(Need::Somebody) => somebody(asks),
        Found::Route(Need::Everything) => {
            somebody(asks)?;
            match *principal.collections() == Collections::All {
                true => Ok(()),
                false => Err(forbidden(format!(
                    "{} may not see this: it counts all collections, and the token is narrowed to some.",
                    principal.name()
                ))),
            }
        }
        Found::Route(Need::Any(rights)) => {
            somebody(asks)?;
            match principal.rights().has_any(*rights) {
                true => Ok(()),
                false => Err(forbidden(format!(
                    "{} may not do this: it needs the right {}, and {} has {}.",
                    principal.name(),
                    rights.to_string().replace(", ", " or "),
                    principal.name(),
                    principal.rights()
                ))),
            }
        }
    }
}

fn somebody(asks: &Asks) -> Result<(), Refused> {
    match &asks.not_known {
        _ if asks.principal.is_somebody() => Ok(()),
        Some(why) => Err(unauthenticated(format!("It is not known who asks: {why}."))),
        None => Err(unauthenticated(
            "This service asks who you are. Send a token (Authorization: Bearer wb_…); the commands take it from \
             --token-file, WAYBILL_TOKEN or WAYBILL_TOKEN_FILE.",
        )),
    }
}

pub fn unauthenticated(detail: impl Into<String>) -> Refused {
    let mut refused = Refused::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
    let way = HeaderValue::from_static("Bearer realm=\"waybill\"");
    refused.headers.push((WWW_AUTHENTICATE, way));
    refused
}

fn forbidden(detail: String) -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

pub fn nowhere() -> Refused {
    let detail = "There is nothing at this path; /docs lists what there is.";
    Refused::new(StatusCode::NOT_FOUND, "not-found", detail)
}

/// As `Allow` lists them.
pub fn allowed(methods: &[Method]) -> HeaderValue {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    HeaderValue::from_str(&names.join(", ")).expect("a method's name is allowed in a header")
}

fn other_methods(methods: &[Method]) -> Refused {
    let allowed = allowed(methods);
    let names = String::from_utf8_lossy(allowed.as_bytes()).into_owned();
    let mut refused = Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        format!("This path takes {names}; /docs lists what there is."),
    );
    refused.headers.push((ALLOW, allowed));
    refused
}
