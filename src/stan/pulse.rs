//! The pulse of a connection: answers the broker's heartbeats, asks it every few seconds whether it still
//! knows us, and ends the life if it does not. A task of its own, so that no busy consumer delays it.

use std::time::Duration;

use async_nats::{Client, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use prost::Message;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::error::LossReason;
use super::life::Life;
use super::nats;
use super::wire;

pub(crate) struct Pulse {
    pub nats: Client,
    pub life: Life,
    pub heartbeats: Subscriber,
    pub pongs: Subscriber,
    pub pong_inbox: String,
    pub ping_subject: String,
    pub ping: Bytes,
    pub interval: Duration,
    pub max_out: u32,
}

enum Pong {
    Alive,
    /// Nobody listens at the broker's ping subject: as good as no answer, it may be starting.
    Nobody,
    Unknown(String),
}

impl Pulse {
    pub(crate) async fn run(mut self) {
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        // After a freeze of this process one ping is due, not all that were missed.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        let over = self.life.ended();
        tokio::pin!(over);
        loop {
            // In this order: an answer that has arrived counts before the next ping is missed.
            tokio::select! {
                biased;
                _ = &mut over => break,
                pong = self.pongs.next() => match pong.map(read) {
                    Some(Pong::Alive) => unanswered = 0,
                    Some(Pong::Nobody) => {}
                    Some(Pong::Unknown(answer)) => self.life.end(LossReason::Forgotten(answer)),
                    None => self.life.end(LossReason::Disconnected),
                },
                heartbeat = self.heartbeats.next() => match heartbeat {
                    Some(heartbeat) => self.answer(heartbeat).await,
                    None => self.life.end(LossReason::Disconnected),
                },
                _ = ticks.tick() => {
                    if unanswered >= self.max_out {
                        self.life.end(LossReason::Silent { pings: unanswered });
                    } else {
                        unanswered += 1;
                        self.ask().await;
                    }
                }
            }
        }
        nats::hang_up(&self.nats).await;
    }

    /// A full queue towards a frozen broker would hold us up: what cannot be sent in time is a ping missed.
    async fn ask(&self) {
        let subject = self.ping_subject.clone();
        let ask =
            (self.nats).publish_with_reply(subject, self.pong_inbox.clone(), self.ping.clone());
        let _ = timeout(self.interval, ask).await;
    }

    async fn answer(&self, heartbeat: async_nats::Message) {
        if let Some(reply) = heartbeat.reply {
            let _ = timeout(self.interval, self.nats.publish(reply, Bytes::new())).await;
        }
    }
}

fn read(pong: async_nats::Message) -> Pong {
    if pong.status == Some(StatusCode::NO_RESPONDERS) {
        return Pong::Nobody;
    }
    match wire::Outcome::decode(pong.payload) {
        Ok(outcome) if outcome.error.is_empty() => Pong::Alive,
        Ok(outcome) => Pong::Unknown(outcome.error),
        Err(_) => Pong::Nobody,
    }
}
