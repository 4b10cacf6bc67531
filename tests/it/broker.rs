//! What a broker's store may go through: wiped, restarted, killed, frozen, discarding. Nothing is lost that it still had, and
//! what it had no more is known exactly.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waybill::sandbox::broker::{Broker, Store};
use waybill::sandbox::find_program;

use crate::harness::{
    Bench, Ledger, Sender, Service, Weight, check, mixed, order, orders, until_equal, within,
};

/// The broker as the service sees it, without waiting for Postgres.
async fn broker_is(service: &Service, seconds: u64, state: &str) {
    until_equal(seconds, "the broker", json!(state), async || {
        service.get("/healthz/ready").await.json()["broker"].clone()
    })
    .await;
}

/// Epoch, rows, first and last sequence of each life of the store.
async fn lives(service: &Service) -> Vec<[i64; 4]> {
    let account = service.json("/api/v1/reconciliation").await;
    let sources = account["sources"].as_array().unwrap();
    let number = |source: &Value, name: &str| source[name].as_i64().unwrap();
    sources
        .iter()
        .map(|source| {
            assert_eq!(source["holes"], json!([]), "{source}");
            ["epoch", "rows", "first_sequence", "last_sequence"].map(|name| number(source, name))
        })
        .collect()
}

#[tokio::test]
async fn other_messages_under_the_old_numbers_of_a_wiped_store_are_all_stored() {
    let bench = Bench::new(Weight::Light).await;
    let mut broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("old", 500)).await;
    service.rests(30, 500).await;
    broker.wipe_and_restart().await.unwrap();
    ledger.merge(Sender::new(&broker).publish(orders("new", 700)).await);
    service.rests(30, 1_200).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.rows, count.orders), (1_200, 1_200));
    assert_eq!(lives(&service).await, [[1, 500, 1, 500], [2, 700, 1, 700]]);
}

#[tokio::test]
async fn the_same_messages_again_from_a_wiped_store_are_all_duplicates() {
    let bench = Bench::new(Weight::Light).await;
    let mut broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("again", 400)).await;
    service.rests(30, 400).await;
    broker.wipe_and_restart().await.unwrap();
    ledger.merge(Sender::new(&broker).publish(orders("again", 400)).await);
    service.rests(30, 800).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.orders, count.duplicates), (400, 400));
    assert_eq!(lives(&service).await, [[1, 400, 1, 400], [2, 400, 1, 400]]);
}

#[tokio::test]
async fn a_restarted_memory_store_is_noticed_within_ten_seconds_and_read_on() {
    let bench = Bench::new(Weight::Light).await;
    let mut broker = bench.broker(Store::Memory).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Ledger::default();
    for life in 0..3 {
        let sender = Sender::new(&broker);
        let sent = sender.publish(orders(&format!("life-{life}"), 200));
        ledger.merge(within(30, "the broker takes them", sent).await);
        service.rests(30, ledger.rows()).await;
        if life == 0 {
            // Gone for a while, and noticed.
            broker.kill();
            broker_is(&service, 10, "away").await;
            broker.start_again().await.unwrap();
        } else {
            // Back before anybody could notice by the socket alone.
            broker.kill();
            broker.start_again().await.unwrap();
        }
        let back = Instant::now();
        ledger.merge(
            Sender::new(&broker)
                .publish([order(&format!("first-{life}"))])
                .await,
        );
        let noticed = format!("first-{life}");
        until_equal(10, "an order of the new life", 200, async || {
            service.order(&noticed).await.status
        })
        .await;
        assert!(back.elapsed() < Duration::from_secs(10));
    }
    service.rests(30, ledger.rows()).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.orders as i64, ledger.rows());
    assert_eq!(lives(&service).await.len(), 4);
}

#[tokio::test]
async fn a_killed_file_store_loses_nothing_and_its_redeliveries_are_absorbed() {
    let bench = Bench::new(Weight::Heavy).await;
    let mut broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let sql = bench.sql().await;
    let sender = Sender::new(&broker).rate(1_500.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(6_000, "broker")).await });
    for kill in 1..=4 {
        until_equal(30, "the next kill's mark is reached", true, async || {
            sql.head().await >= kill * 1_000
        })
        .await;
        broker.kill();
        broker.start_again().await.unwrap();
    }
    let ledger = sending.await.unwrap();
    service.rests(60, ledger.rows()).await;
    let count = check(&bench, &service, &ledger).await;
    assert!(count.rows >= 6_000 && count.rows <= 6_000 + ledger.unsure.len());
}

