//! Bulk operations: the set is frozen, a dry run tells the truth and decides nothing, they keep to their rate, stop, pause and
//! go on, and survive being killed.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{
    Bench, Ledger, Service, Sql, Weight, check, order, order_with, same, tables, until, until_equal,
};

/// Letters that rules made, and no rules any more would: most would pass, some are duplicates or conflicts of others of them.
/// Made by SQL, judged by the service; the rules are loosened by hand, so that nothing heals by itself.
async fn letters_that_would_pass(sql: &Sql, service: &Service, count: i64) {
    service.apply(ONLY_RUSSIAN).await;
    sql.http_source().await;
    let head = sql.head().await;
    sql.run(&format!(
        r#"
        begin;
        insert into inbox (position, sequence, broker_time_ns, hash, received_at, source_id, payload)
        select {head} + n, {head} + n, {head} + n, {head} + n, now(), (select id from source where kind = 'http' and collection = 'orders'),
               convert_to(case
                   when n % 50 = 0 then 'junk ' || n
                   when n % 50 = 1 then replace(model, 'b563feb7b2b84b6test', 'twin-' || n % 40)
                   when n % 50 = 2 then replace(replace(model, 'b563feb7b2b84b6test', 'twin-' || n % 40), '"meest"', '"dhl"')
                   else replace(model, 'b563feb7b2b84b6test', 'held-' || n)
               end, 'UTF8')
        from generate_series(1, {count}) n, (select '{model}'::text as model) m;
        update inbox_head set next_position = next_position + {count};
        commit"#,
        model = waybill::collection::EXAMPLE.replace('\'', "''"),
    ))
    .await;
    service.rests(30, head + count).await;
    assert_eq!(sql.count("select count(*) from dead_letters").await, count);
}

/// In force, but what it says of old letters is as before: only those who ask are judged by it.
async fn loosen_and_keep_healing_off(sql: &Sql, service: &Service) {
    keep_healing_off(sql).await;
    service.apply("[]").await;
}

/// Letters come home only if somebody asks: a paused operation of the service's own would have to be resumed by somebody.
pub async fn keep_healing_off(sql: &Sql) {
    sql.run(
        "create function live.no_healing() returns trigger language plpgsql as
         $$ begin if new.asked_by = 'waybill' then return null; end if; return new; end $$;
         create trigger no_healing before insert on operation for each row execute function live.no_healing()",
    )
    .await;
}

const ONLY_RUSSIAN: &str = "
- id: locale_is_russian
  message: Only Russian orders.
  field: locale
  rule: order.locale == 'ru'
";

fn results(operation: &Value) -> BTreeMap<String, i64> {
    operation["outcome"]["results"]
        .as_object()
        .unwrap_or_else(|| panic!("{operation:#}"))
        .iter()
        .map(|(name, count)| (name.clone(), count.as_i64().unwrap()))
        .collect()
}

fn pairs(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()
}

/// What stands in the log under an operation's keys: decisions, and letters that they speak of.
async fn decided(sql: &Sql, id: i64) -> (i64, i64) {
    let count =
        |what: &str| format!("select count({what}) from inbox where key like 'operation:{id}:%'");
    (
        sql.count(&count("*")).await,
        sql.count(&count("distinct decision ->> 'letter'")).await,
    )
}

