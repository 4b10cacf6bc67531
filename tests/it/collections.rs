//! Collections as their users meet them: defined by one file, filled, changed, dropped. What a replay makes is what was.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::harness::{Bench, Service, Weight, until};

const KITCHEN: &str = include_str!("../../examples/kitchen.yaml");
const LOYALTY: &str = include_str!("../../examples/loyalty.yaml");
const TELEMETRY: &str = include_str!("../../examples/telemetry.yaml");

const NOTES: &str = "\
collection: notes
one: note
schema:
  type: object
  required: [id, text]
  properties:
    id: {type: string, minLength: 1}
    text: {type: string}
    lang: {type: string, default: en}
key: /id
";

fn task(id: &str, version: i64, state: &str) -> String {
    let task = json!({"task_id": id, "version": version, "table": 4, "state": state, "dishes": [{"dish": "ramen"}]});
    task.to_string()
}

fn entry(id: &str, kind: &str, cents: i64, points: i64) -> String {
    let at = "2026-11-30T10:00:00Z";
    let entry = json!({"entry_id": id, "customer": "ada", "kind": kind, "at": at, "amount": cents, "points": points});
    entry.to_string()
}

/// Of all rows, how many are what; they add up.
async fn account(service: &Service) -> Value {
    let account = service.json("/api/v1/reconciliation?verify=true").await;
    assert_eq!(account["balanced"], true, "{account:#}");
    assert_eq!(account["well"], true, "{account:#}");
    account
}

/// The letter's state and code.
async fn letter(service: &Service, id: i64) -> (String, String) {
    let letter = service.json(&format!("/api/v1/dead-letters/{id}")).await;
    let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("code"))
}

async fn status(service: &Service, path: &str) -> u16 {
    service.get(&format!("/api/v1/{path}")).await.status
}

#[tokio::test]
async fn of_two_definitions_that_replace_the_same_the_first_wins() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let first = service.define("notes", NOTES).await;
    // Somebody else's, made before he saw ours.
    let other = NOTES.replace("minLength: 1", "minLength: 2");
    let late = service.try_define("notes", "replaces=0", &other).await;
    assert_eq!(late.unwrap().status, 409);
    let query = format!("replaces={first}");
    let again = service.try_define("notes", &query, NOTES).await.unwrap();
    assert_eq!(
        (again.status, &again.json()["result"]),
        (200, &json!("already_so"))
    );
    // Another key is another collection; what is fixed is checked where the order of decisions is known.
    let keyed = NOTES.replace("key: /id", "key: /text");
    let refused = service.try_define("notes", "", &keyed).await.unwrap();
    assert_eq!(refused.status, 409, "{refused:?}");
    let defined = service.json("/api/v1/collections/notes").await;
    assert_eq!(
        (&defined["id"], &defined["position"]),
        (&json!(first), &json!(first))
    );
    assert_eq!(defined["text"], NOTES);
    let history = service.json("/api/v1/collections/notes/definitions").await;
    let results: Vec<&str> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["refused", "already_so", "too_late", "done"]);
    account(&service).await;
}

#[tokio::test]
async fn what_came_before_its_collection_is_a_letter_that_its_definition_heals() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    assert_eq!(status(&service, "notes").await, 404);
    // As a source sends that is bound to a name which nobody defined yet.
    let sql = bench.sql().await;
    sql.run(
        "begin;
         insert into source (kind, name, collection) values ('http', 'notes', 'notes');
         update inbox_head set highest = highest || 0::bigint where cardinality(highest) < (select max(id) from source);
         insert into inbox (position, sequence, broker_time_ns, hash, received_at, source_id, payload)
         select next_position, 1, 1, 1, now(), (select id from source where name = 'notes'), '{\"id\":\"n1\",\"text\":\"early\"}'
         from inbox_head;
         update inbox_head set next_position = next_position + 1;
         commit",
    )
    .await;
    service.rests(10, 1).await;
    let early = service
        .json("/api/v1/dead-letters?code=no_collection")
        .await;
    let id = early["items"][0]["id"].as_i64().unwrap();
    assert!(
        early["items"][0]["collection"] == "notes" || early["items"][0]["collection"].is_null(),
        "{early:#}"
    );
    service.define("notes", NOTES).await;
    until(20, "the letter heals", async || {
        (letter(&service, id).await.0 == "replaced").then_some(())
    })
    .await;
    let note = service.json("/api/v1/notes/n1").await;
    assert_eq!(note, json!({"id": "n1", "text": "early", "lang": "en"}));
    service.works_off(20).await;
    account(&service).await;
}

