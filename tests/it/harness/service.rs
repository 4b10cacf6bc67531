//! The service as its users have it: the built binary in a process of its own, and HTTP.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use waybill::sandbox::process::{Launch, Process, Signal, signal};

use super::{bearer, until, within};

pub struct Service {
    args: Vec<OsString>,
    /// NAME=value, on top of ours.
    environment: Vec<OsString>,
    log: PathBuf,
    process: Option<Process>,
    /// Where it serves, since its last start.
    pub url: String,
    /// What is shown with each request that has no Authorization of its own.
    pub token: Option<String>,
    /// What asks it; one that trusts its certificate, if it speaks TLS.
    pub http: reqwest::Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Service {
    pub(super) fn new(args: Vec<OsString>, environment: Vec<OsString>, log: PathBuf) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self {
            args,
            environment,
            log,
            process: None,
            url: String::new(),
            token: None,
            http,
        }
    }

    /// Starts it again where it was ended, and waits until it serves.
    pub async fn start(&mut self) {
        self.launch().await;
        let url = until(60, "the service serves", async || {
            let log = self.text();
            if let Some(status) = self.ended() {
                panic!("the service ended at its start ({status}):\n{log}");
            }
            let (_, rest) = log.split_once("serving http")?;
            Some(format!("http{}", rest.split_once('\n')?.0))
        })
        .await;
        self.url = url;
    }

    /// Only starts it: a Postgres that is away is waited for.
    pub async fn launch(&mut self) {
        self.process = None;
        // `env` becomes the service: same process, same pid.
        let mut args = self.environment.clone();
        args.push(env!("CARGO_BIN_EXE_waybill").into());
        args.extend(self.args.iter().cloned());
        let launch = Launch::new("waybill", "/usr/bin/env".into(), args, self.log.clone());
        self.process = Some(Process::start(launch).await.unwrap());
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().pid()
    }

    /// What it has said since its last start.
    pub fn text(&self) -> String {
        self.process
            .as_ref()
            .map_or(String::new(), Process::log_text)
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().unwrap().ended()
    }

    /// -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn pause(&mut self) {
        self.process.as_mut().unwrap().pause();
    }

    pub fn resume(&mut self) {
        self.process.as_mut().unwrap().resume();
    }

    /// Asks it to stop, and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        signal(self.pid(), Signal::TERM);
        let process = self.process.as_mut().unwrap();
        let ended = process.ends_within(Duration::from_secs(30)).await;
        ended.unwrap_or_else(|| panic!("it does not stop:\n{}", self.text()))
    }

    pub async fn says(&self, seconds: u64, text: &str) {
        until(seconds, &format!("the log says {text:?}"), async || {
            self.text().contains(text).then_some(())
        })
        .await;
    }

    /// One request; none where no answer came.
    pub async fn try_ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Option<Answer> {
        let url = format!("{}{path}", self.url);
        let mut request = self.http.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token
            && !headers.iter().any(|(name, _)| *name == "authorization")
        {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.ok()?;
        Some(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.ok()?,
        })
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let answer = self.try_ask(method, path, headers, body).await;
        answer.unwrap_or_else(|| panic!("no answer to {path}"))
    }

    /// As whoever has this token, with a body in JSON.
    pub async fn ask_as(&self, token: &str, method: Method, path: &str, body: &str) -> Answer {
        let bearer = bearer(token);
        let headers = [
            ("authorization", &*bearer),
            ("content-type", "application/json"),
        ];
        self.ask(method, path, &headers, body.to_owned()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    /// An answer that must be 200 and JSON.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    pub async fn order(&self, order_uid: &str) -> Answer {
        self.get(&format!("/api/v1/orders/{order_uid}")).await
    }

    /// One message over HTTP; its position.
    pub async fn post(&self, payload: impl Into<reqwest::Body>) -> i64 {
        self.send("orders", payload).await
    }

    /// The same, to whatever collection.
    pub async fn send(&self, collection: &str, payload: impl Into<reqwest::Body>) -> i64 {
        let path = format!("/api/v1/{collection}");
        let answer = self.ask(Method::POST, &path, &[OCTETS], payload).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["position"].as_i64().unwrap()
    }

    /// Waits until everything that was sent is received, acknowledged and projected: at least so many rows.
    pub async fn rests(&self, seconds: u64, rows: i64) {
        let mut last = Value::Null;
        let looking = async {
            let mut before = None;
            loop {
                let answer = self
                    .try_ask(Method::GET, "/api/v1/stats", &[], "")
                    .await
                    .filter(|answer| answer.status == 200);
                if let Some(answer) = answer {
                    let now = answer.json();
                    let received = now["received"].as_i64().unwrap();
                    let quiet = match &now["broker"] {
                        Value::Null => true,
                        broker => broker["connected"] == true && broker["lag"] == 0,
                    };
                    let here = quiet && now["pending"] == 0 && received >= rows;
                    // Twice: the numbers of one look are not of one moment.
                    if here && before == Some(received) {
                        return;
                    }
                    before = here.then_some(received);
                    last = now;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(seconds), looking)
            .await
            .is_err()
        {
            panic!("it does not come to rest with {rows} rows in {seconds} s: {last:#}");
        }
    }

    pub async fn is_ready(&self) {
        within(30, "the service is ready", async {
            loop {
                let answer = self.try_ask(Method::GET, "/healthz/ready", &[], "").await;
                if answer.is_some_and(|answer| answer.status == 200) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

/// What a process holds of the machine's memory.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

pub const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.text();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- {} ---\n{tail}", self.log.display());
        }
    }
}
