//! Reconciliation and the numbers of one screen.

use std::time::Duration;

use jiff::Timestamp;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::problem::Problem;
use super::{Broker, Dependencies};
use crate::access::Principal;
use crate::account::{self, Patience, SourceLife};
use crate::postgres::Database;
use crate::stan::{self, ChannelStatus};
use crate::{dead_letter, inbox, projection};

pub struct Account {
    deps: Dependencies,
    http: reqwest::Client,
}

/// Sequences that did not arrive.
#[derive(Object)]
pub struct Hole {
    first: i64,
    last: i64,
    /// awaited: the broker may still send them; lost: it no longer has them, or did not send them although this service has
    /// waited for ten times its --ack-wait.
    state: String,
}

/// One life of one broker's store.
#[derive(Object)]
pub struct SourceAccount {
    source: String,
    epoch: i32,
    rows: i64,
    first_sequence: i64,
    last_sequence: i64,
    /// The broker's own last sequence, where its monitoring is known.
    broker_last_sequence: Option<i64>,
    holes: Vec<Hole>,
    /// How many holes there are; `holes` lists the first 200.
    hole_count: i64,
    /// Messages in all holes.
    missing: i64,
    /// Messages in the listed holes that are lost.
    lost: i64,
}

/// Every row recounted.
#[derive(Object)]
pub struct Verification {
    rows: i64,
    documents: i64,
    superseded: i64,
    duplicates: i64,
    dead_letters: i64,
    decisions: i64,
    /// What does not fit; empty where all does.
    findings: Vec<String>,
}

/// received = documents + superseded + duplicates + dead_letters + decisions + pending, each counted on its own.
#[derive(Object)]
#[oai(example)]
pub struct Reconciliation {
    received: i64,
    documents: i64,
    superseded: i64,
    duplicates: i64,
    dead_letters: i64,
    decisions: i64,
    pending: i64,
    balanced: bool,
    /// True where it balances, nothing is lost, and a verification found nothing.
    well: bool,
    sources: Vec<SourceAccount>,
    /// Only where asked for by verify=true.
    verified: Option<Verification>,
}

#[derive(Object)]
#[oai(example)]
pub struct Stats {
    version: String,
    received: i64,
    /// Rows projected.
    projected: i64,
    /// How far the projection is behind: received less projected.
    pending: i64,
    documents: i64,
    superseded: i64,
    duplicates: i64,
    dead_letters_open: i64,
    dead_letters_replaced: i64,
    dead_letters_discarded: i64,
    oldest_open_dead_letter: Option<String>,
    cache_documents: i64,
    cache_bytes: i64,
    cache_warm: bool,
    cache_hits: i64,
    cache_misses: i64,
    last_message_at: Option<String>,
    projector: String,
    broker: Option<BrokerStats>,
}

#[derive(Object)]
pub struct BrokerStats {
    connected: bool,
    problem: Option<String>,
    channel: String,
    /// Messages in the channel not yet acknowledged, where the broker's monitoring is known.
    lag: Option<i64>,
    last_sequence: Option<i64>,
}

impl Account {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            deps: deps.clone(),
            http: super::monitoring_client(),
        }
    }
}

/// What the broker itself says of the channel; none where its monitoring is not known or does not answer.
pub async fn channel(http: &reqwest::Client, broker: Option<&Broker>) -> Option<ChannelStatus> {
    let config = &broker?.config;
    let url = config.monitoring_url.as_deref()?;
    let asked = stan::channel_status(http, url, &config.subscription);
    tokio::time::timeout(Duration::from_secs(2), asked)
        .await
        .ok()?
        .ok()?
}

