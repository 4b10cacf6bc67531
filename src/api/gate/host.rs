//! By which names the service may be addressed. A web page can make its own host name resolve to 127.0.0.1 (DNS rebinding)
//! and then talk to us as if it came from here; only the `Host` that its browser sends gives it away.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use poem::http::header::{HOST, HeaderMap};
use poem::http::{StatusCode, Uri};

use super::Refused;

/// An address under which people reach the service: scheme, host and port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// As a browser writes it in `Origin`: lower case, no default port.
    origin: String,
    host: String,
}

#[derive(Debug, thiserror::Error)]
#[error("an address for browsers looks like https://waybill.example.com, without a path")]
pub struct InvalidPublicUrl;

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidPublicUrl)?;
        let authority = uri.authority().ok_or(InvalidPublicUrl)?;
        let default_port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(InvalidPublicUrl),
        };
        let more = uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@');
        if more || authority.host().is_empty() {
            return Err(InvalidPublicUrl);
        }
        let host = authority.host().to_ascii_lowercase();
        let port = match authority.port_u16() {
            Some(port) if port != default_port => format!(":{port}"),
            _ => String::new(),
        };
        let scheme = uri.scheme_str().unwrap_or_default();
        Ok(Self {
            origin: format!("{scheme}://{host}{port}"),
            host,
        })
    }
}

impl PublicUrl {
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

pub struct Names {
    /// Listening on loopback, only loopback's names lead here. Elsewhere any IP address may, through NAT, and an address
    /// cannot be rebound: no name is looked up.
    loopback_only: bool,
    public: Vec<PublicUrl>,
    /// The service speaks TLS itself, and nothing else.
    tls: bool,
}

impl Names {
    pub fn new(listen: SocketAddr, public: Vec<PublicUrl>, tls: bool) -> Self {
        Self {
            loopback_only: listen.ip().is_loopback(),
            public,
            tls,
        }
    }

    pub fn check<B>(&self, request: &hyper::Request<B>) -> Result<(), Refused> {
        match hosts(request).find(|host| !self.knows(host)) {
            None => Ok(()),
            Some(foreign) => Err(Refused::new(
                StatusCode::FORBIDDEN,
                "foreign-host",
                format!(
                    "The service does not answer to the name {:?}, so that no web page can reach it by a name of its own. \
                     If this name leads here, through a proxy or by DNS, start it with --public-url https://NAME.",
                    shortened(foreign)
                ),
            )),
        }
    }

    fn knows(&self, authority: &str) -> bool {
        let host = without_port(authority);
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let here = match address.parse::<IpAddr>() {
            Ok(ip) => !self.loopback_only || ip.to_canonical().is_loopback(),
            Err(_) => is_localhost(host),
        };
        here || self.public_url(authority).is_some()
    }

    /// The public address that a `Host` belongs to.
    fn public_url(&self, authority: &str) -> Option<&PublicUrl> {
        let host = without_port(authority);
        let named = |url: &&PublicUrl| url.host.eq_ignore_ascii_case(host);
        self.public.iter().find(named)
    }

