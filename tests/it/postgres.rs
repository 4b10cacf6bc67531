//! What Postgres may go through: stopped, killed, frozen, locked. No outage loses a message or
//! makes a dead letter of it, and what is in the cache is served all the while.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use waybill::postgres::{Database, Error, Session, Settings};
use waybill::sandbox::broker::Store;
use waybill::sandbox::process::{Signal, signal};

use crate::harness::{
    Bench, Sender, Service, Weight, check, mixed, order, order_with, orders, until, until_equal,
};

/// Reads cached orders without a pause, and wants each answered at once.
struct Readers {
    stop: CancellationToken,
    reading: JoinHandle<usize>,
}

impl Readers {
    fn start(service: &Service, prefix: &str, count: usize) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let urls: Vec<String> = (0..count)
            .map(|n| format!("{}/api/v1/orders/{prefix}-{n}", service.url))
            .collect();
        let reading = tokio::spawn(async move {
            let http = reqwest::Client::new();
            let mut read = 0;
            while !stopped.is_cancelled() {
                let asked = Instant::now();
                let answer = http.get(&urls[read % urls.len()]).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                assert!(
                    asked.elapsed() < Duration::from_secs(2),
                    "{:?}",
                    asked.elapsed()
                );
                read += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            read
        });
        Self { stop, reading }
    }

    async fn finish(self) {
        self.stop.cancel();
        assert!(self.reading.await.unwrap() > 100);
    }
}

/// What is not in the cache cannot be answered, and says so in time.
async fn misses_are_unavailable(service: &Service) {
    let asked = Instant::now();
    let answer = service.order("not-in-the-cache").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(!answer.header("retry-after").is_empty());
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn stopped_under_load_it_loses_nothing_and_cached_reads_go_on() {
    let mut bench = Bench::with_own_postgres(Weight::Heavy, &[]).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("warm", 200)).await;
    service.rests(30, 200).await;
    let readers = Readers::start(&service, "warm", 200);
    let sender = Sender::new(&broker).rate(1_500.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(9_000, "stop")).await });
    for end in 0..3 {
        let mark = 1_500 * (end + 1);
        let sql = bench.sql().await;
        until_equal(30, "the next stop's mark is reached", true, async || {
            sql.head().await >= mark
        })
        .await;
        match end {
            0 => bench.postgres().stop().await,
            1 => bench.postgres().stop_immediate().await,
            _ => bench.postgres().kill(),
        }
        misses_are_unavailable(&service).await;
        until_equal(20, "it is said", json!("away"), async || {
            service.get("/healthz/ready").await.json()["postgres"].clone()
        })
        .await;
        bench.postgres().start_again().await.unwrap();
    }
    ledger.merge(sending.await.unwrap());
    service.rests(60, ledger.rows()).await;
    readers.finish().await;
    check(&bench, &service, &ledger).await;
}

#[tokio::test]
async fn backends_killed_again_and_again_lose_nothing() {
    let bench = Bench::with_own_postgres(Weight::Heavy, &[]).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let sender = Sender::new(&broker).rate(1_200.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(6_000, "backend")).await });
    for (kill, name) in (1..).zip(["inbox", "projector", "reader", "inbox", "projector"]) {
        let query = format!(
            "select pid::int8 from pg_stat_activity, inbox_head
             where application_name = 'waybill {name}' and next_position > {kill} * 800 limit 1"
        );
        // The session to look with may be of the life before.
        let pid = until(30, "the stage has a session, and appends", async || {
            bench.sql().await.try_count(&query).await
        })
        .await;
        signal(pid as u32, Signal::KILL);
    }
    let ledger = sending.await.unwrap();
    service.rests(60, ledger.rows()).await;
    check(&bench, &service, &ledger).await;
}

