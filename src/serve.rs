//! Only wiring: start the stages, join them, stop them in order. Called by the CLI (`serve`, `dev`).

mod wires;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::inbox::{self, Queue};
use crate::postgres::{self, Database};
use crate::{api, operation, projection, source};
use wires::Wires;

/// Connections for readers: enough for the API on two cores, few enough for a small managed Postgres.
const READERS: usize = 8;
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
    let (wires, queue, recorder) = Wires::new(&config, database).await?;
    let recording = tokio::spawn(recorder.run());
    let stages = Stages::start(wires, &config, queue, recording, listener, &stop)?;
    let ended_early = stages.watch(&stop).await;
    stages.stop(&stop).await;
    match ended_early {
        None => Ok(()),
        Some(stage) => {
            anyhow::bail!("the {stage} ended by itself: this is a bug; the log above says why")
        }
    }
}

struct Stages {
    wires: Wires,
    appending: JoinHandle<()>,
    projecting: JoinHandle<()>,
    operating: JoinHandle<()>,
    serving: JoinHandle<()>,
    recording: JoinHandle<()>,
    receiving: Vec<JoinHandle<Option<source::Draining>>>,
    background: Vec<JoinHandle<()>>,
    stop_http: CancellationToken,
    stop_projector: CancellationToken,
    hard_stop: CancellationToken,
}

impl Stages {
    fn start(
        wires: Wires,
        config: &Config,
        queue: Queue,
        recording: JoinHandle<()>,
        listener: TcpListener,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let stop_http = CancellationToken::new();
        let stop_projector = CancellationToken::new();
        let hard_stop = CancellationToken::new();
        let appending = inbox::run(
            config.inbox.clone(),
            wires.database.clone(),
            queue,
            wires.appended.clone(),
            wires.metrics.clone(),
            hard_stop.clone(),
        );
        let projecting = projection::run(
            config.projection.clone(),
            wires.projection(),
            stop_projector.clone(),
        );
        let operating = operation::run(config.operation.clone(), wires.operation(), stop.clone());
        if wires.channels.is_empty() {
            tracing::info!("no broker is set (--stan-url): messages come over HTTP alone");
        }
        let receiving = wires
            .channels
            .iter()
            .map(|channel| tokio::spawn(source::run(wires.receiving(channel), stop.clone())));
        let api = wires.api();
        let gate = Arc::new(api::Gate::new(
            &config.api,
            wires.metrics.clone(),
            wires.audit.clone(),
        ));
        let serving = api::serve(
            listener,
            api::routes(&config.api, &api, gate.clone()),
            api::Documents::new(&api, config.api.max_body_bytes),
            gate,
            wires.metrics.clone(),
            wires.audit.clone(),
            stop_http.clone(),
        );
        let stages = Self {
            appending: tokio::spawn(appending),
            projecting: tokio::spawn(projecting),
            operating: tokio::spawn(operating),
            receiving: receiving.collect(),
            serving: tokio::spawn(serving),
            recording,
            background: wires.in_the_background(),
            stop_http,
            stop_projector,
            hard_stop,
            wires,
        };
        let scheme = match config.api.tls {
            None => "http",
            Some(_) => "https",
        };
        tracing::info!("serving {scheme}://{address}");
        Ok(stages)
    }

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

    /// Whoever hands on stops before whoever takes: not ready, sources, HTTP, operations, projector, inbox, pool.
    async fn stop(self, stop: &CancellationToken) {
        tracing::info!("stopping: what was received is being committed");
        self.wires.stopping.send_replace(true);
        stop.cancel();
        let mut draining = Vec::new();
        for receiving in self.receiving {
            draining.extend(receiving.await.ok().flatten());
        }
        self.stop_http.cancel();
        within(HARD_STOP, self.serving, "http").await;
        within(HARD_STOP, self.operating, "operations").await;
        self.stop_projector.cancel();
        within(HARD_STOP, self.projecting, "projector").await;
        // The senders of the API, the operations and the projector are gone with them: after ours the queue runs dry.
        let Wires {
            database,
            inbox,
            audit,
            ..
        } = self.wires;
        drop((inbox, audit));
        within(HARD_STOP, self.appending, "inbox").await;
        within(HARD_STOP, self.recording, "audit").await;
        self.hard_stop.cancel();
        // Last, for the inbox acknowledges on these connections.
        for one in draining {
            one.close().await;
        }
        for one in self.background {
            one.abort();
        }
        database.close();
        tracing::info!("stopped");
    }
}

async fn within(limit: Duration, stage: JoinHandle<()>, name: &str) {
    let abort = stage.abort_handle();
    if tokio::time::timeout(limit, stage).await.is_err() {
        tracing::error!("the {name} did not stop within {limit:?}: it is cut off");
        abort.abort();
    }
}
