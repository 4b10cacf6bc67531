//! A durable subscription with manual acks.
//!
//! A task receives at the broker's pace and hands over within two bounds, in messages and in bytes; what
//! exceeds them is let go without an ack, counted, and comes again after `ack_wait`. So a consumer that
//! waits for its database holds bounded memory, and blocks neither pings nor acks of others.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_nats::{Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use prost::Message as _;
use tokio::sync::mpsc;

use super::error::{LossReason, Lost, RequestError, SubscribeError};
use super::link::{Link, refuse};
use super::nats;
use super::options::SubscribeOptions;
use super::wire;

/// What a message costs beside its payload, so that a budget of bytes bounds also the smallest messages.
const BASE_COST: usize = 128;

/// Dropping it closes it in the background; [`Subscription::close`] also awaits the broker's answer. The
/// durable stays in either case.
#[derive(Debug)]
pub struct Subscription {
    messages: mpsc::Receiver<Message>,
    shared: Arc<Shared>,
}

/// A message as the broker delivered it. Its fields may be taken apart: the receipt alone is needed later.
#[derive(Debug)]
pub struct Message {
    pub sequence: u64,
    /// When the broker stored it. The same at each redelivery; no order follows from it.
    pub timestamp_ns: i64,
    /// A copy of its own: it pins no read buffer.
    pub payload: Bytes,
    /// What the broker says. Not to be trusted: after a crash it is false on messages that came before.
    pub redelivered: bool,
    pub receipt: Receipt,
}

/// The right to acknowledge one message, on the connection it came on and no other. Dropped without an
/// ack, the message comes again. Acked or dropped, it gives its bytes back to the subscription's budget.
pub struct Receipt {
    shared: Arc<Shared>,
    sequence: u64,
    cost: usize,
}

/// What a subscription has seen, since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub received: u64,
    /// Let go without an ack, past the budget: they come again.
    pub let_go: u64,
    /// Frames that were no STAN message of this channel: ignored.
    pub malformed: u64,
    /// Lost inside async-nats, at least: they come again. Counted for the connection.
    pub overflowed: u64,
    /// The bytes now held, by queued messages and by receipts.
    pub held_bytes: usize,
}

#[derive(Debug)]
struct Shared {
    link: Arc<Link>,
    channel: String,
    ack_inbox: Subject,
    acks: wire::AckEncoder,
    byte_budget: usize,
    held: AtomicUsize,
    received: AtomicU64,
    let_go: AtomicU64,
    malformed: AtomicU64,
    closed: AtomicBool,
}

impl Subscription {
    pub(crate) async fn open(
        link: &Arc<Link>,
        options: &SubscribeOptions,
    ) -> Result<Subscription, SubscribeError> {
        options.check()?;
        let channel = options.channel.clone();
        let refused = |source| SubscribeError::Request { channel, source };

        // Listening comes first: the broker sends before it answers the request.
        let inbox = link.nats.new_inbox();
        let frames = match link.nats.subscribe(inbox.clone()).await {
            Ok(frames) => frames,
            Err(_) => return Err(refused(RequestError::Lost(link.life.lost()))),
        };
        let request = wire::SubscriptionRequest {
            client_id: link.client_id.clone(),
            subject: options.channel.clone(),
            queue_group: options.queue_group.clone().unwrap_or_default(),
            inbox: inbox.clone(),
            max_in_flight: i32::try_from(options.max_in_flight).unwrap_or(i32::MAX),
            ack_wait_seconds: options.ack_wait_seconds(),
            durable_name: options.durable.clone(),
            // Never at a sequence: past the last one the broker makes it "new only". A durable that
            // exists goes on where it was.
            start_position: wire::StartPosition::First.into(),
        };
        let unanswered = Unanswered {
            link,
            channel: &options.channel,
            inbox: Some(inbox),
        };
        let answer: Result<wire::SubscriptionResponse, _> =
            link.request(&link.subjects.sub_requests, &request).await;
        let response = match answer {
            Ok(response) => unanswered.settle(response),
            Err(source) => return Err(refused(source)),
        };
        if response.error == wire::DURABLE_IN_USE {
            return Err(SubscribeError::DurableInUse {
                channel: options.channel.clone(),
                durable: options.durable.clone(),
            });
        }
        refuse(response.error).map_err(refused)?;

        let shared = Arc::new(Shared {
            link: link.clone(),
            channel: options.channel.clone(),
            ack_inbox: response.ack_inbox.into(),
            acks: wire::AckEncoder::new(&options.channel),
            byte_budget: options.byte_budget,
            held: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            let_go: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        // Redelivery ignores max_in_flight: hence twice, and some.
        let capacity = 2 * options.max_in_flight as usize + 1_024;
        let (sender, messages) = mpsc::channel(capacity);
        tokio::spawn(receive(frames, sender, shared.clone()));
        Ok(Subscription { messages, shared })
    }

    /// The next message; none once the connection is lost. Cancel-safe: a future that was dropped has
    /// taken nothing.
    pub async fn next(&mut self) -> Option<Message> {
        let message = self.messages.recv().await;
        // What is left in the queue of a lost connection can no longer be acked, and comes again.
        message.filter(|_| !self.shared.link.life.is_over())
    }

    /// Waits for a message, then takes all that have arrived, up to `limit`; returns how many. None once
    /// the connection is lost. Cancel-safe.
    pub async fn next_many(&mut self, into: &mut Vec<Message>, limit: usize) -> usize {
        let before = into.len();
        let taken = self.messages.recv_many(into, limit).await;
        if self.shared.link.life.is_over() {
            into.truncate(before);
            return 0;
        }
        taken
    }

    pub fn counters(&self) -> Counters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            received: count(&self.shared.received),
            let_go: count(&self.shared.let_go),
            malformed: count(&self.shared.malformed),
            overflowed: self.shared.link.life.overflowed(),
            held_bytes: self.shared.held.load(Ordering::Relaxed),
        }
    }

