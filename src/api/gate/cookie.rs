//! The cookie in which a browser keeps a token. The page's own code never sees it (HttpOnly), no other site's page makes the
//! browser send it (SameSite=Strict), and it lives a working day at most.

use std::time::Duration;

use poem::http::header::COOKIE;
use poem::http::{HeaderMap, HeaderValue};

const NAME: &str = "waybill";
/// Browsers take one of this name over TLS only, and only for exactly this host.
const SECURE: &str = "__Host-waybill";
pub const LONGEST_LIFE: Duration = Duration::from_secs(12 * 3600);

/// What a sign-in at the issuer has begun with, for as long as people take there. Lax, for they come back by a link from there.
const BEGUN: &str = "waybill-sign-in";
const BEGUN_SECURE: &str = "__Secure-waybill-sign-in";
const BEGUN_LIFE: Duration = Duration::from_secs(600);
/// The longest text that browsers keep as a cookie, name included.
const MAX_BYTES: usize = 4096;

pub fn token(headers: &HeaderMap) -> Option<&str> {
    named(headers, SECURE).or_else(|| named(headers, NAME))
}

pub fn begun(headers: &HeaderMap) -> Option<&str> {
    named(headers, BEGUN_SECURE).or_else(|| named(headers, BEGUN))
}

fn named<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let texts = headers.get_all(COOKIE).into_iter();
    let mut cookies = texts
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find_map(|(name, value)| (name == wanted).then_some(value))
}

/// Whether a browser would keep it.
pub fn is_short_enough(token: &str) -> bool {
    SECURE.len() + 1 + token.len() <= MAX_BYTES
}

/// Seen by the sign-in's own routes alone. `secrets` are empty to forget them.
pub fn set_begun(secrets: &str, path: &str, secure: bool) -> Option<HeaderValue> {
    let (name, only_tls) = match secure {
        true => (BEGUN_SECURE, "; Secure"),
        false => (BEGUN, ""),
    };
    let seconds = match secrets {
        "" => 0,
        _ => BEGUN_LIFE.as_secs(),
    };
    let text = format!(
        "{name}={secrets}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{only_tls}"
    );
    HeaderValue::from_str(&text).ok()
}

/// `token` is empty to forget it.
pub fn set(token: &str, life: Duration, secure: bool) -> Option<HeaderValue> {
    let (name, only_tls) = match secure {
        true => (SECURE, "; Secure"),
        false => (NAME, ""),
    };
    let seconds = life.min(LONGEST_LIFE).as_secs();
    let text =
        format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{only_tls}");
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_among_others_and_kept_from_everybody() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers), None);
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=b; waybill=wb_1; waybillx=2"),
        );
        assert_eq!(token(&headers), Some("wb_1"));
        headers.append(COOKIE, HeaderValue::from_static("__Host-waybill=wb_2"));
        assert_eq!(token(&headers), Some("wb_2"));
        let plain = set("wb_1", Duration::from_secs(60), false).unwrap();
        assert_eq!(
            plain,
            "waybill=wb_1; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"
        );
        let over_tls = set("wb_1", Duration::MAX, true).unwrap();
        assert_eq!(
            over_tls,
            "__Host-waybill=wb_1; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(set("a\nb", Duration::ZERO, false).is_none());
        let begun_at = set_begun("a.b", "/sign-in", true).unwrap();
        assert_eq!(
            begun_at,
            "__Secure-waybill-sign-in=a.b; Path=/sign-in; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        );
        headers.append(COOKIE, HeaderValue::from_static("waybill-sign-in=a.b"));
        assert_eq!(begun(&headers), Some("a.b"));
        assert_eq!(token(&headers), Some("wb_2"));
    }
}
