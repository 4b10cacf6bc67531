//! Decisions that meet: two operators, a double click, rules against messages, a heal against a live order. Each is done once,
//! and the others hear so.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Bench, Ledger, OCTETS, Service, Sql, Weight, check, order, order_with, tables, until,
    with_rules,
};

fn sorted(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

fn link<'a>(problem: &'a Value, rel: &str) -> &'a str {
    let links = problem["links"].as_array().unwrap();
    let link = links.iter().find(|link| link["rel"] == rel);
    link.unwrap_or_else(|| panic!("no link {rel}: {problem:#}"))["href"]
        .as_str()
        .unwrap()
}

/// What the letter says that became of it.
async fn state(service: &Service, letter: i64) -> String {
    let story = service
        .json(&format!("/api/v1/dead-letters/{letter}"))
        .await;
    story["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn of_two_operators_the_first_wins_and_the_other_hears_what_was_decided() {
    let bench = Bench::new(Weight::Light).await;
    let one = bench.serve(None, &[]).await;
    let other = bench.serve(None, &[]).await;
    for round in 0..10 {
        let letter = one.post(format!("junk {round}")).await;
        let both = join(
            one.decide(letter, "discard"),
            other.decide(letter, "discard"),
        )
        .await;
        let mut results = [&both.0, &both.1].map(|answer| {
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.json()["result"].as_str().unwrap().to_owned()
        });
        results.sort();
        assert_eq!(results, ["already_so", "done"]);

        let letter = one.post(format!("more junk {round}")).await;
        let mended = order(&format!("mended-{round}"));
        let (discard, resubmit) = join(
            one.decide(letter, "discard"),
            other.resubmit(letter, mended),
        )
        .await;
        assert_eq!(sorted(&[discard.clone(), resubmit.clone()]), [200, 409]);
        let (winner, loser) = if discard.status == 200 {
            (discard, resubmit)
        } else {
            (resubmit, discard)
        };
        let problem = loser.json();
        assert_eq!(problem["type"], "urn:waybill:problem:too-late");
        let by = link(&problem, "decided_by");
        assert_eq!(by, format!("/api/v1/inbox/{}", winner.json()["position"]));
        assert_eq!(one.get(by).await.status, 200);
        let story = one.get(link(&problem, "dead_letter")).await;
        assert_eq!(story.json()["id"], letter);
    }
    other.rests(10, 1).await;
    check(&bench, &one, &Ledger::default()).await;
}

#[tokio::test]
async fn a_double_click_is_answered_as_the_first() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    let letter = service.post("junk").await;
    let other = service.post("other junk").await;
    let body = json!({"as": "olga", "reason": "junk"});
    let path = format!("/dead-letters/{letter}/discard");
    let clicks = join_all((0..5).map(|_| service.tell(&path, Some("click"), &body))).await;
    for click in &clicks {
        assert_eq!(
            (click.status, &click.body),
            (200, &clicks[0].body),
            "{click:?}"
        );
    }
    // Also later, when something else has happened to the letter.
    assert_eq!(service.decide(letter, "reopen").await.status, 200);
    let later = service.tell(&path, Some("click"), &body).await;
    assert_eq!(later.body, clicks[0].body);
    assert_eq!(state(&service, letter).await, "open");
    for (path, body) in [
        (path.as_str(), json!({"as": "boris", "reason": "junk"})),
        (path.as_str(), json!({"as": "olga", "reason": "rubbish"})),
        (&format!("/dead-letters/{other}/discard"), body.clone()),
        (&format!("/dead-letters/{letter}/retry"), body.clone()),
    ] {
        let taken = service.tell(path, Some("click"), &body).await;
        assert_eq!(taken.status, 422, "{path}: {taken:?}");
        assert_eq!(
            link(&taken.json(), "inbox"),
            format!("/api/v1/inbox/{}", clicks[0].json()["position"])
        );
    }
    let path = format!("/api/v1/dead-letters/{letter}/resubmit?as=olga");
    let resubmit = |bytes: Bytes| {
        let headers = [OCTETS, ("idempotency-key", "edit")];
        let (service, path) = (&service, &path);
        async move { service.ask(Method::POST, path, &headers, bytes).await }
    };
    let edits = join_all((0..3).map(|_| resubmit(order("mended")))).await;
    for edit in &edits {
        assert_eq!((edit.status, &edit.body), (200, &edits[0].body), "{edit:?}");
    }
    assert_eq!(edits[0].json()["fate"], "document");
    assert_eq!(resubmit(order("mended-otherwise")).await.status, 422);
    // junk, other, discard, reopen, resubmit.
    assert_eq!(sql.head().await, 5);
}

