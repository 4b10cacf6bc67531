//! A dry run says of each letter what the decisions about it then come to, whatever has happened to the letters before.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::json;

use crate::harness::{Bench, Ledger, Service, Sql, Weight, check, order_with};
use crate::operations::keep_healing_off;

const RULES: &str = "
- id: locale_is_russian
  message: Only Russian orders.
  field: locale
  rule: order.locale == 'ru'
";
const LOOSER: &str = "
- id: not_by_dhl
  message: Nobody delivers by that one.
  field: delivery_service
  rule: order.delivery_service != 'dhl'
";

/// Few order_uids for many messages: most letters meet orders, or other letters, of theirs.
fn message(random: &mut Rng, number: usize) -> String {
    if random.u8(..10) == 0 {
        return format!("junk {number}");
    }
    let order_uid = format!("uid-{}", random.u16(..700));
    let mut edits = vec![];
    if random.u8(..4) == 0 {
        edits.push(("\"en\"", "\"ru\""));
    }
    match random.u8(..6) {
        0 => edits.push(("\"meest\"", "\"dhl\"")),
        1 => edits.push(("\"sm_id\": 99", "\"sm_id\": 98")),
        // The same order in other bytes.
        2 => edits.push(("{", "{ \"unknown\": 1,")),
        _ => {}
    }
    String::from_utf8(order_with(&order_uid, &edits).to_vec()).unwrap()
}

/// In one transaction, as a sender would have brought them.
async fn receive(sql: &Sql, service: &Service, messages: &[String]) {
    let quoted = |text: &String| format!("'{}'", text.replace('\'', "''"));
    let texts: Vec<String> = messages.iter().map(quoted).collect();
    sql.http_source().await;
    let head = sql.head().await;
    sql.run(&format!(
        "begin;
         insert into inbox (position, sequence, broker_time_ns, hash, received_at, source_id, payload)
         select {head} + n, {head} + n, {head} + n, {head} + n, now(), (select id from source where kind = 'http' and collection = 'orders'),
                convert_to(text, 'UTF8')
         from unnest(array[{}]) with ordinality as w (text, n);
         update inbox_head set next_position = next_position + {};
         commit",
        texts.join(","),
        texts.len()
    ))
    .await;
    service.rests(30, head + messages.len() as i64).await;
}

/// By letter: what was said, and as what it fails.
type Said = BTreeMap<i64, (String, Option<String>)>;

async fn said(sql: &Sql, operation: i64) -> Said {
    let items = format!(
        "select letter, result, detail ->> 'fingerprint' from operation_item where operation = {operation}"
    );
    let rows = sql.rows(&items).await;
    rows.iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2))))
        .collect()
}

/// As the log and the tables have it: the words of a dry run for what was decided.
async fn came_to_pass(sql: &Sql, operation: i64) -> Said {
    let decided = format!(
        "select d.letter, d.action, d.result, d.fate, v.fingerprint
         from decisions d join inbox i using (position) left join verdict v using (position)
         where i.key like 'operation:{operation}:%' order by position"
    );
    let rows = sql.rows(&decided).await;
    let letters = rows.iter().map(|row| row.get::<_, i64>(0));
    assert!(letters.is_sorted(), "not decided in the set's order");
    rows.iter()
        .map(|row| {
            let [action, result, fate]: [&str; 3] = [row.get(1), row.get(2), row.get(3)];
            let word = match (result, fate, action) {
                ("done", "document", _) => "would_pass",
                ("done", "duplicate", _) => "would_be_duplicate",
                ("done", "decision", "reopen") => "would_reopen",
                ("done", "decision", "discard" | "note") => "would_do",
                ("still_failing", "decision", "retry") => "would_fail",
                ("already_so", "decision", _) => "would_be_already_so",
                ("too_late", "decision", _) => "would_be_too_late",
                other => panic!("{other:?}"),
            };
            let fingerprint = (word == "would_fail")
                .then(|| waybill::dead_letter::format_fingerprint(row.get(4)));
            (row.get(0), (word.to_owned(), fingerprint))
        })
        .collect()
}

#[tokio::test]
async fn a_dry_run_says_of_each_letter_what_the_decision_then_comes_to() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    keep_healing_off(&sql).await;
    service.apply(RULES).await;
    let messages: Vec<String> = (0..900).map(|n| message(&mut random, n)).collect();
    receive(&sql, &service, &messages).await;
    service.apply(LOOSER).await;
    let mut seen = BTreeMap::new();
    for round in 0..8 {
        // More of them, under the rules of now; and decisions of one letter each, of every kind.
        let more: Vec<String> = (0..60)
            .map(|n| message(&mut random, 1_000 * round + n))
            .collect();
        receive(&sql, &service, &more).await;
        let letters = sql.rows("select id from dead_letters order by id").await;
        let letters: Vec<i64> = letters.iter().map(|row| row.get(0)).collect();
        for _ in 0..6 {
            let letter = letters[random.usize(..letters.len())];
            let mended = order_with(
                &format!("mended-{}", random.u8(..40)),
                &[("\"en\"", "\"ru\"")],
            );
            match random.u8(..4) {
                0 => drop(service.decide(letter, "discard").await),
                1 => drop(service.decide(letter, "reopen").await),
                2 => drop(service.decide(letter, "retry").await),
                _ => drop(service.resubmit(letter, mended).await),
            }
        }
        let action = ["retry", "reopen", "retry", "discard", "note"][random.usize(..5)];
        let share = random.u8(1..=100);
        let set: Vec<i64> = letters
            .into_iter()
            .filter(|_| random.u8(..100) < share)
            .collect();
        let mut body = json!({"action": action, "filter": {"ids": set}, "as": "olga", "reason": "a test", "dry_run": true});
        let dry = service.asks("/dead-letters/batch", &body).await;
        let ended = service.ends(30, dry).await;
        assert_eq!(ended["state"], "done", "{ended:#}");
        body["dry_run"] = false.into();
        let real = service.asks("/dead-letters/batch", &body).await;
        let ended = service.ends(30, real).await;
        assert_eq!(ended["state"], "done", "{ended:#}");
        let (foretold, real) = (said(&sql, dry).await, came_to_pass(&sql, real).await);
        assert_eq!(foretold.len(), real.len(), "round {round}: {action}");
        for (letter, would) in &foretold {
            assert_eq!(would, &real[letter], "round {round}: {action} of {letter}");
            *seen.entry(would.0.clone()).or_insert(0) += 1;
        }
    }
    eprintln!("{seen:?}");
    check(&bench, &service, &Ledger::default()).await;
}
