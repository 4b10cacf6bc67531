//! Logs and metrics. One struct of metrics, made by `serve` and handed to each stage: no statics.

use std::io::IsTerminal;

use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};
use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What these say in passing, each caller of ours says in its own words, and knows better what it means: async-nats ends each
/// lost connection with the error "max reconnection attempts reached", for it is told to try none, and we connect again.
const LIBRARIES: &str = "async_nats=off,refinery_core=warn,tokio_postgres=warn";

/// To stderr: stdout is for a command's result. `WAYBILL_LOG` filters as RUST_LOG does; a library that it names is heard.
pub fn init_logs(format: LogFormat, default: &str) {
    let with = |filter: &str| EnvFilter::try_new(format!("{LIBRARIES},{filter}"));
    let wanted = std::env::var("WAYBILL_LOG")
        .ok()
        .filter(|wanted| !wanted.is_empty());
    let filter = wanted
        .and_then(|wanted| with(&wanted).ok())
        .or_else(|| with(default).ok())
        .unwrap_or_default();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second subscriber in one process (tests) is no reason to fail.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

pub struct Metrics {
    registry: Registry,
    pub appended: IntCounter,
    pub redelivered: IntCounter,
    pub commit_seconds: HistogramVec,
    pub head_lock_timeouts: IntCounter,
    pub fates: IntCounterVec,
    pub isolated_rows: IntCounter,
    pub leading: IntGauge,
    pub inbox_lag: IntGauge,
    pub broker_connected: IntGauge,
    pub broker_lag: IntGauge,
    pub broker_dropped: IntCounterVec,
    pub last_message_age: Gauge,
    pub letters: GaugeVec,
    pub oldest_open_letter_age: Gauge,
    pub oldest_snapshot_age: Gauge,
    pub gaps: IntCounter,
    pub cache_hits: IntCounter,
    pub cache_misses: IntCounter,
    pub cache_entries: IntGauge,
    pub cache_bytes: IntGauge,
    pub http_requests: IntCounterVec,
    pub refused: IntCounterVec,
    pub tokens_file_well: IntGauge,
    pub sign_ins: IntCounterVec,
    pub audit_lost: IntCounter,
    pub tls_files_well: IntGauge,
    pub tls_handshakes_failed: IntCounter,
    pub issuer_well: IntGauge,
}

impl Metrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Maker(&registry);
        Ok(Self {
            appended: make.counter("waybill_inbox_appended_total", "Rows stored in the inbox by this process")?,
            redelivered: make.counter("waybill_inbox_redelivered_total", "Messages found to be in the inbox already")?,
            commit_seconds: make.histogram("waybill_commit_seconds", "Time of a batch's transaction", "stage")?,
            head_lock_timeouts: make.counter("waybill_inbox_head_lock_timeouts_total", "Times that the head's lock was not to be had in 2 s")?,
            fates: make.counters("waybill_projected_total", "Rows projected by this process, by fate", &["fate"])?,
            isolated_rows: make.counter("waybill_isolated_rows_total", "Rows that Postgres refused alone")?,
            leading: make.gauge("waybill_projector_leading", "1 where this process holds the projector's lease")?,
            inbox_lag: make.gauge("waybill_inbox_lag_rows", "Inbox rows not yet projected")?,
            broker_connected: make.gauge("waybill_broker_connected", "1 while the broker is there")?,
            broker_lag: make.gauge("waybill_broker_lag_messages", "Messages in the channel not yet acknowledged; -1 where the broker's monitoring is not known")?,
            broker_dropped: make.counters("waybill_broker_let_go_total", "Frames let go without an ack, by cause", &["cause"])?,
            last_message_age: make.float("waybill_seconds_since_last_message", "Seconds since the last message was received")?,
            letters: make.floats("waybill_dead_letters", "Dead letters by state", "state")?,
            oldest_open_letter_age: make.float("waybill_oldest_open_dead_letter_seconds", "Age of the oldest open dead letter")?,
            oldest_snapshot_age: make.float("waybill_oldest_snapshot_seconds", "Age of the oldest snapshot open in the database")?,
            gaps: make.counter("waybill_inbox_gaps_total", "Gaps seen in the inbox's positions: each is a bug")?,
            cache_hits: make.counter("waybill_cache_hits_total", "Orders answered from the cache")?,
            cache_misses: make.counter("waybill_cache_misses_total", "Orders looked up in Postgres")?,
            cache_entries: make.gauge("waybill_cache_entries", "Orders in the cache")?,
            cache_bytes: make.gauge("waybill_cache_bytes", "Weight of the cache")?,
            http_requests: make.counters("waybill_http_requests_total", "Answers by status class", &["class"])?,
            refused: make.counters("waybill_http_refused_total", "Requests that were refused before anything looked at them, by cause", &["cause"])?,
            issuer_well: make.gauge("waybill_oidc_issuer_well", "1 if the OpenID Connect issuer answered when it was last asked for its keys; 0 if it did not, or none is set")?,
            sign_ins: make.counters("waybill_sign_ins_total", "Sign-ins to the page, by how they ended", &["result"])?,
            audit_lost: make.counter("waybill_audit_lost_total", "Entries of the audit that were not stored, because Postgres was away or too many came")?,
            tokens_file_well: make.gauge("waybill_tokens_file_well", "1 while the tokens file could be read as it is; 0 while an earlier one counts, or none is set")?,
            tls_files_well: make.gauge("waybill_tls_files_well", "1 while the certificate and its key could be read as they are; 0 while earlier ones are shown, or none are set")?,
            tls_handshakes_failed: make.counter("waybill_tls_handshakes_failed_total", "Connections that ended before TLS was spoken: no handshake, none in time, or a certificate that was refused")?,
            registry,
        })
    }

    /// In Prometheus' text format.
    pub fn render(&self) -> String {
        let mut buffer = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut buffer) {
            tracing::error!(%error, "the metrics cannot be encoded: {error}");
        }
        String::from_utf8_lossy(&buffer).into_owned()
    }
}

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn keep<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: C,
    ) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::new(name, help)?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.keep(IntGauge::new(name, help)?)
    }

    fn float(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.keep(Gauge::new(name, help)?)
    }

    fn floats(&self, name: &str, help: &str, label: &str) -> Result<GaugeVec, prometheus::Error> {
        self.keep(GaugeVec::new(Opts::new(name, help), &[label])?)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(vec![
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ]);
        self.keep(HistogramVec::new(options, &[label])?)
    }
}
