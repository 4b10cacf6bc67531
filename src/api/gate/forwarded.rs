//! Who is behind a proxy. What a proxy says counts only if it is one of those that were named (--trusted-proxy): everybody
//! else can write the same headers.

use std::net::{IpAddr, SocketAddr};

use hyper::Request;
use ipnet::IpNet;
use poem::http::HeaderName;
use poem::http::header::{FORWARDED, HeaderMap};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

pub struct Proxies(Vec<IpNet>);

impl Proxies {
    pub fn new(trusted: Vec<IpNet>) -> Self {
        Self(trusted)
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Takes away what nobody who is trusted has said, so that nothing behind this need ask who said it.
    pub fn strip<B>(&self, request: &mut Request<B>, peer: IpAddr) {
        if !self.0.is_empty() && !self.trusts(peer) {
            for name in [FORWARDED, FOR, PROTO] {
                request.headers_mut().remove(name);
            }
        }
    }

    /// Read from the right, for each proxy adds what it sees at the end; those that are trusted are passed over. Where two
    /// headers tell different tales, the proxy has let one of them through from outside, and neither is believed.
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        if self.0.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let forwarded = values(headers, &FORWARDED);
        let hops = forwarded.iter().map(|hop| parameter(hop, "for"));
        let forwarded = self.last_stranger(hops, peer);
        let plain = values(headers, &FOR);
        let plain = self.last_stranger(plain.iter().map(|hop| Some(hop.as_str())), peer);
        match (forwarded, plain) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(one), _) | (None, Some(one)) => one,
            (None, None) => peer,
        }
    }

    /// None if the header is not there.
    fn last_stranger<'a>(
        &self,
        hops: impl DoubleEndedIterator<Item = Option<&'a str>>,
        peer: IpAddr,
    ) -> Option<IpAddr> {
        let mut nearest = None;
        for hop in hops.rev() {
            // Of one that hides, or writes what is no address, nothing further to the left can be known.
            let Some(address) = hop.and_then(address) else {
                return nearest.or(Some(peer));
            };
            nearest = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        nearest
    }

    /// Whether the nearest proxy says that TLS was spoken to it.
    pub fn says_tls(&self, headers: &HeaderMap) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let forwarded = values(headers, &FORWARDED);
        let said = forwarded.last().and_then(|hop| parameter(hop, "proto"));
        let plain = values(headers, &PROTO);
        let plain = plain.last().map(String::as_str);
        let mut said = said.into_iter().chain(plain).peekable();
        said.peek().is_some() && said.all(|proto| proto.eq_ignore_ascii_case("https"))
    }
}

/// The list that all lines of a header make together.
fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).into_iter();
    lines
        .map(|line| line.to_str().unwrap_or("?"))
        .flat_map(|line| line.split(','))
        .map(|hop| hop.trim().to_owned())
        .collect()
}

/// Of `for=10.0.0.1;proto=https`.
fn parameter<'a>(hop: &'a str, wanted: &str) -> Option<&'a str> {
    hop.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim_matches('"'))
}

/// With or without a port; one of IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let found = bare.parse::<IpAddr>().ok();
    let found = found.or_else(|| text.parse::<SocketAddr>().ok().map(|with| with.ip()));
    found.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        Proxies::new(vec![
            "10.0.0.0/8".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ])
    }

    fn request(lines: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::builder();
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_is() {
        let xff = "x-forwarded-for";
        for (peer, lines, client) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "1.2.3.4")], "1.2.3.4"),
            // Whatever the client wrote itself stands to the left.
            ("10.0.0.1", &[(xff, "6.6.6.6, 1.2.3.4")], "1.2.3.4"),
            ("10.0.0.1", &[(xff, "6.6.6.6"), (xff, "1.2.3.4")], "1.2.3.4"),
            (
                "10.0.0.1",
                &[(xff, "6.6.6.6, 1.2.3.4, 10.9.9.9")],
                "1.2.3.4",
            ),
            ("10.0.0.1", &[(xff, "1.2.3.4:555, [fd00::1]:80")], "1.2.3.4"),
            ("::ffff:10.0.0.1", &[(xff, "1.2.3.4")], "1.2.3.4"),
            ("10.0.0.1", &[(xff, "1.2.3.4, junk, 10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", &[(xff, "1.2.3.4, unknown")], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (
                "10.0.0.1",
                &[(
                    "forwarded",
                    "for=6.6.6.6, For=\"[2001:db8::1]:99\";proto=https, for=10.2.2.2",
                )],
                "2001:db8::1",
            ),
            ("10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1"),
            // One of them came from outside.
            (
                "10.0.0.1",
                &[("forwarded", "for=6.6.6.6"), (xff, "1.2.3.4")],
                "10.0.0.1",
            ),
            (
                "10.0.0.1",
                &[("forwarded", "for=1.2.3.4"), (xff, "1.2.3.4")],
                "1.2.3.4",
            ),
            // Who is not trusted says nothing.
            ("7.7.7.7", &[(xff, "1.2.3.4")], "7.7.7.7"),
        ] {
            let peer: IpAddr = peer.parse().unwrap();
            let mut request = request(lines);
            assert_eq!(
                proxies().client(request.headers(), peer),
                client.parse::<IpAddr>().unwrap(),
                "{lines:?}"
            );
            proxies().strip(&mut request, peer);
            assert_eq!(
                request.headers().is_empty(),
                lines.is_empty() || client == "7.7.7.7"
            );
        }
    }

    #[test]
    fn tls_is_what_the_nearest_proxy_says() {
        let says = |lines: &[(&'static str, &str)]| proxies().says_tls(request(lines).headers());
        let proto = "x-forwarded-proto";
        assert!(says(&[(proto, "https")]) && says(&[(proto, "http, https")]));
        assert!(says(&[(
            "forwarded",
            "proto=http, for=1.2.3.4;proto=https"
        )]));
        assert!(!says(&[]) && !says(&[(proto, "https, http")]));
        assert!(!says(&[(proto, "https"), ("forwarded", "proto=http")]));
        let nobody = Proxies::new(Vec::new());
        assert!(!nobody.says_tls(request(&[(proto, "https")]).headers()));
    }
}