#[tokio::test]
async fn connections_terminated_again_and_again_make_no_dead_letters() {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let sender = Sender::new(&broker).rate(1_500.0);
    let sending = tokio::spawn(async move { sender.publish(orders("cut", 6_000)).await });
    let sql = bench.sql().await;
    let mut ended = 0;
    while !sending.is_finished() {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..150))).await;
        ended += sql
            .count("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
            .await;
    }
    assert!(ended > 20, "only {ended} connections were ended");
    let ledger = sending.await.unwrap();
    service.rests(60, ledger.rows()).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.orders, count.letters), (6_000, 0));
}

/// A session that was ended while Postgres is there is no outage: another is made, and nobody is sent away.
#[tokio::test]
async fn connections_that_were_lost_at_rest_turn_no_message_away() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let sql = bench.sql().await;
    for round in 0..5 {
        let now = sql.text("select clock_timestamp()::text").await;
        // A session that was just made has no name to be ended by yet: who is of before is ended until none is left.
        let end_the_old = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()
             and backend_start < '{now}' and application_name in ('waybill inbox', 'waybill flush')"
        );
        until_equal(10, "they are gone", 0, async || {
            sql.count(&end_the_old).await
        })
        .await;
        // Each answers with its position, or fails.
        let posts = (0..8).map(|n| service.post(order(&format!("round-{round}-{n}"))));
        join_all(posts).await;
    }
    service.rests(20, 40).await;
    check(&bench, &service, &Default::default()).await;
}

/// Who would bring a commit that waited for no disk to the disk.
const WRITERS_OF_WAL: &str = "
    select pid::bigint from pg_stat_activity
    where backend_type in ('walwriter', 'background writer', 'checkpointer') or application_name = 'waybill flush'";

#[tokio::test]
async fn what_a_crash_takes_before_the_flush_was_not_acknowledged_and_comes_again() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[("autovacuum", "off")]).await;
    let broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("safe", 100)).await;
    service.rests(30, 100).await;
    // The projector's commits would bring all to the disk, too.
    let stranger = bench.sql().await;
    stranger
        .run("begin; lock table live.orders in exclusive mode")
        .await;
    for row in bench.sql().await.rows(WRITERS_OF_WAL).await {
        signal(row.get::<_, i64>(0) as u32, Signal::STOP);
    }
    ledger.merge(Sender::new(&broker).publish(orders("doubt", 300)).await);
    let sql = bench.sql().await;
    // So many batches wait for the disk, and no more.
    until_equal(20, "some are committed", true, async || {
        sql.head().await > 100
    })
    .await;
    service.pause();
    let before = sql.head().await;
    bench.postgres().kill();
    bench.postgres().start_again().await.unwrap();
    let after = bench.sql().await.head().await;
    service.resume();
    assert!(after < before, "the crash took nothing: this shows nothing");
    service.rests(60, 400).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.rows, count.orders), (400, 400));
}

/// Who reads on a thread of its own does not read on for nobody, and panics for who waits.
#[tokio::test]
async fn a_session_apart_ends_with_who_waits_for_it() {
    let bench = Bench::new(Weight::Light).await;
    let settings = Settings::parse(&bench.url, None, false).unwrap();
    let database = Database::new(settings, 1).unwrap();
    let answer = database.apart("apart", async |session: Session| {
        let row = session.client().query_one("select 42", &[]).await?;
        Ok(row.get::<_, i32>(0))
    });
    assert_eq!(answer.await.unwrap(), 42);

    let others = database.session("other").await.unwrap();
    let sessions = async || {
        const NAMED: &str = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'waybill apart'";
        let row = others.client().query_one(NAMED, &[]).await.unwrap();
        row.get::<_, i64>(0)
    };
    let endless = async |session: Session| {
        let _held = session;
        std::future::pending::<Result<(), Error>>().await
    };
    let reading = tokio::spawn({
        let database = database.clone();
        async move { database.apart("apart", endless).await }
    });
    until_equal(10, "a session", 1, &sessions).await;
    reading.abort();
    until_equal(10, "none", 0, &sessions).await;

    let panics = async |_: Session| -> Result<(), Error> { panic!("on purpose") };
    let asking = tokio::spawn(async move { database.apart("apart", panics).await });
    assert!(asking.await.unwrap_err().is_panic());
}

