//! What a message costs with 1,000, 1,000,000 and 5,000,000 rows in the tables. Two services side by side, one with few rows
//! and one with many, take turns.

use super::fill::fill;
use super::report::{Figure, Reach, median, rate};
use super::stage::Stage;

const COUNT: u64 = 50_000;
const PAIRS: usize = 5;

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
    Ok(figures)
}