#[OpenApi]
impl Account {
    /// The account
    ///
    /// Every received row has exactly one fate. Holes are exact ranges of a broker's sequences that did not arrive. With
    /// verify=true all rows are counted again, which takes seconds for millions.
    #[oai(
        path = "/reconciliation",
        method = "get",
        operation_id = "getReconciliation"
    )]
    async fn reconciliation(
        &self,
        _principal: Principal,
        verify: Query<Option<bool>>,
    ) -> Result<Json<Reconciliation>, Problem> {
        let deps = &self.deps;
        let reader = deps.database.reader().await?;
        let account = account::reconcile(&reader).await?;
        let counters = &account.counters;
        let channel = channel(&self.http, deps.broker.as_ref()).await;
        let verified = match verify.0 {
            Some(true) => Some(account::verify(&reader, counters).await?),
            _ => None,
        };
        let ours = deps.broker.as_ref().map(|broker| broker.source);
        let sources: Vec<SourceAccount> = account
            .sources
            .iter()
            .map(|life| {
                let current = !life.over && ours == Some(life.source);
                let channel = channel.as_ref().filter(|_| current);
                source_account(life, &deps.patience, channel)
            })
            .collect();
        let clean = verified
            .as_ref()
            .is_none_or(|verified| verified.findings.is_empty());
        Ok(Json(Reconciliation {
            received: counters.received,
            documents: counters.documents,
            superseded: counters.superseded,
            duplicates: counters.duplicates,
            dead_letters: counters.dead_letters,
            decisions: counters.decisions,
            pending: account.pending,
            balanced: account.balanced(),
            well: account.balanced() && clean && sources.iter().all(|source| source.lost == 0),
            sources,
            verified: verified.map(|verified| Verification {
                rows: verified.rows,
                documents: verified.documents,
                superseded: verified.superseded,
                duplicates: verified.duplicates,
                dead_letters: verified.dead_letters,
                decisions: verified.decisions,
                findings: verified.findings,
            }),
        }))
    }

    /// The numbers of one screen
    #[oai(path = "/stats", method = "get", operation_id = "getStats")]
    async fn stats(&self, _principal: Principal) -> Result<Json<Stats>, Problem> {
        let deps = &self.deps;
        let reader = deps.database.reader().await?;
        let counters = account::counters(&reader).await?;
        let letters = dead_letter::summary(&reader, &deps.letter_ids()).await?;
        let checkpoint = projection::read_checkpoint(&reader).await?;
        drop(reader);
        let channel = channel(&self.http, deps.broker.as_ref()).await;
        let broker = deps.broker.as_ref().map(|broker| {
            let status = broker.status.borrow().clone();
            BrokerStats {
                connected: status.connected,
                problem: status.problem,
                channel: broker.config.subscription.channel.clone(),
                lag: channel
                    .as_ref()
                    .and_then(|channel| channel.lag)
                    .and_then(|lag| i64::try_from(lag).ok()),
                last_sequence: channel
                    .as_ref()
                    .and_then(|channel| i64::try_from(channel.last).ok()),
            }
        });
        Ok(Json(Stats {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            received: counters.received,
            projected: counters.projected,
            pending: counters.behind(),
            documents: counters.documents,
            superseded: counters.superseded,
            duplicates: counters.duplicates,
            dead_letters_open: letters.open,
            dead_letters_replaced: letters.replaced,
            dead_letters_discarded: letters.discarded,
            oldest_open_dead_letter: letters.oldest_open.map(|at| at.to_string()),
            cache_documents: deps.cache.entries() as i64,
            cache_bytes: i64::try_from(deps.cache.weight()).unwrap_or(i64::MAX),
            cache_warm: deps.cache.is_warm(),
            cache_hits: i64::try_from(deps.metrics.cache_hits.get()).unwrap_or(i64::MAX),
            cache_misses: i64::try_from(deps.metrics.cache_misses.get()).unwrap_or(i64::MAX),
            last_message_at: deps.inbox.last_message().map(|at| at.to_string()),
            projector: checkpoint.leader,
            broker,
        }))
    }
}

/// How many holes of a life are listed.
const HOLES_SHOWN: usize = 200;

/// A hole is awaited until the broker's first sequence is past it, or the broker has had all its chances to fill it.
fn source_account(
    life: &SourceLife,
    patience: &Patience,
    channel: Option<&ChannelStatus>,
) -> SourceAccount {
    let sequence =
        |of: fn(&ChannelStatus) -> u64| channel.and_then(|channel| i64::try_from(of(channel)).ok());
    let first_at_broker = sequence(|channel| channel.first).unwrap_or(0);
    let number = life.epoch.number;
    let is_lost = |(first, last): (i64, i64)| {
        life.over || last < first_at_broker || patience.is_over(life.source, number, first, last)
    };
    let count = |(first, last): (i64, i64)| last - first + 1;
    let shown = &life.holes[..life.holes.len().min(HOLES_SHOWN)];
    let lost = shown.iter().copied().filter(|hole| is_lost(*hole));
    SourceAccount {
        source: format!("{}:{}", life.kind, life.name),
        epoch: number,
        rows: life.epoch.rows,
        first_sequence: life.epoch.first,
        last_sequence: life.epoch.last,
        broker_last_sequence: sequence(|channel| channel.last),
        lost: lost.map(count).sum(),
        hole_count: life.holes.len() as i64,
        missing: life.holes.iter().copied().map(count).sum(),
        holes: shown
            .iter()
            .map(|hole| Hole {
                first: hole.0,
                last: hole.1,
                state: if is_lost(*hole) { "lost" } else { "awaited" }.to_owned(),
            })
            .collect(),
    }
}

/// Refreshes what only a look at the database can tell, for /metrics.
pub async fn observe(
    database: &Database,
    deps: &Dependencies,
    http: &reqwest::Client,
) -> Result<(), crate::postgres::Error> {
    let metrics = &deps.metrics;
    let reader = database.reader().await?;
    let letters = dead_letter::summary(&reader, &deps.letter_ids()).await?;
    for (state, count) in [
        ("open", letters.open),
        ("replaced", letters.replaced),
        ("discarded", letters.discarded),
    ] {
        metrics
            .letters
            .with_label_values(&[state])
            .set(count as f64);
    }
    let now = Timestamp::now();
    let age =
        |at: Option<Timestamp>| at.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
    metrics.oldest_open_letter_age.set(age(letters.oldest_open));
    metrics.last_message_age.set(age(deps.inbox.last_message()));
    let head = inbox::head(&reader).await?;
    let checkpoint = projection::read_checkpoint(&reader).await?;
    metrics.inbox_lag.set(head.0 - checkpoint.position.0);
    metrics
        .oldest_snapshot_age
        .set(database.oldest_snapshot(&reader).await?);
    drop(reader);
    metrics.cache_entries.set(deps.cache.entries() as i64);
    metrics
        .cache_bytes
        .set(i64::try_from(deps.cache.weight()).unwrap_or(i64::MAX));
    let lag = channel(http, deps.broker.as_ref())
        .await
        .and_then(|channel| channel.lag);
    metrics
        .broker_lag
        .set(lag.and_then(|lag| i64::try_from(lag).ok()).unwrap_or(-1));
    Ok(())
}
