//! Rules in a replay: which are in force goes on from batch to batch, through the load and the catching up.

use crate::harness::{
    Bench, Ledger, Service, Sql, Weight, check, junk, make_log, same, tables, until, with_rules,
};
use crate::swap::held_at_the_swap;

fn rules(name: &str) -> String {
    format!(
        "- {{id: {name}, message: Never., field: order_uid, rule: \"order.order_uid != '{name}'\"}}"
    )
}

/// Each replaces the ones before, which a fold that has forgotten them says is too late.
async fn applies(service: &Service, names: &[&str]) {
    for name in names {
        service.apply(&rules(name)).await;
    }
}

async fn in_force(sql: &Sql) -> String {
    sql.text("select text from definitions where result = 'done' order by position desc limit 1")
        .await
}

#[tokio::test]
async fn the_load_knows_in_each_batch_which_rules_are_in_force() {
    // A batch of the load has 4,096 rows.
    const BETWEEN: i64 = 4_500;
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &["--lease", "2"]).await;
    applies(&service, &["a", "b"]).await;
    for name in ["c", "d"] {
        let head = sql.head().await;
        make_log(&sql, BETWEEN).await;
        service.rests(60, head + BETWEEN).await;
        applies(&service, &[name]).await;
    }
    let before = tables(&sql).await;
    assert_eq!(in_force(&sql).await, with_rules(&rules("d")));
    service.replays(60).await;
    same(&before, &tables(&sql).await);
    check(&bench, &service, &Ledger::default()).await;
}

#[tokio::test]
async fn the_catching_up_knows_which_rules_are_in_force() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &["--lease", "2"]).await;
    applies(&service, &["a", "b"]).await;
    make_log(&sql, 300).await;
    service.rests(30, 302).await;
    let reader = bench.sql().await;
    let id = held_at_the_swap(&bench, &service, &reader).await;
    // All that comes now is folded one batch at a time, after the load.
    for round in 0..3 {
        applies(&service, &[["c", "d", "e"][round]]).await;
        service.post(junk(round)).await;
    }
    until(20, "it is projected", async || {
        let lag = "select next_position - 1 - position from inbox_head, checkpoint where projection = 'documents'";
        (sql.count(lag).await == 0).then_some(())
    })
    .await;
    let before = tables(&sql).await;
    assert_eq!(in_force(&sql).await, with_rules(&rules("e")));
    reader.run("commit").await;
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    same(&before, &tables(&sql).await);
    check(&bench, &service, &Ledger::default()).await;
}
