//! Postgres crashes right after an acknowledgement. What was acknowledged is there when Postgres is back, before the service
//! could bring it again; what had not been, was not.
//!
//! A crash takes what is in the server's memory alone. So all that would write the WAL to the disk by itself is stopped, and
//! so are the projector's sessions, whose commits would do it, too: what is there afterwards, a flush has brought there.

use std::collections::HashSet;

use bytes::Bytes;
use reqwest::Method;
use tokio::task::JoinHandle;
use waybill::sandbox::broker::{Broker, Store};
use waybill::sandbox::process::{Signal, signal};

use crate::harness::{
    Answer, Bench, Ledger, OCTETS, Sender, Service, Sql, Weight, check, order, orders, until_equal,
};

const OTHERS: &str = "
    select pid::bigint from pg_stat_activity
    where backend_type in ('walwriter', 'background writer', 'checkpointer') or application_name = 'waybill projector'";
const FLUSHES: &str =
    "select pid::bigint from pg_stat_activity where application_name = 'waybill flush'";

/// What a new leader does once, and commits: it is over.
const SETTLED: &str = "
    select count(*) from healed where not exists (
        select from pg_stat_activity where application_name = 'waybill heal')";

/// From here on nothing but a flush of the log reaches the disk, for as long as a stage waits for an answer.
async fn stop_others(sql: &Sql) {
    until_equal(20, "the leader has settled", 1, async || {
        sql.count(SETTLED).await
    })
    .await;
    stop(sql, OTHERS).await;
}

async fn stop(sql: &Sql, processes: &str) {
    for row in sql.rows(processes).await {
        signal(row.get::<_, i64>(0) as u32, Signal::STOP);
    }
}

/// Postgres dies and comes back, while the services stand still; what is in the inbox then.
async fn crash(bench: &mut Bench, services: &mut [&mut Service]) -> HashSet<Bytes> {
    services.iter_mut().for_each(|service| service.pause());
    bench.postgres().kill();
    bench.postgres().start_again().await.unwrap();
    let rows = bench.sql().await.rows("select payload from inbox").await;
    let payloads = rows.iter().map(|row| row.get::<_, Vec<u8>>(0).into());
    let payloads = payloads.collect();
    services.iter_mut().for_each(|service| service.resume());
    payloads
}

async fn all_acknowledged(service: &Service) {
    until_equal(30, "messages not acknowledged", 0, async || {
        let stats = service.json("/api/v1/stats").await;
        stats["broker"]["lag"].as_i64().unwrap()
    })
    .await;
}

/// Many by the broker, five of them one by one, five over HTTP, and one of those again.
async fn acknowledge_all_kinds(service: &Service, broker: &Broker) -> Ledger {
    let mut ledger = Sender::new(broker).publish(orders("many", 300)).await;
    all_acknowledged(service).await;
    for number in 0..5 {
        let one = order(&format!("one-{number}"));
        ledger.merge(Sender::new(broker).publish([one]).await);
        all_acknowledged(service).await;
    }
    for number in 0..5 {
        let posted = order(&format!("posted-{number}"));
        service.post(posted.clone()).await;
        ledger.acked.push(posted);
    }
    let keyed = order("keyed");
    for repeated in [false, true] {
        let answer = post(service, "again", &keyed).await;
        assert_eq!(
            (answer.status, answer.json()["repeated"] == true),
            (202, repeated)
        );
    }
    ledger.acked.push(keyed);
    ledger
}

async fn post(service: &Service, key: &str, payload: &Bytes) -> Answer {
    let headers = [OCTETS, ("idempotency-key", key)];
    let payload = payload.clone();
    let answer = service.ask(Method::POST, "/api/v1/orders", &headers, payload);
    answer.await
}

