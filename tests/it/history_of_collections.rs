//! Random histories of several collections: definitions that come, change and go beside the messages, on two replicas of which
//! one is killed again and again. A replay afterwards changes nothing, and every document is served as it is stored.

use fastrand::Rng;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Bench, OCTETS, Service, Sql, Weight, healing_is_asked, until};

const ROUNDS: usize = 40;
const AT_ONCE: usize = 12;

const NAMES: [&str; 4] = ["notes", "tasks", "points", "readings"];

/// Each in some forms; what is fixed for a life is the same in all of them but the last, which a collection that is there refuses.
fn definition(random: &mut Rng, name: &str) -> String {
    let form = random.usize(..4);
    match name {
        "notes" => {
            let (lang, more) = [
                ("{type: string, default: en}", ""),
                ("{enum: [en, de], default: de}", "lookups: [/lang]\n"),
                (
                    "{type: string, default: en}",
                    "rules:\n  - {id: short, field: /text, message: Shorter., rule: size(document.text) < 3}\n",
                ),
                ("{type: string, maxLength: 2}", "one: note\n"),
            ][form];
            format!(
                "collection: notes\nschema:\n  type: object\n  required: [id, text]\n  properties:\n    id: {{type: string, minLength: 1}}\n    \
                 text: {{type: string}}\n    lang: {lang}\nkey: /id\n{more}"
            )
        }
        "tasks" => {
            let more = [
                "lookups: [/state]\n",
                "rules:\n  - {id: known, field: /state, message: Not that., rule: document.state != 'cooking'}\n",
                "lookups: [/note]\n",
                "title: Other\nkey: [/id, /version]\n",
            ][form];
            let key = if form == 3 { "" } else { "key: /id\n" };
            format!(
                "collection: tasks\nschema:\n  type: object\n  required: [id, version, state]\n  properties:\n    id: {{type: string, minLength: 1}}\n    \
                 version: {{type: integer}}\n    state: {{type: string}}\n    note: {{type: string, default: form {form}}}\n\
                 {key}keep: latest\nversion: /version\ngone: document.state == 'served'\n{more}"
            )
        }
        "points" => {
            let (factor, floor) = [("1", "0"), ("2", "0"), ("1", "-3"), ("3", "0")][form];
            let per = if form == 3 { "/kind" } else { "/who" };
            format!(
                "collection: points\nschema:\n  type: object\n  required: [id, who, kind, count]\n  properties:\n    id: {{type: string, minLength: 1}}\n    \
                 who: {{type: string, minLength: 1}}\n    kind: {{type: string, minLength: 1}}\n    count: {{type: integer}}\n\
                 key: /id\nsum: {{per: {per}, add: \"document.count * {factor}\", floor: {floor}}}\n"
            )
        }
        _ => {
            let more = [
                "",
                "lookups: [/device]\n",
                "title: More\n",
                "one: reading\n",
            ][form];
            format!(
                "collection: readings\nschema:\n  type: object\n  required: [device, t]\n  properties:\n    device: {{type: string, minLength: 1}}\n    \
                 t: {{type: number, minimum: {form}}}\n{more}"
            )
        }
    }
}

/// Of few keys, so that they meet.
fn message(random: &mut Rng, name: &str) -> String {
    if random.u32(..12) == 0 {
        return ["{", "[]", r#"{"id":""}"#, r#"{"id":"x","version":"1"}"#][random.usize(..4)]
            .to_owned();
    }
    let id = format!("k{}", random.u32(..25));
    match name {
        "notes" => {
            let text = ["a", "bb", "long"][random.usize(..3)];
            let lang = ["en", "tlh"][random.usize(..2)];
            match random.usize(..3) {
                0 => json!({"id": id, "text": text}),
                1 => json!({"id": id, "text": text, "lang": lang}),
                _ => json!({"text": text, "id": id, "more": 1}),
            }
        }
        "tasks" => {
            let state = ["ordered", "cooking", "ready", "served"][random.usize(..4)];
            json!({"id": id, "version": random.i64(1..9), "state": state})
        }
        "points" => {
            let who = format!("w{}", random.u32(..4));
            json!({"id": format!("p{}", random.u32(..200)), "who": who, "kind": "plain", "count": random.i64(-6..8)})
        }
        _ => json!({"device": id, "t": random.i32(-2..40)}),
    }
    .to_string()
}

enum Act {
    Define(String, String),
    Drop(String),
    Send(String, String),
    Decide(&'static str, i64),
    Resubmit(i64, String),
}

async fn act(sql: &Sql, random: &mut Rng) -> Act {
    let name = NAMES[random.usize(..NAMES.len())].to_owned();
    match random.u32(..100) {
        0..5 => Act::Define(name.clone(), definition(random, &name)),
        5 => Act::Drop(name),
        6..75 => {
            let text = message(random, &name);
            Act::Send(name, text)
        }
        _ => {
            let offset = random.u32(..100);
            let query = format!(
                "select coalesce((select id from dead_letters order by (id * 7919) % 1009 limit 1 offset {offset}), 1)"
            );
            let letter = sql.count(&query).await;
            match random.u32(..6) {
                0 | 1 => Act::Decide("retry", letter),
                2 => Act::Decide("discard", letter),
                3 => Act::Decide("reopen", letter),
                _ => Act::Resubmit(letter, message(random, &name)),
            }
        }
    }
}

async fn perform(service: &Service, act: Act) {
    let answer = match act {
        Act::Define(name, text) => service.try_define(&name, "", &text).await,
        Act::Drop(name) => {
            let path = format!("/api/v1/collections/{name}?as=olga");
            service.try_ask(Method::DELETE, &path, &[OCTETS], "").await
        }
        Act::Send(name, text) => {
            let path = format!("/api/v1/{name}");
            service.try_ask(Method::POST, &path, &[OCTETS], text).await
        }
        Act::Decide(action, letter) => {
            let path = format!("/dead-letters/{letter}/{action}");
            let body = json!({"as": "olga", "reason": "at random"});
            service.try_tell(&path, None, &body).await
        }
        Act::Resubmit(letter, text) => {
            let path = format!("/api/v1/dead-letters/{letter}/resubmit?as=olga");
            service.try_ask(Method::POST, &path, &[OCTETS], text).await
        }
    };
    // A service that is killed answers nothing.
    if let Some(answer) = answer {
        let known = matches!(answer.status, 200 | 202 | 404 | 409 | 503);
        assert!(known, "{answer:?}");
    }
}

/// Nothing is pending, no long work is left, and what the holder of the lease looks after by itself is done: every table is
/// rendered by the definition in force, and what was dropped has left nothing behind.
async fn settles(sql: &Sql, services: &[&Service]) {
    // Those wait for a sum, and would be tried again by the clock for ever.
    let body = json!({"action": "discard", "filter": {"code": "sum_too_low"}, "as": "olga", "reason": "the end"});
    for _ in 0..3 {
        healing_is_asked(sql).await;
        for service in services {
            service.rests(60, 0).await;
            service.works_off(60).await;
        }
        let id = services[0].asks("/dead-letters/batch", &body).await;
        services[0].ends(30, id).await;
    }
    until(60, "each table is of the definition in force", async || {
        let behind = sql
            .count(
                "select count(*) from collection c where rendered_by <> coalesce((select max(position)
                 from live.definitions d where d.collection = c.id and result = 'done' and action <> 'drop'), 0)",
            )
            .await;
        let in_force: Vec<i64> = services[1].json("/api/v1/collections").await["items"]
            .as_array()?
            .iter()
            .filter_map(|view| view["id"].as_i64())
            .collect();
        let tables = sql
            .rows("select substring(tablename from '^c([0-9]+)')::bigint from pg_tables where tablename ~ '^c[0-9]'")
            .await;
        (behind == 0 && tables.iter().all(|row| in_force.contains(&row.get(0)))).then_some(())
    })
    .await;
    for service in services {
        service.works_off(60).await;
        service.rests(60, 0).await;
    }
}

