//! The inbox's append, by the service's own code, against psql's COPY into the same table.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use waybill::collection;
use waybill::inbox::{self, Inbox, SourceId, Tail};
use waybill::record::Samples;
use waybill::telemetry::Metrics;

use super::fill::{BATCH, database, incoming, session};
use super::report::{Figure, Reach, rate};
use super::stage::Stage;

const ROWS: u64 = 200_000;
const PAIRS: usize = 5;
const AFRESH: &str =
    "truncate inbox; update inbox_head set next_position = 1, highest = '{}'; checkpoint";

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::empty().await?;
    stage.migrate().await?;
    let sql = stage.sql().await?;
    let file = stage.dir.file("inbox.bin");
    let copy = |table: &str| format!("\\copy {table} from '{}' (format binary)", file.display());
    let mut samples = Samples::seeded(&collection::orders().model, 1)?;
    let messages: Vec<Bytes> = (0..ROWS).map(|_| Bytes::from(samples.message())).collect();
    sql.batch_execute(
        "create table public.bare (like inbox including defaults including constraints); alter table public.bare add primary key (position)",
    )
    .await?;

    let (mut ours, mut limit, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        sql.batch_execute(AFRESH).await?;
        ours.push(append(&stage, &messages).await?);
        stage
            .psql(&format!(
                "\\copy inbox to '{}' (format binary)",
                file.display()
            ))
            .await?;
        sql.batch_execute(AFRESH).await?;
        limit.push(stage.psql(&copy("inbox")).await?);
        sql.batch_execute("truncate public.bare; checkpoint")
            .await?;
        bare.push(stage.psql(&copy("bare")).await?);
    }
    let ratios = |limit: &[f64]| {
        limit
            .iter()
            .zip(&ours)
            .map(|(limit, ours)| limit / ours)
            .collect()
    };
    Ok(vec![
        Figure::new("inbox append", rate(ROWS, &ours), format!("psql COPY into the same table {}", rate(ROWS, &limit)))
            .ratios(ratios(&limit), Reach::AtLeast(0.95))
            .note("batches of up to 4,096, each with the head's lock, the COPY, the head's move and a commit, flushed while the next is copied; until the last row is answered for; psql commits once"),
        Figure::new(
            "inbox append, against a bare table",
            rate(ROWS, &ours),
            format!("psql COPY into a table with the primary key alone {}", rate(ROWS, &bare)),
        )
        .ratios(ratios(&bare), Reach::Report)
        .note("what the index on the identity costs, by which a redelivery is found"),
    ])
}

/// The service's own stage, fed as its source feeds it: until each row is answered for.
async fn append(stage: &Stage, messages: &[Bytes]) -> anyhow::Result<f64> {
    let session = session(stage).await?;
    let (source, _): (SourceId, _) =
        inbox::source(session.client(), "stan", "bench/append", Some("orders")).await?;
    let database = database(stage)?;
    let (rows, queue) = Inbox::new(BATCH, 0, database.patience());
    let (appended, _) = watch::channel(Tail::default());
    let running = tokio::spawn(inbox::run(
        inbox::Config::default(),
        database,
        queue,
        appended,
        Arc::new(Metrics::new()?),
        CancellationToken::new(),
    ));
    let begun = Instant::now();
    for (sequence, message) in (1..).zip(messages) {
        rows.send(incoming(source, sequence, message.clone()))
            .await?;
    }
    drop(rows);
    running.await?;
    Ok(begun.elapsed().as_secs_f64())
}
