//! What can go wrong, one variant for each thing that a caller does differently.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct InvalidOption {
    /// The field's name.
    pub name: &'static str,
    pub problem: String,
}

pub(crate) fn invalid(name: &'static str, problem: impl Into<String>) -> InvalidOption {
    InvalidOption {
        name,
        problem: problem.into(),
    }
}

/// Why a connection is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LossReason {
    #[error("the connection to the broker broke")]
    Disconnected,
    #[error("the broker left {pings} pings unanswered")]
    Silent { pings: u32 },
    /// The broker answers, but does not know us: another client took our id, or its store is a new one.
    #[error("the broker no longer knows this client ({0})")]
    Forgotten(String),
    #[error("the connection was closed here")]
    Closed,
}

/// The connection that this ack, request or message belonged to is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connection lost: {0}")]
pub struct Lost(pub LossReason);

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A setting that no retry will mend.
    #[error(transparent)]
    Options(#[from] InvalidOption),
    #[error("no broker answers at {server}: {reason}")]
    Unreachable { server: String, reason: String },
    #[error(
        "the broker at {server} refuses our credentials ({reason}): check user, password or credentials file"
    )]
    Auth { server: String, reason: String },
    #[error("no TLS connection with the broker at {server}: {reason}")]
    Tls { server: String, reason: String },
    #[error(
        "the broker at {server} serves no streaming cluster {cluster_id:?}: check the cluster id, or wait until it has started"
    )]
    NoStreamingServer { server: String, cluster_id: String },
    #[error(
        "client id {client_id:?} is in use by another connection: each process needs an id of its own"
    )]
    ClientIdInUse { client_id: String },
    #[error("the broker at {server} refuses the connection: {reason}")]
    Refused { server: String, reason: String },
    #[error("the streaming server at {server} did not answer within {after:?}")]
    TimedOut { server: String, after: Duration },
}

/// A request that was not granted.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("no streaming server listens (it may still be starting)")]
    NoResponders,
    #[error("an answer that is no STAN message: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("refused: {0}")]
    Refused(String),
    #[error(transparent)]
    Lost(#[from] Lost),
}

#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    #[error(transparent)]
    Options(#[from] InvalidOption),
    /// Another connection holds the durable, or this one does already.
    #[error("durable {durable:?} on channel {channel:?} is already subscribed to")]
    DurableInUse { channel: String, durable: String },
    #[error("cannot subscribe to channel {channel:?}: {source}")]
    Request {
        channel: String,
        source: RequestError,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Options(#[from] InvalidOption),
    #[error(
        "a message of {size} bytes: the broker takes at most {limit} (its max_payload, less the envelope)"
    )]
    TooLarge { size: usize, limit: usize },
    #[error("the broker refuses the message: {0}")]
    Refused(String),
    /// Unknown outcome: the message may be in the channel. Publishing it again may make it two.
    #[error("no acknowledgement within {0:?}")]
    TimedOut(Duration),
    /// Unknown outcome, as with a time-out.
    #[error(transparent)]
    Lost(#[from] Lost),
}