/// Each document of each collection in force, as the tables have it, from each replica; and none that they have not.
async fn is_served(sql: &Sql, services: &[&Service]) {
    let head = sql.head().await;
    for name in NAMES {
        let view = services[0]
            .get(&format!("/api/v1/collections/{name}"))
            .await;
        if view.status == 404 {
            for service in services {
                let answer = service
                    .get(&format!("/api/v1/{name}/k1?at_least={head}"))
                    .await;
                assert_eq!(answer.status, 404, "{name}: {answer:?}");
            }
            continue;
        }
        let view = view.json();
        let table = format!("live.c{}", view["id"]);
        let gone = if view["keep"] == "latest" {
            "gone"
        } else {
            "false"
        };
        let rows = sql
            .rows(&format!("select key, data::text, {gone} from {table}"))
            .await;
        for row in &rows {
            let (key, data, gone): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
            let stored: Value = serde_json::from_str(&data).unwrap();
            // Of several parts it is a list of them.
            let parts: Option<Vec<Value>> = serde_json::from_str(&key).ok();
            let path = match &parts {
                Some(parts) => {
                    let parts: Vec<String> = parts
                        .iter()
                        .map(|part| {
                            part.as_str()
                                .map_or_else(|| part.to_string(), str::to_owned)
                        })
                        .collect();
                    parts.join("/")
                }
                None => key.clone(),
            };
            for service in services {
                let answer = service
                    .get(&format!("/api/v1/{name}/{path}?at_least={head}"))
                    .await;
                let status = if gone { 404 } else { 200 };
                assert_eq!(answer.status, status, "{name}/{key}: {answer:?}");
                if !gone {
                    assert_eq!(answer.json(), stored, "{name}/{key} of {head}");
                }
            }
        }
    }
}

async fn a_random_history(seed: u64, kills: usize) {
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let mut random = Rng::with_seed(seed);
    let mut mortal = bench.serve(None, &["--lease", "2"]).await;
    let other = bench.serve(None, &["--lease", "2"]).await;
    for name in NAMES {
        let text = definition(&mut random, name);
        other.try_define(name, "", &text).await.unwrap();
    }
    for round in 0..ROUNDS {
        let mut acts = Vec::new();
        for _ in 0..AT_ONCE {
            acts.push((random.bool(), act(&sql, &mut random).await));
        }
        let together = join_all(acts.into_iter().map(|(here, act)| {
            let service = if here { &mortal } else { &other };
            perform(service, act)
        }));
        if round % (ROUNDS / kills) == ROUNDS / kills - 1 {
            // In the middle of it all.
            let moment = std::time::Duration::from_millis(random.u64(..30));
            let _ = tokio::time::timeout(moment, together).await;
            mortal.kill();
            mortal.start().await;
        } else {
            together.await;
        }
    }
    let services = [&mortal, &other];
    settles(&sql, &services).await;
    is_served(&sql, &services).await;
    for service in services {
        let account = service.json("/api/v1/reconciliation?verify=true").await;
        assert_eq!(account["well"], true, "seed {seed}: {account:#}");
    }
    other.replay_changes_nothing(&sql, 60).await;
    is_served(&sql, &services).await;
}

#[tokio::test]
async fn a_replay_changes_nothing_after_a_random_history_of_collections() {
    a_random_history(1, 4).await;
}

#[tokio::test]
async fn a_replay_changes_nothing_after_another_random_history_of_collections() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    a_random_history(seed, 4).await;
}
