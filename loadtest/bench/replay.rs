//! A replay of 300,000 rows, against what Postgres alone does over the same rows: `insert … select payload::jsonb` on two
//! connections into a table without indexes, then the same indexes.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;

use super::report::{Figure, Reach, rate};
use super::stage::Stage;

const ROWS: u64 = 300_000;
const PAIRS: usize = 5;
/// Of one of the pure connections' commits; one transaction of all of it would be a limit for nobody.
const PIECE: i64 = 2048;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::open(&[]).await?;
    stage.through(ROWS, "0%").await?;
    let sql = stage.sql().await?;
    let [mut load, mut whole, mut limit_load, mut limit_whole] = [const { Vec::new() }; 4];
    for _ in 0..PAIRS {
        settle(&sql).await?;
        let (loaded, indexed) = pure_sql(&stage).await?;
        limit_load.push(loaded);
        limit_whole.push(indexed);
        settle(&sql).await?;
        let (loaded, swapped) = replay(&stage).await?;
        load.push(loaded);
        whole.push(swapped);
    }
    let ratios = |limit: &[f64], ours: &[f64]| {
        limit
            .iter()
            .zip(ours)
            .map(|(limit, ours)| limit / ours)
            .collect()
    };
    Ok(vec![
        Figure::new(
            "replay, rows alone",
            rate(ROWS, &load),
            format!("pure SQL on two connections {}", rate(ROWS, &limit_load)),
        )
        .ratios(ratios(&limit_load, &load), Reach::AtLeast(0.95)),
        Figure::new(
            "replay, with indexes and swap",
            rate(ROWS, &whole),
            format!("pure SQL and the same indexes {}", rate(ROWS, &limit_whole)),
        )
        .ratios(ratios(&limit_whole, &whole), Reach::AtLeast(0.95)),
    ])
}

/// As tables are that were not just made: autovacuum, which would end for the swap after a second only, has no business there.
async fn settle(sql: &tokio_postgres::Client) -> anyhow::Result<()> {
    sql.batch_execute("vacuum analyze").await?;
    sql.batch_execute("checkpoint").await?;
    Ok(())
}

async fn pure_sql(stage: &Stage) -> anyhow::Result<(f64, f64)> {
    let sql = stage.sql().await?;
    sql.batch_execute("create table pure (like orders)").await?;
    let begun = Instant::now();
    let rows = i64::try_from(ROWS)?;
    let halves = [(0, rows / 2), (rows / 2, rows)].map(|(from, to)| async move {
        let sql = stage.sql().await?;
        // What was rejected is no order here either.
        let statement = sql
            .prepare(
                "insert into pure (position, bytes_position, key, data)
                 select position, position, data ->> 'order_uid', data
                 from (select position, convert_from(payload, 'UTF8')::jsonb as data from inbox i
                       where position > $1 and position <= $2
                         and not exists (select from verdict v where v.position = i.position) offset 0) i",
            )
            .await?;
        for start in (from..to).step_by(PIECE as usize) {
            sql.execute(&statement, &[&start, &(start + PIECE).min(to)]).await?;
        }
        Ok::<(), anyhow::Error>(())
    });
    futures_util::future::try_join_all(halves).await?;
    let load = begun.elapsed().as_secs_f64();
    sql.batch_execute(
        "set maintenance_work_mem = '256MB';
         alter table pure add primary key (key);
         create index on pure ((data ->> 'customer_id'), position);
         create index on pure ((data ->> 'track_number'), position);
         create index on pure (position); analyze pure",
    )
    .await?;
    let whole = begun.elapsed().as_secs_f64();
    let stored: i64 = sql
        .query_one("select count(*) from pure", &[])
        .await?
        .get(0);
    anyhow::ensure!(stored == rows, "pure SQL stored {stored} rows of {rows}");
    sql.batch_execute("drop table pure").await?;
    Ok((load, whole))
}

async fn replay(stage: &Stage) -> anyhow::Result<(f64, f64)> {
    let begun = Instant::now();
    let asked = stage.post("/api/v1/replays", json!({})).await?;
    let path = format!("/api/v1/operations/{}", asked["id"]);
    let mut loaded = None;
    loop {
        let now = stage.get(&path).await?;
        let phase = now["progress"]["phase"].as_str();
        if loaded.is_none() && phase.is_some_and(|phase| phase != "load") {
            loaded = Some(begun.elapsed().as_secs_f64());
        }
        match now["state"].as_str() {
            Some("done") => break,
            Some("pending" | "running") => {}
            other => bail!("the replay is {other:?}: {now}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let whole = begun.elapsed().as_secs_f64();
    Ok((loaded.unwrap_or(whole), whole))
}