    /// Ends the subscription at the broker, which has heard every ack before. The durable keeps its place.
    pub async fn close(self) -> Result<(), RequestError> {
        self.shared.closed.store(true, Ordering::Relaxed);
        let link = &self.shared.link;
        let close = close_request(link, &self.shared.channel, &self.shared.ack_inbox);
        let response: wire::SubscriptionResponse = link
            .request(&link.subjects.sub_close_requests, &close)
            .await?;
        refuse(response.error)
    }
}

impl Receipt {
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Acknowledges. It is on its way, not yet heard, when this returns; it waits only while thousands
    /// before it are not yet on the wire. On a lost connection it does nothing.
    pub async fn ack(self) -> Result<(), Lost> {
        let Shared {
            link,
            ack_inbox,
            acks,
            ..
        } = &*self.shared;
        link.life.check()?;
        (link.nats)
            .publish(ack_inbox.clone(), acks.encode(self.sequence))
            .await
            .map_err(|_| link.life.lost())
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.shared.held.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.sequence).finish()
    }
}

async fn receive(mut frames: Subscriber, sender: mpsc::Sender<Message>, shared: Arc<Shared>) {
    let life = &shared.link.life;
    let over = life.ended();
    tokio::pin!(over);
    let unwanted = sender.closed();
    tokio::pin!(unwanted);
    loop {
        tokio::select! {
            biased;
            _ = &mut over => return,
            () = &mut unwanted => break,
            frame = frames.next() => match frame {
                Some(frame) => shared.take_in(frame, &sender),
                None => return life.end(LossReason::Disconnected),
            },
        }
    }
    if !shared.closed.load(Ordering::Relaxed) {
        say_close(&shared.link, &shared.channel, &shared.ack_inbox).await;
    }
}

impl Shared {
    /// Never waits.
    fn take_in(self: &Arc<Shared>, frame: async_nats::Message, sender: &mpsc::Sender<Message>) {
        let delivery = match wire::Delivery::decode(frame.payload) {
            // Anything may be published to an inbox, and much of it decodes; a 503 decodes as well.
            Ok(delivery)
                if delivery.sequence > 0 && delivery.subject == self.channel.as_bytes() =>
            {
                delivery
            }
            _ => {
                self.malformed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        self.received.fetch_add(1, Ordering::Relaxed);
        let Some(receipt) = self.afford(delivery.sequence, delivery.data.len()) else {
            self.let_go.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let message = Message {
            sequence: delivery.sequence,
            timestamp_ns: delivery.timestamp_ns,
            payload: Bytes::copy_from_slice(&delivery.data),
            redelivered: delivery.redelivered,
            receipt,
        };
        if sender.try_send(message).is_err() {
            self.let_go.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A message larger than the whole budget passes while nothing else is held: it would never otherwise.
    fn afford(self: &Arc<Shared>, sequence: u64, payload: usize) -> Option<Receipt> {
        let cost = payload + BASE_COST;
        let held = self.held.fetch_add(cost, Ordering::Relaxed);
        let receipt = Receipt {
            shared: self.clone(),
            sequence,
            cost,
        };
        (held == 0 || held + cost <= self.byte_budget).then_some(receipt)
    }
}

/// A subscribe request that was sent and not answered may have worked: the broker is told to end it, else
/// it would send this client messages that nobody takes. So also where the caller stopped waiting.
struct Unanswered<'a> {
    link: &'a Arc<Link>,
    channel: &'a str,
    inbox: Option<String>,
}

impl Unanswered<'_> {
    fn settle<T>(mut self, answer: T) -> T {
        self.inbox = None;
        answer
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            let (link, channel) = (self.link.clone(), self.channel.to_owned());
            tokio::spawn(async move { say_close(&link, &channel, &inbox).await });
        }
    }
}

fn close_request(link: &Link, channel: &str, inbox: &str) -> wire::UnsubscribeRequest {
    wire::UnsubscribeRequest {
        client_id: link.client_id.clone(),
        subject: channel.to_owned(),
        inbox: inbox.to_owned(),
    }
}

async fn say_close(link: &Link, channel: &str, inbox: &str) {
    let close = close_request(link, channel, inbox);
    let subject = &link.subjects.sub_close_requests;
    // It fails only where the connection does, and then there is nothing left to close.
    let _ = nats::say(
        &link.nats,
        &link.life,
        subject,
        &close,
        link.request_timeout,
    )
    .await;
}
