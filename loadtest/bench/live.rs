//! One publisher at full speed, from its first message to the last one projected, against what `stan-bench` alone reaches
//! with one publisher and one subscriber on this broker.

use anyhow::Context;
use tokio::process::Command;

use super::report::{Figure, Reach, grouped, median, rate};
use super::stage::{CLUSTER, Stage, run as run_program};

const COUNT: u64 = 100_000;
const PAIRS: usize = 3;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::open(&[]).await?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        ours.push(stage.through(COUNT, "0%").await?);
        let printed = run_program(
            Command::new("stan-bench")
                .args([
                    "-s",
                    &stage.broker.url(),
                    "-c",
                    CLUSTER,
                    "-np",
                    "1",
                    "-ns",
                    "1",
                    "-ms",
                    "1200",
                ])
                .args(["-n", &COUNT.to_string(), &format!("bench{pair}")]),
        )
        .await?;
        limit.push(
            subscribed(&printed)
                .with_context(|| format!("stan-bench printed no rate:\n{printed}"))?,
        );
    }
    let ratios = ours
        .iter()
        .zip(&limit)
        .map(|(took, limit)| COUNT as f64 / took / limit)
        .collect();
    Ok(vec![
        Figure::new(
            "live, one publisher",
            rate(COUNT, &ours),
            format!("stan-bench, one publisher and one subscriber {}/s", grouped(median(limit))),
        )
        .ratios(ratios, Reach::Report)
        .note(
            "the cores bound it: publisher, broker, service and two Postgres backends share them; stan-bench does nothing \
             with a message but acknowledge it",
        ),
    ])
}

/// "Sub stats: 12,345 msgs/sec ~ 1.2 MB/sec"
fn subscribed(printed: &str) -> Option<f64> {
    let line = printed.lines().find(|line| line.contains("Sub stats"))?;
    let (before, _) = line.split_once(" msgs/sec")?;
    before.rsplit(' ').next()?.replace(',', "").parse().ok()
}
