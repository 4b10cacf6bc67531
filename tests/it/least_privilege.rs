//! The role that serves, in a database that another role owns: it appends to the log and reads it, and nothing more. (All
//! other stories run so, too: their template is migrated by another role, see harness/cluster.rs.)

use tokio_postgres::NoTls;
use waybill::sandbox::postgres::{Options, Postgres};

use crate::harness::{Bench, Weight, check, directory, order};
use crate::settings::{is_told, waybill};

/// A session as this role; SQLSTATE of a statement that was refused.
async fn refused(url: &str, statement: &str) -> Option<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let outcome = client
        .batch_execute(&format!("begin; {statement}; rollback"))
        .await;
    outcome
        .err()
        .map(|error| error.code().unwrap().code().to_owned())
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

#[tokio::test]
async fn the_services_own_role_can_neither_change_nor_remove_a_message() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.post(order("kept")).await;
    service.post("no order").await;
    service.rests(10, 2).await;
    for statement in [
        "update inbox set payload = 'x'",
        "update inbox set position = 7",
        "delete from inbox",
        "truncate inbox",
        "drop table inbox",
        "alter table inbox disable trigger all",
        "alter table inbox alter payload drop not null, add x int",
        "alter table inbox owner to waybill",
        "create trigger x before insert on inbox for each row execute function suppress_redundant_updates_trigger()",
        "create rule x as on insert to inbox do instead nothing",
        "drop index inbox_identity",
        "grant update on inbox to waybill; update inbox set payload = 'x'",
        "update verdict set reason = 'x'",
        "delete from verdict",
        "update source set name = 'x'",
        "delete from source",
        "update audit set who = 'x'",
        "delete from audit",
        "truncate audit",
        "delete from inbox_head",
        "insert into inbox_head (next_position, highest) values (1, '{}')",
        "insert into refinery_schema_history (version) values (99)",
        "delete from refinery_schema_history",
        "create table public.mine ()",
        "drop schema public cascade",
        "create role other",
    ] {
        let state = refused(&bench.url, statement).await;
        assert_eq!(
            state.as_deref(),
            Some(INSUFFICIENT_PRIVILEGE),
            "{statement}"
        );
    }
    // The same asked by who may: they are statements that do harm.
    assert_eq!(
        refused(&bench.superuser_url, "update inbox set payload = 'x'").await,
        None
    );
    assert_eq!(refused(&bench.url, "select from inbox").await, None);
}

#[tokio::test]
async fn each_table_beside_the_log_has_its_row_in_the_list_of_rights() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let unread = "
        select count(*) from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r' and not has_table_privilege('waybill', oid, 'select')";
    assert_eq!(
        sql.count(unread).await,
        0,
        "add it to src/postgres/grant.rs"
    );
    let derived = "
        select count(*) from pg_tables where schemaname = 'live' and tableowner <> 'waybill'";
    assert_eq!(sql.count(derived).await, 0);
}

/// A cluster in which `owner` is no superuser.
async fn cluster() -> Postgres {
    let postgres = Postgres::start(Options {
        data_dir: directory().join("postgres"),
        settings: vec![("shared_buffers".into(), "32MB".into())],
        ..Default::default()
    })
    .await
    .unwrap();
    run(
        &postgres.superuser_url(),
        "create role owner login; create database house owner owner",
    )
    .await;
    postgres
}

async fn run(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.simple_query("select 1").await.unwrap();
    for statement in statements.split(';') {
        client.batch_execute(statement).await.unwrap();
    }
}

#[tokio::test]
async fn an_owner_migrates_and_another_role_serves() {
    let postgres = cluster().await;
    let owner = postgres.url_as("owner", "house");
    let url = postgres.url_as("waybill", "house");
    let migrate = ["migrate", "--database-url", &owner, "--grant", "waybill"];
    is_told(&migrate, 2, &["grant waybill to owner"]);
    run(&postgres.superuser_url(), "grant waybill to owner").await;
    is_told(
        &["migrate", "--database-url", &owner, "--grant", "nobody"],
        2,
        &["nobody", "create role"],
    );
    is_told(
        &["migrate", "--database-url", &owner, "--grant", "owner"],
        2,
        &["that migrates"],
    );
    is_told(
        &["migrate", "--database-url", &owner, "--grant", "postgres"],
        2,
        &["superuser"],
    );
    // The tables are there by now, and the service may not touch them yet.
    is_told(
        &["serve", "--database-url", &url, "--listen", "127.0.0.1:0"],
        2,
        &["waybill migrate --grant waybill"],
    );
    for _ in 0..2 {
        let output = waybill(&migrate);
        assert!(output.status.success(), "{output:?}");
    }

    let bench = Bench::over(&postgres, "house");
    let service = bench.serve(None, &[]).await;
    service.post(order("home")).await;
    service.rests(10, 1).await;
    service.replays(30).await;
    check(&bench, &service, &Default::default()).await;

    // A migration that this code does not have yet is the owner's to make.
    let superuser = postgres.url_as("postgres", "house");
    run(&superuser, "delete from refinery_schema_history where version = (select max(version) from refinery_schema_history)").await;
    is_told(
        &["serve", "--database-url", &url, "--listen", "127.0.0.1:0"],
        2,
        &["waybill migrate", "version"],
    );
}

#[tokio::test]
async fn a_role_that_migrated_by_itself_can_be_made_less_later() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let service = bench.serve(None, &[]).await;
    service.post(order("before")).await;
    service.rests(10, 1).await;
    let url = bench.url.clone();
    assert_eq!(
        refused(&url, "delete from inbox").await,
        None,
        "it owns the log still"
    );
    let superuser = bench.superuser_url.clone();
    let output = waybill(&[
        "migrate",
        "--database-url",
        &superuser,
        "--grant",
        "waybill",
    ]);
    assert!(output.status.success(), "{output:?}");
    for statement in [
        "delete from inbox",
        "drop schema public cascade",
        "drop table verdict",
    ] {
        let state = refused(&url, statement).await;
        assert_eq!(
            state.as_deref(),
            Some(INSUFFICIENT_PRIVILEGE),
            "{statement}"
        );
    }
    // The service that was at work all the while goes on, and so does one that starts.
    service.post(order("after")).await;
    service.rests(10, 2).await;
    drop(service);
    let service = bench.serve(None, &[]).await;
    service.rests(10, 2).await;
    service.replays(30).await;
    check(&bench, &service, &Default::default()).await;
    bench.postgres().stop().await;
}