#[tokio::test]
async fn a_bulk_retry_killed_ten_times_decides_once_about_each_letter() {
    const LETTERS: i64 = 3_200;
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let mut service = bench.serve(None, &["--lease", "2"]).await;
    letters_that_would_pass(&sql, &service, LETTERS).await;
    loosen_and_keep_healing_off(&sql, &service).await;
    let id = service
        .asks(
            "/dead-letters/batch",
            &json!({"action": "retry", "filter": {"state": "open"}, "rate": 3_000, "as": "olga"}),
        )
        .await;
    for kill in 0..10 {
        let mark = LETTERS * kill / 10 + fastrand::i64(1..LETTERS / 10);
        until(30, "the next kill's mark is reached", async || {
            (decided(&sql, id).await.0 >= mark).then_some(())
        })
        .await;
        service.kill();
        service.start().await;
    }
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    assert_eq!(ended["total"], LETTERS);
    assert_eq!(ended["done"], LETTERS);
    assert_eq!(decided(&sql, id).await, (LETTERS, LETTERS));
    let of_each = "select count(*) from (select letter from decisions where letter is not null group by 1 having count(*) <> 1) x";
    assert_eq!(
        sql.count(of_each).await,
        0,
        "letters not decided about once"
    );
    let still_open = sql.count("select count(*) from dead_letters where state = 'open'");
    let still_open = still_open.await;
    let junk = LETTERS / 50;
    assert!(still_open >= junk, "{still_open}");
    assert_eq!(
        results(&ended),
        pairs(&[
            ("done", LETTERS - still_open),
            ("still_failing", still_open)
        ])
    );
    check(&bench, &service, &Ledger::default()).await;
    service.replay_changes_nothing(&sql, 30).await;
}

#[tokio::test]
async fn a_dry_run_decides_nothing_and_foretells_the_real_run() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    letters_that_would_pass(&sql, &service, 600).await;
    loosen_and_keep_healing_off(&sql, &service).await;
    // Some are closed already, in every way.
    let ids = sql.rows("select id from dead_letters order by id").await;
    let ids: Vec<i64> = ids.iter().map(|row| row.get(0)).collect();
    for id in ids[2..8].iter().chain([&ids[49]]) {
        assert_eq!(service.decide(*id, "discard").await.status, 200);
    }
    for id in &ids[8..12] {
        assert_eq!(service.decide(*id, "retry").await.status, 200);
    }
    for id in &ids[12..14] {
        let resubmitted = service.resubmit(*id, order(&format!("mended-{id}"))).await;
        assert_eq!(resubmitted.status, 200);
    }
    for action in ["note", "reopen", "retry", "discard"] {
        let (head, before) = (sql.head().await, tables(&sql).await);
        let mut body = json!({"action": action, "all": true, "as": "olga", "reason": "a test", "dry_run": true});
        let id = service.asks("/dead-letters/batch", &body).await;
        let foretold = service.ends(30, id).await;
        assert_eq!(foretold["state"], "done", "{foretold:#}");
        assert_eq!(sql.head().await, head, "a dry run decided");
        same(&before, &tables(&sql).await);
        body["dry_run"] = false.into();
        let id = service.asks("/dead-letters/batch", &body).await;
        let real = service.ends(30, id).await;
        let (foretold_results, real_results) = (results(&foretold), results(&real));
        let total = |results: &BTreeMap<String, i64>| results.values().sum::<i64>();
        assert_eq!(total(&foretold_results), total(&real_results));
        let get = |name: &str| foretold_results.get(name).copied().unwrap_or(0);
        let mut translated = BTreeMap::new();
        for (result, count) in [
            (
                "done",
                get("would_pass")
                    + get("would_be_duplicate")
                    + get("would_reopen")
                    + get("would_do"),
            ),
            ("still_failing", get("would_fail")),
            ("already_so", get("would_be_already_so")),
            ("too_late", get("would_be_too_late")),
        ] {
            if count > 0 {
                translated.insert(result.to_owned(), count);
            }
        }
        assert_eq!(translated, real_results, "{action}: {foretold_results:?}");
        // The orders that it said would be, and the duplicates.
        let fates = |fate: &str| {
            format!(
                "select count(*) from decisions d join inbox i using (position) where d.fate = '{fate}' and i.key like 'operation:{id}:%'"
            )
        };
        assert_eq!(
            sql.count(&fates("document")).await,
            get("would_pass"),
            "{action}"
        );
        assert_eq!(
            sql.count(&fates("duplicate")).await,
            get("would_be_duplicate"),
            "{action}"
        );
        if action == "retry" {
            assert_eq!(foretold["outcome"]["failing"], real["outcome"]["failing"]);
            assert!(
                get("would_pass") > 400 && get("would_fail") > 10,
                "{foretold_results:?}"
            );
            assert!(get("would_be_duplicate") > 0, "{foretold_results:?}");
            assert_eq!(
                foretold["failed"], real["failed"],
                "what stop_share goes by"
            );
        }
    }
}

