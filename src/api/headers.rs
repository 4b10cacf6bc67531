//! What every answer tells the browser that gets it, whoever made the answer.

use poem::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use poem::http::{HeaderName, HeaderValue};

/// Data is no page: it runs nothing, loads nothing, and stands in no frame.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Not even the bytes of an answer come into the process of another site's page.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// A year: whoever has seen the service over TLS asks it in no other way.
const ONLY_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What an answer says for itself stays. `over_tls`: it is known that the client's browser speaks TLS.
pub fn guard(headers: &mut HeaderMap, over_tls: bool) {
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NO_PAGE);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    // Nobody else's cache keeps an order, and a browser's asks each time.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    if over_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, ONLY_TLS);
    }
}
