//! The account: it balances at every moment, and a row that is lost, doubled or made up is found.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill::account::{Patience, reconcile};
use waybill::config::ServeArgs;
use waybill::inbox::SourceId;
use waybill::postgres::{Database, Settings};
use waybill::sandbox::broker::{Broker, Store};

use crate::harness::{
    Bench, Sender, Service, Weight, check, mixed, order, orders, until, until_equal,
};

/// Counted in the tables themselves, in one snapshot.
const ROWS_BALANCE: &str = "
    select (select count(*) from inbox)
         - (select count(*) from orders) - (select count(*) from duplicates) - (select count(*) from dead_letters)
         - (select count(*) from decisions where fate = 'decision')
         - (select count(*) from inbox, checkpoint c where inbox.position > c.position)";

#[tokio::test]
async fn it_balances_at_every_moment_under_load() {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let sender = Sender::new(&broker).rate(2_000.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(8_000, "account")).await });
    let sql = bench.sql().await;
    let (mut looks, mut between) = (0, 0);
    while !sending.is_finished() {
        let path = match looks % 5 {
            0 => "/api/v1/reconciliation?verify=true",
            _ => "/api/v1/reconciliation",
        };
        let account = service.json(path).await;
        assert_eq!(account["balanced"], true, "{account:#}");
        if looks % 5 == 0 {
            assert_eq!(account["verified"]["findings"], json!([]), "{account:#}");
        }
        assert_eq!(sql.count(ROWS_BALANCE).await, 0);
        between += i64::from(account["pending"] != 0);
        looks += 1;
    }
    assert!(looks > 50, "only {looks} looks");
    assert!(between > 0, "never looked while something was pending");
    let ledger = sending.await.unwrap();
    service.rests(30, ledger.rows()).await;
    check(&bench, &service, &ledger).await;
}

/// What is done to the tables, and how it is made good again.
const HARMS: &[(&str, &str, &str)] = &[
    (
        "an inbox row is lost",
        "create table kept as select * from inbox where position = 7; delete from inbox where position = 7",
        "insert into inbox select * from kept; drop table kept",
    ),
    (
        "an inbox row is made up",
        "insert into inbox select position + 1000, sequence + 1000, broker_time_ns, hash, received_at, source_id, null, payload, decision
             from inbox where position = 7",
        "delete from inbox where position = 1007",
    ),
    (
        "an order is lost",
        "create table kept as select * from orders where position = 7; delete from orders where position = 7",
        "insert into orders select * from kept; drop table kept",
    ),
    (
        "an order is doubled",
        "insert into orders select position, bytes_position, key || 'x', data from orders where position = 7",
        "delete from orders where position = 7 and key like '%x'",
    ),
    (
        "one order is lost and another doubled",
        "create table kept as select * from orders where position = 7; delete from orders where position = 7;
         insert into orders select position, bytes_position, key || 'x', data from orders where position = 8",
        "insert into orders select * from kept; drop table kept; delete from orders where position = 8 and key like '%x'",
    ),
    (
        "an order is made up",
        "insert into orders select 1007, bytes_position, key || 'x', data from orders where position = 7",
        "delete from orders where position = 1007",
    ),
    (
        "an order's bytes are nowhere",
        "update orders set bytes_position = 1007 where position = 7",
        "update orders set bytes_position = 7 where position = 7",
    ),
    (
        "a duplicate is lost",
        "create table kept as select * from duplicates; delete from duplicates",
        "insert into duplicates select * from kept; drop table kept",
    ),
    (
        "an order is a duplicate too",
        "insert into duplicates values (7, 'seven')",
        "delete from duplicates where position = 7",
    ),
    (
        "a duplicate is made up",
        "insert into duplicates values (1007, 'seven')",
        "delete from duplicates where position = 1007",
    ),
    (
        "a dead letter is lost",
        "create table kept as select * from dead_letters; delete from dead_letters where id = (select min(id) from kept)",
        "insert into dead_letters select * from kept where id = (select min(id) from kept); drop table kept",
    ),
    (
        "a dead letter is lost, and an order made up in its place",
        "create table kept as select * from dead_letters; delete from dead_letters where id = (select min(id) from kept);
         insert into orders select (select min(id) from kept), bytes_position, key || 'x', data from orders where position = 7",
        "insert into dead_letters select * from kept where id = (select min(id) from kept);
         delete from orders where position = (select min(id) from kept); drop table kept",
    ),
    (
        "a decision is lost",
        "create table kept as select * from decisions; delete from decisions",
        "insert into decisions select * from kept; drop table kept",
    ),
    (
        "a fate is counted twice",
        "update fates set count = count + 1 where fate = 'document'",
        "update fates set count = count - 1 where fate = 'document'",
    ),
    (
        "two fates are confused",
        "update fates set count = count + case fate when 'document' then 1 else -1 end where fate in ('document', 'duplicate')",
        "update fates set count = count - case fate when 'document' then 1 else -1 end where fate in ('document', 'duplicate')",
    ),
    (
        "a position is skipped",
        "update inbox_head set next_position = next_position + 1",
        "update inbox_head set next_position = next_position - 1",
    ),
    (
        "a verdict is lost",
        "create table kept as select * from verdict; delete from verdict where position = (select min(position) from kept)",
        "insert into verdict select * from kept where position = (select min(position) from kept); drop table kept",
    ),
    (
        "the verdict of a retry that failed is lost",
        "create table kept as select * from verdict; delete from verdict where position = (select max(position) from kept)",
        "insert into verdict select * from kept where position = (select max(position) from kept); drop table kept",
    ),
    (
        "an order has a verdict",
        "insert into verdict select 7, definition, fingerprint, code_version, reason, code, message, pointer, key, violations
             from verdict order by position limit 1",
        "delete from verdict where position = 7",
    ),
    (
        "a group counts a letter twice",
        "update dead_letter_groups set open = open + 1",
        "update dead_letter_groups set open = open - 1",
    ),
    (
        "a group counts a letter in another state",
        "update dead_letter_groups set open = open + 1, discarded = discarded - 1 where discarded > 0",
        "update dead_letter_groups set open = open - 1, discarded = discarded + 1 where fingerprint in (
             select fingerprint from dead_letters where state = 'discarded')",
    ),
    (
        "a group is lost",
        "create table kept as select * from dead_letter_groups; delete from dead_letter_groups",
        "insert into dead_letter_groups select * from kept; drop table kept",
    ),
    (
        "a source's rows are miscounted",
        "update source_account set rows = rows + 1",
        "update source_account set rows = rows - 1",
    ),
    (
        "a number that came is missing in the account",
        "update source_account set received = received - '{[7,7]}'",
        "update source_account set received = received + '{[7,7]}'",
    ),
    (
        "a number that never came is in the account",
        "update source_account set received = received + '{[13,13]}'",
        "update source_account set received = received - '{[13,13]}'",
    ),
    (
        "a source's life is lost",
        "create table kept as select * from source_account; delete from source_account",
        "insert into source_account select * from kept; drop table kept",
    ),
    (
        "a source has a life too many",
        "insert into source_account select source_id, 2, 0, 1, 1, 0, last_at, '{}' from source_account",
        "delete from source_account where epoch = 2",
    ),
];