#[tokio::test]
async fn a_set_is_frozen_when_it_is_asked_for() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    for number in 0..60 {
        service.post(format!("junk {number}")).await;
    }
    service.rests(10, 60).await;
    let body = json!({
        "action": "discard", "filter": {"reason": "not_json"}, "rate": 50, "as": "olga", "reason": "junk",
    });
    let id = service.asks("/dead-letters/batch", &body).await;
    for number in 60..80 {
        service.post(format!("junk {number}")).await;
    }
    let ended = service.ends(20, id).await;
    assert_eq!(
        (&ended["total"], &ended["done"]),
        (&60.into(), &60.into()),
        "{ended:#}"
    );
    assert_eq!(results(&ended), pairs(&[("done", 60)]));
    service.rests(10, 140).await;
    let open = "select count(*) from dead_letters where state = 'open'";
    assert_eq!(sql.count(open).await, 20, "those that came later");
}

#[tokio::test]
async fn a_bulk_operation_keeps_its_rate_and_can_be_paused_resumed_and_cancelled() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    for number in 0..200 {
        service.post(format!("junk {number}")).await;
    }
    service.rests(10, 200).await;
    let body = json!({"action": "note", "filter": {"from": 1}, "rate": 100, "as": "olga", "reason": "seen"});
    let started = Instant::now();
    let id = service.asks("/dead-letters/batch", &body).await;
    let turn = async |what: &str, id: i64| {
        let path = format!("/operations/{id}/{what}");
        service.tell(&path, None, &json!({})).await
    };
    until(10, "it is at work", async || {
        (decided(&sql, id).await.0 > 0).then_some(())
    })
    .await;
    assert_eq!(turn("pause", id).await.json()["state"], "paused");
    // What was under way is recorded; then nothing moves.
    let mut still = (-1, 0);
    until(10, "it rests", async || {
        let now = decided(&sql, id).await.0;
        still = if now == still.0 {
            (now, still.1 + 1)
        } else {
            (now, 0)
        };
        (still.1 > 40).then_some(())
    })
    .await;
    assert!(still.0 < 200, "it was paused too late");
    let paused = service.operation(id).await;
    assert_eq!(paused["state"], "paused");
    for _ in 0..2 {
        let resumed = turn("resume", id).await;
        assert_eq!(resumed.status, 200, "{resumed:?}");
    }
    let ended = service.ends(20, id).await;
    assert_eq!(ended["done"], 200);
    assert!(
        started.elapsed().as_secs_f64() > 1.5,
        "100 a second: {:?}",
        started.elapsed()
    );
    assert_eq!(decided(&sql, id).await, (200, 200));
    for what in ["pause", "resume", "cancel"] {
        let late = turn(what, id).await;
        assert_eq!(late.status, 409, "{what}: {late:?}");
        assert_eq!(turn(what, 1_000_000).await.status, 404);
    }

    let id = service.asks("/dead-letters/batch", &body).await;
    until(10, "it is at work", async || {
        (decided(&sql, id).await.0 > 0).then_some(())
    })
    .await;
    assert_eq!(turn("cancel", id).await.json()["state"], "cancelled");
    assert_eq!(turn("cancel", id).await.status, 200, "a double click");
    service.works_off(10).await;
    service.rests(10, 200).await;
    let (before, _) = decided(&sql, id).await;
    assert!(before < 200, "it was cancelled too late");
}

