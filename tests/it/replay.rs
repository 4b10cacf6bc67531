//! Replays: killed, watched, under load, paused, cancelled, and stopped by a row that cannot be built.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use waybill::sandbox::broker::Store;

use crate::harness::{
    Bench, Ledger, OCTETS, Sender, Service, Sql, Weight, check, make_log, mixed, order, same,
    tables, until,
};

const QUICK: [&str; 2] = ["--lease", "2"];

/// A service with a projected log of so many rows.
async fn with_log(bench: &Bench, sql: &Sql, rows: i64) -> Service {
    let service = bench.serve(None, &QUICK).await;
    make_log(sql, rows).await;
    service.rests(60, rows).await;
    service
}

const NEXT: &str =
    "select coalesce((select position from checkpoint where projection = 'next'), 0)";
/// Holds the replay that was asked for at the end of a batch, until `commit`: it cannot be over before something is asked of it.
async fn hold(sql: &Sql) {
    let row = "select coalesce(max(position), 0) from (
        select position from checkpoint where projection = 'next' and position > 0 for update) held";
    until(20, "the replay is in the middle", async || {
        sql.run("begin").await;
        let held = sql.count(row).await > 0;
        if !held {
            sql.run("rollback").await;
        }
        held.then_some(())
    })
    .await;
}

const SCHEMAS: &str = "select count(*) from pg_namespace where nspname in ('next', 'retired')";

#[tokio::test]
async fn a_replay_killed_ten_times_goes_on_and_does_nothing_twice() {
    const ROWS: i64 = 20_000;
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let mut service = with_log(&bench, &sql, ROWS).await;
    let before = tables(&sql).await;
    let id = service.asks("/replays", &json!({"as": "olga"})).await;
    let mut reached = 0;
    let mut in_the_middle = 0;
    for _ in 0..10 {
        // At any moment: while rows are loaded, indexes are built, or the rest is caught up with.
        service.says(20, "projecting from position").await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..250))).await;
        let now = sql.count(NEXT).await;
        let over = service.operation_is_over(id).await;
        assert!(over || now >= reached, "it began anew: {now} < {reached}");
        in_the_middle += i32::from(!over);
        reached = now;
        service.kill();
        service.start().await;
    }
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    assert!(
        in_the_middle >= 6,
        "{in_the_middle} kills were in the middle"
    );
    same(&before, &tables(&sql).await);
    check(&bench, &service, &Ledger::default()).await;
    until(5, "nothing of the replay is left", async || {
        (sql.count(SCHEMAS).await == 0).then_some(())
    })
    .await;
}

impl Service {
    async fn operation_is_over(&self, id: i64) -> bool {
        let path = format!("/api/v1/operations/{id}");
        let answer = self.try_ask(Method::GET, &path, &[], "").await;
        answer.is_some_and(|answer| answer.json()["finished_at"].is_string())
    }
}

