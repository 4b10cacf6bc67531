//! A replay of 300,000 rows, against what Postgres alone does over the same rows: `insert … select payload::jsonb` on two
//! connections into a table without indexes, then the same indexes.

use std::time::Instant;

use anyhow::bail;
use tokio_postgres::NoTls;

use super::stage::{Stage, median};

const ROWS: u64 = 300_000;
const PAIRS: usize = 3;

pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::open(&[]).await?;
    stage.publish(ROWS, "0%").await?;
    let (mut load_ratios, mut whole_ratios) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let (limit_load, limit_whole) = pure_sql(&stage).await?;
        let (load, whole) = replay(&stage).await?;
        println!(
            "  replay: load {:.0} rows/s, with indexes and swap {:.0}; pure SQL {:.0}, with indexes {:.0}",
            ROWS as f64 / load,
            ROWS as f64 / whole,
            ROWS as f64 / limit_load,
            ROWS as f64 / limit_whole
        );
        load_ratios.push(limit_load / load);
        whole_ratios.push(limit_whole / whole);
    }
    println!(
        "replay: {:.2} of pure SQL for the load, {:.2} with indexes and swap (median of {PAIRS} pairs)",
        median(load_ratios),
        median(whole_ratios)
    );
    Ok(())
}

async fn pure_sql(stage: &Stage) -> anyhow::Result<(f64, f64)> {
    let (client, connection) = tokio_postgres::connect(&stage.postgres.url(), NoTls).await?;
    tokio::spawn(connection);
    client
        .batch_execute("drop table if exists pure; create table pure (position bigint, bytes_position bigint, order_uid text, data jsonb)")
        .await?;
    let begun = Instant::now();
    let half = ROWS / 2;
    let halves = [(0, half), (half, ROWS)].map(|(from, to)| {
        let url = stage.postgres.url();
        tokio::spawn(async move {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
            tokio::spawn(connection);
            // In pieces, as ours commits: one transaction of all of it would be a limit for nobody.
            for start in (from..to).step_by(2048) {
                let end = (start + 2048).min(to);
                client
                    .execute(
                        "insert into pure select position, position, data ->> 'order_uid', data
                         from (select position, convert_from(payload, 'UTF8')::jsonb as data from inbox
                               where position > $1 and position <= $2 offset 0) i",
                        &[&(start as i64), &(end as i64)],
                    )
                    .await?;
            }
            Ok::<(), tokio_postgres::Error>(())
        })
    });
    for half in halves {
        half.await??;
    }
    let load = begun.elapsed().as_secs_f64();
    client
        .batch_execute(
            "set maintenance_work_mem = '256MB';
             alter table pure add primary key (order_uid);
             create index on pure ((data ->> 'customer_id'), position);
             create index on pure ((data ->> 'track_number'), position);
             create index on pure using brin (position) with (pages_per_range = 16); analyze pure",
        )
        .await?;
    let whole = begun.elapsed().as_secs_f64();
    client.batch_execute("drop table pure").await?;
    Ok((load, whole))
}

async fn replay(stage: &Stage) -> anyhow::Result<(f64, f64)> {
    let api = format!("{}/api/v1", stage.service.url);
    let begun = Instant::now();
    let client = reqwest::Client::new();
    let asked: serde_json::Value = client
        .post(format!("{api}/replays"))
        .json(&serde_json::json!({}))
        .send()
        .await?
        .json()
        .await?;
    let url = format!("{api}/operations/{}", asked["id"]);
    let mut loaded = None;
    loop {
        let now: serde_json::Value = client.get(&url).send().await?.json().await?;
        if loaded.is_none()
            && now["progress"]["phase"]
                .as_str()
                .is_some_and(|phase| phase != "load")
        {
            loaded = Some(begun.elapsed().as_secs_f64());
        }
        match now["state"].as_str() {
            Some("done") => break,
            Some("pending" | "running") => {}
            other => bail!("the replay is {other:?}: {now}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let whole = begun.elapsed().as_secs_f64();
    Ok((loaded.unwrap_or(whole), whole))
}
