//! Asking the issuer, over HTTP: what it says of itself (discovery), its keys, and a token for a code.
//!
//! Its invariant: nothing is asked of an address that is neither https nor on loopback, nobody is followed elsewhere, and no
//! answer is waited for or read without end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, Url};
use serde::Deserialize;

/// For a whole answer: a person waits for some of them.
const TIME: Duration = Duration::from_secs(5);
/// The largest answer that is read. A key takes some 2 kB, with its certificates 10.
const MAX_BYTES: usize = 1 << 20;

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    #[error(
        "{0:?} is no issuer: it is an https URL without query, as in https://login.example.com/realms/shop"
    )]
    Url(String),
    #[error(
        "{0:?} is not https: only an issuer on loopback may do without, for whoever is on the way could be anybody"
    )]
    Insecure(String),
    #[error("{path} cannot be read: {source}", path = path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} holds no certificates in PEM", path = path.display())]
    NoCertificates { path: PathBuf },
    #[error("no client for HTTPS can be made: {0}")]
    Client(reqwest::Error),
}

/// Why the issuer is of no use now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("{url} does not answer: {cause}")]
    Silent { url: String, cause: String },
    #[error("{url} answered {status}{said}")]
    Refused {
        url: String,
        status: u16,
        said: String,
    },
    #[error("{url} answered with more than {MAX_BYTES} bytes")]
    TooLarge { url: String },
    #[error("{url} answered something else than is agreed on: {problem}")]
    Unreadable { url: String, problem: String },
    /// A setting is wrong, there or here, and time mends it not.
    #[error(
        "it calls itself {said:?}, and --oidc-issuer is {wanted:?}: they must be the same, letter by letter"
    )]
    OtherIssuer { said: String, wanted: String },
    #[error("its {what} is {url:?}, which is not https")]
    Insecure { what: &'static str, url: String },
    #[error("it has no key that signs by RS256, PS256, ES256, ES384 or EdDSA")]
    NoKeys,
    #[error("it names no {0}, which signing in needs")]
    NoEndpoint(&'static str),
}

/// What the issuer says of itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Discovery {
    issuer: String,
    pub jwks_uri: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    /// By the specification client_secret_basic, if it is left out.
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Discovery {
    /// Whether it wants a secret in the body, and not in the header.
    pub fn secret_in_body(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_some_and(|methods| {
            let has = |name| methods.iter().any(|method| method == name);
            has("client_secret_post") && !has("client_secret_basic")
        })
    }
}

pub struct Issuer {
    /// As it was set: what `iss` must be.
    pub name: String,
    /// Host and port, for people.
    pub host: String,
    client: Client,
}

impl Issuer {
    pub fn new(name: &str, ca_file: Option<&Path>) -> Result<Self, Wrong> {
        let url = Url::parse(name).map_err(|_| Wrong::Url(name.to_owned()))?;
        let odd = url.query().is_some() || url.fragment().is_some() || !url.username().is_empty();
        let host = match (url.host_str(), url.port()) {
            _ if odd => return Err(Wrong::Url(name.to_owned())),
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(Wrong::Url(name.to_owned())),
        };
        if !is_secure(&url) {
            return Err(Wrong::Insecure(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            host,
            client: client(&url, ca_file)?,
        })
    }

    pub async fn discover(&self) -> Result<Discovery, Unusable> {
        let url = format!(
            "{}/.well-known/openid-configuration",
            self.name.trim_end_matches('/')
        );
        let text = self.ask(self.client.get(&url), &url).await?;
        let found: Discovery = read(&text, &url)?;
        if found.issuer != self.name {
            return Err(Unusable::OtherIssuer {
                said: found.issuer,
                wanted: self.name.clone(),
            });
        }
        for (what, url) in [
            ("jwks_uri", Some(&found.jwks_uri)),
            (
                "authorization_endpoint",
                found.authorization_endpoint.as_ref(),
            ),
            ("token_endpoint", found.token_endpoint.as_ref()),
        ] {
            if let Some(url) = url
                && !Url::parse(url).is_ok_and(|url| is_secure(&url))
            {
                let url = url.clone();
                return Err(Unusable::Insecure { what, url });
            }
        }
        Ok(found)
    }

    pub async fn get(&self, url: &str) -> Result<Vec<u8>, Unusable> {
        self.ask(self.client.get(url), url).await
    }

    pub fn post(&self, url: &str) -> RequestBuilder {
        self.client.post(url)
    }

    pub async fn ask(&self, request: RequestBuilder, url: &str) -> Result<Vec<u8>, Unusable> {
        let silent = |error: reqwest::Error| Unusable::Silent {
            url: url.to_owned(),
            cause: deepest(&error),
        };
        let mut response = request
            .header("accept", "application/json")
            .send()
            .await
            .map_err(silent)?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(silent)? {
            if text.len() + chunk.len() > MAX_BYTES {
                return Err(Unusable::TooLarge {
                    url: url.to_owned(),
                });
            }
            text.extend_from_slice(&chunk);
        }
        match status.is_success() {
            true => Ok(text),
            false => Err(Unusable::Refused {
                url: url.to_owned(),
                status: status.as_u16(),
                said: said(&text),
            }),
        }
    }
}

/// What an error of OAuth says of itself (RFC 6749, 5.2), shortened: it goes into the log.
fn said(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        error: String,
        error_description: Option<String>,
    }
    let Ok(said) = serde_json::from_slice::<Said>(text) else {
        return String::new();
    };
    let description = said.error_description.unwrap_or_default();
    let said = format!(": {} {description}", said.error);
    said.chars().filter(|c| !c.is_control()).take(300).collect()
}

pub fn read<T: for<'de> Deserialize<'de>>(text: &[u8], url: &str) -> Result<T, Unusable> {
    serde_json::from_slice(text).map_err(|error| Unusable::Unreadable {
        url: url.to_owned(),
        problem: error.to_string(),
    })
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn client(issuer: &Url, ca_file: Option<&Path>) -> Result<Client, Wrong> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .timeout(TIME)
        .connect_timeout(TIME);
    if is_loopback(issuer) {
        builder = builder.no_proxy();
    }
    if let Some(path) = ca_file {
        let text = std::fs::read(path).map_err(|source| Wrong::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        // Of a file without any, the list is empty, and no error.
        let found = Certificate::from_pem_bundle(&text).unwrap_or_default();
        if found.is_empty() {
            let path = path.to_owned();
            return Err(Wrong::NoCertificates { path });
        }
        builder = builder.tls_certs_only(found);
    } else if issuer.scheme() == "http" {
        // Then a system without root certificates is no reason to fail.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(Wrong::Client)
}

/// reqwest's own words are about itself; what is below them says what happened.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_https_or_on_loopback() {
        crate::access::oidc::tests::provider();
        let host = |name| Issuer::new(name, None).map(|issuer| issuer.host);
        for (name, wanted) in [
            ("https://login.example.com/realms/shop", "login.example.com"),
            ("https://login.example.com:8443", "login.example.com:8443"),
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://localhost/x", "localhost"),
            ("http://[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(host(name).unwrap(), wanted);
        }
        for name in ["http://login.example.com", "http://127.0.0.1.evil.example"] {
            assert!(matches!(host(name), Err(Wrong::Insecure(_))), "{name}");
        }
        for name in [
            "",
            "login.example.com",
            "https://a/?b",
            "https://a/#b",
            "https://u@a/",
        ] {
            assert!(matches!(host(name), Err(Wrong::Url(_))), "{name}");
        }
    }
}
