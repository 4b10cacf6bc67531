//! The cache's restoring after a start, against psql's COPY of the same payloads to nowhere.

use super::fill::fill;
use super::report::{Figure, Reach, rate};
use super::stage::Stage;

const ORDERS: u64 = 1_000_000;
const PAIRS: usize = 3;
/// Room for all of them.
const CACHE: &str = "3221225472";

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut stage = Stage::open(&["--cache-bytes", "1048576"]).await?;
    fill(&stage, ORDERS, 0).await?;
    stage.stop_service().await?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        limit.push(
            stage
                .psql("\\copy (select payload from inbox) to '/dev/null' (format binary)")
                .await?,
        );
        let begun = std::time::Instant::now();
        stage.serve(&["--cache-bytes", CACHE]).await?;
        let stats = stage
            .until("a warm cache", |stats| stats["cache_warm"] == true)
            .await?;
        ours.push(begun.elapsed().as_secs_f64());
        anyhow::ensure!(
            stats["cache_documents"] == ORDERS,
            "not all orders are in the cache: {stats}"
        );
        stage.stop_service().await?;
    }
    let ratios = limit
        .iter()
        .zip(&ours)
        .map(|(limit, ours)| limit / ours)
        .collect();
    Ok(vec![
        Figure::new(
            "cache restore, 1,000,000 orders",
            rate(ORDERS, &ours),
            format!("psql COPY of the payloads {}", rate(ORDERS, &limit)),
        )
        .ratios(ratios, Reach::AtLeast(0.5))
        .note("from the start of the process until `cache_warm`"),
    ])
}
