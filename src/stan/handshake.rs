//! How a connection begins: NATS, then hello, then a first good ping, and only then anything else.

use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use prost::Message;
use tokio::time::Instant;

use super::error::{ConnectError, RequestError};
use super::life::Life;
use super::link::Link;
use super::nats;
use super::options::Options;
use super::pulse::Pulse;
use super::server::Server;
use super::wire;

/// The broker's port opens up to 175 ms before the streaming server listens: within this time "nobody
/// here" is not yet an answer.
const STARTING: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// One try to connect to one server.
pub(crate) struct Handshake<'a> {
    options: &'a Options,
    server: &'a Server,
    life: Life,
}

impl<'a> Handshake<'a> {
    pub(crate) fn new(options: &'a Options, server: &'a Server) -> Handshake<'a> {
        let life = Life::default();
        Handshake {
            options,
            server,
            life,
        }
    }

    pub(crate) async fn shake(self) -> Result<Link, ConnectError> {
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
        Ok(Link {
            nats,
            life: self.life,
            client_id: self.options.client_id.clone(),
            conn_id,
            subjects: welcome,
            request_timeout: self.options.request_timeout,
            ack_timeout: self.options.ack_timeout,
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
