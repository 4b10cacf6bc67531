//! A dump, and life after it.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use waybill::sandbox::broker::Store;
use waybill::sandbox::find_program;

use crate::harness::{Bench, Sender, Weight, check, orders};

fn run(program: &str, args: &[&str]) {
    let path = find_program(program, &[]).next();
    let path = path.unwrap_or_else(|| panic!("{program} is missing: install PostgreSQL"));
    let output = Command::new(path).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_restored_dump_goes_on_and_a_new_durable_fills_its_hole() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    let mut ledger = Sender::new(&broker).publish(orders("before", 200)).await;
    service.rests(30, 200).await;
    let dump = bench.dir.join("dump");
    run("pg_dump", &["-Fc", "-f", text(&dump), &bench.superuser_url]);
    ledger.merge(Sender::new(&broker).publish(orders("lost", 100)).await);
    service.rests(30, 300).await;
    assert!(service.stop().await.success());

    let restored = bench.beside().await;
    run("pg_restore", &["-d", &restored.superuser_url, text(&dump)]);
    let mut service = restored.serve(Some(&broker), &[]).await;
    ledger.merge(Sender::new(&broker).publish(orders("after", 50)).await);
    service.rests(30, 250).await;
    let account = service.json("/api/v1/reconciliation").await;
    let hole = &account["sources"][0]["holes"][0];
    assert_eq!((&hole["first"], &hole["last"]), (&json!(201), &json!(300)));
    assert!(service.stop().await.success());

    let service = restored.serve(Some(&broker), &["--durable", "again"]).await;
    service.rests(30, 350).await;
    let count = check(&restored, &service, &ledger).await;
    assert_eq!((count.rows, count.orders), (350, 350));
    let account = service.json("/api/v1/reconciliation").await;
    assert_eq!(
        account["sources"].as_array().unwrap().len(),
        1,
        "{account:#}"
    );
    assert_eq!(account["sources"][0]["holes"], json!([]));
}
