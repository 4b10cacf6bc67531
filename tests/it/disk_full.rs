//! Postgres has no room left. A full disk needs a disk of one's own, and root for it; what anybody can have is a limit on how
//! large Postgres' files may grow, and an append meets it in the same place, with another word for it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::json;
use waybill::sandbox::broker::Store;
use waybill::sandbox::postgres::Postgres;
use waybill::sandbox::process::descendants;

use crate::harness::{Bench, Sender, Weight, check, order_with, orders, until_equal};

/// More than a segment of WAL has: that one is written all the same.
const FILE: &str = "17825792";

/// `soft` as prlimit has it: bytes, or `unlimited`. Its owner alone may say so, not even root everywhere.
fn limit_files(postgres: &Postgres, soft: &str) {
    let postmaster = postgres.pid().unwrap();
    let owner = fs::metadata(postgres.data_dir()).unwrap();
    let limit = |pid: u32| {
        Command::new("prlimit")
            .arg(format!("--fsize={soft}:"))
            .args(["--pid", &pid.to_string()])
            .current_dir("/")
            .gid(owner.gid())
            .uid(owner.uid())
            .output()
            .expect("prlimit is missing: install util-linux")
    };
    // Whoever is started from now on has it from the first.
    let output = limit(postmaster);
    assert!(output.status.success(), "{output:?}");
    // One of these may have ended meanwhile.
    descendants(postmaster)
        .into_iter()
        .for_each(|pid| drop(limit(pid)));
}

#[tokio::test]
async fn no_room_left_is_told_and_waited_out() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("warm", 50)).await;
    service.rests(30, 50).await;
    limit_files(bench.postgres(), FILE);
    // Nothing that could be compressed.
    let payloads = (0..1_500).map(|number| {
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(16_000)
            .collect();
        let unknown = format!("{{ \"unknown\": \"{noise}\",");
        order_with(&format!("large-{number}"), &[("{", &unknown)])
    });
    let payloads: Vec<_> = payloads.collect();
    ledger.merge(Sender::new(&broker).publish(payloads).await);
    until_equal(30, "it is told", json!("away"), async || {
        service.get("/healthz/ready").await.json()["postgres"].clone()
    })
    .await;
    service.says(10, "could not extend file").await;
    assert_eq!(service.order("warm-7").await.status, 200);
    let sql = bench.sql().await;
    assert!(sql.head().await < ledger.rows());
    limit_files(bench.postgres(), "unlimited");
    service.rests(30, ledger.rows()).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.orders, count.letters), (1_550, 0));
}