async fn verified(service: &Service) -> (bool, Value) {
    let account = service.json("/api/v1/reconciliation?verify=true").await;
    (account["well"].as_bool().unwrap(), account)
}

#[tokio::test]
async fn a_row_that_is_lost_doubled_or_made_up_is_found() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    Sender::new(&broker).publish(orders("row", 12)).await;
    service.rests(10, 12).await;
    service.post(order("row-3")).await;
    let junk = service.post("junk").await;
    let letter = service.post("more junk").await;
    let path = format!("/api/v1/dead-letters/{letter}/discard");
    let body = json!({"as": "tester", "reason": "junk"}).to_string();
    let answer = service
        .ask(reqwest::Method::POST, &path, &[JSON], body)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let path = format!("/api/v1/dead-letters/{junk}/retry");
    let body = json!({"as": "tester"}).to_string();
    let answer = service
        .ask(reqwest::Method::POST, &path, &[JSON], body)
        .await;
    assert_eq!(answer.json()["result"], "still_failing", "{answer:?}");
    service.rests(10, 17).await;

    let sql = bench.sql().await;
    let mut unnoticed = Vec::new();
    let (well, account) = verified(&service).await;
    assert!(well, "{account:#}");
    for (name, harm, heal) in HARMS {
        sql.run(&format!("begin; {harm}; commit")).await;
        if verified(&service).await.0 {
            unnoticed.push(name);
        }
        sql.run(&format!("begin; {heal}; commit")).await;
        let (well, account) = verified(&service).await;
        assert!(well, "after {name}: {account:#}");
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:#?}");
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// More than any one statement counts, and none of them projected: somebody else holds the lease, and stands still.
#[tokio::test]
async fn what_is_pending_is_counted_however_much_it_is() {
    const ROWS: i64 = 120_000;
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    sql.run("update checkpoint set leader = 'somebody'").await;
    let service = bench.serve(None, &["--lease", "300"]).await;
    sql.run(&format!(
        "insert into inbox (position, sequence, broker_time_ns, hash, received_at, source_id, payload)
         select n, n, n, n, now(), 1, 'x' from generate_series(1, {ROWS}) n;
         update inbox_head set next_position = {ROWS} + 1"
    ))
    .await;
    let account = async || {
        let account = service.json("/api/v1/reconciliation").await;
        let pending = account["pending"].as_i64().unwrap();
        (pending, account["balanced"].as_bool().unwrap())
    };
    assert_eq!(account().await, (ROWS, true));
    sql.run("delete from inbox where position in (50000, 110000)")
        .await;
    assert_eq!(account().await, (ROWS - 2, false));
}

/// A hole that the broker may still fill, as far as anybody here can tell: it has these messages, and has sent them to a
/// service of the same name in front of another database.
pub async fn take_elsewhere(bench: &Bench, broker: &Broker, payloads: Vec<Bytes>) {
    let elsewhere = bench.beside().await;
    let mut service = elsewhere.serve(Some(broker), &[]).await;
    let rows = payloads.len() as i64;
    Sender::new(broker).publish(payloads).await;
    service.rests(30, rows).await;
    assert!(service.stop().await.success());
}

#[tokio::test]
async fn a_hole_of_a_second_life_is_as_old_as_that_life() {
    let bench = Bench::new(Weight::Light).await;
    let mut broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    Sender::new(&broker).publish(orders("first", 60)).await;
    service.rests(30, 60).await;
    assert!(service.stop().await.success());
    let yesterday = "update inbox set received_at = received_at - interval '1 day'";
    bench.sql().await.run(yesterday).await;
    broker.wipe_and_restart().await.unwrap();
    service.start().await;
    Sender::new(&broker).publish(orders("second", 20)).await;
    service.rests(30, 80).await;
    assert!(service.stop().await.success());
    take_elsewhere(&bench, &broker, orders("elsewhere", 20)).await;
    service.start().await;
    Sender::new(&broker).publish(orders("third", 20)).await;
    service.rests(30, 100).await;
    let account = service.json("/api/v1/reconciliation").await;
    assert_eq!(
        account["sources"][1]["holes"],
        json!([{"first": 21, "last": 40, "state": "awaited"}])
    );
    assert_eq!(account["well"], true, "{account:#}");
}

#[tokio::test]
async fn a_hole_that_nobody_fills_is_lost_in_the_end() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    sql.run(
        "insert into source (kind, name) values ('stan', 'waybill/orders');
         insert into source_account select id, 1, 40, 1, 60, 0, now(), '{[1,20],[41,60]}' from source",
    )
    .await;
    let settings = Settings::parse(&bench.url, None, true).unwrap();
    let database = Database::new(settings, 2).unwrap();
    let reader = database.reader().await.unwrap();
    let account = reconcile(&reader).await.unwrap();
    let life = &account.sources[0];
    assert_eq!(life.holes, [(21, 40)]);
    let patience = Patience::default();
    let is_over = || patience.is_over(life.source, 1, 21, 40);
    assert!(!is_over());
    // Eleven looks, one ack_wait apart.
    let over = until(20, "the broker has had its chances", async || {
        is_over().then_some(())
    });
    tokio::select! {
        () = patience.watch(&database, Duration::from_millis(20)) => unreachable!("it looks for ever"),
        () = over => {}
    }
    assert!(!patience.is_over(SourceId(life.source.0 + 1), 1, 21, 40));
}