/// Letters of one group, in the log and in every table, as if they had been received and judged. The service must have been
/// started once, for its sources, and must not be at work.
async fn letters_by_sql(sql: &Sql, count: i64) {
    sql.http_source().await;
    sql.run(&format!(
        "begin;
         create temp table made on commit drop as
             select next_position - 1 + n as id from inbox_head, generate_series(1, {count}) n;
         insert into inbox (position, sequence, broker_time_ns, hash, received_at, source_id, payload)
             select id, id, id, id, now(), (select id from source where kind = 'http' and collection = 'orders'), 'junk' from made;
         insert into verdict (position, definition, fingerprint, code_version, reason, code, message, pointer, violations)
             select id, 0, 7, {version}, 'not_json', 'syntax', 'It is no JSON.', '', '[]' from made;
         insert into dead_letters (id, fingerprint, verdict_position, definition, received_at, first_failed_at,
                 last_failed_at, attempts, code_version, source_id, state, reason, code, pointer, message)
             select id, 7, id, 0, now(), now(), now(), 1, {version}, (select id from source where kind = 'http' and collection = 'orders'), 'open',
                 'not_json', 'syntax', '', 'It is no JSON.' from made;
         insert into dead_letter_groups
             select 7, {count}, 0, 0, min(id), now(), now(), 'not_json', 'syntax', '', 'It is no JSON.' from made;
         update fates set count = count + {count} where fate = 'dead_letter';
         update inbox_head set next_position = next_position + {count};
         update checkpoint set position = position + {count} where projection = 'documents';
         commit;
         analyze dead_letters",
        version = waybill::record::CODE_VERSION,
    ))
    .await;
}

/// A server that ends every statement that lists more letters than so many, as its time-out would, and takes a moment for
/// each.
async fn a_slow_server(sql: &Sql, most: i64) {
    sql.run(&format!(
        "create function slow() returns trigger language plpgsql as $$ begin
             if (select count(*) from listed) > {most} then
                 raise 'canceling statement due to statement timeout' using errcode = '57014';
             end if;
             perform pg_sleep(0.1);
             return null;
         end $$;
         create trigger slow after insert on operation_item referencing new table as listed
             for each statement execute function slow()"
    ))
    .await;
}

#[tokio::test]
async fn a_set_that_one_statement_cannot_freeze_is_frozen_in_pages_and_survives_kills() {
    const LETTERS: i64 = 120_000;
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let mut service = bench.serve(None, &["--lease", "2"]).await;
    service.stop().await;
    letters_by_sql(&sql, LETTERS).await;
    a_slow_server(&sql, 60_000).await;
    service.start().await;
    let body = json!({"action": "note", "all": true, "as": "olga", "reason": "seen", "rate": 1});
    let id = service.asks("/dead-letters/batch", &body).await;
    // It came later: it is not in the set.
    service.post("junk").await;
    let listed = format!("select count(*) from operation_item where operation = {id}");
    for part in 1..=3 {
        until(30, "a part of it is listed", async || {
            (sql.count(&listed).await >= LETTERS * part / 5).then_some(())
        })
        .await;
        let asked = service.operation(id).await;
        assert_eq!(asked["state"], "freezing", "{asked:#}");
        assert_eq!(asked["done"], 0, "{asked:#}");
        match part {
            1 => {
                let turn = async |what: &str| {
                    let path = format!("/operations/{id}/{what}");
                    service.tell(&path, None, &json!({})).await.json()
                };
                assert_eq!(turn("pause").await["state"], "paused");
                assert_eq!(turn("resume").await["state"], "freezing");
            }
            _ => {
                service.kill();
                service.start().await;
            }
        }
    }
    let begun = until(60, "all of it is listed", async || {
        let now = service.operation(id).await;
        (now["state"] == "running").then_some(now)
    })
    .await;
    assert_eq!(begun["total"], LETTERS, "{begun:#}");
    assert_eq!(sql.count(&listed).await, LETTERS);
    let set = format!(
        "select count(*) from operation_item i join dead_letters l on l.id = i.letter where operation = {id} and l.fingerprint = 7"
    );
    assert_eq!(sql.count(&set).await, LETTERS);
    it_is_summed_up(&sql, &service, id).await;
    sql.run("drop trigger slow on operation_item").await;
    a_dry_run_begins_again(&sql, &mut service).await;
}