#[tokio::test]
async fn frozen_it_is_waited_out() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("warm", 200)).await;
    service.rests(30, 200).await;
    let readers = Readers::start(&service, "warm", 200);
    bench.postgres().pause();
    let frozen = Instant::now();
    ledger.merge(
        Sender::new(&broker)
            .publish(orders("meanwhile", 2_000))
            .await,
    );
    for _ in 0..3 {
        misses_are_unavailable(&service).await;
    }
    while frozen.elapsed() < Duration::from_secs(15) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.postgres().resume();
    service.rests(60, ledger.rows()).await;
    readers.finish().await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.orders, count.rows), (2_200, 2_200));
}

#[tokio::test]
async fn a_stranger_who_holds_the_head_is_an_alarm_and_is_waited_for() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let stranger = bench.sql().await;
    stranger
        .run("begin; select from inbox_head for update")
        .await;
    let ledger = Sender::new(&broker).publish(orders("locked", 100)).await;
    until(20, "the alarm is raised", async || {
        let metrics = service.get("/metrics").await.body;
        let metrics = String::from_utf8_lossy(&metrics);
        let (_, count) = metrics.split_once("\nwaybill_inbox_head_lock_timeouts_total ")?;
        (!count.starts_with('0')).then_some(())
    })
    .await;
    assert_eq!(bench.sql().await.head().await, 0);
    // A stranger's session is not ours to end.
    stranger.run("commit").await;
    service.rests(30, 100).await;
    check(&bench, &service, &ledger).await;
}

/// Ours, inside a COPY, with the head's lock, and waiting for a client that says nothing. Between two statements it would not
/// do: idle_in_transaction_session_timeout ends a session there, before another replica has to.
const FROZEN_INSIDE: &str = "
    select coalesce(min(a.pid), 0)::bigint from pg_stat_activity a join pg_locks l on l.pid = a.pid
    where a.datname = current_database() and a.application_name = 'waybill inbox'
      and a.state = 'active' and a.query ilike 'copy %' and a.wait_event_type = 'Client'
      and l.granted and l.relation = 'inbox_head'::regclass";

#[tokio::test]
async fn a_replica_frozen_inside_an_append_does_not_hold_up_the_others() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut frozen = bench.serve(Some(&broker), &["--lease", "2"]).await;
    let filler = format!("{{ \"unknown\": \"{}\",", "x".repeat(20_000));
    let payloads: Vec<Bytes> = (0..8_000)
        .map(|n| order_with(&format!("freeze-{n}"), &[("{", &filler)]))
        .collect();
    let sender = Sender::new(&broker).rate(1_500.0);
    let sending = tokio::spawn(async move { sender.publish(payloads).await });
    let sql = bench.sql().await;
    let backend = until(60, "it is frozen inside an append", async || {
        frozen.pause();
        // Twice: what it had sent already may be on its way, and the end of the transaction with it.
        let mut backend = 0;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            backend = sql.count(FROZEN_INSIDE).await;
            if backend == 0 {
                frozen.resume();
                return None;
            }
        }
        Some(backend)
    })
    .await;
    let before = sql.head().await;
    let args = ["--lease", "2", "--client-id", "waybill-2"];
    let other = bench.serve(Some(&broker), &args).await;
    until_equal(30, "the other appends", true, async || {
        sql.head().await > before + 500
    })
    .await;
    // While its client stands still, nobody but the other can have ended it.
    let alive = format!("select count(*) from pg_stat_activity where pid = {backend}");
    assert_eq!(sql.count(&alive).await, 0, "{}", other.text());
    frozen.resume();
    let ledger = sending.await.unwrap();
    other.rests(120, ledger.rows()).await;
    let count = check(&bench, &other, &ledger).await;
    assert_eq!((count.orders, count.rows), (8_000, 8_000));
}
