//! A connection to a streaming server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::error::{ConnectError, LossReason, Lost, PublishError, RequestError, SubscribeError};
use super::handshake::Handshake;
use super::link::{Link, refuse};
use super::options::{Options, SubscribeOptions};
use super::publisher::Publisher;
use super::subscription::Subscription;
use super::wire;

/// A connection that is alive as long as this value is: dropping it ends its subscriptions, publishers
/// and receipts. [`Client::close`] also tells the broker.
#[derive(Debug)]
pub struct Client {
    link: Arc<Link>,
}

impl Client {
    /// Connects to the first of the servers that lets us. Once it returns, the broker has answered a
    /// ping: what is asked or acked from now on is heard.
    pub async fn connect(options: &Options) -> Result<Client, ConnectError> {
        let mut telling: Option<ConnectError> = None;
        for server in options.parse()? {
            let shake = Handshake::new(options, &server).shake();
            let error = match tokio::time::timeout(options.connect_timeout, shake).await {
                Ok(Ok(link)) => {
                    let link = Arc::new(link);
                    return Ok(Client { link });
                }
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
        match self.link.request(subject, &goodbye).await {
            Ok(wire::Outcome { error }) => refuse(error),
            // A ping that crossed the goodbye was answered first: we are forgotten, as we asked.
            Err(RequestError::Lost(Lost(LossReason::Forgotten(_)))) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.link.life.end(LossReason::Closed);
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
