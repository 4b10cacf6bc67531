//! Many rows at once: samples go straight into the log, through the service's own append, and the service projects them.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use waybill::collection;
use waybill::inbox::{self, Incoming, Reply, Room, SourceId, content_hash};
use waybill::postgres::{Database, Session, Settings};
use waybill::record::Samples;

use super::stage::Stage;

/// As many as the service commits at once when they wait.
pub const BATCH: usize = 4096;

pub fn database(stage: &Stage) -> anyhow::Result<Database> {
    let settings = Settings::parse(&stage.postgres.url(), None, false)?;
    Ok(Database::new(settings, 1)?)
}

pub async fn session(stage: &Stage) -> anyhow::Result<Session> {
    Ok(database(stage)?.session("bench").await?)
}

/// As the source makes it of a broker's message. Sequences rise over the stage's life.
pub fn incoming(source: SourceId, sequence: i64, payload: Bytes) -> Incoming {
    Incoming {
        source,
        sequence,
        broker_time_ns: 1_760_000_000_000_000_000 + sequence,
        received_at: Timestamp::now(),
        key: None,
        hash: content_hash(Some(&payload), None),
        payload: Some(payload),
        decision: None,
        reply: Reply::Answer(oneshot::channel().0, Room::default()),
    }
}

/// Appends `count` samples, `junk` of a hundred of them junk, and waits until the service has projected them.
pub async fn fill(stage: &Stage, count: u64, junk: u64) -> anyhow::Result<()> {
    let session = session(stage).await?;
    let (source, _) = inbox::source(session.client(), "stan", "bench/fill", Some("orders")).await?;
    let before = inbox::head(session.client()).await?.0;
    let (batches, mut ready) = mpsc::channel(2);
    let mut samples = Samples::seeded(&collection::orders().model, fastrand::u64(..))?;
    let kinds = samples.kinds();
    tokio::task::spawn_blocking(move || {
        let mut batch = Vec::with_capacity(BATCH);
        for n in 0..count {
            let payload = if n % 100 < junk {
                let kind = kinds[n as usize % kinds.len()];
                Bytes::from(samples.junk(kind).unwrap_or_default())
            } else {
                Bytes::from(samples.message())
            };
            batch.push(incoming(source, before + 1 + n as i64, payload));
            if batch.len() == BATCH || n + 1 == count {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if batches.blocking_send(full).is_err() {
                    return;
                }
            }
        }
    });
    let target = before as u64 + count;
    while let Some(batch) = ready.recv().await {
        inbox::append(&session, &batch).await?;
    }
    stage.until_projected(target).await?;
    // The tables are as old tables are: their statistics made, their pages settled.
    let sql = stage.sql().await?;
    sql.batch_execute("vacuum analyze").await?;
    sql.batch_execute("checkpoint").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}
