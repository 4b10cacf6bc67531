//! From the publishing of a message until a GET answers with the order, at 500 messages a second, against what the way of a
//! message cannot do without: two commits of one small row.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio_postgres::NoTls;
use waybill::collection;
use waybill::record::Samples;
use waybill::stan;

use super::report::{Figure, Reach, quantile};
use super::stage::{CHANNEL, CLUSTER, Stage};

const SECONDS: u64 = 10;
const RATE: u64 = 500;
/// Of so many messages one is asked for: the asking must not be the load.
const ONE_IN: u64 = 10;
/// No message is visible sooner: the first GET waits for so long, and is not one that only loads the machine.
const SOONEST: Duration = Duration::from_millis(1);
/// Between two GETs for the same order.
const PAUSE: Duration = Duration::from_micros(50);
const PAIRS: usize = 3;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::open(&[]).await?;
    stage.through(20_000, "0%").await?;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let commits = two_commits(&stage).await?;
        let visible = visible(&stage).await?;
        p50.push(quantile(visible.clone(), 0.5) / quantile(commits.clone(), 0.5));
        p99.push(quantile(visible.clone(), 0.99) / quantile(commits.clone(), 0.99));
        ours.extend(visible);
        limit.extend(commits);
    }
    let figure = |what: &str, q: f64, ratios: Vec<f64>, goal: f64| {
        let ms = |values: &[f64]| format!("{:.2} ms", quantile(values.to_vec(), q) * 1000.0);
        Figure::new(
            what,
            ms(&ours),
            format!("two commits of one small row {}", ms(&limit)),
        )
        .ratios(ratios, Reach::AtMost(goal))
    };
    Ok(vec![
        figure("publish to GET, p50, at 500/s", 0.5, p50, 3.0),
        figure("publish to GET, p99, at 500/s", 0.99, p99, 8.0),
    ])
}

async fn visible(stage: &Stage) -> anyhow::Result<Vec<f64>> {
    let options = stan::Options::new(stage.broker.url(), CLUSTER, "bench-publisher");
    let client = stan::Client::connect(&options).await?;
    let publisher = Arc::new(client.publisher(CHANNEL, 1024).await?);
    let mut samples = Samples::seeded(&collection::orders().model, fastrand::u64(..))?;
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let (asked, questions) = std::sync::mpsc::channel();
    let address = stage.url().trim_start_matches("http://").to_owned();
    let asking = std::thread::spawn(move || ask(&address, &questions));
    for n in 0..SECONDS * RATE {
        beat.tick().await;
        let order = samples.message();
        let uid = serde_json::from_str::<serde_json::Value>(&order)?["order_uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let begun = Instant::now();
        let ack = publisher.publish(order.as_bytes()).await?;
        tokio::spawn(ack);
        // The asker ends early only by an error, which is told below.
        if n % ONE_IN == 0 && asked.send((uid, begun)).is_err() {
            break;
        }
    }
    drop(asked);
    let seen = tokio::task::spawn_blocking(|| asking.join()).await?;
    let seen = seen.map_err(|_| anyhow::anyhow!("the asking thread panicked"))??;
    client.close().await?;
    Ok(seen)
}

/// Each order until it is there, on a thread of its own with nothing between it and the socket: on these few cores the
/// asking must not be what is measured.
fn ask(
    address: &str,
    questions: &std::sync::mpsc::Receiver<(String, Instant)>,
) -> anyhow::Result<Vec<f64>> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    let mut seen = Vec::new();
    for (order_uid, begun) in questions {
        let request = format!("GET /api/v1/orders/{order_uid} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        std::thread::sleep(SOONEST.saturating_sub(begun.elapsed()));
        while !is_there(&mut connection, &request)? {
            if begun.elapsed() > Duration::from_secs(10) {
                bail!("an order was not visible within 10 s: {order_uid}");
            }
            std::thread::sleep(PAUSE);
        }
        seen.push(begun.elapsed().as_secs_f64());
    }
    Ok(seen)
}

/// Whether the answer, read to its end, is 200.
fn is_there(connection: &mut TcpStream, request: &str) -> anyhow::Result<bool> {
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::with_capacity(16 * 1024);
    let mut part = [0; 16 * 1024];
    loop {
        let read = connection.read(&mut part)?;
        ensure!(read > 0, "the service closed the connection");
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse::<usize>().ok())?
            });
            if body.len() >= length.context("an answer without a length")? {
                return Ok(head.starts_with("HTTP/1.1 200"));
            }
        }
    }
}

async fn two_commits(stage: &Stage) -> anyhow::Result<Vec<f64>> {
    let (client, connection) = tokio_postgres::connect(&stage.postgres.url(), NoTls).await?;
    tokio::spawn(connection);
    client
        .batch_execute("create table if not exists public.small (id bigint primary key, data text)")
        .await?;
    let insert = client
        .prepare(
            "insert into public.small select coalesce(max(id), 0) + 1, 'small' from public.small",
        )
        .await?;
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut took = Vec::new();
    for _ in 0..SECONDS * RATE / ONE_IN {
        beat.tick().await;
        let begun = Instant::now();
        client.execute(&insert, &[]).await?;
        client.execute(&insert, &[]).await?;
        took.push(begun.elapsed().as_secs_f64());
    }
    Ok(took)
}
