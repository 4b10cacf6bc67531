//! The HTTP client of all operators' commands: how long the service is waited for, and what is told when it
//! says no. Called by every command that asks a running service.
//!
//! Its invariant: a decision is never made twice. It carries a key, and only under the same key is it asked again.
//! Deliberately absent: what the answers mean; each command reads the few fields that it shows.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{ClientBuilder, Method, Request, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::run_file::RunFileError;
use super::trust;

pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// For a whole answer, where a command does not say otherwise.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// How long a decision is asked for again, under its key, until the service has said what it came to.
const DECISION_TIME: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// For a download as a whole; how long it may stand still is its reader's to say.
const DOWNLOAD_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--url (or WAYBILL_URL) {0:?} is no address of a service: it looks like {DEFAULT_URL}")]
    NoUrl(String),
    #[error("{0}")]
    Token(String),
    #[error("{0}")]
    Trust(String),
    #[error("no TLS with {url}: {why}")]
    NoTls { url: String, why: String },
    #[error(transparent)]
    RunFile(#[from] RunFileError),
    #[error("nothing answers at {url} ({cause}): {hint}")]
    Unreachable {
        url: String,
        cause: String,
        hint: &'static str,
    },
    #[error(
        "{url} did not answer within {} s: it is overloaded, or its Postgres is away; `waybill status` says more",
        .after.as_secs()
    )]
    TimedOut { url: String, after: Duration },
    #[error("{}", .0.told())]
    Refused(Problem),
    #[error("{url} answered with HTTP {status} and no explanation: is it a Waybill service?")]
    Foreign { url: String, status: u16 },
    #[error(
        "{url} answered something that this version ({version}) does not understand ({source}): is it a Waybill \
         service, and of the same version?",
        version = env!("CARGO_PKG_VERSION")
    )]
    Unreadable {
        url: String,
        source: serde_json::Error,
    },
    #[error("the HTTP client cannot start: {cause}", cause = trust::cause(.0))]
    Start(reqwest::Error),
}

impl Error {
    /// A mistake in what was asked for, which ends with 2.
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::NoUrl(_) | Error::Token(_) | Error::Trust(_))
            || matches!(self, Error::Refused(problem) if matches!(problem.status, 400 | 401))
    }

    /// Nothing is there, or nobody answers.
    pub fn is_absence(&self) -> bool {
        matches!(self, Error::Unreachable { .. } | Error::TimedOut { .. })
    }
}

/// RFC 9457, as the service writes it.
#[derive(Debug, Deserialize)]
pub struct Problem {
    pub status: u16,
    pub detail: String,
    #[serde(default)]
    pub links: Vec<Link>,
    #[serde(skip)]
    pub body: Bytes,
    #[serde(skip)]
    base: String,
}

#[derive(Debug, Deserialize)]
pub struct Link {
    pub rel: String,
    pub href: String,
}

impl Problem {
    fn told(&self) -> String {
        let mut text = self.detail.trim_end().trim_end_matches('.').to_owned();
        for link in &self.links {
            text.push_str(&format!(
                "\n  {}: {}{}",
                link.rel.replace('_', " "),
                self.base,
                link.href
            ));
        }
        text
    }
}

/// What the service answered, byte for byte.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    url: String,
}

impl Answer {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|source| Error::Unreadable {
            url: self.url.clone(),
            source,
        })
    }

    /// As JSON for scripts: exactly what came.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a client shows to the service, and whom it trusts.
#[derive(Default)]
pub struct Shown {
    /// With whom it trusts, and its certificate.
    pub builder: ClientBuilder,
    pub certificate: bool,
    /// With each request, in the header Authorization. It does not follow a redirection elsewhere.
    pub token: Option<HeaderValue>,
}

#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Without a slash at its end; it may have a path, behind a proxy.
    base: String,
    hint: &'static str,
    shows_who_asks: bool,
}