/// All but the last letters are as if they had been worked.
async fn it_is_summed_up(sql: &Sql, service: &Service, id: i64) {
    sql.run(&format!(
        "update operation_item i set result = 'still_failing',
             detail = jsonb_build_object('fingerprint', 'f' || letter % 60, 'reason', 'rule', 'code', 'c', 'pointer', '/p',
                                         'message', 'm')
         where operation = {id} and result is null and letter < (select max(letter) - 2 from operation_item)"
    ))
    .await;
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    let total = ended["total"].as_i64().unwrap();
    let results = results(&ended);
    assert_eq!(results.values().sum::<i64>(), total);
    let failing = ended["outcome"]["failing"].as_array().unwrap();
    assert_eq!(failing.len(), 50, "the largest of 60 groups");
    for group in failing {
        let of_group = format!(
            "from operation_item where operation = {id} and detail ->> 'fingerprint' = '{}'",
            group["fingerprint"].as_str().unwrap()
        );
        let count = sql.count(&format!("select count(*) {of_group}")).await;
        let sample = sql.count(&format!("select min(letter) {of_group}")).await;
        assert_eq!(
            (&group["count"], &group["sample"]),
            (&count.into(), &sample.into())
        );
    }
}

/// What passes depends on what passed before: a dry run that was killed forgets what it has found, in pages, too.
async fn a_dry_run_begins_again(sql: &Sql, service: &mut Service) {
    let to = sql.count("select min(id) + 24999 from dead_letters").await;
    let body = json!({
        "action": "discard", "filter": {"to": to}, "as": "olga", "reason": "seen", "dry_run": true,
    });
    let id = service.asks("/dead-letters/batch", &body).await;
    until(60, "most of it is done", async || {
        (service.operation(id).await["done"].as_i64()? > 20_100).then_some(())
    })
    .await;
    service.kill();
    service.start().await;
    let ended = service.ends(60, id).await;
    assert_eq!(
        (&ended["done"], &ended["total"]),
        (&25_000.into(), &25_000.into())
    );
    assert_eq!(results(&ended), pairs(&[("would_do", 25_000)]));
}

#[tokio::test]
async fn the_letters_of_an_operation_that_ended_long_ago_are_removed_and_its_outcome_stays() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let mut service = bench.serve(None, &["--operation-days", "10"]).await;
    for number in 0..30 {
        service.post(format!("junk {number}")).await;
    }
    service.rests(10, 30).await;
    let mut asked = Vec::new();
    for (action, stop_share) in [
        ("note", None),
        ("note", None),
        ("retry", Some(0.5)),
        ("note", None),
    ] {
        let body = json!({
            "action": action, "all": true, "rate": 25, "stop_share": stop_share, "as": "olga", "reason": "x",
        });
        let id = service.asks("/dead-letters/batch", &body).await;
        asked.push((id, service.ends(20, id).await));
    }
    let [(old, _), (young, _), (stopped, _), (half, _)] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(asked[2].1["state"], "stopped");
    service.stop().await;
    // The last one's letters were going when the service was killed.
    sql.run(&format!(
        "update operation set finished_at = now() - case when id = {young} then interval '9 days' else interval '11 days' end;
         update operation set letters = 'going' where id = {half};
         delete from operation_item where operation = {half} and letter < 20"
    ))
    .await;
    service.start().await;
    let kept = "select count(distinct operation) from operation_item";
    until_equal(20, "only the young one's letters are kept", 1, async || {
        sql.count(kept).await
    })
    .await;
    until_equal(20, "it is said of them", 3, async || {
        sql.count("select count(*) from operation where letters = 'gone'")
            .await
    })
    .await;
    for (id, ended) in &asked {
        let letters = service
            .get(&format!("/api/v1/operations/{id}/letters"))
            .await;
        if id == young {
            assert_eq!(letters.json()["items"].as_array().unwrap().len(), 30);
        } else {
            assert_eq!(letters.status, 410, "{letters:?}");
            let href = &letters.json()["links"][0]["href"];
            assert_eq!(*href, format!("/api/v1/operations/{id}"));
        }
        let mut now = service.operation(*id).await;
        if id == stopped {
            assert_eq!(
                now["state"], "cancelled",
                "it cannot go on without its letters"
            );
            now["state"] = "stopped".into();
        }
        for known in [
            "state", "outcome", "total", "done", "failed", "request", "asked_by",
        ] {
            assert_eq!(now[known], ended[known], "{known} of {id}");
        }
    }
    let resume = format!("/operations/{stopped}/resume");
    assert_eq!(service.tell(&resume, None, &json!({})).await.status, 409);
    let old_letters = format!("select count(*) from operation_item where operation = {old}");
    assert_eq!(sql.count(&old_letters).await, 0);
}