/// As `serve` runs, but in this process, where the broker's patience may be shorter than a setting can make it.
#[tokio::test]
async fn a_service_that_has_run_long_enough_says_that_a_hole_is_lost() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let name = format!("{}/orders", broker.cluster_id());
    let hole = format!(
        "insert into source (kind, name) values ('stan', '{name}');
         insert into source_account select id, 1, 40, 1, 60, 0, now(), '{{[1,20],[41,60]}}' from source"
    );
    bench.sql().await.run(&hole).await;
    let mut args = ServeArgs::defaults();
    args.database.database_url = Some(bench.url.clone());
    args.broker.stan_url = Some(broker.url());
    args.broker.cluster_id = broker.cluster_id().to_owned();
    args.client_id = Some("waybill-1".to_owned());
    args.listen = "127.0.0.1:0".parse().unwrap();
    let mut config = args.config().unwrap();
    let subscription = &mut config.broker.as_mut().unwrap().subscription;
    subscription.ack_wait = Duration::from_secs(1);
    let listener = waybill::api::listen(config.api.listen).await.unwrap();
    let url = format!(
        "http://{}/api/v1/reconciliation",
        listener.local_addr().unwrap()
    );
    let stop = CancellationToken::new();
    let running = tokio::spawn(waybill::serve::run(config, listener, stop.clone()));
    let state = async || {
        let account: Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
        let state = account["sources"][0]["holes"][0]["state"].as_str()?;
        Some(state.to_owned())
    };
    let first = until(20, "it answers", &state).await;
    assert_eq!(first, "awaited");
    until_equal(40, "its chances are over", Some("lost".to_owned()), &state).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}
