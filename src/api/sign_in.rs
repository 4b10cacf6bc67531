//! Signing in at an issuer's page, as a browser goes through it: away to the issuer, and back with a code. For people: what
//! goes wrong is told on a page. Scripts show the issuer's JWT instead.
//!
//! Its invariant: a browser is sent nowhere but to the issuer that was set, and back to a path of our own.

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use poem::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
};
use poem::http::{HeaderValue, StatusCode};
use poem::{Endpoint, Request, Response};

use super::assets::POLICY;
use super::gate::{Gate, begun, is_short_enough};
use crate::access::oidc::{NotProven, NotSignedIn, Secrets};

pub const PATH: &str = "/sign-in/oidc";
pub const CALLBACK: &str = "/sign-in/oidc/callback";
/// The longest path to come back to: each view's address is far below it.
const MAX_PATH: usize = 1_000;
const BEGIN_AGAIN: &str = "This sign-in was not begun in this browser, or more than ten minutes ago, or another was begun \
     after it. Begin again.";

/// To the issuer.
pub struct Begin(pub Arc<Gate>);

impl Endpoint for Begin {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let parameters = parameters(&request);
        let to = parameters
            .get("to")
            .and_then(|to| own_path(to))
            .unwrap_or("/");
        let Some((oidc, redirect_uri)) = self.0.oidc().zip(redirect_uri(&self.0, &request)) else {
            return Ok(nowhere());
        };
        let secrets = match Secrets::new() {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::error!(%error, "the system gives no random numbers: {error}");
                return Ok(told(StatusCode::INTERNAL_SERVER_ERROR, BEGIN_AGAIN, to));
            }
        };
        let location = match oidc.authorization(&secrets, &redirect_uri).await {
            Ok(location) => location,
            Err(why) => {
                let text = format!("{} cannot be asked who you are: {why}.", oidc.host());
                return Ok(told(StatusCode::SERVICE_UNAVAILABLE, &text, to));
            }
        };
        let kept = written(&secrets, to);
        let cookie = self.0.begun(request.headers(), &kept, PATH);
        Ok(sent(&location, cookie))
    }
}

/// Back from there.
pub struct Callback(pub Arc<Gate>);

impl Endpoint for Callback {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let Some((oidc, redirect_uri)) = self.0.oidc().zip(redirect_uri(&self.0, &request)) else {
            return Ok(nowhere());
        };
        let parameters = parameters(&request);
        let said = |name: &str| parameters.get(name).map(String::as_str);
        let begun = begun(request.headers()).and_then(read);
        let Some((secrets, to)) = begun.filter(|(kept, _)| said("state") == Some(&kept.state))
        else {
            return Ok(told(StatusCode::BAD_REQUEST, BEGIN_AGAIN, "/"));
        };
        // Where there are several issuers, one could answer in another's place (RFC 9207).
        let other = said("iss").is_some_and(|issuer| issuer != oidc.name());
        let code = match (said("code"), said("error")) {
            _ if other => return Ok(told(StatusCode::BAD_REQUEST, BEGIN_AGAIN, &to)),
            (Some(code), None) => code,
            (_, error) => {
                let error = error.unwrap_or("no code came back");
                let more = said("error_description").unwrap_or_default();
                let text = format!("{} did not let you in: {error}. {more}", oidc.host());
                return Ok(told(StatusCode::FORBIDDEN, &text, &to));
            }
        };
        let from = request.remote_addr().as_socket_addr().copied();
        let came_back = self.0.came_back(code, &secrets, &redirect_uri, from).await;
        let signed_in = match came_back {
            Ok(signed_in) if is_short_enough(&signed_in.id_token) => signed_in,
            Ok(signed_in) => {
                let text = format!(
                    "The ID token of {} has {} bytes, more than browsers keep: let the issuer put fewer claims into it.",
                    oidc.host(),
                    signed_in.id_token.len()
                );
                return Ok(told(StatusCode::FORBIDDEN, &text, &to));
            }
            Err(why) => {
                let text = format!("{} was asked who you are, and: {why}.", oidc.host());
                return Ok(told(status(&why), &text, &to));
            }
        };
        let headers = request.headers();
        let token = signed_in.id_token.as_str();
        let session = self.0.cookie(headers, token, Some(&signed_in.principal));
        let forgotten = self.0.begun(headers, "", PATH);
        Ok(sent(&to, session.into_iter().chain(forgotten)))
    }
}

