//! GET by id, random ids of 100,000, against bare hyper with the same bytes; interleaved.

use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::stage::{Scratch, Stage, median};

const ORDERS: u64 = 100_000;
const PAIRS: usize = 10;

pub async fn run() -> anyhow::Result<()> {
    let stage = Stage::open(&[]).await?;
    stage.publish(ORDERS, "0%").await?;
    let scratch = Scratch::new()?;
    let ids = scratch.0.join("ids.txt");
    write_ids(&stage, &ids).await?;
    let first = std::fs::read_to_string(&ids)?
        .lines()
        .next()
        .context("no ids")?
        .to_owned();
    let order = reqwest::get(format!("{}/api/v1/orders/{first}", stage.service.url))
        .await?
        .bytes()
        .await?;
    let body = scratch.0.join("order.json");
    std::fs::write(&body, &order)?;
    let own = std::env::current_exe()?;
    let bare = own.with_file_name("bare_hyper");
    let mut bare = Command::new(bare)
        .arg(&body)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the example bare_hyper is not built: cargo build --release --examples")?;
    let stdout = bare.stdout.take().context("stdout was piped")?;
    let address = BufReader::new(stdout)
        .lines()
        .next_line()
        .await?
        .context("bare_hyper said nothing")?;
    let bare_url = format!("http://{address}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/loadtest/get.lua");
    let ids = ids.display().to_string();
    let (mut ours, mut limit, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let a = wrk(script, &stage.service.url, &ids).await?;
        let b = wrk(script, &bare_url, &ids).await?;
        ours.push(a);
        limit.push(b);
        ratios.push(a / b);
    }
    println!(
        "GET by id: {:.0}/s, bare hyper {:.0}/s, ratio {:.2} (median of {PAIRS} interleaved pairs: {:?})",
        median(ours),
        median(limit),
        median(ratios.clone()),
        ratios
            .iter()
            .map(|ratio| (ratio * 100.0).round() / 100.0)
            .collect::<Vec<_>>()
    );
    Ok(())
}

async fn write_ids(stage: &Stage, path: &std::path::Path) -> anyhow::Result<()> {
    let (client, connection) =
        tokio_postgres::connect(&stage.postgres.url(), tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let rows = client
        .query("select order_uid from live.orders", &[])
        .await?;
    let text: String = rows
        .iter()
        .map(|row| format!("{}\n", row.get::<_, &str>(0)))
        .collect();
    std::fs::write(path, text)?;
    Ok(())
}

async fn wrk(script: &str, url: &str, ids: &str) -> anyhow::Result<f64> {
    let out = Command::new("wrk")
        .args(["-t1", "-c64", "-d3s", "-s", script, url, "--", ids])
        .output()
        .await
        .context("wrk is not installed: apt-get install wrk")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if text.contains("Non-2xx") {
        bail!("not every answer was 200:\n{text}");
    }
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .context("wrk printed no rate")
}
