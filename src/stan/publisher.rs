//! Publishing with a window: many messages on their way, each with an acknowledgement of its own.
//!
//! All acknowledgements come on one inbox. A message's guid finds the waiting publish and nothing more:
//! the broker does not look for duplicates, so a publish tried again is a second message.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{StatusCode, Subject, Subscriber};
use futures_util::StreamExt;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::{LossReason, Lost, PublishError};
use super::link::Link;
use super::options::{check_channel, check_window};
use super::wire;

/// How late a time-out may be told.
const SWEEP: Duration = Duration::from_millis(500);
/// The longest guid: a 64-bit number in decimal. For the size that always fits.
const LONGEST_GUID: &str = "18446744073709551615";

/// Publishes to one channel. Dropping it gives up on acknowledgements that have not come.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    window: Arc<Semaphore>,
    _stop: DropGuard,
}

/// Resolves when the broker has stored the message, or when that will never be known.
#[derive(Debug)]
#[must_use = "a publish is done when its acknowledgement has come"]
pub struct PubAck {
    result: oneshot::Receiver<Result<(), PublishError>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    link: Arc<Link>,
    subject: Subject,
    ack_inbox: Subject,
    messages: wire::PubMsgEncoder,
    in_flight: Mutex<InFlight>,
}

#[derive(Debug, Default)]
struct InFlight {
    last_guid: u64,
    waiting: HashMap<u64, Waiting>,
    /// Nobody listens for acknowledgements any more.
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    result: oneshot::Sender<Result<(), PublishError>>,
    since: Instant,
    /// Its place in the window, free again once the outcome is known.
    _place: OwnedSemaphorePermit,
}

impl Publisher {
    pub(crate) async fn open(
        link: &Arc<Link>,
        channel: &str,
        window: u32,
    ) -> Result<Publisher, PublishError> {
        check_channel(channel)?;
        check_window(window)?;
        let ack_inbox = link.nats.new_inbox();
        let acks = (link.nats.subscribe(ack_inbox.clone()).await).map_err(|_| link.life.lost())?;
        let shared = Arc::new(Shared {
            link: link.clone(),
            subject: format!("{}.{channel}", link.subjects.pub_prefix).into(),
            ack_inbox: ack_inbox.into(),
            messages: wire::PubMsgEncoder::new(&link.client_id, channel, &link.conn_id),
            in_flight: Mutex::default(),
        });
        let window = Arc::new(Semaphore::new(window as usize));
        let stop = CancellationToken::new();
        tokio::spawn(listen(acks, shared.clone(), window.clone(), stop.clone()));
        Ok(Publisher {
            shared,
            window,
            _stop: stop.drop_guard(),
        })
    }

    /// Sends a message, as soon as there is room in the window. What it returns resolves to the broker's
    /// answer; the message is not in the channel for certain before.
    pub async fn publish(&self, payload: &[u8]) -> Result<PubAck, PublishError> {
        let shared = &self.shared;
        let limit = self.max_payload();
        if payload.len() > limit {
            return Err(PublishError::TooLarge {
                size: payload.len(),
                limit,
            });
        }
        let place = match self.window.clone().acquire_owned().await {
            Ok(place) => place,
            Err(_) => return Err(shared.link.life.lost().into()),
        };
        let (slot, ack) = Slot::take(shared, place)?;
        let message = shared.messages.encode(&slot.guid.to_string(), payload);
        let (subject, inbox) = (shared.subject.clone(), shared.ack_inbox.clone());
        match (shared.link.nats)
            .publish_with_reply(subject, inbox, message)
            .await
        {
            Ok(()) => {
                slot.sent();
                Ok(ack)
            }
            Err(_) => Err(shared.link.life.lost().into()),
        }
    }

    /// The largest payload that the broker takes: its limit counts the envelope too.
    pub fn max_payload(&self) -> usize {
        let limit = self.shared.link.nats.max_payload();
        limit.saturating_sub(self.shared.messages.overhead(LONGEST_GUID, limit))
    }
}

impl Future for PubAck {
    type Output = Result<(), PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(context).map(|outcome| {
            // Let go without an answer: with the connection, or with the publisher.
            outcome.unwrap_or_else(|_| {
                let reason = self.shared.link.life.loss();
                Err(Lost(reason.unwrap_or(LossReason::Closed)).into())
            })
        })
    }
}

/// A guid that waits for its acknowledgement; given up if the message was never sent.
struct Slot<'a> {
    shared: &'a Shared,
    guid: u64,
    sent: bool,
}

impl<'a> Slot<'a> {
    fn take(
        shared: &'a Arc<Shared>,
        place: OwnedSemaphorePermit,
    ) -> Result<(Slot<'a>, PubAck), PublishError> {
        let (sender, result) = oneshot::channel();
        let mut in_flight = shared.in_flight();
        if in_flight.closed {
            return Err(shared.link.life.lost().into());
        }
        in_flight.last_guid += 1;
        let guid = in_flight.last_guid;
        let waiting = Waiting {
            result: sender,
            since: Instant::now(),
            _place: place,
        };
        in_flight.waiting.insert(guid, waiting);
        drop(in_flight);
        let ack = PubAck {
            result,
            shared: shared.clone(),
        };
        let slot = Slot {
            shared,
            guid,
            sent: false,
        };
        Ok((slot, ack))
    }

    fn sent(mut self) {
        self.sent = true;
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.shared.in_flight().waiting.remove(&self.guid);
        }
    }
}

async fn listen(
    mut acks: Subscriber,
    shared: Arc<Shared>,
    window: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let life = &shared.link.life;
    let mut sweeps = interval(SWEEP);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let over = life.ended();
    tokio::pin!(over);
    let stopped = stop.cancelled();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            biased;
            _ = &mut over => break,
            () = &mut stopped => break,
            ack = acks.next() => match ack {
                Some(ack) => shared.settle(ack),
                None => life.end(LossReason::Disconnected),
            },
            _ = sweeps.tick() => shared.give_up_overdue(),
        }
    }
    window.close();
    let mut in_flight = shared.in_flight();
    in_flight.closed = true;
    in_flight.waiting.clear();
}

impl Shared {
    fn settle(&self, ack: async_nats::Message) {
        // "Nobody listens" decodes as a good acknowledgement of no guid, and does not say of which message:
        // that one times out.
        if ack.status == Some(StatusCode::NO_RESPONDERS) {
            return;
        }
        let Ok(ack) = wire::PubAck::decode(ack.payload) else {
            return;
        };
        if ack.error == wire::UNKNOWN_PUBLISHER {
            // Our messages are well-formed, so it is the client that the broker does not know: its store is a
            // new one. The next ping would tell the same.
            return self.link.life.end(LossReason::Forgotten(ack.error));
        }
        let Ok(guid) = ack.guid.parse() else {
            return;
        };
        let waiting = self.in_flight().waiting.remove(&guid);
        if let Some(waiting) = waiting {
            let outcome = if ack.error.is_empty() {
                Ok(())
            } else {
                Err(PublishError::Refused(ack.error))
            };
            // The caller may not care.
            let _ = waiting.result.send(outcome);
        }
    }

    fn give_up_overdue(&self) {
        let timeout = self.link.ack_timeout;
        let mut in_flight = self.in_flight();
        let overdue = in_flight
            .waiting
            .extract_if(|_, waiting| waiting.since.elapsed() >= timeout);
        for (_, waiting) in overdue {
            let _ = waiting.result.send(Err(PublishError::TimedOut(timeout)));
        }
    }

    /// Nothing in here panics while it holds the lock, so that a poisoned one is as good as another.
    fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
