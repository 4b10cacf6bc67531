//! GET by id, random ids of 100,000, against bare hyper with the same bytes, interleaved; and the same while messages come in
//! at full speed.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::report::{Figure, Reach, grouped, median};
use super::stage::{Stage, run as run_program};

const ORDERS: u64 = 100_000;
const PAIRS: usize = 10;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/loadtest/get.lua");

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::open(&[]).await?;
    stage.through(ORDERS, "0%").await?;
    let ids = stage.dir.file("ids.txt");
    write_ids(&stage, &ids, |uid| format!("{uid}\n")).await?;
    let (_bare, bare) = bare_hyper(&stage, &ids).await?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        ours.push(wrk(stage.url(), &ids, &[]).await?);
        limit.push(wrk(&bare, &ids, &[]).await?);
    }
    let ratios: Vec<f64> = ours
        .iter()
        .zip(&limit)
        .map(|(ours, limit)| ours / limit)
        .collect();

    let before = stage.projected().await?;
    let begun = std::time::Instant::now();
    let (taken, served) = tokio::join!(
        stage.publish(&["--count", "150000", "--junk", "0%"]),
        wrk(stage.url(), &ids, &[])
    );
    taken?;
    let served = served?;
    let ingested = (stage.projected().await? - before) as f64 / begun.elapsed().as_secs_f64();
    let per_second = |values: &[f64]| format!("{}/s", grouped(median(values.to_vec())));
    Ok(vec![
        Figure::new(
            "GET by id",
            per_second(&ours),
            format!("bare hyper, the same bytes {}", per_second(&limit)),
        )
        .ratios(ratios, Reach::AtLeast(0.9)),
        Figure::new(
            "GET by id while ingesting",
            per_second(&[served]),
            format!("without ingest {}", per_second(&ours)),
        )
        .ratios(vec![served / median(ours)], Reach::Report)
        .note(format!(
            "{}/s messages went in beside it: what is left of the cores is what is served",
            grouped(ingested)
        )),
    ])
}

async fn bare_hyper(stage: &Stage, ids: &Path) -> anyhow::Result<(Child, String)> {
    let ids = std::fs::read_to_string(ids)?;
    let first = ids.lines().next().context("there are no orders")?;
    let url = format!("{}/api/v1/orders/{first}", stage.url());
    let order = stage
        .http
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .bytes()
        .await?;
    let body = stage.dir.file("order.json");
    std::fs::write(&body, &order)?;
    let mut child = Command::new(std::env::current_exe()?.with_file_name("bare_hyper"))
        .arg(&body)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the example bare_hyper is not built: cargo build --release --examples")?;
    let stdout = child.stdout.take().context("stdout was piped")?;
    let address = BufReader::new(stdout)
        .lines()
        .next_line()
        .await?
        .context("bare_hyper said nothing")?;
    Ok((child, format!("http://{address}")))
}

/// Every order's uid, as `line` wants it, into a file.
pub async fn write_ids(
    stage: &Stage,
    path: &Path,
    line: impl Fn(&str) -> String,
) -> anyhow::Result<()> {
    let rows = stage
        .sql()
        .await?
        .query("select key from orders order by random()", &[])
        .await?;
    let text: String = rows.iter().map(|row| line(row.get(0))).collect();
    std::fs::write(path, text)?;
    Ok(())
}

/// Answers a second, every one of them 200.
pub async fn wrk(url: &str, ids: &Path, more: &[&str]) -> anyhow::Result<f64> {
    let ids = ids.display().to_string();
    let printed = run_program(
        Command::new("wrk")
            .args(["-t1", "-c64", "-d3s", "-s", SCRIPT])
            .args(more)
            .args([url, "--", &ids]),
    )
    .await?;
    if printed.contains("Non-2xx") {
        bail!("not every answer was 200:\n{printed}");
    }
    let rate = printed
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .context("wrk printed no rate")
}
