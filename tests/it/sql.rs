//! Statements that are put together at run time, against a real server: whatever a name, a path or a value holds, it stays a
//! name, a path or a value.

use waybill::postgres::{Database, Settings, Sql};

use crate::harness::{Bench, Weight};

const HOSTILE: &[&str] = &[
    "plain",
    "'; drop table kept; --",
    "\"; drop table kept; --",
    "\\'; drop table kept; --",
    "\\\\\"'$1$2$$",
    "a'||(select 1/0)||'b",
    "/* */ -- \n",
    "Ä' or '1'='1",
    "E'\\x27",
];

fn database(bench: &Bench) -> Database {
    Database::new(Settings::parse(&bench.url, None, true).unwrap(), 2).unwrap()
}

/// Postgres itself quotes for what is compared with.
const MAKE: &str = "
    create table kept (id int);
    create function make(name text) returns void language plpgsql as $make$
    begin
        execute format('create table %I (id bigint generated always as identity, data jsonb)', name);
        execute format('insert into %I (data) select jsonb_build_object($1, jsonb_build_object($1, n)) from generate_series(1, 99) n', name)
            using name;
        execute format('insert into %I (data) values (jsonb_build_object($1, jsonb_build_object($1, $1)))', name) using name;
        execute format('create index on %I ((data -> %L ->> %L))', name, name, name);
        execute format('grant select on %I to public', name);
    end $make$";

#[tokio::test]
async fn no_name_path_or_value_can_change_what_a_statement_says() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    sql.run(MAKE).await;
    for hostile in HOSTILE {
        sql.run(&format!("select make($name$t{hostile}$name$)"))
            .await;
    }
    let database = database(&bench);
    let reader = database.reader().await.unwrap();
    for strings in ["on", "off"] {
        let settings = format!(
            "set search_path to live, public; set enable_seqscan = off; set standard_conforming_strings = {strings}"
        );
        reader.batch_execute(&settings).await.unwrap();
        for hostile in HOSTILE {
            let name = format!("t{hostile}");
            let key = name.replace('~', "~0").replace('/', "~1");
            let ask = |what| {
                let mut sql = Sql::new(what);
                sql.push(" from ")
                    .name(&name)
                    .push(" where ")
                    .text_at("data", &format!("/{key}/{key}"))
                    .bind(" = $", name.clone());
                sql
            };
            let found = ask("select id").query(&reader).await.unwrap();
            let ids: Vec<i64> = found.iter().map(|row| row.get(0)).collect();
            assert_eq!(ids, [100], "{hostile}");
            let plan = ask("explain select id").query_once(&reader).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
            assert!(plan.concat().contains("Index Cond"), "{plan:#?}");
        }
    }
    assert_eq!(sql.count("select count(*) from kept").await, 0);
}

#[tokio::test]
async fn a_connection_keeps_a_bounded_number_of_statements() {
    let bench = Bench::new(Weight::Light).await;
    let database = database(&bench);
    let reader = database.reader().await.unwrap();
    for number in 0..400_i64 {
        let mut sql = Sql::new("select");
        sql.bind(" $ as ", number).name(&format!("n{number}"));
        for _ in 0..2 {
            let rows = sql.query(&reader).await.unwrap();
            assert_eq!(rows[0].get::<_, i64>(0), number);
        }
    }
    let kept = Sql::new("select count(*) from pg_prepared_statements");
    let kept = kept.query_once(&reader).await.unwrap();
    assert_eq!(kept[0].get::<_, i64>(0), 300);
}