    /// Whether it is known that a browser spoke TLS to us, or to whatever stands before us.
    pub fn is_over_tls(&self, headers: &HeaderMap) -> bool {
        if self.tls {
            return true;
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let public = host.and_then(|host| self.public_url(host));
        public.is_some_and(|url| url.origin.starts_with("https:"))
    }

    /// Where a browser that asked reaches us, to be sent back there. A proxy may change Host on the way: if the name is none
    /// of the public addresses, the first of them is meant.
    pub fn origin(&self, target: &Uri, headers: &HeaderMap) -> Option<String> {
        let host = target.authority().map(|of| of.as_str());
        let host = host.or_else(|| headers.get(HOST)?.to_str().ok())?;
        if let Some(public) = self.public_url(host).or(self.public.first()) {
            return Some(public.origin.clone());
        }
        let scheme = match self.is_over_tls(headers) {
            true => "https",
            false => "http",
        };
        Some(format!("{scheme}://{host}"))
    }

    /// Whether a page of this origin is one of ours. Of a public address the scheme is known, and must be the same;
    /// otherwise a proxy may have taken TLS away, unless it is us who speak it, and host and port decide.
    pub fn is_own<B>(&self, origin: &str, request: &hyper::Request<B>) -> bool {
        let Some(authority) = hosts(request).next() else {
            return false;
        };
        // A proxy may change Host on the way: what it is known as outside counts, too.
        if self.public.iter().any(|url| url.origin == origin) {
            return true;
        }
        self.public_url(authority).is_none()
            && origin.split_once("://").is_some_and(|(scheme, rest)| {
                (scheme == "https" || !self.tls) && rest.eq_ignore_ascii_case(authority)
            })
    }
}

/// What the request says where it goes: the target's own authority (HTTP/2, or the absolute form) and each `Host`. A text
/// that is none is the empty one, which nobody is called.
fn hosts<B>(request: &hyper::Request<B>) -> impl Iterator<Item = &str> {
    let target = request.uri().authority().map(|of| of.as_str());
    let headers = request.headers().get_all(HOST).into_iter();
    target
        .into_iter()
        .chain(headers.map(|host| host.to_str().unwrap_or_default()))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Browsers resolve these to loopback without asking anybody.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = "localhost";
    let Some(split) = host.len().checked_sub(name.len()) else {
        return false;
    };
    host.is_char_boundary(split)
        && host[split..].eq_ignore_ascii_case(name)
        && (split == 0 || host[..split].ends_with('.'))
}

/// A header may have 32 kB.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(listen: &str, public: &[&str]) -> Names {
        let public = public.iter().map(|url| url.parse().unwrap()).collect();
        Names::new(listen.parse().unwrap(), public, false)
    }

    #[test]
    fn on_loopback_only_its_own_names_lead_here() {
        let loopback = names("127.0.0.1:8080", &["https://Desk.example:8443"]);
        for host in [
            "127.0.0.1:8080",
            "127.0.0.1",
            "127.1.2.3:99",
            "localhost:8080",
            "LOCALHOST",
            "localhost.:1",
            "desk.localhost:8080",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
            "desk.example:8443",
            "DESK.EXAMPLE",
        ] {
            assert!(loopback.knows(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "notlocalhost",
            "évillocalhost",
            "10.0.0.1:8080",
            "[fe80::1]:8080",
            "127.0.0.1.evil.example",
            "me@127.0.0.1",
            "127.0.0.1:8080:8080",
            "desk.example.evil",
        ] {
            assert!(!loopback.knows(host), "{host}");
        }
        let open = names("0.0.0.0:8080", &[]);
        assert!(open.knows("10.0.0.1:8080") && open.knows("[fe80::1]") && open.knows("localhost"));
        assert!(!open.knows("waybill:8080"));
    }

    #[test]
    fn an_origin_is_ours_by_host_and_port_and_of_a_public_address_by_scheme() {
        let request = |host: &str| {
            hyper::Request::builder()
                .header(HOST, host)
                .body(())
                .unwrap()
        };
        let plain = names("127.0.0.1:8080", &["https://desk.example"]);
        for (origin, host, own) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("https://LocalHost:8080", "localhost:8080", true),
            ("http://127.0.0.1:3000", "127.0.0.1:8080", false),
            ("http://localhost:8080", "127.0.0.1:8080", false),
            ("null", "127.0.0.1:8080", false),
            ("", "127.0.0.1:8080", false),
            ("https://desk.example", "desk.example", true),
            ("http://desk.example", "desk.example", false),
            ("https://desk.example", "127.0.0.1:8080", true),
            ("https://evil.example", "desk.example", false),
        ] {
            assert_eq!(plain.is_own(origin, &request(host)), own, "{origin} {host}");
        }
    }

    #[test]
    fn a_service_that_speaks_tls_has_no_page_without_it() {
        let listen = "127.0.0.1:8443".parse().unwrap();
        let secret = Names::new(listen, Vec::new(), true);
        // As HTTP/2 names the host: in the target.
        let request = hyper::Request::builder()
            .uri("https://localhost:8443/")
            .body(())
            .unwrap();
        assert!(secret.is_own("https://localhost:8443", &request));
        assert!(!secret.is_own("http://localhost:8443", &request));
        assert!(secret.is_over_tls(request.headers()));
    }

    #[test]
    fn a_public_url_is_an_origin() {
        for text in ["https://desk.example:443/", "HTTPS://Desk.Example"] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!(url.origin, "https://desk.example");
        }
        for text in [
            "",
            "desk.example",
            "ftp://desk.example",
            "https://",
            "https://desk.example/waybill",
            "https://desk.example/?a",
            "https://me@desk.example",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }
}
