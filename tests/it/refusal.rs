//! What Postgres itself says no to, or will not swear to: one row's fault stays that row's, and a commit in doubt is done
//! again.

use bytes::Bytes;
use serde_json::json;
use waybill::sandbox::broker::Store;

use crate::harness::{
    Bench, Sender, Service, Weight, check, order, order_with, orders, until, until_equal,
};

/// No order of the customer `poison`.
pub const REFUSE: &str = "
    create function refuse() returns trigger language plpgsql as $$ begin
        if new.data ->> 'customer_id' = 'poison' then raise exception using errcode = '22P05'; end if;
        return new;
    end $$;
    create trigger refuse before insert on live.orders for each row execute function refuse()";

/// What was folded before Postgres refused a batch was not received twice: there is one life of the broker's store, without a hole.
async fn has_lived_once(service: &Service, rows: usize) {
    let account = service.json("/api/v1/reconciliation").await;
    let lives = account["sources"].as_array().unwrap();
    assert_eq!(lives.len(), 1, "{account:#}");
    assert_eq!(
        (&lives[0]["rows"], &lives[0]["holes"]),
        (&json!(rows), &json!([])),
        "{account:#}"
    );
}

#[tokio::test]
async fn a_row_that_postgres_refuses_alone_is_a_letter_and_comes_home_by_itself() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let sql = bench.sql().await;
    sql.run(REFUSE).await;
    let poison = ("\"customer_id\": \"test\"", "\"customer_id\": \"poison\"");
    let mut payloads = orders("neighbour", 500);
    payloads[100] = order_with("heals", &[poison]);
    payloads[200] = order_with("too-late", &[poison]);
    payloads[300] = order("too-late");
    let ledger = Sender::new(&broker).publish(payloads).await;
    let service = bench.serve(Some(&broker), &[]).await;
    service.rests(30, 500).await;
    // Not all is looked at yet: the clock retries, so the log does not rest.
    let stored = "select count(*) from orders";
    assert_eq!(sql.count(stored).await, 498);

    // The clock may have asked again by now, so the first verdicts are looked at.
    let letters = service.json("/api/v1/dead-letters").await;
    let letters = letters["items"].as_array().unwrap().clone();
    assert_eq!(letters.len(), 2);
    let refused = "select count(*) from verdict v join dead_letters l on l.id = v.position
        where v.reason = 'unstorable' and v.code = 'refused_by_postgres' and v.message like '%22P05%'";
    assert_eq!(sql.count(refused).await, 2);
    // Asked again by the clock, and still refused.
    let tried = "select min(attempts)::int8 from dead_letters";
    until_equal(20, "all were tried again", true, async || {
        sql.count(tried).await >= 2
    })
    .await;
    sql.run("drop trigger refuse on live.orders").await;
    until_equal(30, "it comes home", 200, async || {
        service.order("heals").await.status
    })
    .await;
    until_equal(30, "the other finds its place taken", 1, async || {
        sql.count("select count(*) from dead_letters where reason = 'conflict' and state = 'open'")
            .await
    })
    .await;
    let id = &letters[1]["id"];
    let story = service.json(&format!("/api/v1/dead-letters/{id}")).await;
    assert_eq!(
        (&story["key"], &story["state"]),
        (&json!("heals"), &json!("replaced"))
    );
    let last = story["decisions"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&last["action"], &last["result"]),
        (&json!("retry"), &json!("done"))
    );
    service.rests(10, 500).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.orders, count.letters), (499, 2));
    has_lived_once(&service, 500).await;
}

/// Two batches are written at once: the later one must see what the earlier one brings, and go again where that one fails.
#[tokio::test]
async fn batches_under_way_know_of_each_other_and_survive_each_others_faults() {
    const EACH: usize = 6_000;
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::File).await;
    let sql = bench.sql().await;
    sql.run(REFUSE).await;
    let poison = ("\"customer_id\": \"test\"", "\"customer_id\": \"poison\"");
    let other = ("\"sm_id\": 99", "\"sm_id\": 98");
    let mut payloads = Vec::new();
    let (mut duplicates, mut conflicts, mut refused) = (0, 0, 0);
    for number in 0..EACH {
        payloads.push(order(&format!("uid-{number}")));
        // So far behind that it is in the next batch, mostly.
        let Some(before) = number.checked_sub(700) else {
            continue;
        };
        let before = format!("uid-{before}");
        match number % 3 {
            0 => {
                payloads.push(order(&before));
                duplicates += 1;
            }
            1 => {
                payloads.push(order_with(&before, &[other]));
                conflicts += 1;
            }
            _ => {}
        }
        if number % 499 == 0 {
            payloads.push(order_with(&format!("poison-{number}"), &[poison]));
            refused += 1;
        }
    }
    let ledger = Sender::new(&broker).publish(payloads.clone()).await;
    let service = bench.serve(Some(&broker), &[]).await;
    service.rests(60, payloads.len() as i64).await;
    // Those that were refused are tried again all the time; at rest, all are at home.
    sql.run("drop trigger refuse on live.orders").await;
    until_equal(30, "open letters", conflicts as i64, async || {
        sql.count("select count(*) from dead_letters where state = 'open'")
            .await
    })
    .await;
    service.rests(10, payloads.len() as i64).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(
        (count.orders, count.duplicates, count.letters),
        (EACH + refused, duplicates, conflicts + refused)
    );
    has_lived_once(&service, payloads.len()).await;
}

