//! The network between the service and its servers: cut, silent, slow, in shreds. Nothing hangs past its time-out, and an
//! answer that got lost is no loss.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use waybill::sandbox::broker::{Broker, Store};

use crate::harness::{
    Bench, Line, Proxy, Sender, Service, Weight, check, mixed, orders, until_equal,
};

/// A service that reaches both its servers through a proxy.
struct Wired {
    bench: Bench,
    broker: Broker,
    service: Service,
    to_postgres: Proxy,
    to_broker: Proxy,
}

async fn wired(weight: Weight) -> Wired {
    let mut bench = Bench::with_own_postgres(weight, &[]).await;
    let broker = bench.broker(Store::File).await;
    let postgres = bench.postgres().tcp_address().unwrap();
    let to_postgres = Proxy::to(postgres).await;
    let to_broker = Proxy::to(SocketAddr::from(([127, 0, 0, 1], broker.port()))).await;
    let url = bench.postgres().tcp_url().unwrap();
    let url = url.replace(&postgres.to_string(), &to_postgres.address.to_string());
    let stan = format!("nats://{}", to_broker.address);
    let args = ["--database-url", &url, "--stan-url", &stan];
    let service = bench.serve(Some(&broker), &args).await;
    Wired {
        bench,
        broker,
        service,
        to_postgres,
        to_broker,
    }
}

async fn metric(service: &Service, name: &str) -> f64 {
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    let (_, rest) = metrics.split_once(&format!("\n{name} ")).unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn frames_in_shreds_are_put_together() {
    let wired = wired(Weight::Light).await;
    wired.to_postgres.set(Line::Shreds);
    wired.to_broker.set(Line::Shreds);
    wired.to_postgres.cut();
    wired.to_broker.cut();
    let ledger = Sender::new(&wired.broker)
        .publish(mixed(500, "shreds"))
        .await;
    wired.service.rests(60, 500).await;
    check(&wired.bench, &wired.service, &ledger).await;
}

#[tokio::test]
async fn lines_cut_again_and_again_lose_nothing() {
    let wired = wired(Weight::Heavy).await;
    let sender = Sender::new(&wired.broker).rate(1_000.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(5_000, "cut")).await });
    while !sending.is_finished() {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..400))).await;
        match fastrand::bool() {
            true => wired.to_postgres.cut(),
            false => wired.to_broker.cut(),
        }
    }
    let ledger = sending.await.unwrap();
    wired.service.rests(60, ledger.rows()).await;
    let count = check(&wired.bench, &wired.service, &ledger).await;
    assert_eq!(count.rows, 5_000);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_done_again_harmlessly() {
    let wired = wired(Weight::Light).await;
    wired.to_postgres.set(Line::LoseCommits);
    let sender = Sender::new(&wired.broker).rate(400.0);
    let ledger = sender.publish(mixed(2_000, "answer")).await;
    wired.service.rests(90, 2_000).await;
    let known = metric(&wired.service, "waybill_inbox_redelivered_total").await;
    assert!(
        known > 10.0,
        "only {known} rows were found to be there already"
    );
    wired.to_postgres.set(Line::Open);
    let count = check(&wired.bench, &wired.service, &ledger).await;
    assert_eq!(count.rows, 2_000);
}

#[tokio::test]
async fn black_holes_and_silence_are_noticed_and_readers_served() {
    let wired = wired(Weight::Light).await;
    let mut ledger = Sender::new(&wired.broker)
        .publish(orders("warm", 100))
        .await;
    wired.service.rests(30, 100).await;
    for (round, line) in [Line::Hole, Line::Mute].into_iter().enumerate() {
        wired.to_postgres.set(line);
        wired.to_broker.set(line);
        let prefix = format!("round-{round}");
        ledger.merge(
            Sender::new(&wired.broker)
                .publish(orders(&prefix, 200))
                .await,
        );
        until_equal(
            12,
            "the broker's loss is noticed",
            json!("away"),
            async || {
                let ready = wired.service.get("/healthz/ready").await;
                assert_eq!(ready.status, 200);
                assert_eq!(wired.service.order("warm-5").await.status, 200);
                ready.json()["broker"].clone()
            },
        )
        .await;
        let miss = wired.service.order("not-in-the-cache").await;
        assert_eq!(miss.status, 503, "{miss:?}");
        until_equal(25, "that of Postgres too", json!("away"), async || {
            wired.service.get("/healthz/ready").await.json()["postgres"].clone()
        })
        .await;
        wired.to_postgres.set(Line::Open);
        wired.to_broker.set(Line::Open);
        wired.service.rests(60, ledger.rows()).await;
    }
    check(&wired.bench, &wired.service, &ledger).await;
}

#[tokio::test]
async fn ten_bytes_a_second_are_given_up_and_begun_again() {
    let wired = wired(Weight::Light).await;
    let mut ledger = Sender::new(&wired.broker).publish(orders("warm", 50)).await;
    wired.service.rests(30, 50).await;
    wired.to_postgres.set(Line::Trickle);
    ledger.merge(
        Sender::new(&wired.broker)
            .publish(orders("slow", 200))
            .await,
    );
    until_equal(40, "it is given up", json!("away"), async || {
        assert_eq!(wired.service.order("warm-5").await.status, 200);
        wired.service.get("/healthz/ready").await.json()["postgres"].clone()
    })
    .await;
    wired.to_postgres.set(Line::Open);
    wired.service.rests(60, 250).await;
    check(&wired.bench, &wired.service, &ledger).await;
}