#[tokio::test]
async fn the_work_of_an_operator_called_as_the_service_outlives_a_change_of_the_lease() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let mut service = bench.serve(None, &["--lease", "2"]).await;
    for number in 0..120 {
        service.post(format!("junk {number}")).await;
    }
    service.rests(10, 120).await;
    let body =
        json!({"action": "note", "all": true, "rate": 40, "as": "waybill", "reason": "seen"});
    let answer = service.tell("/dead-letters/batch", Some("heal:1:0"), &body);
    let id = answer.await.json()["id"].as_i64().unwrap();
    until(10, "it is at work", async || {
        (decided(&sql, id).await.0 > 0).then_some(())
    })
    .await;
    service.kill();
    service.start().await;
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    assert_eq!(decided(&sql, id).await, (120, 120));
}

#[tokio::test]
async fn a_bulk_retry_stops_by_itself_when_too_many_fail_and_goes_on_when_told() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for number in 0..300 {
        service.post(format!("junk {number}")).await;
    }
    service.rests(10, 300).await;
    let body = json!({"action": "retry", "filter": {"reason": "not_json"}, "stop_share": 0.5, "rate": 40, "as": "olga"});
    let id = service.asks("/dead-letters/batch", &body).await;
    let ended = service.ends(20, id).await;
    assert_eq!(ended["state"], "stopped", "{ended:#}");
    let done = ended["done"].as_i64().unwrap();
    assert!((20..200).contains(&done), "{ended:#}");
    assert_eq!(ended["failed"], done);
    assert_eq!(ended["outcome"]["failing"][0]["count"], done);
    // Somebody looked, and says that it should go on: it does some more before it stops again.
    let resume = format!("/operations/{id}/resume");
    assert_eq!(service.tell(&resume, None, &json!({})).await.status, 200);
    let ended = service.ends(20, id).await;
    assert_eq!(ended["state"], "stopped", "{ended:#}");
    assert!(ended["done"].as_i64().unwrap() >= done + 20, "{ended:#}");
    // A small set, at full speed, is not through before anybody looks.
    let first = service.json("/api/v1/dead-letters?limit=1").await["items"][0]["id"]
        .as_i64()
        .unwrap();
    let small = json!({
        "action": "retry", "filter": {"from": first - 59}, "stop_share": 0.5, "as": "olga",
    });
    let id = service.asks("/dead-letters/batch", &small).await;
    let ended = service.ends(20, id).await;
    assert_eq!(
        (&ended["state"], &ended["total"]),
        (&"stopped".into(), &60.into()),
        "{ended:#}"
    );
    assert_eq!(ended["done"], 20, "{ended:#}");
    // A dry run stops too.
    let mut body = body;
    body["dry_run"] = true.into();
    let id = service.asks("/dead-letters/batch", &body).await;
    assert_eq!(service.ends(20, id).await["state"], "stopped");
}