#[tokio::test]
async fn a_letter_already_decided_says_so() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let letter = service.post("junk").await;
    let result = |answer: Answer| {
        let json = answer.json();
        match answer.status {
            200 => json["result"].as_str().unwrap().to_owned(),
            status => format!("{status} {}", json["type"].as_str().unwrap()),
        }
    };
    const TOO_LATE: &str = "409 urn:waybill:problem:too-late";
    for (action, wanted) in [
        ("retry", "still_failing"),
        ("reopen", "already_so"),
        ("discard", "done"),
        ("discard", "already_so"),
        ("retry", TOO_LATE),
        ("notes", "done"),
        ("reopen", "done"),
    ] {
        assert_eq!(
            result(service.decide(letter, action).await),
            wanted,
            "{action}"
        );
    }
    assert_eq!(
        result(service.resubmit(letter, order("mended")).await),
        "done"
    );
    assert_eq!(
        result(service.resubmit(letter, order("mended")).await),
        "already_so"
    );
    assert_eq!(
        result(service.resubmit(letter, order("otherwise")).await),
        TOO_LATE
    );
    for (action, wanted) in [
        ("retry", TOO_LATE),
        ("discard", TOO_LATE),
        ("reopen", TOO_LATE),
        ("notes", "done"),
    ] {
        assert_eq!(
            result(service.decide(letter, action).await),
            wanted,
            "{action}"
        );
    }
    for missing in [letter + 1, 1_000_000, 0, -7] {
        for action in ["retry", "discard", "reopen", "notes"] {
            let answer = service.decide(missing, action).await;
            assert_eq!(answer.status, 404, "{missing} {action}: {answer:?}");
        }
        assert_eq!(service.resubmit(missing, order("x")).await.status, 404);
    }
    check(&bench, &service, &Ledger::default()).await;
}

fn only(locale: &str) -> String {
    format!(
        "- id: locale\n  message: Only these.\n  field: locale\n  rule: order.locale == '{locale}'\n"
    )
}

#[tokio::test]
async fn of_two_who_apply_rules_one_hears_that_others_came_between() {
    let bench = Bench::new(Weight::Light).await;
    let one = bench.serve(None, &[]).await;
    let other = bench.serve(None, &[]).await;
    for round in 0..6 {
        let now = one.json("/api/v1/collections/orders").await;
        let replaces = format!("replaces={}", now["position"]);
        let (texts, queries) = (
            [only(&format!("a{round}")), only(&format!("b{round}"))],
            // Named, or left to the service.
            if round % 2 == 0 {
                [replaces.clone(), replaces]
            } else {
                [String::new(), String::new()]
            },
        );
        let both = join(
            one.try_apply(&queries[0], &texts[0]),
            other.try_apply(&queries[1], &texts[1]),
        )
        .await;
        let both = [both.0.unwrap(), both.1.unwrap()];
        if round % 2 == 1 && sorted(&both) == [200, 200] {
            // The second had seen the first's before it asked.
            continue;
        }
        assert_eq!(sorted(&both), [200, 409], "{both:?}");
        let winner = usize::from(both[0].status != 200);
        let problem = both[1 - winner].json();
        assert_eq!(problem["type"], "urn:waybill:problem:definition-replaced");
        let in_force = one.json(link(&problem, "collection")).await;
        assert_eq!(in_force["text"], with_rules(&texts[winner]));
        let by = link(&problem, "decided_by");
        assert_eq!(
            by,
            format!("/api/v1/inbox/{}", both[winner].json()["position"])
        );
    }
    // The same by two is done once; a double click is answered as the first, whatever came in between.
    let both = join(
        one.try_apply("", &only("same")),
        other.try_apply("", &only("same")),
    )
    .await;
    let mut results =
        [both.0.unwrap(), both.1.unwrap()].map(|answer| answer.json()["result"].to_string());
    results.sort();
    assert_eq!(results, ["\"already_so\"", "\"done\""]);
    let click = async |service: &Service, rules: String| {
        let headers = [OCTETS, ("idempotency-key", "rules-click")];
        let path = "/api/v1/collections/orders?as=olga";
        service
            .ask(Method::PUT, path, &headers, with_rules(&rules))
            .await
    };
    let first = click(&one, only("clicked")).await;
    assert_eq!(first.status, 200, "{first:?}");
    for _ in 0..2 {
        let again = click(&other, only("clicked")).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "{again:?}");
        one.apply(&only("in-between")).await;
        other.rests(10, 1).await;
    }
    assert_eq!(click(&one, only("something-else")).await.status, 422);
}

