//! Two versions of the service on one database, and back to the older. There is one binary here: the other version is what it
//! leaves behind, verdicts with its number, orders that only it can read, migrations that only it knows.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{
    Bench, Ledger, Service, Sql, Weight, check, junk, order, order_with, tables, until_equal,
};
use crate::refusal::REFUSE;

/// A date that no version of today takes.
fn of_tomorrow(order_uid: &str) -> Bytes {
    order_with(order_uid, &[("2021-11-26T06:22:19Z", "tomorrow")])
}

/// Newer code took the letter's message for an order, and judged all others.
async fn newer_code_was_here(sql: &Sql, letter: i64, data: &str) {
    sql.run(&format!(
        "begin;
         insert into public.refinery_schema_history (version, name, applied_on, checksum)
             values (99, 'of_tomorrow', '2027-01-01T00:00:00Z', '1');
         delete from dead_letter_groups where fingerprint = (select fingerprint from dead_letters where id = {letter});
         delete from dead_letters where id = {letter};
         delete from verdict where position = {letter};
         insert into orders (key, data, position, bytes_position) values ('tomorrow', '{data}', {letter}, {letter});
         update fates set count = count + 1 where fate = 'document';
         update fates set count = count - 1 where fate = 'dead_letter';
         update verdict set code_version = code_version + 1;
         update dead_letters set code_version = code_version + 1;
         commit"
    ))
    .await;
}

async fn balances(service: &Service) {
    let account = service.json("/api/v1/reconciliation?verify=true").await;
    assert_eq!(account["balanced"], true, "{account:#}");
    assert_eq!(account["verified"]["findings"], json!([]), "{account:#}");
}

#[tokio::test]
async fn back_to_the_older_nothing_is_lost_and_nothing_judged_again() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let mut service = bench.serve(None, &[]).await;
    for number in 0..20 {
        service.post(order(&format!("plain-{number}"))).await;
        service.post(junk(number)).await;
    }
    let bytes = of_tomorrow("tomorrow");
    let letter = service.post(bytes.clone()).await;
    service.rests(20, 41).await;
    service.stop().await;
    let data = std::str::from_utf8(&bytes).unwrap();
    newer_code_was_here(&sql, letter, data).await;
    let before = tables(&sql).await;

    let other = bench.serve(None, &[]).await;
    service.start().await;
    for service in [&service, &other] {
        service.is_ready().await;
        balances(service).await;
        // What the older cannot read it serves as the newer wrote it.
        let answer = service.order("tomorrow").await;
        let wanted: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((answer.status, answer.json()), (200, wanted));
        assert_eq!(service.order("plain-7").await.status, 200);
    }
    // Its bytes once more are a duplicate, whoever reads them, and an order like it is none for us.
    service.post(bytes).await;
    other.post(of_tomorrow("another")).await;
    service.rests(20, 43).await;
    let after = tables(&sql).await;
    assert_eq!(after["orders"], before["orders"]);
    assert_eq!(after["duplicates"].len(), 1);
    let old: Vec<&String> = after["dead_letters"]
        .iter()
        .filter(|letter| !before["dead_letters"].contains(letter))
        .collect();
    assert_eq!(old.len(), 1, "{old:#?}");
    assert_eq!(after["decisions"].len(), 0);
    assert_eq!(sql.count("select count(*) from operation").await, 0);
    balances(&other).await;
}

#[tokio::test]
async fn what_newer_code_lets_pass_comes_home_once() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    sql.run(REFUSE).await;
    let mut service = bench.serve(None, &["--lease", "2"]).await;
    let poison = ("\"customer_id\": \"test\"", "\"customer_id\": \"poison\"");
    for number in 0..20 {
        service
            .post(order_with(&format!("held-{number}"), &[poison]))
            .await;
        service.post(junk(number)).await;
    }
    service.rests(20, 40).await;
    service.stop().await;
    // As older code would have left them: refused for good.
    sql.run("drop trigger refuse on live.orders").await;
    sql.run("update dead_letters set next_attempt_at = null, code_version = 0")
        .await;
    sql.run("update verdict set code_version = 0").await;
    let tried = sql.count("select count(*) from decisions").await;
    let other = bench.serve(None, &["--lease", "2"]).await;
    service.start().await;
    until_equal(20, "they come home", 20, async || {
        sql.count("select count(*) from orders").await
    })
    .await;
    let healed = "select count(*) from operation where key like 'heal:%' and state = 'done'";
    until_equal(20, "the others were looked at", 1, async || {
        sql.count(healed).await
    })
    .await;
    // The next leader, too, finds letters that older code judged: it knows that they were looked at.
    drop(service);
    drop(other);
    let mut service = bench.serve(None, &["--lease", "2"]).await;
    it_leads_and_has_looked(&sql, &service).await;
    assert_eq!(sql.count("select count(*) from operation").await, 1);
    assert_eq!(sql.count("select count(*) from operation_item").await, 40);
    service.rests(20, 60).await;
    let count = check(&bench, &service, &Ledger::default()).await;
    assert_eq!((count.orders, count.letters), (20, 40));
    let decided = sql.count("select count(*) from decisions").await - tried;
    assert_eq!(decided, 20, "one decision for each that came home");
    let open = "select count(*) from dead_letters where state = 'open'";
    assert_eq!(sql.count(open).await, 20);

    // Older code was here once more: what it has judged is looked at, too.
    let letter = service.post(junk(20)).await;
    service.rests(20, 61).await;
    service.stop().await;
    let older = format!("set code_version = 0 where position = {letter}");
    sql.run(&format!("update verdict {older}")).await;
    let older = older.replace("position", "id");
    sql.run(&format!("update dead_letters {older}")).await;
    service.start().await;
    until_equal(20, "it is looked at", 2, async || sql.count(healed).await).await;
    let again = format!(
        "select count(*) from operation_item where letter = {letter} and result = 'unchanged'"
    );
    assert_eq!(sql.count(&again).await, 1);
}

async fn it_leads_and_has_looked(sql: &Sql, service: &Service) {
    let looked = "select count(*) from healed h join checkpoint c on c.position = h.position where c.leader like $$PID-%$$";
    let looked = looked.replace("PID", &service.pid().to_string());
    until_equal(20, "it leads, and has looked at them", 1, async || {
        sql.count(&looked).await
    })
    .await;
}

#[tokio::test]
async fn work_that_only_newer_code_knows_is_left_to_it() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    sql.run("alter table operation drop constraint operation_kind")
        .await;
    let service = bench.serve(None, &[]).await;
    service.post(order("plain")).await;
    service.rests(10, 1).await;
    sql.run(
        "insert into operation (kind, state, asked_by, request) values ('of_tomorrow', 'pending', 'olga', '{}')",
    )
    .await;
    // What is asked for after it is worked, so it was passed over.
    service.replays(20).await;
    let left = "select count(*) from operation where kind = 'of_tomorrow' and state = 'pending'";
    assert_eq!(sql.count(left).await, 1);
}
