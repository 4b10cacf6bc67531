//! What the service takes: at rest, at full speed besides the cache, and for an order in the cache.

use std::time::Duration;

use super::fill::fill;
use super::report::{Figure, Reach};
use super::stage::Stage;

const ORDERS: u64 = 300_000;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut stage = Stage::open(&["--cache-bytes", "1048576"]).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let rest = stage.memory("VmRSS");

    stage.through(100_000, "10%").await?;
    let cache = 1.0;
    let speed = stage.memory("VmHWM") - cache;

    fill(&stage, ORDERS, 0).await?;
    stage.stop_service().await?;
    let sql = stage.sql().await?;
    let row = sql
        .query_one("select count(*), sum(octet_length(key) + octet_length(i.payload))::int8 from orders o join inbox i on i.position = o.bytes_position", &[])
        .await?;
    let (orders, bytes): (i64, i64) = (row.get(0), row.get(1));
    stage.serve(&["--cache-bytes", "2147483648"]).await?;
    stage
        .until("a warm cache", |stats| stats["cache_warm"] == true)
        .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let held = (stage.memory("VmRSS") - rest) * 1024.0 * 1024.0;
    let megabytes = |value: f64| format!("{value:.0} MB");
    Ok(vec![
        Figure::new("memory at rest", megabytes(rest), "30 MB")
            .ratios(vec![rest / 30.0], Reach::AtMost(1.0)),
        Figure::new(
            "memory at full speed, besides the cache",
            megabytes(speed),
            "120 MB",
        )
        .ratios(vec![speed / 120.0], Reach::AtMost(1.0))
        .note("its highest while 100,000 messages went through, a tenth of them junk"),
        Figure::new(
            "memory of a cached order",
            format!("{:.0} bytes", held / orders as f64),
            format!("payload and key {:.0} bytes", bytes as f64 / orders as f64),
        )
        .ratios(vec![held / bytes as f64], Reach::AtMost(1.15))
        .note(format!(
            "resident memory with {orders} orders restored, less that at rest"
        )),
    ])
}