impl Client {
    pub fn new(text: &str, hint: &'static str, shown: Shown) -> Result<Self, Error> {
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .ok_or_else(|| Error::NoUrl(text.to_owned()))?;
        let loopback = match url.host_str() {
            Some("localhost" | "[::1]") => true,
            Some(host) => host.starts_with("127."),
            None => false,
        };
        let mut builder = shown
            .builder
            .connect_timeout(CONNECT_TIME)
            .timeout(ANSWER_TIME)
            .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")));
        if loopback {
            // HTTP_PROXY is for the world outside; a proxy knows another loopback than ours.
            builder = builder.no_proxy();
        }
        let shows_who_asks = shown.certificate || shown.token.is_some();
        if let Some(token) = shown.token {
            builder = builder.default_headers(HeaderMap::from_iter([(AUTHORIZATION, token)]));
        }
        Ok(Self {
            http: builder.build().map_err(Error::Start)?,
            base: url.as_str().trim_end_matches('/').to_owned(),
            hint,
            shows_who_asks,
        })
    }

    pub fn shows_who_asks(&self) -> bool {
        self.shows_who_asks
    }

    /// Where the service is, without a password that the address may hold.
    pub fn url(&self) -> String {
        without_password(&self.base)
    }

    /// `path` begins with a slash. Time-outs, headers and body are added as reqwest has them.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer, Error> {
        self.send(self.request(Method::GET, path).query(query))
            .await
    }

    /// Sends it, and reads the whole answer; what is not a success is an error.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Error> {
        let answer = self.exchange(request).await?;
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(self.refused(answer)),
        }
    }

    /// As `send`, with any status: for health, where 503 is an answer too.
    pub async fn exchange(&self, request: RequestBuilder) -> Result<Answer, Error> {
        let request = request.build().map_err(Error::Start)?;
        let url = without_password(request.url().as_str());
        let after = request.timeout().copied().unwrap_or(ANSWER_TIME);
        let outcome = async {
            let response = self.execute(request).await?;
            let status = response.status();
            Ok((status, response.bytes().await?))
        };
        match outcome.await {
            Ok((status, body)) => Ok(Answer { status, body, url }),
            Err(error) => Err(self.absent(url, after, &error)),
        }
    }

    /// Sends a request. Once more, if the connection went away before any of it was sent: so it goes if the service refuses our
    /// certificate, which TLS 1.3 says after the handshake. Its reason may be lost then, and mostly is not the next time.
    async fn execute(&self, mut request: Request) -> Result<Response, reqwest::Error> {
        for _ in 0..TRIES_UNSENT {
            let Some(copy) = request.try_clone() else {
                break;
            };
            match self.http.execute(request).await {
                Err(error) if was_never_sent(&error) => request = copy,
                outcome => return outcome,
            }
        }
        self.http.execute(request).await
    }

    /// Asks for something that is made once, under one key, again and again until there is an answer: an outage and a lost
    /// answer are waited out for a while.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Answer, Error> {
        let key = new_key();
        let request = request.header("Idempotency-Key", &key);
        let mut pauses = pauses();
        let started = std::time::Instant::now();
        loop {
            // What cannot be sent twice is sent once.
            let Some(copy) = request.try_clone() else {
                return self.send(request).await;
            };
            let outcome = self.send(copy).await;
            let again = outcome
                .as_ref()
                .is_err_and(|error| is_worth_another_try(error, started.elapsed()));
            if !again || started.elapsed() > DECISION_TIME {
                return outcome;
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }

    /// Sends it, and hands over the answer as it comes: for what may be larger than the memory.
    pub async fn open(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.open_within(request, ANSWER_TIME).await
    }

    /// As `open`; the answer may begin as late as after `patience`.
    pub async fn open_within(
        &self,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<Response, Error> {
        let request = request
            .timeout(DOWNLOAD_TIME)
            .build()
            .map_err(Error::Start)?;
        let url = without_password(request.url().as_str());
        let head = tokio::time::timeout(patience, self.execute(request)).await;
        let response = match head {
            Err(_) => {
                return Err(Error::TimedOut {
                    url,
                    after: patience,
                });
            }
            Ok(Err(error)) => return Err(self.absent(url, patience, &error)),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        match response.bytes().await {
            Ok(body) => Err(self.refused(Answer { status, body, url })),
            Err(error) => Err(self.absent(url, patience, &error)),
        }
    }

    /// Asks for a decision, under one key, until the fold has said what it came to: a lost answer, an outage and a
    /// projector that is behind are waited out for a while.
    pub async fn decide(&self, path: &str, decision: Decision<'_>) -> Result<Answer, Error> {
        self.decide_by(Method::POST, path, decision).await
    }

    /// As `decide`, by another method.
    pub async fn decide_by(
        &self,
        method: Method,
        path: &str,
        decision: Decision<'_>,
    ) -> Result<Answer, Error> {
        let key = new_key();
        let mut pauses = pauses();
        let started = std::time::Instant::now();
        loop {
            let request = self
                .request(method.clone(), path)
                .header("Idempotency-Key", &key);
            let request = match &decision {
                Decision::Json(body) => request.json(body),
                Decision::Bytes { query, payload } => request
                    .query(query)
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .body(payload.clone()),
            };
            let outcome = self.send(request).await;
            let again = match &outcome {
                Ok(answer) => answer.status == StatusCode::ACCEPTED,
                Err(error) => is_worth_another_try(error, started.elapsed()),
            };
            if !again || started.elapsed() > DECISION_TIME {
                return outcome;
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }

    /// What an answer that is no success says.
    pub fn refused(&self, answer: Answer) -> Error {
        match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(mut problem) => {
                problem.body = answer.body;
                problem.base = self.url();
                Error::Refused(problem)
            }
            Err(_) => Error::Foreign {
                url: answer.url,
                status: answer.status.as_u16(),
            },
        }
    }

    fn absent(&self, url: String, after: Duration, error: &reqwest::Error) -> Error {
        if error.is_timeout() && !error.is_connect() {
            return Error::TimedOut { url, after };
        }
        if let Some(why) = trust::distrust(error) {
            let url = self.url();
            return Error::NoTls { url, why };
        }
        // The innermost cause is the one that people know: "Connection refused (os error 111)".
        let cause = trust::cause(error);
        let cause = match cause.downcast_ref::<std::io::Error>() {
            Some(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            _ if error.is_timeout() => "no connection in time".to_owned(),
            _ => cause.to_string(),
        };
        Error::Unreachable {
            url: self.url(),
            cause,
            hint: self.hint,
        }
    }
}

/// How often a request is sent anew of which nothing was sent.
const TRIES_UNSENT: usize = 4;

fn was_never_sent(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return error.is_canceled();
        }
        cause = error.source();
    }
    false
}

/// One for each thing that is asked for, however often it is sent.
fn new_key() -> String {
    format!("cli-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}

fn is_worth_another_try(error: &Error, tried_for: Duration) -> bool {
    match error {
        // Nobody there at the first try: most likely nobody at all.
        Error::Unreachable { .. } => tried_for > Duration::from_secs(1),
        Error::TimedOut { .. } => true,
        Error::Refused(problem) => problem.status == 503,
        _ => false,
    }
}

/// What is sent for a decision.
pub enum Decision<'a> {
    Json(serde_json::Value),
    Bytes {
        query: &'a [(&'a str, &'a str)],
        payload: Bytes,
    },
}

fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) if url.password().is_some() => {
            // Refused only where there is no host, and then there was no password.
            let _ = url.set_password(None);
            url.as_str().trim_end_matches('/').to_owned()
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    #[test]
    fn only_an_address_of_http_is_taken() {
        provider();
        for text in [
            "",
            "8080",
            "localhost:8080",
            "ftp://host",
            "http://",
            "http://host/?a=b",
        ] {
            assert!(
                matches!(
                    Client::new(text, "", Shown::default()),
                    Err(Error::NoUrl(_))
                ),
                "{text}"
            );
        }
        let behind_a_proxy =
            Client::new("https://ops:secret@host/waybill/", "", Shown::default()).unwrap();
        assert_eq!(behind_a_proxy.url(), "https://ops@host/waybill");
    }

    #[tokio::test]
    async fn nobody_there_is_an_absence_that_names_the_address() {
        provider();
        let port = crate::sandbox::process::free_port().unwrap();
        let client = Client::new(
            &format!("http://127.0.0.1:{port}"),
            "try this",
            Shown::default(),
        )
        .unwrap();
        let error = client.get("/x", &[]).await.unwrap_err();
        assert!(error.is_absence() && !error.is_usage());
        assert_eq!(
            error.to_string(),
            format!("nothing answers at http://127.0.0.1:{port} (connection refused): try this")
        );
    }
}
