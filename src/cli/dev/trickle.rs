//! The sample messages of `waybill dev`: orders, some junk, now and then one twice. Best effort: one that gets lost on its
//! way to the broker is made up anew.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use tokio_util::sync::CancellationToken;

use super::super::run_file::RunFile;
use crate::record::{Junk, Model, Samples};
use crate::stan::{self, Publisher, connect_with_backoff};

const JUNK_SHARE: f64 = 0.1;
const REPEATED_SHARE: f64 = 0.03;
const WINDOW: u32 = 64;

pub enum Target {
    Broker {
        options: Box<stan::Options>,
        channel: String,
    },
    Service {
        url: String,
    },
}

impl Target {
    pub fn of(run: &RunFile) -> Self {
        match (&run.stan_url, &run.cluster_id, &run.channel) {
            (Some(url), Some(cluster_id), Some(channel)) => Target::Broker {
                options: Box::new(stan::Options::new(url, cluster_id, "waybill-dev-samples")),
                channel: channel.clone(),
            },
            _ => Target::Service {
                url: format!("{}/api/v1/orders", run.url),
            },
        }
    }
}

/// Until `stop`: `burst` messages made of the model at once, then `rate` a second.
pub async fn run(
    target: Target,
    model: &'static Model,
    burst: u32,
    rate: f64,
    stop: CancellationToken,
) {
    let now = jiff::Timestamp::now().as_second();
    let samples = match Samples::new(model, fastrand::u64(..), now) {
        Ok(samples) => samples,
        Err(error) => return tracing::warn!(%error, "{error}"),
    };
    let mut maker = Maker {
        kinds: samples.kinds(),
        samples,
        last: None,
    };
    let mut left = burst;
    while !stop.is_cancelled() {
        let connected = stop.run_until_cancelled(Sender::connect(&target)).await;
        let Some(sender) = connected else {
            return;
        };
        let sending = async {
            while sender.is_up() {
                if left == 0 {
                    tokio::time::sleep(Duration::from_secs_f64(1.0 / rate)).await;
                }
                let message = match left {
                    0 => maker.next(),
                    _ => maker.first(left),
                };
                left = left.saturating_sub(1);
                sender.send(&message).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        stop.run_until_cancelled(sending).await;
        sender.close().await;
    }
}

struct Maker {
    samples: Samples<'static>,
    kinds: Vec<Junk>,
    last: Option<Vec<u8>>,
}

impl Maker {
    /// Of the burst every sixth is junk, each of another kind.
    fn first(&mut self, left: u32) -> Vec<u8> {
        match left % 6 {
            0 => self.junk(left as usize / 6),
            _ => self.samples.message().into_bytes(),
        }
    }

    fn next(&mut self) -> Vec<u8> {
        let dice = fastrand::f64();
        if dice < JUNK_SHARE {
            return self.junk(fastrand::usize(..));
        }
        if dice < JUNK_SHARE + REPEATED_SHARE
            && let Some(last) = &self.last
        {
            return last.clone();
        }
        let message = self.samples.message().into_bytes();
        self.last = Some(message.clone());
        message
    }

    fn junk(&mut self, nth: usize) -> Vec<u8> {
        let kind = self.kinds[nth % self.kinds.len()];
        self.samples.junk(kind).unwrap_or_default()
    }
}

enum Sender {
    Broker {
        client: stan::Client,
        publisher: Publisher,
    },
    Service {
        http: reqwest::Client,
        url: String,
    },
    Nobody,
}

impl Sender {
    async fn connect(target: &Target) -> Self {
        match target {
            Target::Broker { options, channel } => {
                let client = connect_with_backoff(options, |_, _| {}).await;
                match client.publisher(channel, WINDOW).await {
                    Ok(publisher) => Sender::Broker { client, publisher },
                    Err(_) => Sender::Nobody,
                }
            }
            Target::Service { url } => match reqwest::Client::builder().no_proxy().build() {
                Ok(http) => Sender::Service {
                    http,
                    url: url.clone(),
                },
                Err(_) => Sender::Nobody,
            },
        }
    }

    fn is_up(&self) -> bool {
        match self {
            Sender::Broker { client, .. } => client.loss().is_none(),
            Sender::Service { .. } => true,
            Sender::Nobody => false,
        }
    }

    /// Says goodbye, so that nobody tries to come back to a broker that is being stopped.
    async fn close(self) {
        if let Sender::Broker { client, .. } = self {
            let _ = client.close().await;
        }
    }

    async fn send(&self, message: &[u8]) {
        match self {
            Sender::Broker { publisher, .. } => {
                // The acknowledgement is not waited for: the window bounds what is on its way.
                drop(publisher.publish(message).await);
            }
            Sender::Service { http, url } => {
                let request = http
                    .post(url)
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .body(message.to_vec());
                drop(request.send().await);
            }
            Sender::Nobody => {}
        }
    }
}
