//! A connection to a streaming server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use prost::Message;
use tokio::time::Instant;

use super::error::{ConnectError, LossReason, PublishError, RequestError, SubscribeError};
use super::life::Life;
use super::nats;
use super::options::{Options, Server, SubscribeOptions};
use super::publisher::Publisher;
use super::pulse::Pulse;
use super::subscription::Subscription;
use super::wire;

/// The broker's port opens up to 175 ms before the streaming server listens: within this time "nobody
/// here" is not yet an answer.
const STARTING: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A connection that is alive as long as this value is: dropping it ends its subscriptions, publishers
/// and receipts. [`Client::close`] also tells the broker.
#[derive(Debug)]
pub struct Client {
    link: Arc<Link>,
}

/// What subscriptions, publishers and receipts share of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub nats: async_nats::Client,
    pub life: Life,
    pub client_id: String,
    pub conn_id: Bytes,
    pub subjects: wire::ConnectResponse,
    pub request_timeout: Duration,
    pub ack_timeout: Duration,
}

impl Client {
    /// Connects to the first of the servers that lets us. Once it returns, the broker has answered a
    /// ping: what is asked or acked from now on is heard.
    pub async fn connect(options: &Options) -> Result<Client, ConnectError> {
        let mut telling: Option<ConnectError> = None;
        for server in options.parse()? {
            let attempt = Attempt::new(options, &server);
            let error = match tokio::time::timeout(options.connect_timeout, attempt.run()).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => error,
                Err(_) => ConnectError::TimedOut {
                    server: server.name.clone(),
                    after: options.connect_timeout,
                },
            };
            // A server that answered says more than one that is down.
            if matches!(telling, None | Some(ConnectError::Unreachable { .. })) {
                telling = Some(error);
            }
        }
        Err(telling.expect("options.parse() returns at least one server, and each left an error"))
    }

    /// Resolves once the connection is no more, for whatever reason. It borrows nothing: ask for as many
    /// as you like.
    pub fn lost(&self) -> impl Future<Output = LossReason> + Send + use<> {
        self.link.life.ended()
    }

    /// Why the connection is no more, if it is.
    pub fn loss(&self) -> Option<LossReason> {
        self.link.life.loss()
    }

    pub async fn subscribe(
        &self,
        options: &SubscribeOptions,
    ) -> Result<Subscription, SubscribeError> {
        Subscription::open(&self.link, options).await
    }

    /// A publisher that has at most `window` messages on their way at a time (1,024 reach full speed).
    pub async fn publisher(&self, channel: &str, window: u32) -> Result<Publisher, PublishError> {
        Publisher::open(&self.link, channel, window).await
    }

    /// Says goodbye: the broker forgets the client and its subscriptions, and keeps its durables. All that
    /// was acked before is heard first.
    pub async fn close(self) -> Result<(), RequestError> {
        let goodbye = wire::CloseRequest {
            client_id: self.link.client_id.clone(),
        };
        let subject = &self.link.subjects.close_requests;
        let outcome: wire::Outcome = self.link.request(subject, &goodbye).await?;
        refuse(outcome.error)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.link.life.end(LossReason::Closed);
    }
}

impl Link {
    pub(crate) async fn request<A: Message + Default>(
        &self,
        subject: &str,
        question: &impl Message,
    ) -> Result<A, RequestError> {
        nats::request(
            &self.nats,
            &self.life,
            subject,
            question,
            self.request_timeout,
        )
        .await
    }
}

pub(crate) fn refuse(error: String) -> Result<(), RequestError> {
    if error.is_empty() {
        Ok(())
    } else {
        Err(RequestError::Refused(error))
    }
}

