//! Ends of the service: asked for, and not; and what is there after the next start.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waybill::sandbox::broker::Store;
use waybill::sandbox::process::{Signal, signal};

use crate::harness::{
    Bench, Ledger, Sender, Weight, check, mixed, order, order_with, orders, until, until_equal,
};

#[tokio::test]
async fn asked_to_stop_under_load_it_drains_and_loses_nothing() {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    let sender = Sender::new(&broker).rate(1_500.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(6_000, "stop")).await });
    let sql = bench.sql().await;
    for stop in 1..=4 {
        until_equal(30, "the next stop's mark is reached", true, async || {
            sql.head().await >= stop * 1_000
        })
        .await;
        let asked = Instant::now();
        let status = service.stop().await;
        assert_eq!(status.code(), Some(0), "{}", service.text());
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        service.start().await;
    }
    let ledger = sending.await.unwrap();
    service.rests(60, ledger.rows()).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows, 6_000);
}

const FLUSH: &str = "
    select coalesce(max(pid), 0)::bigint from pg_stat_activity where datname = current_database() and application_name = 'waybill flush'";

#[tokio::test]
async fn what_waits_for_the_disk_at_a_stop_is_acknowledged_before_the_end() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    let sql = bench.sql().await;
    let flush = until(20, "its flush has connected", async || {
        Some(sql.count(FLUSH).await as u32).filter(|pid| *pid > 0)
    })
    .await;
    signal(flush, Signal::STOP);
    let ledger = Sender::new(&broker).publish(orders("late", 100)).await;
    until_equal(20, "all are appended", 100, async || sql.head().await).await;
    signal(service.pid(), Signal::TERM);
    service.says(10, "stopping").await;
    signal(flush, Signal::CONT);
    let status = until(20, "it ends", async || service.ended()).await;
    assert_eq!(status.code(), Some(0), "{}", service.text());
    service.start().await;
    service.rests(30, 100).await;
    check(&bench, &service, &ledger).await;
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    assert!(
        metrics.contains("\nwaybill_inbox_redelivered_total 0\n"),
        "the broker has sent some of them again: {metrics}"
    );
}

#[tokio::test]
async fn clients_that_hold_on_do_not_keep_it_from_stopping() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    let address = service.url.strip_prefix("http://").unwrap().to_owned();
    let mut held = Vec::new();
    for beginning in [
        "",
        "GET /api/v1/st",
        "POST /api/v1/orders HTTP/1.1\r\nhost: here\r\ncontent-type: application/octet-stream\r\ncontent-length: 1000\r\n\r\nhalf",
        "GET /healthz/live HTTP/1.1\r\nhost: here\r\n\r\n",
    ] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(beginning.as_bytes()).await.unwrap();
        held.push(socket);
    }
    assert_eq!(service.get("/healthz/live").await.status, 200);
    let asked = Instant::now();
    assert_eq!(service.stop().await.code(), Some(0), "{}", service.text());
    assert!(
        asked.elapsed() < Duration::from_secs(12),
        "{:?}",
        asked.elapsed()
    );
}

/// What is under way when it is asked to stop is answered, and by then it says that it is not ready.
#[tokio::test]
async fn while_it_stops_it_is_not_ready_and_answers_what_is_under_way() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    service.is_ready().await;
    let address = service.url.strip_prefix("http://").unwrap().to_owned();
    let payload = order("under-way");
    let (half, rest) = payload.split_at(payload.len() / 2);
    let post = format!(
        "POST /api/v1/orders HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n",
        payload.len()
    );
    let ready = format!("GET /healthz/ready HTTP/1.1\r\nhost: {address}\r\n");
    let beginnings: [(&[u8], &[u8], &str); 2] = [
        (ready.as_bytes(), b"\r\n", "503"),
        (&[post.as_bytes(), half].concat(), rest, "202"),
    ];
    let mut held = Vec::new();
    for (beginning, rest, status) in beginnings {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(beginning).await.unwrap();
        held.push((socket, rest, status));
    }
    // Taken one after the other: they are in.
    service.is_ready().await;
    signal(service.pid(), Signal::TERM);
    until(10, "nobody is let in any more", async || {
        TcpStream::connect(&address).await.err()
    })
    .await;
    for (mut socket, rest, status) in held {
        socket.write_all(rest).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let status = until(20, "it ends", async || service.ended()).await;
    assert_eq!(status.code(), Some(0), "{}", service.text());
    service.start().await;
    service.rests(10, 1).await;
    assert_eq!(service.order("under-way").await.status, 200);
}

#[tokio::test]
async fn after_a_kill_every_order_is_served_from_memory_as_soon_as_it_is_ready() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    let ledger = Sender::new(&broker).publish(orders("again", 5_000)).await;
    service.rests(30, 5_000).await;
    service.kill();
    service.start().await;
    service.is_ready().await;
    let stats = service.json("/api/v1/stats").await;
    assert_eq!(
        (&stats["cache_warm"], &stats["cache_documents"]),
        (&true.into(), &5_000.into())
    );
    service.rests(30, 5_000).await;
    check(&bench, &service, &ledger).await;
    let stats = service.json("/api/v1/stats").await;
    assert_eq!(stats["cache_misses"], 0, "{stats}");
}

#[tokio::test]
async fn a_cache_too_small_for_all_holds_the_newest_and_serves_all() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let args = ["--cache-bytes", "1048576"];
    let mut service = bench.serve(Some(&broker), &args).await;
    let filler = "y".repeat(2_000);
    let payloads =
        (0..1_500).map(|n| order_with(&format!("big-{n}"), &[("Ploshad Mira 15", &filler)]));
    let ledger: Ledger = Sender::new(&broker).publish(payloads).await;
    service.rests(30, 1_500).await;
    assert!(service.stop().await.success());
    service.start().await;
    service.is_ready().await;
    for number in 1_490..1_500 {
        let answer = service.order(&format!("big-{number}")).await;
        assert_eq!(answer.status, 200);
    }
    let stats = service.json("/api/v1/stats").await;
    assert_eq!(stats["cache_misses"], 0, "the newest are there: {stats}");
    assert!(stats["cache_bytes"].as_i64().unwrap() <= 1 << 20, "{stats}");
    service.rests(30, 1_500).await;
    check(&bench, &service, &ledger).await;
}

#[tokio::test]
async fn starts_leave_no_gaps_among_the_ids_of_sources() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    for _ in 0..2 {
        assert!(service.stop().await.success());
        service.start().await;
    }
    assert!(service.stop().await.success());
    let other = bench.serve(Some(&broker), &["--channel", "more"]).await;
    other.is_ready().await;
    let sql = bench.sql().await;
    assert_eq!(sql.count("select count(*) from source").await, 3);
    assert_eq!(sql.count("select max(id)::bigint from source").await, 3);
}
