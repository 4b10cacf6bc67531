//! Whether the one who asks may.

use poem::http::header::{ALLOW, WWW_AUTHENTICATE};
use poem::http::{HeaderValue, Method, StatusCode};

use super::Refused;
use super::table::{Found, Need};
use crate::access::{ORDERS, Principal};

pub fn check(found: &Found, path: &str, principal: &Principal) -> Result<(), Refused> {
    match found {
        // The page's own 404, for people; it needs no name.
        Found::Nowhere if !path.starts_with("/api/") => Ok(()),
        Found::Nowhere => {
            let detail = "There is nothing at this path; /docs lists what there is.";
            somebody(principal)?;
            Err(Refused::new(StatusCode::NOT_FOUND, "not-found", detail))
        }
        Found::OtherMethods(methods) => {
            if path.starts_with("/api/") {
                somebody(principal)?;
            }
            Err(other_methods(methods))
        }
        Found::Route(Need::Nothing) => Ok(()),
        Found::Route(Need::Somebody) => somebody(principal),
        Found::Route(Need::Everything) => {
            somebody(principal)?;
            match principal.sees(ORDERS) {
                true => Ok(()),
                false => Err(forbidden(format!(
                    "{} may not see this: it counts all collections, and the token is narrowed to some.",
                    principal.name()
                ))),
            }
        }
        Found::Route(Need::Any(rights)) => {
            somebody(principal)?;
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

fn somebody(principal: &Principal) -> Result<(), Refused> {
    match principal.is_somebody() {
        true => Ok(()),
        false => Err(unauthenticated(
            "This service asks who you are. Send a token: Authorization: Bearer wb_…; the commands take it from \
             --token-file or WAYBILL_TOKEN; the page has a form to sign in.",
        )),
    }
}

pub fn unauthenticated(detail: &str) -> Refused {
    let mut refused = Refused::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
    let way = HeaderValue::from_static("Bearer realm=\"waybill\"");
    refused.header = Some((WWW_AUTHENTICATE, way));
    refused
}

fn forbidden(detail: String) -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

fn other_methods(methods: &[Method]) -> Refused {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let names = names.join(", ");
    let mut refused = Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        format!("This path takes {names}; /docs lists what there is."),
    );
    refused.header = HeaderValue::from_str(&names)
        .ok()
        .map(|names| (ALLOW, names));
    refused
}
