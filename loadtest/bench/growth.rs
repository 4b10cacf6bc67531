//! What a message costs with 1,000, 1,000,000 and 5,000,000 rows in the tables. Two services side by side, one with few rows
//! and one with many, take turns.

use std::time::Instant;

use super::fill::fill;
use super::report::{Figure, Reach, grouped, median, quantile, rate};
use super::stage::Stage;

const COUNT: u64 = 50_000;
const PAIRS: usize = 9;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let many = Stage::open(&["--cache-bytes", "67108864"]).await?;
    let mut figures = Vec::new();
    let mut rows = 0;
    for target in [1_000_000_u64, 5_000_000] {
        fill(&many, target - rows, 10).await?;
        rows = target;
        let few = Stage::open(&["--cache-bytes", "67108864"]).await?;
        fill(&few, 1_000, 10).await?;
        let (mut small, mut large) = (Vec::new(), Vec::new());
        // After a checkpoint the first change of each page writes all of it, to the most pages in the largest table: once each
        // few minutes, not for each 50,000 messages.
        for stage in [&few, &many] {
            stage.through(2 * COUNT, "10%").await?;
        }
        rows += 2 * COUNT;
        for _ in 0..PAIRS {
            small.push(few.through(COUNT, "10%").await?);
            large.push(many.through(COUNT, "10%").await?);
            rows += COUNT;
        }
        let ratios = large
            .iter()
            .zip(&small)
            .map(|(large, small)| large / small)
            .collect();
        figures.push(
            Figure::new(
                format!("cost of a message at {},000,000 rows", target / 1_000_000),
                format!(
                    "{:.1} µs ({})",
                    median(large.clone()) / COUNT as f64 * 1e6,
                    rate(COUNT, &large)
                ),
                format!(
                    "at 1,000 rows {:.1} µs ({})",
                    median(small.clone()) / COUNT as f64 * 1e6,
                    rate(COUNT, &small)
                ),
            )
            .ratios(ratios, Reach::AtMost(1.15)),
        );
    }
    figures.push(asked(&many, rows, "", 50).await?);
    figures.push(asked(&many, rows, "?verify=true", 1).await?);
    Ok(figures)
}

/// The account: kept, or counted again from the inbox.
async fn asked(stage: &Stage, rows: u64, how: &str, times: usize) -> anyhow::Result<Figure> {
    let path = format!("/api/v1/reconciliation{how}");
    let mut took = Vec::new();
    for _ in 0..times {
        let begun = Instant::now();
        let account = stage.get(&path).await?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(account["balanced"] == true, "{account}");
    }
    let what = format!("GET {path} at {} rows", grouped(rows as f64));
    let answer = format!(
        "{:.1} ms (p99 {:.1} ms)",
        median(took.clone()),
        quantile(took, 0.99)
    );
    Ok(Figure::new(what, answer, ""))
}
