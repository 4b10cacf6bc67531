//! Random histories: messages of every kind, every decision at any time, rules that come and go, bulk operations, and the
//! service killed in the middle. A replay afterwards changes nothing at all.

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use waybill::sandbox::broker::Store;

use crate::harness::{
    Bench, Ledger, OCTETS, Sender, Service, Sql, Weight, check, healing_is_asked, junk, mixed,
    order, order_with, same, tables,
};

const ROUNDS: usize = 40;
const AT_ONCE: usize = 12;

const STRICT: &str = "
- id: locale_is_english
  message: Only English orders.
  field: locale
  rule: order.locale == 'en'
- id: no_shard_nine
  message: Not this shard.
  field: shardkey
  rule: order.shardkey != '7'
";
const LOOSE: &str = "
- id: no_shard_nine
  message: Not this shard.
  field: shardkey
  rule: order.shardkey != '7'
";
const NONE: &str = "[]";

/// One message: mostly of few order_uids, so that they meet.
fn message(random: &mut Rng) -> Bytes {
    let number = random.usize(..400);
    let order_uid = format!("random-{number}");
    match random.u32(..100) {
        0..40 => order(&order_uid),
        40..55 => order_with(&order_uid, &[("\"en\"", "\"ru\"")]),
        55..65 => order_with(
            &order_uid,
            &[("\"shardkey\": \"9\"", "\"shardkey\": \"7\"")],
        ),
        65..72 => order_with(&order_uid, &[("{", "{ \"unknown\": [1],")]),
        72..75 => order_with(&order_uid, &[("Test Testov", "\\u0000")]),
        _ => junk(number),
    }
}

/// A letter that may be one, may be closed, may be an order or not be there at all.
async fn letter(sql: &Sql, random: &mut Rng) -> i64 {
    let offset = random.u32(..200);
    let query = format!(
        "select coalesce((select id from dead_letters order by (id * 7919) % 1009 limit 1 offset {offset}), 1)"
    );
    match random.u32(..20) {
        0 => random.i64(-5..1_000_000),
        1 => random.i64(1..=sql.head().await.max(1)),
        _ => sql.count(&query).await,
    }
}

/// What is asked of the service at once; answers are not waited for by anyone in particular.
enum Act {
    Post(Bytes),
    Decide(&'static str, i64),
    Resubmit(i64, Bytes),
    Rules(&'static str, &'static str),
    Bulk(Value),
}

async fn act(sql: &Sql, random: &mut Rng) -> Act {
    match random.u32(..100) {
        0..35 => Act::Post(message(random)),
        35..92 => {
            let letter = letter(sql, random).await;
            match random.u32(..12) {
                0..4 => Act::Decide("retry", letter),
                4..7 => Act::Decide("discard", letter),
                7..9 => Act::Decide("reopen", letter),
                9 => Act::Decide("notes", letter),
                _ => Act::Resubmit(letter, message(random)),
            }
        }
        92..97 => {
            let rules = [STRICT, LOOSE, NONE][random.usize(..3)];
            Act::Rules(["", "replaces=999999"][random.usize(..2)], rules)
        }
        _ => {
            let reason = ["rule", "schema", "conflict", "unstorable"][random.usize(..4)];
            let action = ["retry", "discard", "reopen", "note"][random.usize(..4)];
            Act::Bulk(json!({
                "action": action, "filter": {"reason": reason}, "as": "olga", "reason": "in bulk",
            }))
        }
    }
}

/// True where the answer is one that a client can be given.
async fn perform(service: &Service, act: Act) {
    let answer = match act {
        Act::Post(bytes) => {
            let path = "/api/v1/orders";
            service.try_ask(Method::POST, path, &[OCTETS], bytes).await
        }
        Act::Decide(action, letter) => {
            let path = format!("/dead-letters/{letter}/{action}");
            let body = json!({"as": "olga", "reason": "at random"});
            service.try_tell(&path, None, &body).await
        }
        Act::Resubmit(letter, bytes) => {
            let path = format!("/api/v1/dead-letters/{letter}/resubmit?as=olga");
            service.try_ask(Method::POST, &path, &[OCTETS], bytes).await
        }
        Act::Rules(query, rules) => service.try_apply(query, rules).await,
        Act::Bulk(body) => service.try_tell("/dead-letters/batch", None, &body).await,
    };
    // A service that is killed answers nothing.
    if let Some(answer) = answer {
        assert!(
            matches!(answer.status, 200 | 202 | 404 | 409 | 503),
            "{answer:?}"
        );
    }
}

async fn a_random_history(seed: u64, kills: usize) {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::Memory).await;
    let sql = bench.sql().await;
    let mut random = Rng::with_seed(seed);
    let sending = {
        let sender = Sender::new(&broker).rate(300.0);
        tokio::spawn(async move { sender.publish(mixed(1_500, "history")).await })
    };
    let mut service = bench.serve(Some(&broker), &["--lease", "2"]).await;
    for round in 0..ROUNDS {
        let mut acts = Vec::new();
        for _ in 0..AT_ONCE {
            acts.push(act(&sql, &mut random).await);
        }
        let together = join_all(acts.into_iter().map(|act| perform(&service, act)));
        if round % (ROUNDS / kills) == ROUNDS / kills - 1 {
            // In the middle of it all.
            let moment = std::time::Duration::from_millis(random.u64(..30));
            let _ = tokio::time::timeout(moment, together).await;
            service.kill();
            service.start().await;
        } else {
            together.await;
        }
    }
    let sent = sending.await.unwrap();
    service.rests(30, sent.rows()).await;
    healing_is_asked(&sql).await;
    service.works_off(30).await;
    // What came last may have asked for more healing.
    service.rests(30, sent.rows()).await;
    service.works_off(30).await;
    service.rests(30, sent.rows()).await;

    let before = tables(&sql).await;
    for name in [
        "orders",
        "duplicates",
        "dead_letters",
        "decisions",
        "definitions",
    ] {
        assert!(before[name].len() > 5, "seed {seed}: too few {name}");
    }
    nothing_open_would_pass(&service).await;
    service.replays(30).await;
    same(&before, &tables(&sql).await);
    // What was posted may have been stored without an answer: the broker's messages are in the book.
    let ledger = Ledger::default();
    check(&bench, &service, &ledger).await;
}

/// Whatever rules came and went: those that would pass now came home by themselves.
async fn nothing_open_would_pass(service: &Service) {
    let body =
        json!({"action": "retry", "filter": {"state": "open"}, "dry_run": true, "as": "olga"});
    let id = service.asks("/dead-letters/batch", &body).await;
    let ended = service.ends(20, id).await;
    let results = &ended["outcome"]["results"];
    assert_eq!(results["would_pass"], Value::Null, "{ended:#}");
    assert_eq!(results["would_be_duplicate"], Value::Null, "{ended:#}");
}

#[tokio::test]
async fn a_replay_changes_nothing_after_a_random_history() {
    a_random_history(1, 4).await;
}

#[tokio::test]
async fn a_replay_changes_nothing_after_another_random_history() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    a_random_history(seed, 2).await;
}
