//! NATS Streaming. Connected for ever: a lost connection ends with everything on it, and a new one begins.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::inbox::{Inbox, Incoming, Reply, SourceId, content_hash};
use crate::stan::{self, Client, Counters, SubscribeError, Subscription};
use crate::telemetry::Metrics;

#[derive(Clone, Debug)]
pub struct Config {
    pub connection: stan::Options,
    pub subscription: stan::SubscribeOptions,
    /// `http://host:8222`, where the broker's monitoring is known: for its own last sequence.
    pub monitoring_url: Option<String>,
}

/// What is known of the broker now.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub connected: bool,
    /// Why it is not.
    pub problem: Option<String>,
    pub since: Option<Timestamp>,
}

pub struct Broker {
    pub config: Config,
    pub source: SourceId,
    pub inbox: Inbox,
    pub status: watch::Sender<Status>,
    pub metrics: Arc<Metrics>,
}

/// The last connection, kept while its messages are still being committed and acknowledged.
pub struct Draining {
    subscription: Subscription,
    client: Client,
}

impl Draining {
    /// The durable stays, with its place in the channel.
    pub async fn close(self) {
        if let Err(error) = self.subscription.close().await {
            tracing::debug!(%error, "the subscription was not closed: {error}");
        }
        if let Err(error) = self.client.close().await {
            tracing::debug!(%error, "the connection to the broker was not closed: {error}");
        }
    }
}

/// Runs until `stop`, and gives back what is to be closed once the inbox has acknowledged all it took.
pub async fn run(broker: Broker, stop: CancellationToken) -> Option<Draining> {
    loop {
        let (client, mut subscription) = tokio::select! {
            connected = broker.connect() => connected,
            () = stop.cancelled() => return None,
        };
        broker.say(true, None);
        tracing::info!(
            "receiving {} as {} from {}",
            broker.config.subscription.channel,
            broker.config.connection.client_id,
            broker.config.connection.server_names()
        );
        let mut told = Counters::default();
        let ended = tokio::select! {
            ended = broker.receive(&mut subscription, &mut told) => ended,
            () = stop.cancelled() => return Some(Draining { subscription, client }),
        };
        let Ended::Lost = ended else {
            return None;
        };
        let reason = client.lost().await.to_string();
        tracing::warn!("the broker was lost: {reason}; connecting again");
        broker.say(false, Some(reason));
    }
}

enum Ended {
    Lost,
    InboxClosed,
}

impl Broker {
    fn say(&self, connected: bool, problem: Option<String>) {
        self.metrics.broker_connected.set(i64::from(connected));
        self.status.send_replace(Status {
            connected,
            problem,
            since: Some(Timestamp::now()),
        });
    }

    async fn connect(&self) -> (Client, Subscription) {
        loop {
            let client = stan::connect_with_backoff(&self.config.connection, |error, pause| {
                self.complain(&error.to_string(), pause);
            })
            .await;
            match client.subscribe(&self.config.subscription).await {
                Ok(subscription) => return (client, subscription),
                Err(error) => {
                    let pause = match error {
                        SubscribeError::DurableInUse { .. } => Duration::from_secs(2),
                        _ => Duration::from_millis(500),
                    };
                    self.complain(&error.to_string(), pause);
                    let _ = client.close().await;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Once for each new problem: an outage of an hour is not a thousand lines.
    fn complain(&self, problem: &str, pause: Duration) {
        if self.status.borrow().problem.as_deref() != Some(problem) {
            tracing::warn!("waiting for the broker: {problem} (again in {pause:.1?})");
            self.say(false, Some(problem.to_owned()));
        }
    }

    async fn receive(&self, subscription: &mut Subscription, told: &mut Counters) -> Ended {
        let mut messages = Vec::new();
        loop {
            if subscription.next_many(&mut messages, 512).await == 0 {
                return Ended::Lost;
            }
            let received_at = Timestamp::now();
            for message in messages.drain(..) {
                let Ok(sequence) = i64::try_from(message.sequence) else {
                    continue;
                };
                let incoming = Incoming {
                    source: self.source,
                    sequence,
                    broker_time_ns: message.timestamp_ns,
                    received_at,
                    key: None,
                    hash: content_hash(Some(&message.payload), None),
                    payload: Some(message.payload),
                    decision: None,
                    reply: Reply::Broker(message.receipt),
                };
                if self.inbox.send(incoming).await.is_err() {
                    return Ended::InboxClosed;
                }
            }
            self.count(subscription.counters(), told);
        }
    }

    fn count(&self, now: Counters, told: &mut Counters) {
        for (cause, new, old) in [
            ("budget", now.let_go, told.let_go),
            ("malformed", now.malformed, told.malformed),
            ("overflow", now.overflowed, told.overflowed),
        ] {
            if new > old {
                self.metrics
                    .broker_dropped
                    .with_label_values(&[cause])
                    .inc_by(new - old);
            }
        }
        *told = now;
    }
}
