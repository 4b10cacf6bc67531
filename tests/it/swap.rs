//! The swap of a replay: it is made by whoever holds the lease, of tables that are theirs.

use serde_json::json;

use crate::harness::{
    Bench, Ledger, Service, Sql, Weight, check, make_log, same, tables, until, until_equal,
};

/// A replay that waits for the locks of its swap: the open transaction reads `orders`, as a slow reader would.
async fn held_at_the_swap(bench: &Bench, service: &Service, reader: &Sql) -> i64 {
    reader.run("begin; select from live.orders limit 1").await;
    // Inside a transaction pg_stat_activity stands still.
    let looking = bench.sql().await;
    let id = service.asks("/replays", &json!({"as": "olga"})).await;
    until_equal(30, "the swap waits for orders", 1, async || {
        looking.count(WAITS).await
    })
    .await;
    id
}

const WAITS: &str = "
    select count(*) from pg_locks l join pg_stat_activity a using (pid)
    where a.application_name = 'waybill replay' and l.relation = 'live.orders'::regclass and not l.granted";

/// What another holder of the lease does that does not know the shadow tables: they are made anew, empty.
const BEGIN_ANEW: &str = "
    delete from next.orders; delete from next.duplicates; delete from next.dead_letters; delete from next.dead_letter_groups;
    delete from next.decisions; delete from next.rules; delete from next.source_account; update next.fates set count = 0;
    update checkpoint set position = 0, leader = 'other', renewals = renewals + 1 where projection = 'next'";

#[tokio::test]
async fn tables_that_another_holder_has_begun_anew_are_not_swapped_in() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &["--lease", "2"]).await;
    make_log(&sql, 500).await;
    service.rests(30, 500).await;
    let before = tables(&sql).await;
    let id = held_at_the_swap(&bench, &service, &sql).await;
    sql.run(&format!("{BEGIN_ANEW}; commit")).await;
    // The lease is still the service's own: it begins where those tables are, and ends its replay in order.
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    same(&before, &tables(&sql).await);
    check(&bench, &service, &Ledger::default()).await;
}

#[tokio::test]
async fn a_holder_that_has_lost_the_lease_does_not_swap() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &["--lease", "2"]).await;
    make_log(&sql, 500).await;
    service.rests(30, 500).await;
    let before = tables(&sql).await;
    let orders = "select 'live.orders'::regclass::oid::int8";
    let live = sql.count(orders).await;
    let id = held_at_the_swap(&bench, &service, &sql).await;
    sql.run(
        "update checkpoint set leader = 'other', term = term + 1, renewals = renewals + 1 where projection = 'live';
         commit",
    )
    .await;
    until(20, "it leads again", async || {
        let now = sql
            .rows("select leader = 'other', 'live.orders'::regclass::oid::int8 from checkpoint where projection = 'live'")
            .await;
        let (others, orders): (bool, i64) = (now[0].get(0), now[0].get(1));
        assert!(!others || orders == live, "it swapped without the lease");
        (!others).then_some(())
    })
    .await;
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    assert_ne!(sql.count(orders).await, live, "now it has swapped");
    same(&before, &tables(&sql).await);
    check(&bench, &service, &Ledger::default()).await;
}