fn status(why: &NotSignedIn) -> StatusCode {
    match why {
        NotSignedIn::Issuer(_) | NotSignedIn::NotProven(NotProven::Away(_)) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        NotSignedIn::NotProven(_) => StatusCode::FORBIDDEN,
    }
}

fn parameters(request: &Request) -> HashMap<String, String> {
    request.params().unwrap_or_default()
}

fn redirect_uri(gate: &Gate, request: &Request) -> Option<String> {
    let origin = gate.own_origin(request.original_uri(), request.headers())?;
    Some(format!("{origin}{CALLBACK}"))
}

/// A path that leads to this service whatever a browser makes of it: `//host` and `/\host` would lead elsewhere.
fn own_path(text: &str) -> Option<&str> {
    let own = text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= MAX_PATH
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    own.then_some(text)
}

/// As the cookie has it: none of the first three has a dot.
fn written(secrets: &Secrets, to: &str) -> String {
    let to = utf8_percent_encode(to, NON_ALPHANUMERIC);
    format!(
        "{}.{}.{}.{to}",
        secrets.state, secrets.nonce, secrets.verifier
    )
}

fn read(text: &str) -> Option<(Secrets, String)> {
    let mut parts = text.splitn(4, '.').map(str::to_owned);
    let secrets = Secrets {
        state: parts.next()?,
        nonce: parts.next()?,
        verifier: parts.next()?,
    };
    let to = parts.next()?;
    let to = percent_decode_str(&to).decode_utf8().ok()?;
    Some((secrets, own_path(&to)?.to_owned()))
}

fn sent(location: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return told(StatusCode::BAD_REQUEST, BEGIN_AGAIN, "/");
    };
    let mut response = Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(CACHE_CONTROL, "no-store")
        .header(REFERRER_POLICY, "no-referrer")
        .finish();
    response.headers_mut().insert(LOCATION, location);
    let cookies = cookies.into_iter();
    cookies.for_each(|cookie| {
        response.headers_mut().append(SET_COOKIE, cookie);
    });
    response
}

fn nowhere() -> Response {
    let text = "This service has no issuer to sign in at (--oidc-issuer).";
    told(StatusCode::NOT_FOUND, text, "/")
}

fn told(status: StatusCode, text: &str, to: &str) -> Response {
    let again = utf8_percent_encode(to, NON_ALPHANUMERIC);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Signing in · Waybill</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"/ui/css/base.css\"></head><body><main>\
         <h1>Signing in did not work</h1><p class=\"lead\">{}</p>\
         <p><a href=\"{PATH}?to={again}\">Try again</a> · <a href=\"/\">Waybill</a></p></main></body></html>\n",
        escaped(text)
    );
    Response::builder()
        .status(status)
        .header(CACHE_CONTROL, "no-store")
        .header(REFERRER_POLICY, "no-referrer")
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CONTENT_SECURITY_POLICY, POLICY)
        .body(html)
}

/// What the issuer said may be anybody's text, and long.
fn escaped(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control()).take(1_000);
    shown.fold(String::new(), |mut html, c| {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
        html
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for own in ["/", "/letters/7?x=//y", "/ui/signed-in.html"] {
            assert_eq!(own_path(own), Some(own));
        }
        for other in [
            "",
            "letters",
            "//evil.example",
            "/\\evil.example",
            "/a\\b",
            "https://evil.example/",
            "/\t/evil.example",
            "/a\r\nSet-Cookie: x=y",
            "/é",
        ] {
            assert_eq!(own_path(other), None, "{other:?}");
        }
        assert_eq!(own_path(&"/".repeat(1_001)), None);
    }

    #[test]
    fn what_was_begun_is_read_back() {
        let secrets = Secrets::new().unwrap();
        let (found, to) = read(&written(&secrets, "/letters?text=a.b")).unwrap();
        assert_eq!(to, "/letters?text=a.b");
        assert_eq!(
            (found.state, found.nonce, found.verifier),
            (secrets.state, secrets.nonce, secrets.verifier)
        );
        for broken in [
            "",
            "a.b.c",
            "a.b.c.",
            "a.b.c.%2F%2Fevil.example",
            "a.b.c.%ff",
        ] {
            assert!(read(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn what_the_issuer_says_becomes_no_markup() {
        assert_eq!(
            escaped("<a href=\"x\">&\n"),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
    }
}
