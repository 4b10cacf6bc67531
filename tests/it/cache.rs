//! The cache against a Postgres that is slow, silent or another one: what is asked once is answered to all, and what was read
//! before the cache was emptied is not kept after it. Most of it without a service, which would read again at once what was
//! not kept, and whose statements would be counted.

use std::sync::Arc;
use std::time::Duration;

use waybill::cache::{self, Cache, Miss};
use waybill::postgres::{Database, Settings};
use waybill::projection::InForce;

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

/// A cache of a database that has what it began with.
fn cache() -> Arc<Cache> {
    let cache = Cache::new(1 << 20);
    cache.serve(InForce::default().served());
    Arc::new(cache)
}

async fn load(cache: &Arc<Cache>, database: &Database, key: &str) -> cache::Loaded {
    let share = cache.named("orders").unwrap();
    cache.load(database, &share, key).await
}

#[tokio::test]
async fn all_who_miss_one_order_at_a_time_are_answered_by_two_statements() {
    const CLIENTS: usize = 40;
    // Each look for an order that is not there looks once for a letter.
    const LOOKS: &str =
        "select seq_scan + idx_scan from pg_stat_user_tables where relname = 'dead_letters'";
    const OURS: &str = "
        select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and usename = 'waybill'";
    let bench = Bench::new(Weight::Light).await;
    let (sql, stranger) = (bench.sql().await, bench.sql().await);
    let (cache, database) = (cache(), database(&bench));
    let before = sql.count(LOOKS).await;
    stranger.run("begin; lock table dead_letters").await;
    let load = || {
        let (cache, database) = (cache.clone(), database.clone());
        tokio::spawn(async move { load(&cache, &database, "nobody").await })
    };
    let first = load();
    is_stuck(&sql, STUCK).await;
    let others: Vec<_> = (1..CLIENTS).map(|_| load()).collect();
    tokio::task::yield_now().await;
    stranger.run("commit").await;
    for one in std::iter::once(first).chain(others) {
        let miss = one.await.unwrap().unwrap_err();
        assert!(matches!(*miss, Miss::NeverReceived), "{miss:?}");
    }
    // A session tells its counts when it ends.
    database.close();
    until_equal(20, "our sessions have ended", 0, async || {
        sql.count(OURS).await
    })
    .await;
    until_equal(20, "looks in Postgres", 2, async || {
        sql.count(LOOKS).await - before
    })
    .await;
}

#[tokio::test]
async fn a_load_that_hangs_leaves_one_statement_behind_and_is_told_to_all_who_wait() {
    let bench = Bench::new(Weight::Light).await;
    let service = Arc::new(bench.serve(None, &[]).await);
    let (sql, stranger) = (bench.sql().await, bench.sql().await);
    stranger.run("begin; lock table dead_letters").await;
    // Clients of one order that come one after the other, all before the first gives up.
    let mut arrivals = tokio::time::interval(Duration::from_millis(250));
    let mut clients = Vec::new();
    for _ in 0..8 {
        arrivals.tick().await;
        let service = service.clone();
        clients.push(tokio::spawn(
            async move { service.order("nobody").await.status },
        ));
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), 503);
    }
    assert_eq!(
        sql.count(STUCK).await,
        1,
        "statements that nobody waits for"
    );
    stranger.run("commit").await;
    until_equal(20, "Postgres answers again", 404, async || {
        service.order("nobody").await.status
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
    let (cache, database) = (cache(), database(&bench));
    stranger.run("begin; lock table orders").await;
    let loading = {
        let (cache, database) = (cache.clone(), database.clone());
        tokio::spawn(async move { load(&cache, &database, "old").await })
    };
    is_stuck(&sql, STUCK).await;
    cache.clear();
    stranger.run("commit").await;
    let answered = loading.await.unwrap().unwrap();
    assert_eq!(cache.hit("orders", "old"), None);
    assert_eq!(load(&cache, &database, "old").await.unwrap(), answered);
    assert_eq!(cache.hit("orders", "old"), Some(answered));
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
    let (cache, database) = (cache(), database(&bench));
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
