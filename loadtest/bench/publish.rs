//! 50,000 messages, a tenth of them junk, from the first publish to the last projected.

use super::stage::{Stage, median};

const COUNT: u64 = 50_000;

pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::open(&[]).await?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let took = stage.publish(COUNT, "10%").await?;
        rates.push(COUNT as f64 / took.as_secs_f64());
    }
    println!(
        "publish → projected: {:.0} messages/s (median of {:?}), peak memory {:.0} MB with {} orders in the cache",
        median(rates.clone()),
        rates.iter().map(|rate| rate.round()).collect::<Vec<_>>(),
        stage.peak_memory(),
        stage.stats().await?["cache_orders"]
    );
    Ok(())
}