#[tokio::test]
async fn a_dropped_collections_name_begins_with_nothing() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    service.define("notes", NOTES).await;
    service.send("notes", r#"{"id":"n1","text":"mine"}"#).await;
    let bad = service.send("notes", r#"{"id":"n2"}"#).await;
    service.rests(10, 3).await;
    assert_eq!(status(&service, "notes/n1").await, 200);
    let dropped = service
        .ask(
            reqwest::Method::DELETE,
            "/api/v1/collections/notes?as=olga",
            &[],
            "",
        )
        .await;
    assert_eq!(dropped.status, 200, "{dropped:?}");
    assert_eq!(status(&service, "notes/n1").await, 404);
    assert_eq!(status(&service, "notes").await, 404);
    assert_eq!(service.decide(bad, "retry").await.status, 409);
    account(&service).await;
    // Not what an older cache or table knows, also after a start.
    let second = service.define("notes", NOTES).await;
    assert_eq!(status(&service, "notes/n1").await, 404);
    service
        .send("notes", r#"{"id":"n1","text":"another"}"#)
        .await;
    service.rests(10, 7).await;
    assert_eq!(service.json("/api/v1/notes/n1").await["text"], "another");
    assert_eq!(
        service.json("/api/v1/collections/notes").await["id"],
        second
    );
    let letters = service.json("/api/v1/dead-letters?collection=notes").await;
    assert_eq!(letters["items"], json!([]), "{letters:#}");
    let sql = bench.sql().await;
    until(20, "the tables of the dropped are removed", async || {
        let named = sql
            .rows("select 1 from pg_tables where tablename = 'c1'")
            .await;
        named.is_empty().then_some(())
    })
    .await;
    assert_eq!(service.stop().await.code(), Some(0));
    service.start().await;
    service.is_ready().await;
    assert_eq!(service.json("/api/v1/notes/n1").await["text"], "another");
    service.replay_changes_nothing(&sql, 30).await;
    account(&service).await;
}

#[tokio::test]
async fn the_latest_version_is_the_document_and_every_one_is_kept() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.define("kitchen", KITCHEN).await;
    service.send("kitchen", task("t1", 1, "ordered")).await;
    let ready = service.send("kitchen", task("t1", 3, "ready")).await;
    service.send("kitchen", task("t1", 2, "cooking")).await;
    service.send("kitchen", task("t1", 3, "ready")).await;
    let conflict = service.send("kitchen", task("t1", 3, "cooking")).await;
    service.send("kitchen", task("t2", 1, "ordered")).await;
    let state = async |id: &str| {
        let answer = service
            .get(&format!("/api/v1/kitchen/{id}?at_least=7"))
            .await;
        (
            answer.status,
            answer.json()["state"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(state("t1").await, (200, Some("ready".to_owned())));
    assert_eq!(
        letter(&service, conflict).await,
        ("open".to_owned(), "key_taken".to_owned())
    );
    service.send("kitchen", task("t1", 4, "served")).await;
    service.rests(10, 8).await;
    assert_eq!(state("t1").await.0, 404);
    let gone = service.get("/api/v1/kitchen/t1").await;
    assert!(
        gone.json()["detail"].as_str().unwrap().contains("gone"),
        "{gone:?}"
    );
    let listed = service.json("/api/v1/kitchen").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed:#}");
    let versions = service
        .json("/api/v1/collections/kitchen/versions?key=t1")
        .await;
    let versions: Vec<_> = versions["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| {
            (
                version["document"]["version"].as_i64().unwrap(),
                version["what"].as_str().unwrap(),
            )
        })
        .collect();
    // The row at 3 has been the document; the one that came again is of another row.
    assert!(versions.contains(&(2, "superseded")), "{versions:?}");
    assert_eq!(versions[0], (4, "document"), "{versions:?}");
    let found = account(&service).await;
    let of = |name: &str| found[name].as_i64().unwrap();
    assert_eq!(
        (
            of("documents"),
            of("superseded"),
            of("duplicates"),
            of("dead_letters"),
            of("decisions")
        ),
        (4, 1, 1, 1, 1),
        "{found:#}"
    );
    let _ = ready;

    let sql = bench.sql().await;
    service.replay_changes_nothing(&sql, 30).await;
    assert_eq!(state("t1").await.0, 404);
    account(&service).await;
}

/// Without a version the order of arrival counts, and a message arrived when its first letter did.
#[tokio::test]
async fn what_is_healed_never_covers_what_came_after_it() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let latest = format!("{NOTES}keep: latest\n");
    let strict =
        "rules:\n  - {id: not_bad, field: /text, message: Not that., rule: note.text != 'bad'}\n";
    service.define("notes", &format!("{latest}{strict}")).await;
    let good = r#"{"id":"n1","text":"good"}"#;
    // One came between what is there and the same again, by which it is as old as that; another before the only good one.
    service.send("notes", good).await;
    let between = service.send("notes", r#"{"id":"n1","text":"bad"}"#).await;
    service.send("notes", good).await;
    let before = service.send("notes", r#"{"id":"n2","text":"bad"}"#).await;
    service.send("notes", r#"{"id":"n2","text":"good"}"#).await;
    // And one after all others, which is the newest when it is healed.
    service.send("notes", r#"{"id":"n3","text":"good"}"#).await;
    let after = service.send("notes", r#"{"id":"n3","text":"bad"}"#).await;
    service.rests(10, 8).await;
    service.define("notes", &latest).await;
    for id in [between, before, after] {
        until(20, "the letter heals", async || {
            (letter(&service, id).await.0 == "replaced").then_some(())
        })
        .await;
    }
    service.works_off(20).await;
    for (key, text) in [("n1", "good"), ("n2", "good"), ("n3", "bad")] {
        let note = service.json(&format!("/api/v1/notes/{key}")).await;
        assert_eq!(note["text"], text, "{key}");
    }
    let found = account(&service).await;
    assert_eq!(
        (&found["superseded"], &found["duplicates"]),
        (&json!(2), &json!(1)),
        "{found:#}"
    );
    let sql = bench.sql().await;
    service.replay_changes_nothing(&sql, 30).await;
}

#[tokio::test]
async fn nobody_spends_what_is_not_there() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.define("loyalty", LOYALTY).await;
    service
        .send("loyalty", entry("e1", "purchase", 10_000, 0))
        .await;
    service
        .send("loyalty", entry("e1", "purchase", 10_000, 0))
        .await;
    service
        .send("loyalty", entry("e2", "redemption", 0, 70))
        .await;
    let refused = service
        .send("loyalty", entry("e3", "redemption", 0, 70))
        .await;
    service.rests(10, 5).await;
    assert_eq!(letter(&service, refused).await.1, "sum_too_low");
    let sum = service.json("/api/v1/collections/loyalty/sums/ada").await;
    assert_eq!(
        (&sum["sum"], &sum["entries"]),
        (&json!(30), &json!(2)),
        "{sum:#}"
    );
    // It waits for the balance, and nobody has to ask again.
    service.send("loyalty", entry("e4", "gift", 0, 50)).await;
    until(60, "the redemption is retried", async || {
        (letter(&service, refused).await.0 == "replaced").then_some(())
    })
    .await;
    service.rests(10, 6).await;
    let sum = service.json("/api/v1/collections/loyalty/sums/ada").await;
    assert_eq!(
        (&sum["sum"], &sum["entries"]),
        (&json!(10), &json!(4)),
        "{sum:#}"
    );
    let values: Vec<i64> = sum["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["value"].as_i64().unwrap())
        .collect();
    assert_eq!(values.iter().sum::<i64>(), 10, "{values:?}");

    // What was decided is read, and not worked out again by what is in force now.
    let generous = LOYALTY.replace("? -entry.points", "? -entry.points * 2");
    service.define("loyalty", &generous).await;
    service.works_off(30).await;
    let sql = bench.sql().await;
    service.replay_changes_nothing(&sql, 30).await;
    account(&service).await;
}

#[tokio::test]
async fn without_a_key_each_message_is_a_document() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.define("telemetry", TELEMETRY).await;
    let measured =
        r#"{"device":"roof-1","at":"2026-11-30T10:00:00Z","values":{"temperature":-3.50}}"#;
    let first = service.send("telemetry", measured).await;
    service.send("telemetry", measured).await;
    service
        .send("telemetry", measured.replace("roof-1", "cellar"))
        .await;
    service.rests(10, 4).await;
    let roof = service.json("/api/v1/telemetry?device=roof-1").await;
    assert_eq!(roof["items"].as_array().unwrap().len(), 2, "{roof:#}");
    let one = service.get(&format!("/api/v1/telemetry/{first}")).await;
    assert_eq!(one.status, 200, "{one:?}");
    // Digits are kept as they were sent.
    let text = String::from_utf8(one.body.to_vec()).unwrap();
    assert!(text.contains("-3.5"), "{text}");
    let found = account(&service).await;
    assert_eq!(
        (&found["documents"], &found["duplicates"]),
        (&json!(3), &json!(0))
    );
    let sql = bench.sql().await;
    service.replay_changes_nothing(&sql, 30).await;
}

#[tokio::test]
async fn documents_look_as_the_last_definition_says_and_replay_agrees() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.define("notes", NOTES).await;
    service
        .send("notes", r#"{"id":"n1","text":"a","extra":1}"#)
        .await;
    service
        .send("notes", r#"{"id":"n2","text":"b","lang":"tlh"}"#)
        .await;
    service.rests(10, 3).await;
    // A field more, and a language that is no longer taken: left out, no default in its place.
    let grown = NOTES.replace(
        "lang: {type: string, default: en}",
        "lang: {enum: [en, de], default: de}\n    mood: {type: string, default: calm}",
    );
    let grown = format!("{grown}lookups: [/mood]\n");
    service.define("notes", &grown).await;
    let seen = async |key: &str| service.json(&format!("/api/v1/notes/{key}")).await;
    let (n1, n2) = (
        json!({"id": "n1", "text": "a", "lang": "de", "mood": "calm"}),
        json!({"id": "n2", "text": "b", "mood": "calm"}),
    );
    assert_eq!(
        (seen("n1").await, seen("n2").await),
        (n1.clone(), n2.clone())
    );
    // The table follows, and the lookup's index is made without anyone asking.
    until(
        30,
        "the table is refreshed and the lookup is there",
        async || {
            let answer = service.get("/api/v1/notes?mood=calm").await;
            (answer.status == 200 && answer.json()["items"].as_array()?.len() == 2).then_some(())
        },
    )
    .await;
    service.works_off(30).await;
    let sql = bench.sql().await;
    service.replay_changes_nothing(&sql, 30).await;
    assert_eq!((seen("n1").await, seen("n2").await), (n1, n2));
    account(&service).await;
}

/// The third looks as the first does, and nobody had looked after the tables while the second was in force.
#[tokio::test]
async fn what_was_written_by_a_definition_in_between_is_written_anew() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.define("notes", NOTES).await;
    service.send("notes", r#"{"id":"n1","text":"a"}"#).await;
    service.rests(10, 2).await;
    let other = NOTES.replace("default: en", "default: de");
    service.define("notes", &other).await;
    service.send("notes", r#"{"id":"n2","text":"b"}"#).await;
    service.rests(10, 4).await;
    let last = service
        .define("notes", &format!("{NOTES}title: As before\n"))
        .await;
    let sql = bench.sql().await;
    let rendered =
        format!("select count(*) from collection where name = 'notes' and rendered_by = {last}");
    until(20, "the table is of the last definition", async || {
        (sql.count(&rendered).await == 1).then_some(())
    })
    .await;
    let others = "select count(*) from live.c1 where data ->> 'lang' <> 'en'";
    assert_eq!(sql.count(others).await, 0);
}

/// Of one account and one key in every batch, with two batches under way: each is folded over what the one before it brings.
#[tokio::test]
async fn many_at_once_are_summed_exactly_and_the_highest_version_stands() {
    let bench = Bench::new(Weight::Heavy).await;
    let service = bench.serve(None, &[]).await;
    service.define("loyalty", LOYALTY).await;
    service.define("kitchen", KITCHEN).await;
    // Each gives 3 and takes 2, of which some come too early and are tried again.
    let mut sent = Vec::new();
    for number in 0..600 {
        sent.push(("loyalty", entry(&format!("give-{number}"), "gift", 0, 3)));
        sent.push((
            "loyalty",
            entry(&format!("take-{number}"), "redemption", 0, 2),
        ));
        sent.push(("kitchen", task("t1", number % 200 + 1, "ordered")));
    }
    fastrand::shuffle(&mut sent);
    stream::iter(sent)
        .for_each_concurrent(64, |(name, message)| {
            let service = &service;
            async move {
                service.send(name, message).await;
            }
        })
        .await;
    service.rests(60, 1_802).await;
    until(120, "all that waited for the sum came home", async || {
        let open = service
            .json("/api/v1/dead-letters?state=open&limit=1")
            .await;
        open["items"].as_array()?.is_empty().then_some(())
    })
    .await;
    let sum = service.json("/api/v1/collections/loyalty/sums/ada").await;
    assert_eq!(
        (&sum["sum"], &sum["entries"]),
        (&json!(600), &json!(1_200)),
        "{sum:#}"
    );
    let standing = service.json("/api/v1/kitchen/t1").await;
    assert_eq!(standing["version"], 200);
    let found = account(&service).await;
    assert_eq!(found["duplicates"], 400, "{found:#}");
    let sql = bench.sql().await;
    let never = "select count(*) from (select sum(value) over (order by position) total from live.c1_entries) t where total < 0";
    assert_eq!(sql.count(never).await, 0, "it was below zero in between");
    service.replay_changes_nothing(&sql, 60).await;
}
