//! Messages to send, and a sender that keeps book of what was acknowledged, whatever happens to the broker.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use waybill::collection::EXAMPLE;
use waybill::sandbox::broker::Broker;
use waybill::stan::{Options, PubAck, PublishError, connect_with_backoff};

/// The model, under another order_uid.
pub fn order(order_uid: &str) -> Bytes {
    order_with(order_uid, &[])
}

pub fn orders(prefix: &str, count: usize) -> Vec<Bytes> {
    (0..count)
        .map(|number| order(&format!("{prefix}-{number}")))
        .collect()
}

/// The model with these texts replaced.
pub fn order_with(order_uid: &str, edits: &[(&str, &str)]) -> Bytes {
    let mut text = EXAMPLE.replace("b563feb7b2b84b6test", order_uid);
    for (from, to) in edits {
        assert!(text.contains(from), "the model has no {from:?}");
        text = text.replacen(from, to, 1);
    }
    text.into()
}

/// No order, and unlike every other of them.
pub fn junk(number: usize) -> Bytes {
    match number % 6 {
        0 => format!("junk {number}").into(),
        1 => format!("{{\"order_uid\": \"half-{number}\"").into(),
        2 => Bytes::from([b"\xff\xfe ", number.to_string().as_bytes()].concat()),
        3 => format!("{{\"order_uid\": \"bare-{number}\"}}").into(),
        4 => order_with(&format!("nul-{number}"), &[("Test Testov", "\\u0000")]),
        _ => order_with(&format!("debt-{number}"), &[(": 1817", ": -1817")]),
    }
}

/// Orders, and among them duplicates of both kinds, conflicts and junk: one in five.
pub fn mixed(count: usize, prefix: &str) -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut uids: Vec<String> = Vec::new();
    (0..count)
        .map(|number| {
            let kind = if uids.is_empty() {
                0
            } else {
                random.u32(..100)
            };
            let earlier = |random: &mut fastrand::Rng| uids[random.usize(..uids.len())].clone();
            match kind {
                0..80 => {
                    let order_uid = format!("{prefix}-{number}");
                    let order = order(&order_uid);
                    uids.push(order_uid);
                    order
                }
                80..85 => order(&earlier(&mut random)),
                85..88 => order_with(&earlier(&mut random), &[("{", "{ \"unknown\": [],")]),
                88..92 => order_with(&earlier(&mut random), &[("\"en\"", "\"ru\"")]),
                _ => junk(number),
            }
        })
        .collect()
}

/// What became of what was sent.
#[derive(Clone, Default)]
pub struct Ledger {
    pub acked: Vec<Bytes>,
    /// Sent, and nobody knows; each was sent again.
    pub unsure: Vec<Bytes>,
}

impl Ledger {
    pub fn merge(&mut self, other: Ledger) {
        self.acked.extend(other.acked);
        self.unsure.extend(other.unsure);
    }

    pub fn rows(&self) -> i64 {
        self.acked.len() as i64
    }
}

/// How many are on their way at a time.
const WINDOW: usize = 256;

/// Publishes to one channel of a broker that may come and go.
pub struct Sender {
    options: Options,
    channel: String,
    /// Messages a second.
    rate: Option<f64>,
}

impl Sender {
    pub fn new(broker: &Broker) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("sender-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut options = Options::new(broker.url(), broker.cluster_id(), id);
        options.ping_interval = Duration::from_secs(1);
        options.ack_timeout = Duration::from_secs(20);
        Self {
            options,
            channel: "orders".into(),
            rate: None,
        }
    }

    pub fn rate(mut self, per_second: f64) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// The largest that this broker takes.
    pub async fn max_payload(&self) -> usize {
        let client = connect_with_backoff(&self.options, |_, _| ()).await;
        let publisher = client.publisher(&self.channel, 1).await.unwrap();
        let limit = publisher.max_payload();
        client.close().await.unwrap();
        limit
    }

    /// Sends all of them, in order, until each is acknowledged.
    pub async fn publish(&self, payloads: impl IntoIterator<Item = Bytes>) -> Ledger {
        let payloads: Vec<Bytes> = payloads.into_iter().collect();
        let mut ledger = Ledger::default();
        let mut rest = &payloads[..];
        let size = self.rate.map_or(WINDOW, |rate| {
            ((rate / 20.0).ceil() as usize).clamp(1, WINDOW)
        });
        let mut pace = tokio::time::interval(match self.rate {
            Some(rate) => Duration::from_secs_f64(size as f64 / rate),
            None => Duration::from_nanos(1),
        });
        'connected: while !rest.is_empty() {
            let client = connect_with_backoff(&self.options, |_, _| ()).await;
            let Ok(publisher) = client.publisher(&self.channel, WINDOW as u32).await else {
                continue;
            };
            while !rest.is_empty() {
                pace.tick().await;
                let (now, later) = rest.split_at(size.min(rest.len()));
                let mut sent: Vec<(&Bytes, Option<PubAck>)> = Vec::new();
                for payload in now {
                    let outcome = publisher.publish(payload).await;
                    if let Err(error @ PublishError::TooLarge { .. }) = &outcome {
                        panic!("{error}");
                    }
                    sent.push((payload, outcome.ok()));
                }
                let mut again = Vec::new();
                for (payload, ack) in sent {
                    match ack {
                        None => again.push(payload.clone()),
                        Some(ack) => match ack.await {
                            Ok(()) => ledger.acked.push(payload.clone()),
                            Err(_) => {
                                ledger.unsure.push(payload.clone());
                                again.push(payload.clone());
                            }
                        },
                    }
                }
                rest = later;
                if !again.is_empty() {
                    drop(publisher);
                    let more = Box::pin(self.publish(again)).await;
                    ledger.merge(more);
                    continue 'connected;
                }
            }
            let _ = client.close().await;
        }
        ledger
    }
}
