//! The cache against a Postgres that is slow, silent or another one: what was read before the cache was emptied is not kept
//! after it. The room itself, for a service would soon read again what was not kept.

use std::sync::Arc;

use waybill::cache::{self, Cache};
use waybill::postgres::{Database, Settings};

use crate::harness::{Bench, Sql, Weight, order, orders, until, until_equal};

/// As the service has them: so many readers.
fn database(bench: &Bench) -> Database {
    Database::new(Settings::parse(&bench.url, None, true).unwrap(), 8).unwrap()
}

/// Statements of ours that wait for a table which somebody holds.
const STUCK: &str = "
    select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and query like '%with found as%'";

async fn is_stuck(sql: &Sql, statement: &str) {
    until_equal(20, "it waits for the table", 1, async || {
        sql.count(statement).await
    })
    .await;
}

#[tokio::test]
async fn a_load_that_began_before_the_cache_was_emptied_is_answered_and_not_kept() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    service.post(order("old")).await;
    service.rests(10, 1).await;
    assert!(service.stop().await.success());
    let (sql, stranger) = (bench.sql().await, bench.sql().await);
    let (cache, database) = (Arc::new(Cache::new(1 << 20)), database(&bench));
    stranger.run("begin; lock table orders").await;
    let loading = {
        let (cache, database) = (cache.clone(), database.clone());
        tokio::spawn(async move { cache.load(&database, "old").await })
    };
    is_stuck(&sql, STUCK).await;
    cache.clear();
    stranger.run("commit").await;
    let answered = loading.await.unwrap().unwrap();
    assert_eq!(cache.get("old"), None);
    assert_eq!(cache.load(&database, "old").await.unwrap(), answered);
    assert_eq!(cache.get("old"), Some(answered));
}

#[tokio::test]
async fn a_restore_that_began_before_the_cache_was_emptied_begins_anew() {
    const RESTORING: &str = "
        select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'waybill restore'";
    const STUCK: &str = "
        select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'waybill restore' and wait_event_type = 'Lock'";
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    for payload in orders("old", 50) {
        service.post(payload).await;
    }
    service.rests(10, 50).await;
    assert!(service.stop().await.success());
    let (sql, stranger) = (bench.sql().await, bench.sql().await);
    let elsewhere = bench.beside().await.sql().await;
    let (cache, database) = (Arc::new(Cache::new(32 << 20)), database(&bench));
    stranger.run("begin; lock table decisions").await;
    let warming = tokio::spawn(cache::warm(cache.clone(), database.clone()));
    until(20, "it waits for the table", async || {
        (sql.count(STUCK).await > 0).then_some(())
    })
    .await;
    cache.clear();
    // What is connected goes on, and nobody comes in: the first try alone shows what it keeps.
    let name = sql.text("select current_database()::text").await;
    let admit = |admitted: bool| format!("alter database {name} with allow_connections {admitted}");
    elsewhere.run(&admit(false)).await;
    stranger.run("commit").await;
    until_equal(20, "the first try has ended", 0, async || {
        sql.count(RESTORING).await
    })
    .await;
    assert_eq!(cache.entries(), 0, "kept of the life before");
    assert!(!cache.is_warm());
    elsewhere.run(&admit(true)).await;
    until_equal(20, "it is warm", true, async || cache.is_warm()).await;
    assert_eq!(cache.entries(), 50);
    warming.await.unwrap();
}