/// A COMMIT that waits for a standby and is told not to: it holds here, and says so by a WARNING.
const DOUBT: &str = "
    select count(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'";

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_done_again_harmlessly() {
    let bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("sure", 100)).await;
    service.rests(30, 100).await;
    let sql = bench.sql().await;
    sql.run("alter system set synchronous_standby_names = 'nobody'")
        .await;
    sql.run("select pg_reload_conf()").await;
    ledger.merge(Sender::new(&broker).publish(orders("doubt", 300)).await);
    let mut doubts = 0;
    until(60, "ten commits were in doubt", async || {
        doubts += sql.count(DOUBT).await;
        (doubts >= 10).then_some(())
    })
    .await;
    // Stored already, and yet not acknowledged.
    assert!(sql.head().await > 100);
    let stats = service.json("/api/v1/stats").await;
    assert_ne!(stats["broker"]["lag"], 0, "{stats}");
    sql.run("alter system reset synchronous_standby_names")
        .await;
    sql.run("select pg_reload_conf()").await;
    service.rests(60, 400).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.rows, count.orders), (400, 400));
}

/// No message of this payload.
const REFUSE_MESSAGE: &str = "
    create function refuse_message() returns trigger language plpgsql as $$ begin
        if new.payload = 'poison' then raise exception using errcode = '22P05'; end if;
        return new;
    end $$;
    create trigger refuse before insert on public.inbox for each row execute function refuse_message()";

#[tokio::test]
async fn a_message_that_the_log_refuses_is_not_acknowledged_and_comes_again() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let sql = bench.sql().await;
    sql.run(REFUSE_MESSAGE).await;
    let mut payloads = orders("beside", 99);
    payloads.insert(50, "poison".into());
    let ledger = Sender::new(&broker).publish(payloads).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    service.says(30, "is refused by Postgres").await;
    until_equal(
        30,
        "the others are stored and acknowledged",
        (99, 1.into()),
        async || {
            let stats = service.json("/api/v1/stats").await;
            (sql.head().await, stats["broker"]["lag"].clone())
        },
    )
    .await;
    sql.run("drop trigger refuse on public.inbox").await;
    // Sooner than the broker's time is over.
    assert!(service.stop().await.success());
    service.start().await;
    service.rests(30, 100).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.rows, count.letters), (100, 1));
}

/// The projector's sessions that wait for a standby, and what they were asked.
const PROJECTORS: &str = "
    select pid::bigint, ltrim(query, E' \\n') from pg_stat_activity
    where application_name = 'waybill projector' and wait_event = 'SyncRep'";

/// The projector's commit is told not to wait for the standby: it holds here, and its session is not to be believed.
async fn a_doubted_commit_ends_its_session(message: Bytes, statement: &str) {
    let bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish([order("sure")]).await;
    service.rests(30, 1).await;
    let sql = bench.sql().await;
    sql.run("alter system set synchronous_standby_names = 'nobody'")
        .await;
    sql.run("select pg_reload_conf()").await;
    ledger.merge(Sender::new(&broker).publish([message]).await);
    let cancel = async |pid: i64| {
        sql.count(&format!("select count(pg_cancel_backend({pid}))"))
            .await;
    };
    let doubted = until(30, "such a commit waits for the standby", async || {
        for row in sql.rows(PROJECTORS).await {
            if row.get::<_, &str>(1).starts_with(statement) {
                return Some(row.get::<_, i64>(0));
            }
            cancel(row.get(0)).await;
        }
        None
    })
    .await;
    cancel(doubted).await;
    // Sooner than any time-out of ours.
    until_equal(8, "sessions that are still believed", 0, async || {
        let there = format!("select count(*) from pg_stat_activity where pid = {doubted}");
        sql.count(&there).await
    })
    .await;
    sql.run("alter system reset synchronous_standby_names")
        .await;
    sql.run("select pg_reload_conf()").await;
    service.rests(60, 2).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows, 2);
}

/// A few orders are one statement.
#[tokio::test]
async fn a_session_whose_projection_of_an_order_is_in_doubt_is_given_up() {
    a_doubted_commit_ends_its_session(order("doubt"), "with write0").await;
}

#[tokio::test]
async fn a_session_whose_projection_of_a_letter_is_in_doubt_is_given_up() {
    a_doubted_commit_ends_its_session("no order".into(), "commit").await;
}
