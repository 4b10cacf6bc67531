//! A primary that will not write any more, and one that is gone: the service looks for the one that writes, and nothing that
//! was acknowledged is lost.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use waybill::sandbox::broker::Store;
use waybill::sandbox::postgres::{Options, Postgres};

use crate::harness::{
    Bench, Line, OCTETS, Proxy, Sender, Service, Sql, Weight, check, mixed, order, orders, until,
    until_equal,
};

const END_ALL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'waybill %'";

async fn postgres_is(service: &Service, state: &str) {
    until_equal(30, "Postgres", json!(state), async || {
        service.get("/healthz/ready").await.json()["postgres"].clone()
    })
    .await;
}

#[tokio::test]
async fn a_primary_turned_read_only_is_waited_out() {
    let bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("warm", 50)).await;
    service.rests(30, 50).await;
    let sql = bench.sql().await;
    // Our sessions meet it in the middle of their work (25006), or are ended and find no way in.
    for ended in [false, true] {
        sql.run("alter system set default_transaction_read_only = on")
            .await;
        sql.run("select pg_reload_conf()").await;
        until_equal(10, "it is read-only", "on".to_owned(), async || {
            sql.text("show default_transaction_read_only").await
        })
        .await;
        if ended {
            assert!(sql.count(END_ALL).await > 2);
        }
        let prefix = format!("meanwhile-{ended}");
        ledger.merge(Sender::new(&broker).publish(mixed(400, &prefix)).await);
        postgres_is(&service, "away").await;
        assert_eq!(service.order("warm-7").await.status, 200);
        let head = sql.head().await;
        assert!(head < ledger.rows(), "it has written");
        sql.run("alter system reset default_transaction_read_only")
            .await;
        sql.run("select pg_reload_conf()").await;
        service.rests(40, ledger.rows()).await;
    }
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows, 850);
    let sql = bench.sql().await;
    let refused = "select count(*) from dead_letters where code = 'refused_by_postgres'";
    assert_eq!(sql.count(refused).await, 0);
}

/// A copy of the primary that follows it.
async fn standby_of(primary: &Postgres, bench: &Bench) -> Postgres {
    let data = bench.dir.join("standby");
    let mut backup = Command::new(primary.bin_dir().join("pg_basebackup"));
    backup.args(["-R", "-X", "stream", "-c", "fast", "-d"]);
    let output = backup
        .arg(primary.superuser_url())
        .arg("-D")
        .arg(&data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    give(&data, &fs::metadata(primary.data_dir()).unwrap());
    let options = Options {
        data_dir: data,
        settings: vec![("shared_buffers".into(), "32MB".into())],
        ..Default::default()
    };
    Postgres::start(options).await.unwrap()
}

/// From now on no commit is answered that it has not got.
async fn wait_for_it(sql: &Sql) {
    sql.run("alter system set synchronous_standby_names = '*'")
        .await;
    sql.run("select pg_reload_conf()").await;
    let waits = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    until_equal(20, "the standby follows", 1, async || {
        sql.count(waits).await
    })
    .await;
}

fn give(path: &Path, owner: &fs::Metadata) {
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), owner);
        }
    }
}

/// The directory and the port of a URL of the sandbox.
fn socket_of(url: &str) -> (String, String) {
    let (_, parameters) = url.split_once('?').unwrap();
    let value = |name: &str| {
        let mut pairs = parameters.split('&').filter_map(|one| one.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name).unwrap();
        value.replace("%2F", "/")
    };
    (value("host"), value("port"))
}

/// Several hosts, as libpq has them: in the order in which they are tried.
fn either(servers: [&str; 2]) -> String {
    let [first, second] = servers.map(socket_of);
    format!(
        "host={},{} port={},{} user=waybill dbname=waybill target_session_attrs=read-write",
        first.0, second.0, first.1, second.1
    )
}

#[tokio::test]
async fn a_synchronous_standby_is_promoted_and_found() {
    let mut bench = Bench::with_own_postgres(Weight::Heavy, &[]).await;
    let broker = bench.broker(Store::File).await;
    let standby = standby_of(bench.postgres.as_ref().unwrap(), &bench).await;
    let sql = bench.sql().await;
    wait_for_it(&sql).await;
    // The standby first: it is asked, and is not the one.
    let url = either([&standby.url(), &bench.url]);
    let service = bench
        .serve(Some(&broker), &["--database-url", &url, "--lease", "2"])
        .await;
    let sender = Sender::new(&broker).rate(800.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(4_000, "promoted")).await });
    until(30, "the middle is reached", async || {
        (sql.head().await > 1_500).then_some(())
    })
    .await;
    bench.postgres().kill();
    bench.superuser_url = standby.url_as("postgres", "waybill");
    let sql = bench.sql().await;
    assert!(sql.text("select pg_promote()::text").await == "true");
    let ledger = sending.await.unwrap();
    service.rests(60, 4_000).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows, 4_000);
}