/// By the service itself: nothing that is open now would pass.
async fn nothing_open_would_pass(service: &Service) {
    let body =
        json!({"action": "retry", "filter": {"state": "open"}, "dry_run": true, "as": "olga"});
    let id = service.asks("/dead-letters/batch", &body).await;
    let ended = service.ends(20, id).await;
    let results = &ended["outcome"]["results"];
    assert_eq!(results["would_pass"], Value::Null, "{ended:#}");
    assert_eq!(results["would_be_duplicate"], Value::Null, "{ended:#}");
}

async fn settles(service: &Service, rows: i64) {
    for _ in 0..2 {
        service.rests(30, rows).await;
        service.works_off(30).await;
    }
    service.rests(30, rows).await;
}

#[tokio::test]
async fn a_heal_and_a_live_order_race_and_the_replay_has_the_same_winner() {
    const UIDS: usize = 60;
    const ROUNDS: usize = 4;
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    let mut winners = BTreeSet::new();
    for round in 0..ROUNDS {
        service.apply(&only("none")).await;
        let uid = |number: usize| format!("race-{round}-{number}");
        join_all((0..UIDS).map(|n| service.post(order(&uid(n))))).await;
        // The letters come home while others with their names come in.
        let live = async {
            for n in (0..UIDS).rev() {
                service.post(order_with(&uid(n), &[("meest", "dhl")])).await;
            }
        };
        join(service.apply("[]"), live).await;
        settles(&service, 1).await;
        for n in 0..UIDS {
            // The heal may not have been asked yet when nothing was under way.
            let order = until(30, "one of the two is the order", async || {
                Some(service.order(&uid(n)).await).filter(|answer| answer.status == 200)
            });
            let order = order.await.json();
            winners.insert(order["delivery_service"].as_str().unwrap().to_owned());
        }
    }
    settles(&service, 1).await;
    eprintln!("winners: {winners:?}");
    let orders = "select count(*) from orders";
    assert_eq!(sql.count(orders).await, (UIDS * ROUNDS) as i64);
    nothing_open_would_pass(&service).await;
    service.replay_changes_nothing(&sql, 30).await;
    check(&bench, &service, &Ledger::default()).await;
}

