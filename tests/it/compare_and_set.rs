//! The checkpoint moves by compare-and-set: a leader that was overtaken between its read and its commit changes nothing. The
//! other leader is a session by hand, so that it comes exactly in between; no unique key would have stopped the first one.

use crate::harness::{Bench, Service, Sql, Weight, check, order, until, until_equal};

const AT_THE_GATE: &str = "
    select count(*) from pg_locks l join pg_stat_activity a using (pid)
    where a.application_name = 'waybill projector' and l.relation = 'orders'::regclass and not l.granted";

/// As the order is served.
fn rendered(bytes: &[u8]) -> String {
    let model = &waybill::collection::orders().model;
    model.to_json(&model.parse(bytes).unwrap())
}

/// A service that holds the batch with this order in its hands, and waits at the door that the session keeps closed.
async fn between_read_and_commit(bench: &Bench, sql: &Sql, order_uid: &str) -> Service {
    let service = bench.serve(None, &["--lease", "2"]).await;
    until_equal(20, "it leads", true, async || {
        !sql.text("select leader from checkpoint").await.is_empty()
    })
    .await;
    sql.run("begin; lock table orders in access exclusive mode")
        .await;
    service.post(order(order_uid)).await;
    waits(bench).await;
    service
}

/// Its writers connect after it leads, and inside a transaction pg_stat_activity stands still: another session looks. It waits
/// 2 s for the lock and comes again; nothing of what the gate's session has done by then is there for it to see.
async fn waits(bench: &Bench) {
    let looking = bench.sql().await;
    until_equal(20, "its projector waits", 1, async || {
        looking.count(AT_THE_GATE).await
    })
    .await;
}

async fn let_go(bench: &Bench, sql: &Sql) {
    waits(bench).await;
    sql.run("commit").await;
}

async fn leads_again(sql: &Sql) {
    until(20, "it leads again", async || {
        (sql.text("select leader from checkpoint").await != "other").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_another_leader_has_done_meanwhile_is_not_done_twice() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = between_read_and_commit(&bench, &sql, "twice").await;
    let bytes = order("twice");
    let data = rendered(&bytes);
    sql.run(&format!(
        "insert into orders (key, data, position, bytes_position) values ('twice', '{data}', 1, 1);
         insert into fates (collection, fate, count) values (0, 'document', 1);
         update checkpoint set leader = 'other', term = term + 1, renewals = renewals + 1, position = 1"
    ))
    .await;
    let_go(&bench, &sql).await;
    leads_again(&sql).await;
    // Now it finds an order with these very bytes: it would have been a duplicate, at the position of the order itself.
    service.post(order("next")).await;
    service.rests(20, 2).await;
    let count = check(&bench, &service, &Default::default()).await;
    assert_eq!((count.orders, count.duplicates), (2, 0));
}

/// A COMMIT whose answer was lost may hold only after the checkpoint was read again: nobody else leads, the position has moved.
#[tokio::test]
async fn a_commit_that_holds_late_is_not_projected_again() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = between_read_and_commit(&bench, &sql, "late").await;
    let data = rendered(&order("late"));
    sql.run(&format!(
        "insert into orders (key, data, position, bytes_position) values ('late', '{data}', 1, 1);
         insert into fates (collection, fate, count) values (0, 'document', 1);
         update checkpoint set position = 1, renewals = renewals + 1"
    ))
    .await;
    let_go(&bench, &sql).await;
    service.post(order("next")).await;
    service.rests(20, 2).await;
    let count = check(&bench, &service, &Default::default()).await;
    assert_eq!((count.orders, count.duplicates), (2, 0));
}

#[tokio::test]
async fn a_leader_without_the_lease_commits_nothing() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = between_read_and_commit(&bench, &sql, "late").await;
    sql.run("update checkpoint set leader = 'other', term = term + 1, renewals = renewals + 1")
        .await;
    let_go(&bench, &sql).await;
    until(20, "it leads again", async || {
        let row = sql
            .rows("select leader = 'other', c.position, (select count(*) from orders) from checkpoint c")
            .await;
        let (others, position, orders): (bool, i64, i64) =
            (row[0].get(0), row[0].get(1), row[0].get(2));
        if others {
            assert_eq!((position, orders), (0, 0), "it works without the lease");
        }
        (!others).then_some(())
    })
    .await;
    service.rests(20, 1).await;
    let count = check(&bench, &service, &Default::default()).await;
    assert_eq!(count.orders, 1);
}