/// The primary is hung or off, as seen from the service; its standby, the second host, is promoted in mid-stream. Misses,
/// lists and messages find it once what was under way has been given up (15 s) and each host has had its bound (3 s).
async fn promoted_beside(line: Line) {
    let mut bench = Bench::with_own_postgres(Weight::Heavy, &[]).await;
    let broker = bench.broker(Store::File).await;
    let standby = standby_of(bench.postgres.as_ref().unwrap(), &bench).await;
    wait_for_it(&bench.sql().await).await;
    let primary = bench.postgres();
    let address = primary.tcp_address().unwrap();
    let password = primary.tcp_url().unwrap();
    let (_, password) = password.split_once("waybill:").unwrap();
    let (password, _) = password.split_once('@').unwrap();
    let mut wire = Proxy::to(address).await;
    let (directory, port) = socket_of(&standby.url());
    let url = format!(
        "host=127.0.0.1,{directory} port={},{port} user=waybill password={password} dbname=waybill",
        wire.address.port()
    );
    let args = ["--database-url", &url, "--lease", "2"];
    let service = bench.serve(Some(&broker), &args).await;
    let sql = bench.sql().await;
    let sender = Sender::new(&broker).rate(300.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(6_000, "beside")).await });
    until(30, "a part is appended", async || {
        (sql.head().await > 1_000).then_some(())
    })
    .await;
    match line {
        Line::Off => wire.off().await,
        line => wire.set(line),
    }
    let begun = Instant::now();
    bench.postgres().pause();
    bench.superuser_url = standby.url_as("postgres", "waybill");
    let sql = bench.sql().await;
    assert!(sql.text("select pg_promote()::text").await == "true");
    let answered = async |method: Method, path: &str, body: bytes::Bytes, wanted: u16| {
        until(60, path, async || {
            let headers: &[_] = if method == Method::POST {
                // Its outcome may be unknown: it is sent again, and stored once.
                &[OCTETS, ("idempotency-key", "posted")]
            } else {
                &[]
            };
            let answer = service
                .ask(method.clone(), path, headers, body.clone())
                .await;
            assert!([wanted, 503].contains(&answer.status), "{answer:?}");
            (answer.status == wanted).then(|| begun.elapsed())
        })
        .await
    };
    let get = async |path, wanted| answered(Method::GET, path, Default::default(), wanted).await;
    let took = tokio::join!(
        get("/api/v1/orders/not-in-the-cache", 404),
        get("/api/v1/orders?customer_id=nobody", 200),
        answered(Method::POST, "/api/v1/orders", order("posted"), 202),
    );
    println!("{line:?}: a miss, a list, a message after {took:.1?}");
    let bound = Duration::from_secs(15 + 2 * 3 + 5);
    assert!(
        took.0 < bound && took.1 < bound && took.2 < bound,
        "{took:?}"
    );
    let mut ledger = sending.await.unwrap();
    ledger.acked.push(order("posted"));
    service.rests(60, 6_001).await;
    // For the end of the test it is not to be frozen.
    bench.postgres().kill();
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows, 6_001);
}

#[tokio::test]
async fn a_primary_that_hangs_does_not_keep_the_service_from_the_promoted_one() {
    promoted_beside(Line::Hole).await;
}

#[tokio::test]
async fn a_primary_that_is_off_does_not_keep_the_service_from_the_promoted_one() {
    promoted_beside(Line::Off).await;
}

#[tokio::test]
async fn what_a_promoted_standby_lacks_is_served_no_more() {
    let mut bench = Bench::with_own_postgres(Weight::Heavy, &[]).await;
    let standby = standby_of(bench.postgres.as_ref().unwrap(), &bench).await;
    let url = either([&standby.url(), &bench.url]);
    let service = bench
        .serve(None, &["--database-url", &url, "--lease", "2"])
        .await;
    service.post(order("kept")).await;
    service.rests(20, 1).await;
    bench.superuser_url = standby.url_as("postgres", "waybill");
    let sql = bench.sql().await;
    let orders = "select count(*) from orders";
    until_equal(20, "the standby follows", 1, async || {
        sql.count(orders).await
    })
    .await;
    // From here on it hears no more of the primary.
    sql.run("alter system set primary_conninfo = ''").await;
    sql.run("select pg_reload_conf()").await;
    let follows = "select count(*) from pg_stat_wal_receiver";
    until_equal(20, "it follows no more", 0, async || {
        sql.count(follows).await
    })
    .await;
    service.post(order("lost")).await;
    service.rests(20, 2).await;
    assert_eq!(service.order("lost").await.status, 200);
    bench.postgres().kill();
    assert!(sql.text("select pg_promote()::text").await == "true");
    until_equal(40, "the order that is nowhere", 404, async || {
        service.order("lost").await.status
    })
    .await;
    assert_eq!(service.order("kept").await.status, 200);
}
