//! Only wiring: start the stages, join them, stop them in order. Called by the CLI (`serve`, `dev`).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::account::Patience;
use crate::cache::{self, Cache};
use crate::config::Config;
use crate::inbox::{self, Inbox, Position, Tail};
use crate::postgres::{self, Database};
use crate::telemetry::Metrics;
use crate::{api, operation, projection, source};

/// Connections for readers: enough for the API on two cores, few enough for a small managed Postgres.
const READERS: usize = 8;
/// Rows that may wait for the inbox's next commit.
const QUEUE: usize = 4096;
/// For holes of a broker that is no longer set: as long as by default.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Each stage's last deadline when stopping.
const HARD_STOP: Duration = Duration::from_secs(20);

/// Waits for a Postgres that is not there yet, visibly; a setting that it refuses is final.
pub async fn prepare_database(settings: postgres::Settings) -> anyhow::Result<Database> {
    let target = settings.target();
    let database = Database::new(settings, READERS)?;
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(3))
        .without_max_times()
        .build();
    loop {
        match postgres::migrate(&database, None).await {
            Ok(applied) => {
                for name in applied {
                    tracing::info!("migrated: {name}");
                }
                return Ok(database);
            }
            Err(error)
                if error.is_fatal_at_start() || matches!(error, postgres::Error::Migration(_)) =>
            {
                return Err(error).with_context(|| format!("Postgres ({target})"));
            }
            Err(error) => {
                let pause = pauses.next().unwrap_or(Duration::from_secs(3));
                tracing::warn!("waiting for Postgres ({target}): {error}; again in {pause:.1?}");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Serves until `stop`. The listener is made by the caller, so that a taken port is known before anything starts.
pub async fn run(
    config: Config,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let database = tokio::select! {
        database = prepare_database(config.postgres.clone()) => database?,
        () = stop.cancelled() => return Ok(()),
    };
    let metrics = Arc::new(Metrics::new().context("the metrics could not be registered")?);
    let cache = Arc::new(Cache::new(config.cache_bytes));
    let (inbox, queue) = Inbox::new(QUEUE, database.patience());
    let (appended, _) = watch::channel(Tail::default());
    let (projected, _) = watch::channel(Position(0));
    let (stopping, _) = watch::channel(false);
    let (leadership, _) = watch::channel(None);
    let give_way = Arc::new(projection::GiveWay::default());
    let (status, _) = watch::channel(source::Status::default());

    let reader = database.reader().await.context("Postgres")?;
    let http = inbox::source_id(&reader, "http", "http").await?;
    let operator = inbox::source_id(&reader, "operator", "operator").await?;
    let broker_source = match &config.broker {
        None => None,
        Some(broker) => {
            let name = format!(
                "{}/{}",
                broker.connection.cluster_id, broker.subscription.channel
            );
            Some(inbox::source_id(&reader, "stan", &name).await?)
        }
    };
    drop(reader);

    let hard_stop = CancellationToken::new();
    let stop_projector = CancellationToken::new();
    let stop_http = CancellationToken::new();

    let appending = tokio::spawn(inbox::run(
        config.inbox.clone(),
        database.clone(),
        queue,
        appended.clone(),
        metrics.clone(),
        hard_stop.clone(),
    ));
    let warming = tokio::spawn(cache::warm(cache.clone(), database.clone()));
    let watching = tokio::spawn(database.clone().watch_snapshots());
    let patience = Arc::new(Patience::default());
    let awaiting = {
        let (patience, database) = (patience.clone(), database.clone());
        let ack_wait = config
            .broker
            .as_ref()
            .map_or(ACK_WAIT, |broker| broker.subscription.ack_wait);
        tokio::spawn(async move { patience.watch(&database, ack_wait).await })
    };
    let projecting = tokio::spawn(projection::run(
        config.projection.clone(),
        projection::Dependencies {
            database: database.clone(),
            inbox: inbox.clone(),
            operator,
            cache: cache.clone(),
            metrics: metrics.clone(),
            appended: appended.subscribe(),
            projected: projected.clone(),
            leadership: leadership.clone(),
            give_way: give_way.clone(),
        },
        stop_projector.clone(),
    ));
    let asked = Arc::new(Notify::new());
    let operating = tokio::spawn(operation::run(
        config.operation.clone(),
        operation::Dependencies {
            database: database.clone(),
            inbox: inbox.clone(),
            operator,
            projected: projected.subscribe(),
            leadership: leadership.subscribe(),
            give_way,
            asked: asked.clone(),
        },
        stop.clone(),
    ));
    let receiving = match (config.broker.clone(), broker_source) {
        (Some(broker), Some(source)) => Some(tokio::spawn(source::run(
            source::Broker {
                config: broker,
                source,
                inbox: inbox.clone(),
                status: status.clone(),
                metrics: metrics.clone(),
            },
            stop.clone(),
        ))),
        _ => {
            tracing::info!("no broker is set (--stan-url): messages come over HTTP alone");
            None
        }
    };
    let api_deps = api::Dependencies {
        database: database.clone(),
        inbox: inbox.clone(),
        cache,
        metrics: metrics.clone(),
        http,
        operator,
        projected: projected.subscribe(),
        broker: config
            .broker
            .clone()
            .zip(broker_source)
            .map(|(config, source)| api::Broker {
                config,
                source,
                status: status.subscribe(),
            }),
        patience,
        stopping: stopping.subscribe(),
        asked,
    };
    let routes = api::routes(&config.api, &api_deps);
    let hot = api::HotRead::new(&api_deps);
    let gate = api::Gate::new(&config.api);
    drop(api_deps);
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let serving = tokio::spawn(api::serve(
        listener,
        routes,
        hot,
        gate,
        metrics,
        stop_http.clone(),
    ));
    tracing::info!("serving http://{address}");

    let stages = Stages {
        appending,
        projecting,
        serving,
    };
    let ended_early = stages.watch(&stop).await;
    // Soonest first: not ready, source, inbox, projector, http, pool.
    tracing::info!("stopping: what was received is being committed");
    stopping.send_replace(true);
    stop.cancel();
    let Stages {
        appending,
        projecting,
        serving,
    } = stages;
    let draining = match receiving {
        Some(receiving) => receiving.await.ok().flatten(),
        None => None,
    };
    stop_http.cancel();
    within(HARD_STOP, serving, "http").await;
    within(HARD_STOP, operating, "operations").await;
    stop_projector.cancel();
    within(HARD_STOP, projecting, "projector").await;
    // The API's and the projector's senders are gone with them: the queue runs dry.
    drop(inbox);
    within(HARD_STOP, appending, "inbox").await;
    hard_stop.cancel();
    if let Some(draining) = draining {
        draining.close().await;
    }
    warming.abort();
    watching.abort();
    awaiting.abort();
    database.close();
    tracing::info!("stopped");
    match ended_early {
        None => Ok(()),
        Some(stage) => {
            anyhow::bail!("the {stage} ended by itself: this is a bug; the log above says why")
        }
    }
}

struct Stages {
    appending: JoinHandle<()>,
    projecting: JoinHandle<()>,
    serving: JoinHandle<()>,
}

impl Stages {
    /// Until a stop is asked for; or names the stage that ended early.
    async fn watch(&self, stop: &CancellationToken) -> Option<&'static str> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            for (stage, name) in [
                (&self.appending, "inbox"),
                (&self.projecting, "projector"),
                (&self.serving, "http server"),
            ] {
                if stage.is_finished() {
                    return Some(name);
                }
            }
        }
    }
}

async fn within(limit: Duration, stage: JoinHandle<()>, name: &str) {
    let abort = stage.abort_handle();
    if tokio::time::timeout(limit, stage).await.is_err() {
        tracing::error!("the {name} did not stop within {limit:?}: it is cut off");
        abort.abort();
    }
}
