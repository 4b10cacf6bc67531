//! What a message costs Postgres: WAL, commits, dead rows. Reported, with the reason.

use super::report::{Figure, Reach, grouped};
use super::stage::Stage;

const COUNT: u64 = 1_000_000;
const PART: u64 = 250_000;

const NOW: &str = "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn, (select xact_commit from pg_stat_database where datname = current_database())";

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::open(&["--cache-bytes", "67108864"]).await?;
    let sql = stage.sql().await?;
    sql.batch_execute("checkpoint").await?;
    // The commits of one part alone: statistics are told a second late.
    let before = totals(&sql).await?;
    for _ in 0..COUNT / PART {
        stage.through(PART, "0%").await?;
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let after = totals(&sql).await?;
    let payload: i64 = sql
        .query_one("select sum(octet_length(payload))::int8 from inbox", &[])
        .await?
        .get(0);
    let payload = payload as f64 / COUNT as f64;
    let wal = (after.0 - before.0) / COUNT as f64;
    let commits = (after.1 - before.1) / COUNT as f64 * 1000.0;
    let dead = sql
        .query_one("select sum(n_dead_tup)::int8, (select string_agg(relname || ' ' || n_dead_tup, ', ') from pg_stat_user_tables where n_dead_tup > 0) from pg_stat_user_tables", &[])
        .await?;
    let (rows, tables): (i64, Option<String>) = (dead.get(0), dead.get(1));
    Ok(vec![
        Figure::new("WAL for a message", format!("{wal:.0} bytes"), format!("payload {payload:.0} bytes"))
            .ratios(vec![wal / payload], Reach::Report)
            .note(
                "each payload is written twice, as bytes in the inbox and as jsonb in orders (whose offsets and numbers take \
                 more than the text); six b-tree entries come to it, and after each checkpoint the first change of a \
                 page writes all of it",
            ),
        Figure::new("commits for 1,000 messages at full speed", format!("{commits:.1}"), ""),
        Figure::new("dead rows after 1,000,000 messages", grouped(rows as f64), "")
            .note(format!("{}: the rows that each batch updates (head, checkpoint, fates, account), which autovacuum and pruning clear away", tables.unwrap_or_default())),
    ])
}

async fn totals(sql: &tokio_postgres::Client) -> anyhow::Result<(f64, f64)> {
    let row = sql
        .query_one(
            &format!("select a::float8, b::float8 from ({NOW}) as now(a, b)"),
            &[],
        )
        .await?;
    Ok((row.get(0), row.get(1)))
}