async fn acknowledged_is_there_after_a_crash(settings: &[(&str, &str)], role: &str) {
    let settings = [&[("autovacuum", "off")], settings].concat();
    let mut bench = Bench::with_own_postgres(Weight::Light, &settings).await;
    bench.sql().await.run(role).await;
    let broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    // The first of each source goes another way than the next.
    let mut ledger = Sender::new(&broker).publish([order("first")]).await;
    let posted = order("first-posted");
    service.post(posted.clone()).await;
    ledger.acked.push(posted);
    service.rests(30, 2).await;
    stop_others(&bench.sql().await).await;
    ledger.merge(acknowledge_all_kinds(&service, &broker).await);
    let there = crash(&mut bench, &mut [&mut service]).await;
    let lost = ledger.acked.iter().filter(|one| !there.contains(*one));
    assert_eq!(lost.count(), 0, "acknowledged, and lost");
    service.rests(60, ledger.rows()).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows as i64, ledger.rows());
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    acknowledged_is_there_after_a_crash(&[], "").await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_where_the_server_commits_asynchronously() {
    acknowledged_is_there_after_a_crash(&[("synchronous_commit", "off")], "").await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_where_the_role_commits_asynchronously() {
    let role = "alter role waybill set synchronous_commit = off";
    acknowledged_is_there_after_a_crash(&[], role).await;
}

#[tokio::test]
async fn a_few_rows_are_not_answered_for_before_the_flush_and_appended_again_after_a_crash() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[("autovacuum", "off")]).await;
    let broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish([order("first")]).await;
    service.post(order("first-posted")).await;
    service.rests(30, 2).await;
    let sql = bench.sql().await;
    stop_others(&sql).await;
    stop(&sql, FLUSHES).await;
    ledger.merge(Sender::new(&broker).publish(orders("few", 3)).await);
    let posted = order("posted");
    let posting = spawn_post(&service, "in-doubt", &posted);
    until_equal(20, "committed", 6, async || sql.head().await).await;
    // An answer would be there by now.
    for _ in 0..5 {
        assert_eq!(service.get("/healthz/live").await.status, 200);
    }
    assert!(!posting.is_finished(), "answered before it was on the disk");
    let lag = service.json("/api/v1/stats").await["broker"]["lag"].clone();
    assert_eq!(lag, 3);
    let there = crash(&mut bench, &mut [&mut service]).await;
    assert_eq!(there.len(), 2, "the crash took nothing: this shows nothing");
    // They were lost, and are there before anyone is told that they are.
    service.rests(60, 6).await;
    let answer = post(&service, "in-doubt", &posted).await;
    assert_eq!(
        (answer.status, answer.json()["repeated"] == true),
        (202, true)
    );
    ledger.acked.push(posted);
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.rows, count.orders), (6, 6));
}

#[tokio::test]
async fn what_another_replica_has_not_flushed_is_flushed_before_its_repetition_is_answered() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[("autovacuum", "off")]).await;
    let mut stuck = bench.serve(None, &[]).await;
    stuck.post(order("first")).await;
    stuck.rests(30, 1).await;
    let sql = bench.sql().await;
    stop(&sql, FLUSHES).await;
    let mut other = bench.serve(None, &[]).await;
    stop_others(&sql).await;
    let twice = order("twice");
    let posting = spawn_post(&stuck, "twice", &twice);
    until_equal(20, "committed", 2, async || sql.head().await).await;
    let answer = post(&other, "twice", &twice).await;
    assert_eq!(
        (answer.status, answer.json()["repeated"] == true),
        (202, true)
    );
    let there = crash(&mut bench, &mut [&mut stuck, &mut other]).await;
    assert!(there.contains(&twice), "acknowledged, and lost");
    posting.abort();
    other.rests(60, 2).await;
    let mut ledger = Ledger::default();
    ledger.acked.push(twice);
    let count = check(&bench, &other, &ledger).await;
    assert_eq!((count.rows, count.orders), (2, 2));
}

fn spawn_post(service: &Service, key: &str, payload: &Bytes) -> JoinHandle<()> {
    let request = reqwest::Client::new()
        .post(format!("{}/api/v1/orders", service.url))
        .header(OCTETS.0, OCTETS.1)
        .header("idempotency-key", key)
        .body(payload.clone());
    tokio::spawn(async move {
        let _ = request.send().await;
    })
}
