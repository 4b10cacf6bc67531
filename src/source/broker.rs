//! NATS Streaming. Connected for ever: a lost connection ends with everything on it, and a new one begins.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::unacked::Unacked;
use crate::inbox::{Ack, Inbox, Incoming, Reply, Settled, SourceId, content_hash};
use crate::stan::{self, Client, Counters, Receipt, SubscribeError, Subscription};
use crate::telemetry::Metrics;

/// Acks that may wait for the broker's socket. More than the inbox holds rows (its queue, the batch that is appended, those
/// that wait for the disk), so that the flush waits for a broker only if it hears nothing for many batches.
const ACKS: usize = 64 * 1024;

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
    acknowledging: AbortOnDropHandle<()>,
}

impl Draining {
    /// To be called when the inbox has ended: then the line ends behind its last ack. The durable stays, with its place in the
    /// channel.
    pub async fn close(self) {
        let _ = self.acknowledging.await;
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
        let unacked = Arc::new(Unacked::default());
        let (line, settled) = mpsc::channel(ACKS);
        let acknowledging = tokio::spawn(acknowledge(settled, unacked.clone()));
        // Dropped with the connection, it closes the line.
        let acknowledging = AbortOnDropHandle::new(acknowledging);
        let ended = tokio::select! {
            ended = broker.receive(&mut subscription, line, &unacked) => ended,
            () = stop.cancelled() => return Some(Draining { subscription, client, acknowledging }),
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

/// Until the line is closed. In a task of its own: while `receive` waits for room in the inbox, the inbox waits for this.
async fn acknowledge(mut line: mpsc::Receiver<Settled>, unacked: Arc<Unacked<Receipt>>) {
    let mut settled = Vec::new();
    while line.recv_many(&mut settled, 512).await > 0 {
        let mut durable = Vec::with_capacity(settled.len());
        let mut refused = Vec::new();
        for one in settled.drain(..) {
            match one {
                Settled::Durable(delivery) => durable.push(delivery),
                Settled::Refused(delivery) => refused.push(delivery),
            }
        }
        // Without an ack the broker sends them again, after its time.
        drop(unacked.take(refused.into_iter()));
        for receipt in unacked.take(durable.into_iter()) {
            // On a lost connection an ack does nothing: the broker sends the message again, and it is found.
            if receipt.ack().await.is_err() {
                return;
            }
        }
    }
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

    async fn receive(
        &self,
        subscription: &mut Subscription,
        line: mpsc::Sender<Settled>,
        unacked: &Unacked<Receipt>,
    ) -> Ended {
        let mut messages = Vec::new();
        let mut told = Counters::default();
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
                    reply: Reply::Ack(Ack {
                        line: line.clone(),
                        delivery: unacked.add(message.receipt),
                    }),
                };
                if self.inbox.send(incoming).await.is_err() {
                    return Ended::InboxClosed;
                }
            }
            self.count(subscription.counters(), &mut told);
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
