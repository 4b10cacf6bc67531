//! Over HTTP, to the collection's path: some requests at a time, each tried again under the same key until
//! the service has answered, so that no message arrives twice.

use std::time::Duration;

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::{Client, StatusCode, header};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::report::Report;
use super::source::{Item, Source};
use super::usage;
use crate::cli::credentials::Credentials;
use crate::cli::trust::distrust;

const TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a stop waits for the last answers.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn client(credentials: &Credentials) -> anyhow::Result<Client> {
    let token = credentials.header()?;
    credentials
        .builder()?
        .timeout(TIMEOUT)
        .connect_timeout(Duration::from_secs(5))
        .default_headers(
            token
                .map(|token| (header::AUTHORIZATION, token))
                .into_iter()
                .collect(),
        )
        .build()
        .context("cannot set up HTTP")
}

pub(super) async fn publish(
    url: &str,
    http: Client,
    window: u32,
    source: Source,
    report: &mut Report,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let poster = Poster {
        http,
        url: url.to_owned(),
        run: format!("publish-{:016x}", fastrand::u64(..)),
        stop: stop.clone(),
    };
    poster.knock().await?;

    let window = window as usize;
    let mut source = Some(source);
    let mut posts = FuturesUnordered::new();
    let mut number = 0_u64;
    while !posts.is_empty() || source.is_some() {
        if stop.is_cancelled() {
            break;
        }
        tokio::select! {
            biased;
            Some(post) = posts.next() => settle(post, report)?,
            item = next(&mut source), if posts.len() < window && source.is_some() => match item {
                Ok(Some(item)) => {
                    report.sending();
                    number += 1;
                    posts.push(poster.post(number, item));
                }
                Ok(None) => source = None,
                Err(error) => {
                    report.broken(&error);
                    source = None;
                }
            },
        }
    }
    let the_last = async {
        while let Some(post) = posts.next().await {
            settle(post, report)?;
        }
        anyhow::Ok(())
    };
    if let Ok(result) = tokio::time::timeout(PATIENCE, the_last).await {
        result?;
    }
    for _ in 0..posts.len() {
        report.failed("not acknowledged when it was interrupted");
    }
    Ok(())
}

fn settle(post: Post, report: &mut Report) -> anyhow::Result<()> {
    for _ in 1..post.tries {
        report.again();
    }
    match post.outcome {
        Ok(()) => report.acknowledged(&post.item),
        Err(reason) => {
            report.failed(reason);
            Ok(())
        }
    }
}

async fn next(source: &mut Option<Source>) -> std::io::Result<Option<Item>> {
    match source {
        Some(source) => source.next().await,
        None => Ok(None),
    }
}

struct Poster {
    http: Client,
    url: String,
    run: String,
    stop: CancellationToken,
}

struct Post {
    item: Item,
    outcome: Result<(), String>,
    tries: u64,
}

/// What one try came to.
enum Answer {
    Accepted,
    Refused(String),
    /// Unknown, or "later".
    Again(Option<Duration>),
}

impl Poster {
    /// Only the first contact may fail: a wrong address is to be told, not waited for.
    async fn knock(&self) -> anyhow::Result<()> {
        let answer = self.http.head(&self.url).send().await;
        if let Err(error) = &answer
            && let Some(why) = distrust(error)
        {
            anyhow::bail!("nothing was published: no TLS with {}: {why}", self.url);
        }
        let answer = (answer.map_err(reqwest::Error::without_url)).with_context(|| {
            format!(
                "nothing was published: no service answers at {} (is `waybill dev` running?)",
                self.url
            )
        })?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => Err(usage(
                "nothing was published: the service does not know who you are; --token-file, WAYBILL_TOKEN or WAYBILL_TOKEN_FILE has a token, and `waybill token check` tries it",
            )),
            StatusCode::NOT_FOUND => Err(usage(format!(
                "nothing was published: {} is the path of no collection, or it is not yours to see; `waybill collections list` shows those that are",
                self.url
            ))),
            _ => Ok(()),
        }
    }

    async fn post(&self, number: u64, item: Item) -> Post {
        let key = format!("{}-{number}", self.run);
        let body = bytes::Bytes::copy_from_slice(&item.payload);
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .with_jitter()
            .build();
        let mut tries = 0;
        let outcome = loop {
            tries += 1;
            let wished = match self.try_once(&key, body.clone()).await {
                Answer::Accepted => break Ok(()),
                Answer::Refused(reason) => break Err(reason),
                Answer::Again(wished) => wished,
            };
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            let pause = wished.unwrap_or_default().min(TIMEOUT).max(pause);
            tokio::select! {
                () = self.stop.cancelled() => {
                    break Err("not acknowledged when it was interrupted".into());
                }
                () = tokio::time::sleep(pause) => {}
            }
        };
        Post {
            item,
            outcome,
            tries,
        }
    }

    async fn try_once(&self, key: &str, body: bytes::Bytes) -> Answer {
        let request = (self.http.post(&self.url))
            .header("Idempotency-Key", key)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(body);
        let Ok(response) = request.send().await else {
            return Answer::Again(None);
        };
        let status = response.status();
        if status.is_success() {
            return Answer::Accepted;
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let wished = response.headers().get(header::RETRY_AFTER);
            let seconds = wished.and_then(|value| value.to_str().ok()?.parse().ok());
            return Answer::Again(seconds.map(Duration::from_secs));
        }
        let problem: Option<Value> = response.json().await.ok();
        let detail = problem.as_ref().and_then(|problem| {
            let text = problem.get("detail").or_else(|| problem.get("title"));
            text?.as_str()
        });
        Answer::Refused(match detail {
            Some(detail) => format!("{status}: {detail}"),
            None => status.to_string(),
        })
    }
}
