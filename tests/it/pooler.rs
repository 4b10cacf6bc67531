//! A pooler between the service and Postgres. One that gives each session a server process of its own is as good as none. One
//! that gives each transaction another breaks what the acknowledgements rest on: there are none then, and the log says why.

use std::os::unix::fs::MetadataExt;

use serde_json::Value;
use tokio_postgres::NoTls;
use waybill::postgres::{Database, Settings, migrate};
use waybill::sandbox::broker::Store;
use waybill::sandbox::find_program;
use waybill::sandbox::process::{Launch, Process, Signal, free_port, signal};

use crate::harness::{
    Bench, Ledger, OCTETS, Pooler, Pooling, Sender, Weight, check, mixed, order, orders, until,
};

/// What the log is to say, whatever it was seen by.
const SENTENCE: &str = "a pooler stands between";

#[tokio::test]
async fn behind_one_that_changes_server_processes_nothing_is_acknowledged() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let pooler = Pooler::to(&bench.url, Pooling::Session).await;
    let args = ["--database-url", &pooler.url()];
    let service = bench.serve(Some(&broker), &args).await;
    let mut ledger = Sender::new(&broker).publish(orders("alone", 100)).await;
    service.rests(30, 100).await;

    pooler.set(Pooling::Changing);
    // The flush's session still has its process, and vouches for this one by right.
    let last = order("last");
    service.post(last.clone()).await;
    ledger.acked.push(last);
    ledger.merge(Sender::new(&broker).publish(orders("shared", 100)).await);
    let posted = order("posted");
    let answer = service.ask(
        reqwest::Method::POST,
        "/api/v1/orders",
        &[OCTETS],
        posted.clone(),
    );
    let answer = answer.await;
    assert_eq!(answer.status, 503, "{answer:?}");
    service.says(20, SENTENCE).await;
    assert_eq!(bench.sql().await.head().await, 202, "all are appended");
    // Asked of the broker itself: readers may find nothing behind such a pooler.
    let monitoring = broker.monitoring_url().unwrap();
    let channel = reqwest::get(format!(
        "{monitoring}/streaming/channelsz?channel=orders&subs=1"
    ));
    let channel: Value = channel.await.unwrap().json().await.unwrap();
    assert_eq!(
        channel["subscriptions"][0]["pending_count"], 100,
        "{channel}"
    );

    // What was in doubt is found, and nobody has to send it again.
    pooler.set(Pooling::Session);
    ledger.acked.push(posted);
    service.rests(60, 202).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.rows, count.orders), (202, 202));
}

/// Who would write to the disk what waits for no disk.
const WRITERS_OF_WAL: &str = "
    select pid::bigint from pg_stat_activity
    where backend_type in ('walwriter', 'background writer', 'checkpointer')";

/// All sessions are the same process, one after the other: it may be trusted, but for what others have set on it.
#[tokio::test]
async fn what_is_acknowledged_over_a_process_that_others_have_set_survives_a_crash() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[("autovacuum", "off")]).await;
    let settings = Settings::parse(&bench.url, None, false).unwrap();
    migrate(&Database::new(settings, 1).unwrap(), None)
        .await
        .unwrap();
    let pooler = Pooler::to(&bench.url, Pooling::One).await;
    let mut service = bench.serve(None, &["--database-url", &pooler.url()]).await;
    // The first of a source goes the general way of appending, the next ones that of a few: neither leaves anything behind.
    for number in 0..3 {
        service.post(order(&format!("before-{number}"))).await;
    }
    assert!(!service.text().contains(SENTENCE), "{}", service.text());
    for row in bench.sql().await.rows(WRITERS_OF_WAL).await {
        signal(row.get::<_, i64>(0) as u32, Signal::STOP);
    }
    let (stranger, connection) = tokio_postgres::connect(&pooler.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let mut ledger = Ledger::default();
    for number in 0..5 {
        let setting = "set synchronous_commit = off";
        stranger.batch_execute(setting).await.unwrap();
        let payload = order(&format!("set-{number}"));
        service.post(payload.clone()).await;
        ledger.acked.push(payload);
    }
    service.pause();
    bench.postgres().kill();
    bench.postgres().start_again().await.unwrap();
    assert_eq!(bench.sql().await.head().await, 8, "acknowledged, and lost");
    assert!(service.text().contains(SENTENCE), "{}", service.text());
    service.resume();
    service.rests(60, 8).await;
    check(&bench, &service, &ledger).await;
}

