//! A broker that never hears us, and one that stutters: each message is applied once, however often it comes.

use std::collections::HashSet;
use std::net::SocketAddr;

use bytes::Bytes;
use waybill::collection;
use waybill::sandbox::broker::{Broker, Store};

use crate::harness::{
    Bench, Line, Proxy, Sender, Service, Weight, check, mixed, until, until_equal,
};

async fn wired(bench: &Bench, broker: &Broker, line: Line) -> (Proxy, Service) {
    let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], broker.port()))).await;
    proxy.set(line);
    let url = format!("nats://{}", proxy.address);
    let service = bench.serve(Some(broker), &["--stan-url", &url]).await;
    (proxy, service)
}

async fn redelivered(service: &Service) -> i64 {
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    let (_, rest) = metrics
        .split_once("\nwaybill_inbox_redelivered_total ")
        .unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn with_all_acks_dropped_each_message_is_applied_once() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let (proxy, service) = wired(&bench, &broker, Line::LoseAcks).await;
    let ledger = Sender::new(&broker).publish(mixed(1_000, "unheard")).await;
    for round in 0..3 {
        until(20, "all of them came, again", async || {
            let account = service.json("/api/v1/stats").await;
            let here = account["received"] == 1_000 && account["pending"] == 0;
            (here && redelivered(&service).await >= round * 1_000).then_some(())
        })
        .await;
        let stats = service.json("/api/v1/stats").await;
        assert_eq!(stats["broker"]["lag"], 1_000, "an ack was heard: {stats:#}");
        // The broker gives all of it to the next connection.
        if round == 2 {
            proxy.set(Line::Open);
        }
        proxy.cut();
    }
    service.rests(30, 1_000).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows, 1_000);
    assert!(redelivered(&service).await >= 3_000);
}

#[tokio::test]
async fn doubled_shuffled_and_repeated_they_come_to_the_same_state() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let (proxy, service) = wired(&bench, &broker, Line::Scramble).await;
    let payloads: Vec<Bytes> = mixed(2_000, "stutter");
    let model = &collection::orders().model;
    // Each uid once, whichever of its contents came first.
    let uids: HashSet<String> = payloads
        .iter()
        .filter_map(|payload| {
            let order = model.parse(payload).ok()?;
            Some(model.key(&order).into_owned())
        })
        .collect();
    let ledger = Sender::new(&broker).publish(payloads).await;
    service.rests(40, 2_000).await;
    assert!(redelivered(&service).await > 300);
    let sql = bench.sql().await;
    let shuffled = "select count(*) from inbox i join inbox n on n.position = i.position + 1 where n.sequence < i.sequence";
    assert!(sql.count(shuffled).await > 100);
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.rows, count.orders), (2_000, uids.len()));
    // Repeated once more from the beginning, by a broker that has forgotten what it had heard.
    drop(service);
    let args = [
        "--stan-url",
        &format!("nats://{}", proxy.address),
        "--durable",
        "another",
    ];
    let service = bench.serve(Some(&broker), &args).await;
    until_equal(30, "all of them came again", true, async || {
        redelivered(&service).await >= 2_000
    })
    .await;
    service.rests(30, 2_000).await;
    assert_eq!(check(&bench, &service, &ledger).await, count);
}