/// Connects, however long it takes: with growing, random pauses of at most ten seconds. Each failure is
/// told, with the pause that follows it. Check the options first: it does not give up on wrong ones.
pub async fn connect_with_backoff(
    options: &Options,
    mut on_failure: impl FnMut(&ConnectError, Duration),
) -> Client {
    const LONGEST: Duration = Duration::from_secs(5);
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(LONGEST)
        .without_max_times()
        .with_jitter()
        .build();
    loop {
        match Client::connect(options).await {
            Ok(client) => return client,
            Err(error) => {
                let pause = pauses.next().unwrap_or(LONGEST);
                on_failure(&error, pause);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// One try to connect to one server.
struct Attempt<'a> {
    options: &'a Options,
    server: &'a Server,
    life: Life,
}

impl<'a> Attempt<'a> {
    fn new(options: &'a Options, server: &'a Server) -> Attempt<'a> {
        let life = Life::default();
        Attempt {
            options,
            server,
            life,
        }
    }

    async fn run(self) -> Result<Client, ConnectError> {
        let nats = nats::dial(self.options, self.server, &self.life).await?;
        // Unique for each connection; the inbox's prefix is left off, since each publish carries it.
        let unique = nats.new_inbox();
        let conn_id =
            Bytes::copy_from_slice(unique.rsplit('.').next().unwrap_or(&unique).as_bytes());
        let (heartbeat_inbox, heartbeats) = self.listen(&nats).await?;
        let (pong_inbox, pongs) = self.listen(&nats).await?;

        let discover = format!(
            "{}.{}",
            self.options.discover_prefix, self.options.cluster_id
        );
        let hello = wire::ConnectRequest {
            client_id: self.options.client_id.clone(),
            heartbeat_inbox,
            protocol: wire::PROTOCOL_WITH_PINGS,
            conn_id: conn_id.clone(),
            ping_interval: i32::try_from(self.options.ping_interval.as_secs()).unwrap_or(i32::MAX),
            ping_max_out: i32::try_from(self.options.ping_max_out).unwrap_or(i32::MAX),
        };
        let welcome: wire::ConnectResponse = self.ask(&nats, &discover, &hello).await?;
        self.check(&welcome)?;
        let ping = wire::Ping {
            conn_id: conn_id.clone(),
        };
        let pong: wire::Outcome = self.ask(&nats, &welcome.ping_requests, &ping).await?;
        if !pong.error.is_empty() {
            return Err(self.refused(pong.error));
        }

        let pulse = Pulse {
            nats: nats.clone(),
            life: self.life.clone(),
            heartbeats,
            pongs,
            pong_inbox,
            ping_subject: welcome.ping_requests.clone(),
            ping: ping.encode_to_vec().into(),
            interval: self.ping_interval(&welcome),
            max_out: u32::try_from(welcome.ping_max_out)
                .ok()
                .filter(|&max_out| max_out > 0)
                .unwrap_or(self.options.ping_max_out),
        };
        tokio::spawn(pulse.run());
        Ok(Client {
            link: Arc::new(Link {
                nats,
                life: self.life,
                client_id: self.options.client_id.clone(),
                conn_id,
                subjects: welcome,
                request_timeout: self.options.request_timeout,
                ack_timeout: self.options.ack_timeout,
            }),
        })
    }

    async fn listen(
        &self,
        nats: &async_nats::Client,
    ) -> Result<(String, Subscriber), ConnectError> {
        let inbox = nats.new_inbox();
        let subscriber = (nats.subscribe(inbox.clone()).await).map_err(|_| self.broken())?;
        Ok((inbox, subscriber))
    }

    /// Asks, and asks again for a while where nobody listens: the streaming server may be starting.
    async fn ask<A: Message + Default>(
        &self,
        nats: &async_nats::Client,
        subject: &str,
        question: &impl Message,
    ) -> Result<A, ConnectError> {
        let give_up = Instant::now() + STARTING;
        loop {
            let timeout = self.options.connect_timeout;
            match nats::request(nats, &self.life, subject, question, timeout).await {
                Ok(answer) => return Ok(answer),
                Err(RequestError::NoResponders) if Instant::now() < give_up => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(RequestError::NoResponders) => {
                    return Err(ConnectError::NoStreamingServer {
                        server: self.server.name.clone(),
                        cluster_id: self.options.cluster_id.clone(),
                    });
                }
                Err(RequestError::TimedOut(after)) => {
                    return Err(ConnectError::TimedOut {
                        server: self.server.name.clone(),
                        after,
                    });
                }
                Err(RequestError::Lost(_)) => return Err(self.broken()),
                Err(error) => return Err(self.refused(error.to_string())),
            }
        }
    }

    fn check(&self, welcome: &wire::ConnectResponse) -> Result<(), ConnectError> {
        if welcome.error == wire::CLIENT_ID_IN_USE {
            return Err(ConnectError::ClientIdInUse {
                client_id: self.options.client_id.clone(),
            });
        }
        if !welcome.error.is_empty() {
            return Err(self.refused(welcome.error.clone()));
        }
        if welcome.protocol < wire::PROTOCOL_WITH_PINGS || welcome.ping_requests.is_empty() {
            return Err(self.refused("it is too old to answer pings (0.10.0 does)".into()));
        }
        Ok(())
    }

    fn ping_interval(&self, welcome: &wire::ConnectResponse) -> Duration {
        match u64::try_from(welcome.ping_interval) {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => self.options.ping_interval,
        }
    }

    fn refused(&self, reason: String) -> ConnectError {
        ConnectError::Refused {
            server: self.server.name.clone(),
            reason,
        }
    }

    fn broken(&self) -> ConnectError {
        ConnectError::Unreachable {
            server: self.server.name.clone(),
            reason: "the connection broke".into(),
        }
    }
}