#[tokio::test]
async fn rules_applied_while_messages_are_pending_judge_each_once_and_leave_none_behind() {
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let one = bench.serve(None, &[]).await;
    let other = bench.serve(None, &[]).await;
    let send = async |service: &Service, name: &str| {
        for chunk in 0..40 {
            let posts = (0..10).map(|n| {
                let uid = format!("{name}-{chunk}-{n}");
                let locale = ["\"en\"", "\"ru\"", "\"de\""][n % 3];
                service.post(order_with(&uid, &[("\"en\"", locale)]))
            });
            join_all(posts).await;
        }
    };
    let rule = async || {
        for locale in ["en", "ru", "de", "en", "fr", "ru"] {
            one.apply(&only(locale)).await;
            other.apply("[]").await;
            one.apply(&only(locale)).await;
        }
    };
    join_all([
        Box::pin(send(&one, "one")) as std::pin::Pin<Box<dyn Future<Output = ()>>>,
        Box::pin(send(&other, "other")),
        Box::pin(rule()),
    ])
    .await;
    settles(&one, 800).await;
    // Only Russian ones pass now; what an earlier rule let pass is an order for ever.
    nothing_open_would_pass(&one).await;
    let wrong = "select count(*) from dead_letters l join inbox i on i.position = l.id
        where l.state = 'open' and convert_from(i.payload, 'UTF8') like '%\"ru\"%'";
    assert_eq!(sql.count(wrong).await, 0);
    let letters = sql.count("select count(*) from dead_letters").await;
    let orders = sql.count("select count(*) from orders").await;
    let open = "select count(*) from dead_letters where state = 'open'";
    assert_eq!(orders + sql.count(open).await, 800);
    // Once each: a message is an order or a letter, and has a verdict of its own position if it is a letter.
    let verdicts =
        "select count(*) from verdict v join inbox i using (position) where i.decision is null";
    assert_eq!(sql.count(verdicts).await, letters);
    one.replay_changes_nothing(&sql, 30).await;
    check(&bench, &one, &Ledger::default()).await;
}

/// How often letters came home: decisions that were done, and letters that they speak of.
async fn homecomings(sql: &Sql) -> (i64, i64) {
    let done = "from decisions where result = 'done' and action = 'retry'";
    (
        sql.count(&format!("select count(*) {done}")).await,
        sql.count(&format!("select count(distinct letter) {done}"))
            .await,
    )
}

#[tokio::test]
async fn loosened_rules_bring_each_letter_home_once_with_two_replicas_one_of_them_killed() {
    const LETTERS: i64 = 1_500;
    let bench = Bench::new(Weight::Heavy).await;
    let sql = bench.sql().await;
    let mut one = bench.serve(None, &["--lease", "2"]).await;
    let mut other = bench.serve(None, &["--lease", "2"]).await;
    one.apply(&only("none")).await;
    let posts = |from: i64| {
        let one = &one;
        join_all((from..from + 50).map(move |n| one.post(order(&format!("held-{n}")))))
    };
    for from in (0..LETTERS).step_by(50) {
        posts(from).await;
    }
    one.rests(30, LETTERS + 1).await;
    other.apply("[]").await;
    until(20, "some are home", async || {
        (homecomings(&sql).await.0 > 0).then_some(())
    })
    .await;
    // Whoever leads dies now, and the other goes on.
    let leader = sql.text("select leader from checkpoint").await;
    let survivor = if leader.starts_with(&format!("{}-", one.pid())) {
        one.kill();
        &other
    } else {
        other.kill();
        &one
    };
    until(30, "all are home", async || {
        let open = "select count(*) from dead_letters where state = 'open'";
        (sql.count(open).await == 0).then_some(())
    })
    .await;
    settles(survivor, LETTERS + 2).await;
    assert_eq!(homecomings(&sql).await, (LETTERS, LETTERS));
    assert_eq!(sql.count("select count(*) from orders").await, LETTERS);
    check(&bench, survivor, &Ledger::default()).await;
}

#[tokio::test]
async fn tightened_rules_never_touch_an_order() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    join_all((0..30).map(|n| service.post(order(&format!("old-{n}"))))).await;
    service.rests(10, 30).await;
    let orders = "select count(*) from orders";
    let before = tables(&sql).await["orders"].clone();
    service.apply(&only("none")).await;
    // Known bytes and known orders are duplicates still; a new one is judged by the rules.
    service.post(order("old-0")).await;
    service
        .post(order_with("old-1", &[("{", "{ \"unknown\": 1,")]))
        .await;
    let fresh = service.post(order("fresh")).await;
    settles(&service, 34).await;
    assert_eq!(tables(&sql).await["orders"], before);
    assert_eq!(sql.count("select count(*) from duplicates").await, 2);
    let letter = service.json(&format!("/api/v1/dead-letters/{fresh}")).await;
    assert_eq!(letter["reason"], "rule");
    service.replays(20).await;
    assert_eq!(tables(&sql).await["orders"], before);
    assert_eq!(sql.count(orders).await, 30);
    assert_eq!(service.order("old-7").await.status, 200);
    check(&bench, &service, &Ledger::default()).await;
}
