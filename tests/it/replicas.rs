//! Several services on one database and one channel: one projects at a time, and whichever is lost, another goes on.

use std::time::{Duration, Instant};

use serde_json::json;
use waybill::sandbox::broker::{Broker, Store};

use crate::harness::{Bench, Sender, Service, Sql, Weight, check, mixed, orders, until, within};

async fn replicas(bench: &Bench, broker: &Broker, count: usize, lease: &str) -> Vec<Service> {
    let mut replicas = Vec::new();
    for number in 1..=count {
        let id = format!("waybill-{number}");
        let args = ["--client-id", &id, "--lease", lease];
        replicas.push(bench.serve(Some(broker), &args).await);
    }
    replicas
}

/// A leader's name begins with its pid.
async fn leader(sql: &Sql, replicas: &[Service]) -> Option<usize> {
    let name = sql.text("select leader from checkpoint").await;
    let pid: u32 = name.split_once('-')?.0.parse().ok()?;
    replicas.iter().position(|replica| replica.pid() == pid)
}

async fn leads(replica: &Service) -> bool {
    let metrics = replica.get("/metrics").await.body;
    String::from_utf8_lossy(&metrics).contains("\nwaybill_projector_leading 1\n")
}

#[tokio::test]
async fn one_of_three_killed_every_two_seconds_loses_nothing() {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::File).await;
    let mut replicas = replicas(&bench, &broker, 3, "2").await;
    let sender = Sender::new(&broker).rate(900.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(10_000, "replica")).await });
    let sql = bench.sql().await;
    let mut terms = Vec::new();
    for round in 0..5 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        // The one that leads, or the next in turn.
        let victim = match leader(&sql, &replicas).await {
            Some(leader) if round % 2 == 0 => leader,
            _ => round % 3,
        };
        replicas[victim].kill();
        terms.push(sql.count("select term from checkpoint").await);
        replicas[victim].start().await;
    }
    assert!(terms[4] >= terms[0] + 2, "the lease passed on: {terms:?}");
    let ledger = sending.await.unwrap();
    for replica in &replicas {
        replica.rests(60, ledger.rows()).await;
    }
    let count = check(&bench, &replicas[0], &ledger).await;
    assert_eq!(count.rows, 10_000);
    // What one projected, the others serve too.
    for replica in &replicas[1..] {
        assert_eq!(replica.order("replica-0").await.status, 200);
        let account = replica.json("/api/v1/reconciliation").await;
        assert_eq!(account["received"], count.rows);
    }
}

#[tokio::test]
async fn a_frozen_leader_is_replaced_and_finds_out_when_it_thaws() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut replicas = replicas(&bench, &broker, 2, "2").await;
    let sender = Sender::new(&broker).rate(400.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(4_000, "thaw")).await });
    let sql = bench.sql().await;
    let first = until(20, "one leads", async || leader(&sql, &replicas).await).await;
    replicas[first].pause();
    let frozen = Instant::now();
    let second = until(20, "another leads", async || {
        leader(&sql, &replicas)
            .await
            .filter(|leader| *leader != first)
    })
    .await;
    assert!(
        frozen.elapsed() < Duration::from_secs(6),
        "{:?}",
        frozen.elapsed()
    );
    let mark = sql.count("select position from checkpoint").await;
    until(20, "the other projects", async || {
        let position = sql.count("select position from checkpoint").await;
        (position > mark).then_some(())
    })
    .await;
    replicas[first].resume();
    within(10, "the first knows that it leads no more", async {
        while leads(&replicas[first]).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let ledger = sending.await.unwrap();
    for replica in &replicas {
        replica.rests(60, ledger.rows()).await;
    }
    assert_eq!(leader(&sql, &replicas).await, Some(second));
    assert!(leads(&replicas[second]).await);
    check(&bench, &replicas[first], &ledger).await;
}

#[tokio::test]
async fn a_leader_that_stops_in_order_hands_the_lease_over_at_once() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut replicas = replicas(&bench, &broker, 2, "60").await;
    let mut ledger = Sender::new(&broker).publish(orders("hand", 50)).await;
    let sql = bench.sql().await;
    let first = until(20, "one leads", async || leader(&sql, &replicas).await).await;
    replicas[first].rests(30, 50).await;
    assert!(replicas[first].stop().await.success());
    let other = &replicas[1 - first];
    ledger.merge(Sender::new(&broker).publish(orders("over", 50)).await);
    other.rests(10, 100).await;
    assert!(leads(other).await);
    check(&bench, other, &ledger).await;
    assert_eq!(
        other.json("/api/v1/reconciliation").await["sources"][0]["holes"],
        json!([])
    );
}