#[tokio::test]
async fn a_replay_does_not_wait_for_autovacuum() {
    let often = [("autovacuum_naptime", "1s")];
    let bench = Bench::with_own_postgres(Weight::Heavy, &often).await;
    let sql = bench.sql().await;
    let service = with_log(&bench, &sql, 3_000).await;
    // As on a table of terabytes: at work for hours. The shadow table takes the settings over.
    sql.run("alter table live.orders set (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,
                 autovacuum_vacuum_insert_threshold = 1, autovacuum_vacuum_insert_scale_factor = 0)")
        .await;
    until(30, "autovacuum is at work", async || {
        (sql.count(AT_VACUUM).await > 0).then_some(())
    })
    .await;
    let id = service.asks("/replays", &json!({"as": "olga"})).await;
    let ended = service.ends(20, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    check(&bench, &service, &Ledger::default()).await;
}

const AT_VACUUM: &str = "select count(*) from pg_locks
    where relation = 'live.orders'::regclass and mode = 'ShareUpdateExclusiveLock'";

/// What readers ask of the derived tables.
const LISTS: [&str; 6] = [
    "/api/v1/orders?limit=100",
    "/api/v1/orders?customer_id=test&limit=50",
    "/api/v1/dead-letters?limit=200",
    "/api/v1/dead-letters?state=discarded",
    "/api/v1/dead-letter-groups",
    "/api/v1/collections",
];

#[tokio::test]
async fn readers_see_the_old_projection_until_the_swap_and_then_the_new_one() {
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let service = Arc::new(with_log(&bench, &sql, 12_000).await);
    let mut wanted = Vec::new();
    for list in LISTS {
        wanted.push(service.get(list).await.body);
    }
    for _ in 0..3 {
        // The old projection can be told from the new: whatever it says, the replay makes it again from the log.
        sql.run("update live.dead_letters set message = 'old'")
            .await;
        let swapped = Arc::new(AtomicBool::new(false));
        let watching = {
            let (service, swapped) = (service.clone(), swapped.clone());
            tokio::spawn(async move {
                let mut looks = 0;
                let mut seen_new = false;
                loop {
                    let last = swapped.load(Ordering::Relaxed);
                    let page = service.json("/api/v1/dead-letters?limit=200").await;
                    let letters = page["items"].as_array().unwrap();
                    assert_eq!(letters.len(), 200);
                    let old = letters.iter().filter(|l| l["message"] == "old").count();
                    assert!(
                        old == 0 || old == letters.len(),
                        "a mixture: {old} old ones"
                    );
                    assert!(old == 0 || !seen_new, "the old projection came back");
                    seen_new = old == 0;
                    looks += 1;
                    if last {
                        assert!(seen_new);
                        return looks;
                    }
                }
            })
        };
        let lists = {
            let (service, swapped) = (service.clone(), swapped.clone());
            let wanted = wanted.clone();
            tokio::spawn(async move {
                while !swapped.load(Ordering::Relaxed) {
                    for (list, wanted) in LISTS.iter().zip(&wanted) {
                        let answer = service.get(list).await;
                        assert_eq!(answer.status, 200, "{list}: {answer:?}");
                        let letters = list.contains("dead-letters");
                        assert!(letters || answer.body == wanted, "{list}: {answer:?}");
                    }
                    let account = service.json("/api/v1/reconciliation").await;
                    assert_eq!(account["balanced"], true, "{account:#}");
                }
            })
        };
        service.replays(30).await;
        swapped.store(true, Ordering::Relaxed);
        let looks: i32 = watching.await.unwrap();
        assert!(looks > 10, "{looks} looks are too few to tell");
        lists.await.unwrap();
    }
    for (list, wanted) in LISTS.iter().zip(&wanted) {
        assert_eq!(service.get(list).await.body, wanted, "{list}");
    }
}

#[tokio::test]
async fn a_replay_catches_up_and_swaps_under_full_load() {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::Memory).await;
    let sql = bench.sql().await;
    let service = bench.serve(Some(&broker), &QUICK).await;
    make_log(&sql, 5_000).await;
    let enough = Arc::new(AtomicBool::new(false));
    let loading = {
        let (sender, enough) = (Sender::new(&broker), enough.clone());
        let looking = bench.sql().await;
        tokio::spawn(async move {
            let mut ledger = Ledger::default();
            let mut round = 0;
            while !enough.load(Ordering::Relaxed) && round < 12 {
                // Always more than it can take, and never so much that the rest takes minutes.
                if 5_000 + ledger.rows() - looking.head().await > 6_000 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                round += 1;
                let more = mixed(2_000, &format!("load-{round}"));
                ledger.merge(sender.publish(more).await);
            }
            ledger
        })
    };
    until(30, "the load is on", async || {
        (sql.head().await > 8_000).then_some(())
    })
    .await;
    let id = service.asks("/replays", &json!({"as": "olga"})).await;
    let at_start = sql.head().await;
    let ended = service.ends(60, id).await;
    let at_end = sql.head().await;
    enough.store(true, Ordering::Relaxed);
    assert_eq!(ended["state"], "done", "{ended:#}");
    assert!(at_end > at_start + 1_000, "no load: {at_start} to {at_end}");
    let ledger = loading.await.unwrap();
    service.rests(60, 5_000 + ledger.rows()).await;
    let after_swap = tables(&sql).await;
    service.replays(30).await;
    same(&after_swap, &tables(&sql).await);
    check(&bench, &service, &ledger).await;
}

