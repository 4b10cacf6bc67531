//! 10,000 GETs a second for half a minute, as vegeta fires them: do all succeed, and how late is the latest.

use tokio::process::Command;

use super::get::write_ids;
use super::report::{Figure, Reach};
use super::stage::{Stage, run as run_program};

const ORDERS: u64 = 100_000;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::open(&[]).await?;
    stage.through(ORDERS, "0%").await?;
    let targets = stage.dir.file("targets.txt");
    let line = |uid: &str| format!("GET {}/api/v1/orders/{uid}\n", stage.url());
    write_ids(&stage, &targets, line).await?;
    let results = stage.dir.file("results.bin");
    run_program(
        Command::new("vegeta")
            .args(["attack", "-rate", "10000", "-duration", "30s", "-output"])
            .arg(&results)
            .arg("-targets")
            .arg(&targets),
    )
    .await?;
    let printed = run_program(
        Command::new("vegeta")
            .args(["report", "-type", "json"])
            .arg(&results),
    )
    .await?;
    let report: serde_json::Value = serde_json::from_str(&printed)?;
    let histogram = run_program(
        Command::new("vegeta")
            .args([
                "report",
                "-type",
                "hist[0,200us,500us,1ms,2ms,5ms,10ms,50ms]",
            ])
            .arg(&results),
    )
    .await?;
    println!("{histogram}");
    let ms = |name: &str| report["latencies"][name].as_f64().unwrap_or(f64::NAN) / 1e6;
    let success = report["success"].as_f64().unwrap_or(0.0);
    Ok(vec![
        Figure::new(
            "10,000 GET/s for 30 s (vegeta)",
            format!(
                "{:.4} % success; p50 {:.2}, p95 {:.2}, p99 {:.2}, max {:.1} ms",
                success * 100.0,
                ms("50th"),
                ms("95th"),
                ms("99th"),
                ms("max")
            ),
            "100 % success",
        )
        .ratios(vec![success], Reach::AtLeast(1.0))
        .note("vegeta runs on the same cores, and its own waiting is in the figures"),
    ])
}
