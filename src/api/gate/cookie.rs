//! The cookie in which a browser keeps a token. The page's own code never sees it (HttpOnly), no other site's page makes the
//! browser send it (SameSite=Strict), and it lives a working day at most.

use std::time::Duration;

use poem::http::header::COOKIE;
use poem::http::{HeaderMap, HeaderValue};

const NAME: &str = "waybill";
/// Browsers take one of this name over TLS only, and only for exactly this host.
const SECURE: &str = "__Host-waybill";
pub const LONGEST_LIFE: Duration = Duration::from_secs(12 * 3600);

pub fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = || {
        let texts = headers.get_all(COOKIE).into_iter();
        texts
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
    };
    let named = |wanted| {
        let mut cookies = cookies();
        cookies.find_map(|(name, value)| (name == wanted).then_some(value))
    };
    named(SECURE).or_else(|| named(NAME))
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
    }
}