#[tokio::test]
async fn a_replay_is_one_at_a_time_can_be_paused_resumed_and_cancelled() {
    let bench = Bench::new(Weight::Heavy).await;
    let (sql, gate) = (bench.sql().await, bench.sql().await);
    let service = with_log(&bench, &sql, 16_000).await;
    let before = tables(&sql).await;
    let id = service.asks("/replays", &json!({"as": "olga"})).await;
    let second = service.tell("/replays", None, &json!({})).await;
    assert_eq!(second.status, 409, "{second:?}");
    let link = format!("/api/v1/operations/{id}");
    assert_eq!(second.json()["links"][0]["href"], link, "{second:?}");
    hold(&gate).await;

    let turn = async |what: &str, id: i64| {
        let path = format!("/operations/{id}/{what}");
        let answer = service.tell(&path, None, &json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(turn("pause", id).await, "paused");
    assert_eq!(turn("pause", id).await, "paused", "a double click");
    gate.run("commit").await;
    let mut still = (0, 0);
    until(20, "it rests", async || {
        let now = sql.count(NEXT).await;
        still = if now == still.0 {
            (now, still.1 + 1)
        } else {
            (now, 0)
        };
        (still.1 > 30).then_some(())
    })
    .await;
    assert!(still.0 < 16_000, "it was paused too late to be a test");
    let third = service.tell("/replays", None, &json!({})).await;
    assert_eq!(third.status, 409, "one that is paused is one: {third:?}");

    assert!(["pending", "running"].contains(&turn("resume", id).await.as_str()));
    let again = turn("resume", id).await;
    assert!(
        ["pending", "running", "done"].contains(&again.as_str()),
        "a double click: {again}"
    );
    assert_eq!(service.ends(30, id).await["state"], "done");
    same(&before, &tables(&sql).await);

    // Cancelled at work, and cancelled while paused: nothing is left of it, and the next one can be asked for.
    for pause_first in [false, true] {
        let id = service.asks("/replays", &json!({"as": "olga"})).await;
        hold(&gate).await;
        if pause_first {
            assert_eq!(turn("pause", id).await, "paused");
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
        assert_eq!(turn("cancel", id).await, "cancelled");
        assert_eq!(turn("cancel", id).await, "cancelled", "a double click");
        gate.run("commit").await;
        until(20, "its tables are gone", async || {
            (sql.count(SCHEMAS).await == 0 && sql.count(NEXT).await == 0).then_some(())
        })
        .await;
        let resume = format!("/operations/{id}/resume");
        let late = service.tell(&resume, None, &json!({})).await;
        assert_eq!(late.status, 409, "{late:?}");
        same(&before, &tables(&sql).await);
    }
    service.post(order("after-all")).await;
    service.rests(10, 16_001).await;
}

#[tokio::test]
async fn a_replay_that_cannot_build_an_accepted_row_stops_and_changes_nothing() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    service.post(order("first")).await;
    let junk = service.post("junk that was once accepted, it seems").await;
    service.post(order("last")).await;
    service.rests(10, 3).await;
    let before = tables(&sql).await;
    sql.run(&format!("delete from verdict where position = {junk}"))
        .await;
    let id = service.asks("/replays", &json!({"as": "olga"})).await;
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    let said = ended["outcome"]["error"].as_str().unwrap();
    assert!(said.contains(&junk.to_string()), "{said}");
    same(&before, &tables(&sql).await);
    until(5, "nothing of the replay is left", async || {
        (sql.count(SCHEMAS).await == 0).then_some(())
    })
    .await;
    // It is asked for again, by the same key: the same operation; by another: another.
    let answer = service
        .ask(Method::POST, "/api/v1/replays", &[OCTETS], "")
        .await;
    assert_ne!(answer.status, 500, "{answer:?}");
    let position = service.post(order("still-alive")).await;
    service.rests(10, position).await;
    assert_eq!(service.order("still-alive").await.status, 200);
}
