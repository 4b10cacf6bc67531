//! One NATS connection that never comes back: dialled, used for requests, and gone for good at the first
//! disconnect.
//!
//! async-nats has no switch against reconnecting: it keeps queued publishes and sends them on the next
//! connection. So, once connected, its pool of servers is replaced by an address that nobody can listen
//! on, and one failed attempt is allowed: on any disconnect it tries that, fails at once, and ends its
//! task, dropping queue and subscriptions. (An endless delay before the reconnect would do as well, but
//! leaves task and queue behind in memory for ever.) It asks for the delay before each attempt, and that
//! call is our signal; its events get lost under load.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, Request, RequestErrorKind};
use bytes::Bytes;
use prost::Message;

use super::error::{ConnectError, LossReason, RequestError};
use super::life::Life;
use super::options::{CHANNEL_CAPACITY, Options};
use super::server::{Auth, Server};

/// Port 0 stands for "choose one" and is never listened on: connecting fails at once, without a packet.
const NOWHERE: &str = "nats://127.0.0.1:0";
/// A silent broker (frozen, or a network cut) is noticed after three of these.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Acks and publishes on their way to the socket; past that, senders wait.
const SEND_QUEUE: usize = 4_096;

/// Dials one server. The life ends when its connection breaks.
pub(crate) async fn dial(
    options: &Options,
    server: &Server,
    life: &Life,
) -> Result<Client, ConnectError> {
    let client = connect_options(options, server, life)
        .await?
        .connect(&server.address)
        .await
        .map_err(|error| explain(error, server))?;
    match client.set_server_pool(NOWHERE).await {
        // Nothing has been queued yet, so that a reconnect before this point would have done no harm.
        Ok(()) if !life.is_over() => Ok(client),
        _ => Err(ConnectError::Unreachable {
            server: server.name.clone(),
            reason: "the connection broke at once".into(),
        }),
    }
}

async fn connect_options(
    options: &Options,
    server: &Server,
    life: &Life,
) -> Result<ConnectOptions, ConnectError> {
    let broken = life.clone();
    let first_attempt = AtomicBool::new(true);
    let slow = life.clone();
    let mut connect = ConnectOptions::new()
        .name(&options.client_id)
        .connection_timeout(options.connect_timeout)
        .ignore_discovered_servers()
        .max_reconnects(1)
        .reconnect_delay_callback(move |_| {
            if !first_attempt.swap(false, Ordering::Relaxed) {
                broken.end(LossReason::Disconnected);
            }
            Duration::ZERO
        })
        .event_callback(move |event| {
            if matches!(event, Event::SlowConsumer(_)) {
                slow.count_overflow();
            }
            std::future::ready(())
        })
        .ping_interval(PING_INTERVAL)
        .request_timeout(None)
        .client_capacity(SEND_QUEUE)
        .subscription_capacity(CHANNEL_CAPACITY)
        // Our subjects are the broker's own and checked channels: no need to look at each ack's again.
        .skip_subject_validation(true)
        .require_tls(options.tls.required);
    if let Some(path) = &options.tls.ca_file {
        connect = connect.add_root_certificates(path.clone());
    }
    if let Some(client) = &options.tls.client {
        connect = connect
            .add_client_certificate(client.certificate_file.clone(), client.key_file.clone());
    }
    match &server.auth {
        Auth::None => Ok(connect),
        Auth::User { user, password } => {
            Ok(connect.user_and_password(user.clone(), password.clone()))
        }
        Auth::Token(token) => Ok(connect.token(token.clone())),
        Auth::CredentialsFile(path) => {
            (connect.credentials_file(path).await).map_err(|error| ConnectError::Auth {
                server: server.name.clone(),
                reason: format!("{}: {error}", path.display()),
            })
        }
    }
}

fn explain(error: async_nats::ConnectError, server: &Server) -> ConnectError {
    let kind = if is_tls(&error) {
        ConnectErrorKind::Tls
    } else {
        error.kind()
    };
    let server = server.name.clone();
    let reason = match std::error::Error::source(&error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    match kind {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            ConnectError::Auth { server, reason }
        }
        ConnectErrorKind::Tls => ConnectError::Tls { server, reason },
        _ => ConnectError::Unreachable { server, reason },
    }
}

/// A failed handshake comes as an IO error with rustls' own inside.
fn is_tls(error: &async_nats::ConnectError) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<async_nats::rustls::Error>() {
            return true;
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let inner = io.get_ref();
            if inner.is_some_and(|inner| inner.is::<async_nats::rustls::Error>()) {
                return true;
            }
        }
        source = error.source();
    }
    false
}

/// Asks and awaits the answer: at most `timeout` long, whatever async-nats is waiting for, and no longer
/// than the connection lives.
pub(crate) async fn request<A: Message + Default>(
    client: &Client,
    life: &Life,
    subject: &str,
    question: &impl Message,
    timeout: Duration,
) -> Result<A, RequestError> {
    let question = Request::new().payload(question.encode_to_vec().into());
    let answer = client.send_request(subject.to_owned(), question);
    let answer = within(life, timeout, answer)
        .await?
        .map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => RequestError::NoResponders,
            RequestErrorKind::TimedOut => RequestError::TimedOut(timeout),
            _ => RequestError::Lost(life.lost()),
        })?;
    Ok(A::decode(answer.payload)?)
}

/// Says something to which no answer is expected.
pub(crate) async fn say(
    client: &Client,
    life: &Life,
    subject: &str,
    words: &impl Message,
    timeout: Duration,
) -> Result<(), RequestError> {
    let words: Bytes = words.encode_to_vec().into();
    within(life, timeout, client.publish(subject.to_owned(), words))
        .await?
        .map_err(|_| RequestError::Lost(life.lost()))
}

/// Ends the TCP connection, also where clones of the client live on in receipts.
pub(crate) async fn hang_up(client: &Client) {
    // The pool leads nowhere, so that a "reconnect" is the end. It fails only where that has come already.
    let _ = tokio::time::timeout(PING_INTERVAL, client.force_reconnect()).await;
}

async fn within<T>(
    life: &Life,
    timeout: Duration,
    work: impl Future<Output = T>,
) -> Result<T, RequestError> {
    tokio::select! {
        biased;
        _ = life.ended() => Err(RequestError::Lost(life.lost())),
        result = tokio::time::timeout(timeout, work) => {
            result.map_err(|_| RequestError::TimedOut(timeout))
        }
    }
}
