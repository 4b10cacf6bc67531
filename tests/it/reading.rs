//! The projector reads ahead of what it writes: rules that come between are asked all the same, and a gap in the log stops it.

use serde_json::json;
use waybill::expression::hash as rules_hash;

use crate::harness::{
    Bench, Ledger, Service, Sql, Weight, check, order_with, until_equal, with_rules,
};

const ONLY_RUSSIAN: &str = "
- id: locale_is_russian
  message: Only Russian orders.
  field: locale
  rule: order.locale == 'ru'
";

/// A row of the log: rules in the place of the definition of a position, 0.1's rules in the place of others by their texts, or a
/// message.
enum Row {
    Rules(&'static str, i64),
    OldRules(&'static str, &'static str),
    English(&'static str),
}

/// In one transaction, so that they are read as one batch.
async fn append(sql: &Sql, first: i64, rows: &[Row]) {
    let values: Vec<String> = (first..)
        .zip(rows)
        .map(|(position, row)| match row {
            Row::English(order_uid) => {
                let bytes = order_with(order_uid, &[]).to_vec();
                (
                    position,
                    "http",
                    quoted(&String::from_utf8(bytes).unwrap()),
                    "null".to_owned(),
                )
            }
            Row::Rules(rules, replaced) => {
                let text = with_rules(rules);
                let decision = json!({"action": "define", "collection": "orders", "who": "olga",
                    "text": text, "replaces_position": replaced});
                (
                    position,
                    "operator",
                    "null".to_owned(),
                    quoted(&decision.to_string()),
                )
            }
            Row::OldRules(text, replaced) => {
                let replaces = if replaced.is_empty() {
                    String::new()
                } else {
                    rules_hash(replaced)
                };
                let decision =
                    json!({"action": "rules", "who": "olga", "text": text, "replaces": replaces});
                (
                    position,
                    "operator",
                    "null".to_owned(),
                    quoted(&decision.to_string()),
                )
            }
        })
        .map(|(at, kind, payload, decision)| {
            format!(
                "({at}, {at}, {at}, {at}, now(), (select id from source where kind = '{kind}'),
                  convert_to({payload}, 'UTF8'), {decision}::jsonb)"
            )
        })
        .collect();
    sql.http_source().await;
    sql.run(&format!(
        "begin;
         insert into inbox (position, sequence, broker_time_ns, hash, received_at, source_id, payload, decision)
         values {};
         update inbox_head set next_position = greatest(next_position, {first} + {});
         commit",
        values.join(","),
        rows.len()
    ))
    .await;
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The rows that were rejected where they stand, by rules.
async fn rejected(sql: &Sql) -> Vec<i64> {
    let rows = sql
        .rows("select position from verdict where reason = 'rule' order by position")
        .await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_message_right_behind_new_rules_is_judged_by_them() {
    judged_by_the_rules_before_it(Row::Rules(ONLY_RUSSIAN, 0), Row::Rules("[]", 2)).await;
}

#[tokio::test]
async fn a_message_right_behind_new_rules_of_0_1_is_judged_by_them() {
    let rules = Row::OldRules("[]", ONLY_RUSSIAN);
    judged_by_the_rules_before_it(Row::OldRules(ONLY_RUSSIAN, ""), rules).await;
}

async fn judged_by_the_rules_before_it(strict: Row, none: Row) {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    // None are in force as they are read.
    let rows = [Row::English("before"), strict, Row::English("behind")];
    append(&sql, 1, &rows).await;
    service.rests(20, 3).await;
    assert_eq!(rejected(&sql).await, [3]);
    // Those that are in force as they are read reject.
    let rows = [Row::English("still-before"), none, Row::English("free")];
    append(&sql, 4, &rows).await;
    for _ in 0..2 {
        service.rests(20, 8).await;
        service.works_off(20).await;
    }
    assert_eq!(rejected(&sql).await, [3, 4]);
    // Two of them came home.
    let count = check(&bench, &service, &Ledger::default()).await;
    assert_eq!((count.rows, count.orders, count.letters), (8, 4, 2));
}

async fn gaps(service: &Service) -> String {
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    let (_, rest) = metrics.split_once("\nwaybill_inbox_gaps_total ").unwrap();
    rest.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_gap_in_the_log_is_an_alarm_and_nothing_is_skipped() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    assert_eq!(gaps(&service).await, "0");
    append(&sql, 1, &[Row::English("first")]).await;
    service.rests(20, 1).await;
    append(&sql, 3, &[Row::English("third"), Row::English("fourth")]).await;
    until_equal(20, "the gap is counted", "1".to_owned(), async || {
        gaps(&service).await
    })
    .await;
    service.says(5, "position 2 is missing, 3 is there").await;
    let position = "select position from checkpoint where projection = 'documents'";
    assert_eq!(sql.count(position).await, 1, "it went past the gap");
    // It looks again and again, goes on by itself, and has told it once.
    append(&sql, 2, &[Row::English("second")]).await;
    service.rests(20, 4).await;
    assert_eq!(service.text().matches("this must not be").count(), 1);
    assert_eq!(gaps(&service).await, "1");
    let count = check(&bench, &service, &Ledger::default()).await;
    assert_eq!(count.orders, 4);
}
