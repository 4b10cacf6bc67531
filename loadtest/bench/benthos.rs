//! The same work by Benthos 4.27, set up as a platform engineer would: batches of a thousand as one statement, then order by
//! order where the batch is refused, then a table of dead letters. No inbox, no account. Interleaved, from a full channel.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::Value;
use tokio::process::Command;
use waybill::collection;
use waybill::record::Samples;

use super::catch_up::{drain, publish};
use super::report::{Figure, Reach, rate};
use super::stage::{CHANNEL, CLUSTER, Stage};

const PAIRS: usize = 3;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    Ok(vec![
        versus("against Benthos, good orders", 100_000, 0, 1.5).await?,
        versus("against Benthos, half of it junk", 20_000, 50, 10.0).await?,
    ])
}

async fn versus(what: &str, count: u64, junk: u64, goal: f64) -> anyhow::Result<Figure> {
    let mut samples = Samples::seeded(&collection::orders().model, 3)?;
    // Each a line of a file: junk with a line's end in it would be two messages, and an empty one none.
    let kinds = samples.kinds();
    let junk_line = |samples: &mut Samples<'_>, n: u64| {
        let line = samples.junk(kinds[(n / 2) as usize % kinds.len()]);
        let mut line = line.unwrap_or_default();
        line.retain(|byte| *byte != b'\n');
        if line.is_empty() {
            line.push(b'{');
        }
        line
    };
    let messages: Vec<Bytes> = (0..count)
        .map(|n| {
            if n * junk % 100 == 50 {
                Bytes::from(junk_line(&mut samples, n))
            } else {
                Bytes::from(samples.message())
            }
        })
        .collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let mut stage = Stage::empty().await?;
        stage.migrate().await?;
        publish(&stage, &messages, &stage.dir.file("messages")).await?;
        theirs.push(benthos(&stage, count).await?);
        stage.sql().await?.batch_execute("checkpoint").await?;
        ours.push(drain(&mut stage, count, &[]).await?);
    }
    let ratios = theirs
        .iter()
        .zip(&ours)
        .map(|(theirs, ours)| theirs / ours)
        .collect();
    Ok(Figure::new(
        what,
        rate(count, &ours),
        format!("Benthos 4.27 {}", rate(count, &theirs)),
    )
    .ratios(ratios, Reach::AtLeast(goal)))
}

async fn benthos(stage: &Stage, rows: u64) -> anyhow::Result<f64> {
    let sql = stage.sql().await?;
    sql.batch_execute(
        "create table public.benthos_orders (order_uid text primary key, data jsonb not null);
         create table public.benthos_dead (id bigint generated always as identity primary key, payload bytea not null)",
    )
    .await?;
    let config = stage.dir.file("benthos.yaml");
    std::fs::write(&config, configuration(stage))?;
    let begun = Instant::now();
    let mut child = Command::new("benthos")
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("benthos is not there: `make bench` builds it")?;
    // Every message sent and none unacknowledged: a count of rows would miss what was stored before under the same uid.
    let channels = format!(
        "{}/streaming/channelsz?channel={CHANNEL}&subs=1",
        stage
            .broker
            .monitoring_url()
            .context("the broker has no monitoring port")?
    );
    loop {
        let channel: Value = stage.http.get(&channels).send().await?.json().await?;
        let subscription = &channel["subscriptions"][0];
        if subscription["last_sent"] == rows && subscription["pending_count"] == 0 {
            break;
        }
        if let Some(status) = child.try_wait()? {
            bail!("benthos ended: {status}");
        }
        if begun.elapsed() > Duration::from_secs(300) {
            bail!("benthos did not do {rows} messages within five minutes: {subscription}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    child.kill().await?;
    Ok(took)
}

fn configuration(stage: &Stage) -> String {
    format!(
        r#"
http: {{ enabled: false }}
logger: {{ level: OFF }}
input:
  nats_stream:
    urls: ["{broker}"]
    cluster_id: {CLUSTER}
    client_id: benthos
    subject: {CHANNEL}
    durable_name: benthos
    start_from_oldest: true
    max_inflight: 4096
    ack_wait: 30s
output:
  fallback:
    - sql_raw:
        driver: postgres
        dsn: "{database}"
        query: >-
          insert into public.benthos_orders select o ->> 'order_uid', o from jsonb_array_elements($1::jsonb) o
          on conflict do nothing
        args_mapping: root = [ content().string() ]
        max_in_flight: 2
        batching:
          count: 1000
          period: 50ms
          processors:
            - archive: {{ format: json_array }}
    - sql_raw:
        driver: postgres
        dsn: "{database}"
        query: insert into public.benthos_orders values ($1::jsonb ->> 'order_uid', $1::jsonb) on conflict do nothing
        args_mapping: root = [ content().string() ]
        max_in_flight: 8
    - sql_raw:
        driver: postgres
        dsn: "{database}"
        query: insert into public.benthos_dead (payload) values ($1)
        args_mapping: root = [ content() ]
        max_in_flight: 8
"#,
        broker = stage.broker.url(),
        database = stage.database(),
    )
}