#[tokio::test]
async fn what_a_channel_limit_discarded_is_an_exact_hole_and_lost() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker_with(Store::File, &["-mm", "100"]).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("early", 50)).await;
    service.rests(30, 50).await;
    assert!(service.stop().await.success());
    let mut late = Sender::new(&broker).publish(orders("late", 300)).await;
    assert_eq!(late.acked.len(), 300);
    late.acked.drain(..200);
    ledger.merge(late);
    service.start().await;
    service.rests(30, 150).await;
    check(&bench, &service, &ledger).await;
    let account = service.json("/api/v1/reconciliation").await;
    assert_eq!(
        account["sources"][0]["holes"],
        json!([{"first": 51, "last": 250, "state": "lost"}])
    );
    assert_eq!(account["sources"][0]["lost"], 200);
    assert_eq!(
        [&account["balanced"], &account["well"]],
        [true, false],
        "{account}"
    );
}

#[tokio::test]
async fn a_frozen_broker_is_noticed_and_read_on_once_it_thaws() {
    let bench = Bench::new(Weight::Light).await;
    let mut broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("before", 300)).await;
    service.rests(30, 300).await;
    broker.pause();
    broker_is(&service, 10, "away").await;
    let frozen = Instant::now();
    // Readers don't notice, for as long as it lasts.
    while frozen.elapsed() < Duration::from_secs(10) {
        assert_eq!(service.order("before-7").await.status, 200);
        assert_eq!(service.get("/healthz/ready").await.status, 200);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    broker.resume();
    broker_is(&service, 20, "connected").await;
    ledger.merge(Sender::new(&broker).publish(orders("after", 300)).await);
    service.rests(30, 600).await;
    check(&bench, &service, &ledger).await;
}

#[tokio::test]
async fn a_second_service_of_the_same_client_id_says_so_and_waits_its_turn() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut first = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("first", 100)).await;
    first.rests(30, 100).await;
    let second = bench.serve(Some(&broker), &["--lease", "2"]).await;
    let problem = async || {
        let ready = second.get("/healthz/ready").await.json();
        ready["broker_problem"]
            .as_str()
            .unwrap_or_default()
            .contains("waybill-1")
    };
    until_equal(10, "the second names the client id", true, problem).await;
    assert!(second.text().contains("waybill-1"));
    // The first is not disturbed by it.
    ledger.merge(Sender::new(&broker).publish(orders("second", 100)).await);
    first.rests(30, 200).await;
    broker_is(&first, 1, "connected").await;
    first.kill();
    broker_is(&second, 30, "connected").await;
    ledger.merge(Sender::new(&broker).publish(orders("third", 100)).await);
    second.rests(30, 300).await;
    check(&bench, &second, &ledger).await;
}

#[tokio::test]
async fn an_order_sent_by_the_official_client_arrives() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let stan_pub = find_program("stan-pub", &[]).next();
    let stan_pub = stan_pub.expect("stan-pub is missing: `make tools` brings it to .tools/bin");
    let payload = order("from-go");
    let sent = publish_by(&stan_pub, &broker, std::str::from_utf8(&payload).unwrap());
    assert!(sent, "stan-pub failed");
    service.rests(30, 1).await;
    let ledger = Ledger {
        acked: vec![payload],
        ..Ledger::default()
    };
    check(&bench, &service, &ledger).await;
    assert_eq!(service.order("from-go").await.status, 200);
}

fn publish_by(program: &std::path::Path, broker: &Broker, text: &str) -> bool {
    let status = Command::new(program)
        .args(["-s", &broker.url(), "-c", broker.cluster_id()])
        .args(["-id", "go", "orders", text])
        .status();
    status.unwrap().success()
}

/// async-nats, which is told to make no second connection, calls that an error: we say what it means, and that is no alarm.
#[tokio::test]
async fn a_broker_that_goes_is_told_of_in_our_words() {
    let bench = Bench::new(Weight::Light).await;
    let mut broker = bench.broker(Store::File).await;
    let services = [
        bench.serve(Some(&broker), &[]).await,
        bench
            .serve_in(
                &["WAYBILL_LOG=info"],
                Some(&broker),
                &["--client-id", "waybill-2"],
            )
            .await,
    ];
    for service in &services {
        service.says(20, "receiving orders").await;
    }
    broker.kill();
    broker.start_again().await.unwrap();
    for service in &services {
        until_equal(40, "it receives again", 2, async || {
            service.text().matches("receiving orders").count()
        })
        .await;
        let log = service.text();
        assert!(log.contains("the broker was lost"), "{log}");
        assert!(
            !log.contains("ERROR") && !log.contains("reconnection"),
            "{log}"
        );
    }
}