/// PgBouncer before the test's own Postgres, and its URL. It has several server connections from the start and takes one after
/// the other: left alone, it may give a quiet service the same one for each transaction, and acknowledgements would rightly be
/// given.
async fn pgbouncer(bench: &Bench, pool_mode: &str) -> (Process, String) {
    let postgres = bench.postgres.as_ref().unwrap();
    let direct: tokio_postgres::Config = postgres.tcp_url().unwrap().parse().unwrap();
    let password = String::from_utf8_lossy(direct.get_password().unwrap()).into_owned();
    let server = postgres.tcp_address().unwrap().port();
    let port = free_port().unwrap();
    // It does not run as root, who may be all that there is.
    let user = match std::fs::metadata("/proc/self").map(|me| me.uid()) {
        Ok(0) => "user = nobody",
        _ => "",
    };
    let settings = format!(
        "[databases]
         waybill = host=127.0.0.1 port={server} user=waybill password={password}
         [pgbouncer]
         listen_addr = 127.0.0.1
         listen_port = {port}
         unix_socket_dir =
         auth_type = any
         pool_mode = {pool_mode}
         server_round_robin = 1
         {user}"
    );
    let file = bench.dir.join("pgbouncer.ini");
    std::fs::write(&file, settings).unwrap();
    let program = find_program("pgbouncer", &["/usr/sbin".into()]).next();
    let program = program.expect("no pgbouncer: .ci/tools test, or apt-get install pgbouncer");
    let log = bench.dir.join("pgbouncer.log");
    let launch = Launch::new("pgbouncer", program, vec![file.into()], log);
    let process = Process::start(launch).await.unwrap();
    let url = format!("postgresql://waybill@127.0.0.1:{port}/waybill?sslmode=disable");
    let connect = async || {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.ok()?;
        tokio::spawn(connection);
        client.batch_execute("begin").await.ok().map(|()| client)
    };
    // Eight transactions at once need as many servers.
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(until(20, "PgBouncer takes connections", connect).await);
    }
    for client in clients {
        client.batch_execute("commit").await.unwrap();
    }
    (process, url)
}

#[tokio::test]
async fn behind_pgbouncer_in_session_mode_all_is_as_without() {
    let bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let broker = bench.broker(Store::File).await;
    let (_pgbouncer, url) = pgbouncer(&bench, "session").await;
    let args = ["--database-url", &url];
    let mut service = bench.serve(Some(&broker), &args).await;
    let mut ledger = Sender::new(&broker).publish(mixed(300, "session")).await;
    service.rests(60, 300).await;
    service.kill();
    ledger.merge(Sender::new(&broker).publish(orders("again", 100)).await);
    service.start().await;
    service.rests(60, 400).await;
    check(&bench, &service, &ledger).await;
    assert!(!service.text().contains(SENTENCE), "{}", service.text());
}

/// Debian's keeps no prepared statements: the service may not even come so far as to serve.
#[tokio::test]
async fn behind_pgbouncer_in_transaction_mode_nothing_is_acknowledged() {
    let bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let settings = Settings::parse(&bench.url, None, false).unwrap();
    migrate(&Database::new(settings, 1).unwrap(), None)
        .await
        .unwrap();
    let broker = bench.broker(Store::File).await;
    let ledger = Sender::new(&broker).publish(orders("shared", 300)).await;
    let (pgbouncer, url) = pgbouncer(&bench, "transaction").await;
    let mut service = bench.service(&[], Some(&broker), &["--database-url", &url]);
    service.launch().await;
    service.says(60, SENTENCE).await;
    service.kill();
    // With it go the locks that sessions of the service have left on its server connections.
    drop(pgbouncer);

    // All of them are still the broker's.
    let service = bench.serve(Some(&broker), &[]).await;
    service.rests(60, 300).await;
    check(&bench, &service, &ledger).await;
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    let counted = |name: &str| -> i64 {
        let (_, rest) = metrics.split_once(&format!("\n{name} ")).unwrap();
        rest.split_once('\n').unwrap().0.parse().unwrap()
    };
    let stored = counted("waybill_inbox_appended_total");
    assert_eq!(stored + counted("waybill_inbox_redelivered_total"), 300);
}
