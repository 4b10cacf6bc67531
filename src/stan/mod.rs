//! A client of NATS Streaming (STAN): connect, publish, and a durable subscription with manual acks.
//!
//! The source receives through it, `waybill publish` sends through it. It knows nothing of orders and
//! imports no other room, so that it could be a crate of its own: async-nats carries the bytes, prost the
//! messages, and everything that makes it STAN is here.
//!
//! Its invariant: **nothing said on one connection is ever heard on another.** An ack is no more than a
//! subject and a sequence, so an ack that arrives in a later life of the broker's store would ack a
//! message that nobody has seen. async-nats reconnects by itself and then sends what was queued; here a
//! lost connection is never mended (`nats.rs` sees to that). It ends, and with it its queue, subscriptions,
//! publishers and receipts. The caller makes a new [`Client`], with new subscriptions.
//!
//! A connection is known to be alive because the broker answers its pings every few seconds; heartbeats
//! and pings have a task of their own (`pulse.rs`), so that a busy consumer is not taken for a dead one.
//! A subscription never blocks the connection either: what exceeds its byte budget is let go without an
//! ack, and comes again.
//!
//! Deliberately absent: unsubscribing (it deletes the durable, and with it the place in the channel),
//! starting at a sequence (past the last one the broker makes it "new only"), automatic acks, and
//! trusting the `redelivered` flag (after a crash of the broker it is wrong).

mod client;
mod error;
mod handshake;
mod life;
mod link;
mod monitoring;
mod nats;
mod options;
mod publisher;
mod pulse;
mod server;
mod subscription;
mod wire;

pub use client::{Client, connect_with_backoff};
pub use error::{
    ConnectError, InvalidOption, LossReason, Lost, PublishError, RequestError, SubscribeError,
};
pub use monitoring::{ChannelStatus, MonitoringError, channel_status};
pub use options::{ClientCertificate, Options, SubscribeOptions, Tls, check_channel};
pub use publisher::{PubAck, Publisher};
pub use server::Auth;
pub use subscription::{Counters, Message, Receipt, Subscription};
