use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::account::Patience;
use crate::audit::{self, Audit};
use crate::cache::{self, Cache};
use crate::config::Config;
use crate::inbox::{self, Inbox, Position, Queue, SourceId, Tail};
use crate::postgres::Database;
use crate::projection::InForce;
use crate::telemetry::Metrics;
use crate::{api, operation, projection, source};

/// Rows that may wait for the inbox's next commit.
const QUEUE: usize = 4096;
/// Bytes from HTTP that may wait to be durable: a small part of what a small machine has, and some thousand orders a commit.
/// More if single messages may be large: then there is room for a few of them.
const WAITING_BYTES: usize = 64 << 20;
const WAITING_MESSAGES: usize = 4;
/// For holes of a broker that is no longer set: as long as by default.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// What the stages have in common, and tell each other by. None of them sees it: each is given what it needs.
pub struct Wires {
    pub database: Database,
    pub inbox: Inbox,
    cache: Arc<Cache>,
    pub metrics: Arc<Metrics>,
    pub audit: Audit,
    patience: Arc<Patience>,
    give_way: Arc<projection::GiveWay>,
    asked: Arc<Notify>,
    pub appended: watch::Sender<Tail>,
    projected: watch::Sender<Position>,
    leadership: watch::Sender<Option<projection::Leadership>>,
    pub stopping: watch::Sender<bool>,
    in_force: watch::Sender<Arc<InForce>>,
    operator: SourceId,
    pub channels: Vec<Channel>,
}

/// A channel of a broker, to receive from.
pub struct Channel {
    config: source::Config,
    source: SourceId,
    status: watch::Sender<source::Status>,
}

impl Wires {
    pub async fn new(
        config: &Config,
        database: Database,
    ) -> anyhow::Result<(Self, Queue, audit::Recorder)> {
        let bytes = WAITING_BYTES.max(WAITING_MESSAGES * config.api.max_body_bytes);
        let (inbox, queue) = Inbox::new(QUEUE, bytes, database.patience());
        let reader = database.reader().await.context("Postgres")?;
        let mut channels = Vec::new();
        for config in config.broker.iter() {
            let cluster = &config.connection.cluster_id;
            let name = format!("{cluster}/{}", config.subscription.channel);
            channels.push(Channel {
                config: config.clone(),
                source: inbox::source(&reader, "stan", &name, Some("orders"))
                    .await?
                    .0,
                status: watch::Sender::default(),
            });
        }
        let metrics = Arc::new(Metrics::new().context("the metrics could not be registered")?);
        let (audit, recorder) = Audit::new(database.clone(), metrics.clone());
        let position = projection::read_checkpoint(&reader).await?.position;
        let in_force = Arc::new(projection::definitions_until(&reader, position).await?);
        let cache = Arc::new(Cache::new(config.cache_bytes));
        cache.serve(in_force.served());
        let operator = inbox::source(&reader, "operator", "operator", None).await?;
        let wires = Self {
            in_force: watch::Sender::new(in_force),
            operator: operator.0,
            channels,
            inbox,
            cache,
            metrics,
            audit,
            patience: Arc::default(),
            give_way: Arc::default(),
            asked: Arc::default(),
            appended: watch::Sender::default(),
            projected: watch::Sender::new(position),
            leadership: watch::Sender::default(),
            stopping: watch::Sender::default(),
            database: database.clone(),
        };
        Ok((wires, queue, recorder))
    }

    pub fn projection(&self) -> projection::Dependencies {
        projection::Dependencies {
            database: self.database.clone(),
            inbox: self.inbox.clone(),
            operator: self.operator,
            cache: self.cache.clone(),
            metrics: self.metrics.clone(),
            appended: self.appended.subscribe(),
            projected: self.projected.clone(),
            in_force: self.in_force.clone(),
            leadership: self.leadership.clone(),
            give_way: self.give_way.clone(),
        }
    }

    pub fn operation(&self) -> operation::Dependencies {
        operation::Dependencies {
            database: self.database.clone(),
            inbox: self.inbox.clone(),
            operator: self.operator,
            projected: self.projected.subscribe(),
            in_force: self.in_force.subscribe(),
            leadership: self.leadership.subscribe(),
            give_way: self.give_way.clone(),
            asked: self.asked.clone(),
        }
    }

    /// What may be left where it stands.
    pub fn in_the_background(&self) -> Vec<JoinHandle<()>> {
        let waits = self
            .channels
            .iter()
            .map(|channel| channel.config.subscription.ack_wait);
        let ack_wait = waits.max().unwrap_or(ACK_WAIT);
        let (patience, database) = (self.patience.clone(), self.database.clone());
        vec![
            tokio::spawn(cache::warm(self.cache.clone(), database.clone())),
            tokio::spawn(database.clone().watch_snapshots()),
            tokio::spawn(async move { patience.watch(&database, ack_wait).await }),
        ]
    }

    pub fn receiving(&self, channel: &Channel) -> source::Broker {
        source::Broker {
            config: channel.config.clone(),
            source: channel.source,
            inbox: self.inbox.clone(),
            status: channel.status.clone(),
            metrics: self.metrics.clone(),
        }
    }

    pub fn api(&self) -> api::Dependencies {
        api::Dependencies {
            database: self.database.clone(),
            inbox: self.inbox.clone(),
            cache: self.cache.clone(),
            metrics: self.metrics.clone(),
            audit: self.audit.clone(),
            operator: self.operator,
            projected: self.projected.subscribe(),
            in_force: self.in_force.subscribe(),
            broker: self.channels.first().map(|channel| api::Broker {
                config: channel.config.clone(),
                source: channel.source,
                status: channel.status.subscribe(),
            }),
            patience: self.patience.clone(),
            stopping: self.stopping.subscribe(),
            asked: self.asked.clone(),
        }
    }
}
