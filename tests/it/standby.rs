//! A primary that will not write any more, and one that is gone: the service looks for the one that writes, and nothing that
//! was acknowledged is lost.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use waybill::sandbox::broker::Store;
use waybill::sandbox::postgres::{Options, Postgres};

use crate::harness::{
    Bench, Sender, Service, Weight, check, mixed, order, orders, until, until_equal,
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

fn give(path: &Path, owner: &fs::Metadata) {
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), owner);
        }
    }
}

/// Several hosts, as libpq has them: in the order in which they are tried.
fn either(servers: [&str; 2]) -> String {
    let of = |url: &str, name: &str| {
        let (_, parameters) = url.split_once('?').unwrap();
        let mut values = parameters
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let (_, value) = values.find(|(key, _)| *key == name).unwrap();
        value.replace("%2F", "/")
    };
    let all = |name: &str| servers.map(|url| of(url, name)).join(",");
    format!(
        "host={} port={} user=waybill dbname=waybill target_session_attrs=read-write",
        all("host"),
        all("port")
    )
}

#[tokio::test]
async fn a_synchronous_standby_is_promoted_and_found() {
    let mut bench = Bench::with_own_postgres(Weight::Heavy, &[]).await;
    let broker = bench.broker(Store::File).await;
    let standby = standby_of(bench.postgres.as_ref().unwrap(), &bench).await;
    let sql = bench.sql().await;
    sql.run("alter system set synchronous_standby_names = '*'")
        .await;
    sql.run("select pg_reload_conf()").await;
    let waits = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    until_equal(20, "the standby follows", 1, async || {
        sql.count(waits).await
    })
    .await;
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
    assert!(
        service.text().contains("the cache is emptied"),
        "{}",
        service.text()
    );
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows, 4_000);
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
