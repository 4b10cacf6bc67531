//! The model grows: what the inbox has kept all along is served at once, is in `orders.data` after a replay, and makes no
//! conflict of what was a duplicate.

use serde_json::Value;

use crate::harness::{Bench, Ledger, Weight, check, order, order_with, same, tables};

#[tokio::test]
async fn a_field_that_the_model_gains_is_served_at_once_and_stored_by_a_replay() {
    const ORDERS: i64 = 40;
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let mut service = bench.serve(None, &[]).await;
    let uid = |number: i64| format!("old-{number}");
    for number in 0..ORDERS {
        service.post(order(&uid(number))).await;
    }
    service.rests(10, ORDERS).await;
    let today = tables(&sql).await;
    let bodies: Vec<_> = {
        let mut bodies = Vec::new();
        for number in 0..ORDERS {
            bodies.push(service.order(&uid(number)).await.body);
        }
        bodies
    };
    // Yesterday's code knew neither of these fields: the rows are as it would have written them.
    service.stop().await;
    sql.run("update live.orders set data = (data - 'oof_shard') #- '{payment,bank}' #- '{items,0,brand}'").await;
    // The smallest cache is warm too soon to be asked: what is restored, missed and listed is the same.
    service.start().await;
    for number in 0..ORDERS {
        let answer = service.order(&uid(number)).await;
        assert_eq!(answer.body, bodies[number as usize], "{number}");
    }
    let list = service
        .json("/api/v1/orders?customer_id=test&limit=500")
        .await;
    for order in list["items"].as_array().unwrap() {
        assert_eq!(order["oof_shard"], "1");
        assert_eq!(order["payment"]["bank"], "alpha");
    }
    assert_eq!(list["items"].as_array().unwrap().len() as i64, ORDERS);

    // The same bytes again, and the same order written otherwise; another order is a conflict as ever, and a value of the
    // new field counts.
    let spaced: Value = serde_json::from_slice(&order(&uid(1))).unwrap();
    service.post(order(&uid(0))).await;
    service
        .post(serde_json::to_string_pretty(&spaced).unwrap())
        .await;
    service
        .post(order_with(&uid(2), &[("{", "{ \"unknown\": {},")]))
        .await;
    let conflict = service
        .post(order_with(&uid(3), &[("\"alpha\"", "\"beta\"")]))
        .await;
    service.rests(10, ORDERS + 4).await;
    assert_eq!(sql.count("select count(*) from duplicates").await, 3);
    let letter = service
        .json(&format!("/api/v1/dead-letters/{conflict}"))
        .await;
    assert_eq!(letter["reason"], "conflict");
    assert_eq!(sql.count("select count(*) from dead_letters").await, 1);
    // As different as they are today, not as they were stored.
    let differences = letter["differences"].to_string();
    assert!(differences.contains("/payment/bank"), "{letter:#}");
    assert!(!differences.contains("oof_shard"), "{letter:#}");

    let missing =
        "select count(*) from orders where data ? 'oof_shard' and data -> 'payment' ? 'bank'";
    assert_eq!(
        sql.count(missing).await,
        0,
        "only a replay writes orders again"
    );
    let before = tables(&sql).await;
    service.replays(20).await;
    let after = tables(&sql).await;
    assert_eq!(
        after["orders"], today["orders"],
        "the rows have the fields again"
    );
    let but_orders = |tables: &crate::harness::Tables| {
        let mut tables = tables.clone();
        tables.remove("orders");
        tables
    };
    same(&but_orders(&before), &but_orders(&after));
    check(&bench, &service, &Ledger::default()).await;
}