#[tokio::test]
async fn the_same_key_is_the_same_operation_and_an_empty_filter_is_refused() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    service.post("junk").await;
    service.rests(10, 1).await;
    let path = "/dead-letters/batch";
    let body =
        json!({"action": "note", "filter": {"state": "open"}, "as": "olga", "reason": "seen"});
    let first = service.tell(path, Some("once"), &body).await;
    assert_eq!(first.status, 202, "{first:?}");
    let id = first.json()["id"].as_i64().unwrap();
    assert_eq!(first.header("location"), format!("/api/v1/operations/{id}"));
    let together =
        futures_util::future::join_all((0..5).map(|_| service.tell(path, Some("once"), &body)));
    for again in together.await {
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.json()["id"], id);
    }
    for (field, value) in [
        ("filter", json!({"state": "replaced"})),
        ("action", json!("retry")),
        ("reason", json!("another")),
        ("as", json!("boris")),
        ("rate", json!(5)),
    ] {
        let mut other = body.clone();
        other[field] = value;
        let taken = service.tell(path, Some("once"), &other).await;
        assert_eq!(taken.status, 422, "{field}: {taken:?}");
        let link = format!("/api/v1/operations/{id}");
        assert_eq!(taken.json()["links"][0]["href"], link);
    }
    let replay = service.tell("/replays", Some("once"), &json!({})).await;
    assert_eq!(
        replay.status, 422,
        "a key of another kind of work: {replay:?}"
    );
    service.ends(10, id).await;
    assert_eq!(sql.count("select count(*) from operation").await, 1);
    assert_eq!(decided(&sql, id).await, (1, 1));

    for mut refused in [
        json!({"action": "retry"}),
        json!({"action": "retry", "filter": {}}),
        json!({"action": "retry", "filter": {"state": "lost"}}),
        json!({"action": "retry", "all": true, "rate": 0}),
        json!({"action": "retry", "all": true, "stop_share": 1.5}),
        json!({"action": "discard", "all": true, "reason": ""}),
        json!({"action": "retry", "filter": {"fingerprint": "xyz"}}),
        json!({"action": "retry", "filter": {"since": "yesterday-ish"}}),
    ] {
        if refused["action"] == "retry" {
            refused["reason"] = "why not".into();
        }
        let answer = service.tell(path, None, &refused).await;
        assert_eq!(answer.status, 400, "{refused}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let empty_set = json!({"action": "retry", "filter": {"reason": "conflict"}, "as": "olga"});
    let id = service.asks(path, &empty_set).await;
    let ended = service.ends(10, id).await;
    assert_eq!(
        (&ended["state"], &ended["total"]),
        (&"done".into(), &0.into())
    );
    // Every filter of the list narrows the set alike.
    service.post(order("good")).await;
    service
        .post(order_with("good", &[("\"en\"", "\"ru\"")]))
        .await;
    service.rests(10, 4).await;
    for (filter, total) in [
        (json!({"key": "good"}), 1),
        (json!({"source": "http"}), 2),
        (json!({"source": "nobody"}), 0),
        (json!({"since": "1h"}), 2),
        (json!({"until": "1h"}), 0),
        (json!({"from": 2}), 1),
        (json!({"to": 1}), 1),
        (json!({"text": "GOO"}), 1),
        (json!({"reason": "conflict"}), 1),
        (json!({"code": "order_uid_taken"}), 1),
        (json!({"ids": [1]}), 1),
    ] {
        let body = json!({"action": "retry", "filter": filter, "dry_run": true, "as": "olga"});
        let id = service.asks(path, &body).await;
        let ended = service.ends(10, id).await;
        assert_eq!(ended["total"], total, "{filter}");
    }
}
