//! The swap of a replay: it is made by whoever holds the lease, of tables that are theirs.

use serde_json::json;

use crate::harness::{
    Bench, Ledger, Service, Sql, Weight, check, make_log, same, tables, until, until_equal,
};

/// A replay that waits for the locks of its swap: the open transaction reads `orders`, as a slow reader would.
pub async fn held_at_the_swap(bench: &Bench, service: &Service, reader: &Sql) -> i64 {
    reader.run("begin; select from live.orders limit 1").await;
    // Inside a transaction pg_stat_activity stands still.
    let looking = bench.sql().await;
    let id = service.asks("/replays", &json!({"as": "olga"})).await;
    until_equal(30, "the swap waits for orders", 1, async || {
        looking.count(WAITS).await
    })
    .await;
    id
}

const WAITS: &str = "
    select count(*) from pg_locks l join pg_stat_activity a using (pid)
    where a.application_name = 'waybill replay' and l.relation = 'live.orders'::regclass and not l.granted";

/// What another holder of the lease does that does not know the shadow tables: they are made anew, empty.
const BEGIN_ANEW: &str = "
    delete from next.orders; delete from next.duplicates; delete from next.dead_letters; delete from next.dead_letter_groups;
    delete from next.decisions; delete from next.definitions; delete from next.source_account; delete from next.fates;
    update checkpoint set position = 0, leader = 'other', renewals = renewals + 1 where projection = 'next'";

#[tokio::test]
async fn tables_that_another_holder_has_begun_anew_are_not_swapped_in() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &["--lease", "2"]).await;
    make_log(&sql, 500).await;
    service.rests(30, 500).await;
    let before = tables(&sql).await;
    let id = held_at_the_swap(&bench, &service, &sql).await;
    sql.run(&format!("{BEGIN_ANEW}; commit")).await;
    // The lease is still the service's own: it begins where those tables are, and ends its replay in order.
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    same(&before, &tables(&sql).await);
    check(&bench, &service, &Ledger::default()).await;
}

#[tokio::test]
async fn a_holder_that_has_lost_the_lease_does_not_swap() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &["--lease", "2"]).await;
    make_log(&sql, 500).await;
    service.rests(30, 500).await;
    let before = tables(&sql).await;
    let orders = "select 'live.orders'::regclass::oid::int8";
    let live = sql.count(orders).await;
    let id = held_at_the_swap(&bench, &service, &sql).await;
    sql.run(
        "update checkpoint set leader = 'other', term = term + 1, renewals = renewals + 1 where projection = 'documents';
         commit",
    )
    .await;
    until(20, "it leads again", async || {
        let now = sql
            .rows("select leader = 'other', 'live.orders'::regclass::oid::int8 from checkpoint where projection = 'documents'")
            .await;
        let (others, orders): (bool, i64) = (now[0].get(0), now[0].get(1));
        assert!(!others || orders == live, "it swapped without the lease");
        (!others).then_some(())
    })
    .await;
    let ended = service.ends(30, id).await;
    assert_eq!(ended["state"], "done", "{ended:#}");
    assert_ne!(sql.count(orders).await, live, "now it has swapped");
    same(&before, &tables(&sql).await);
    check(&bench, &service, &Ledger::default()).await;
}

/// Who may do what with the derived tables, which publications have them, and what is written about them.
const ATTACHED: &str = "
    select format('%s %s %s %s %s', c.relname, g.rolname, a.privilege_type, a.is_grantable, o.rolname)
    from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a left join pg_roles g on g.oid = a.grantee join pg_roles o on o.oid = a.grantor
    where c.relnamespace = 'live'::regnamespace and c.relkind = 'r'
    union all
    select format('%s.%s %s %s', c.relname, t.attname, a.grantee::regrole, a.privilege_type)
    from pg_class c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a
    where c.relnamespace = 'live'::regnamespace
    union all
    select format('%s owner %s, replica identity %s, %s', c.relname, c.relowner::regrole, c.relreplident, obj_description(c.oid, 'pg_class'))
    from pg_class c where c.relnamespace = 'live'::regnamespace and c.relkind = 'r'
    union all
    select format('%s.%s: %s', c.relname, t.attname, col_description(c.oid, t.attnum))
    from pg_class c join pg_attribute t on t.attrelid = c.oid
    where c.relnamespace = 'live'::regnamespace and col_description(c.oid, t.attnum) is not null
    union all
    select format('%s has %s.%s (%s) where %s', pubname, schemaname, tablename, attnames, rowfilter) from pg_publication_tables
    order by 1";

async fn attached(sql: &Sql) -> Vec<String> {
    let rows = sql.rows(ATTACHED).await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn grants_and_publications_of_the_live_tables_outlive_a_replay() {
    let bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let service = bench.serve(None, &[]).await;
    let sql = bench.sql().await;
    make_log(&sql, 200).await;
    service.rests(30, 200).await;
    let plain = attached(&sql).await;
    service.replays(30).await;
    assert_eq!(
        attached(&sql).await,
        plain,
        "if nobody has granted anything"
    );

    sql.run(
        "create role analyst; create role \"Über wacher\"; grant usage on schema live to analyst, \"Über wacher\";
         grant create on database waybill to waybill; create role steward; grant steward to waybill",
    )
    .await;
    let owner = bench.sql().await;
    owner
        .run(
            "set role waybill;
             grant select on live.orders to analyst with grant option;
             grant select, update on live.dead_letters to \"Über wacher\";
             grant select (id, state), update (state) on live.dead_letters to analyst;
             grant select on live.fates to public;
             comment on table live.orders is 'It''s theirs'; comment on column live.orders.data is 'as served';
             alter table live.duplicates replica identity full;
             alter table live.definitions replica identity using index definitions_pkey;
             create publication ours for table live.orders, live.decisions (position, result), live.dead_letters where (id > 5);
             -- To tables that come, not to those that are there.
             alter default privileges grant select on tables to analyst",
        )
        .await;
    sql.run(
        "create publication theirs for table live.orders; create publication everything for all tables;
         create publication of_schema for tables in schema live;
         grant create on schema live to steward; alter table live.decisions owner to steward",
    )
    .await;
    let before = attached(&sql).await;
    assert!(before.len() > plain.len() + 20, "{before:#?}");
    service.replays(30).await;
    let mut after = attached(&sql).await;
    // Another role's publication is for its owner to change; the log says so.
    let lost = before
        .iter()
        .find(|line| line.starts_with("theirs has live.orders"));
    after.extend(lost.cloned());
    after.sort();
    assert_eq!(after, before);
    let log = service.text();
    assert!(
        log.contains("alter publication theirs add table live.orders"),
        "{log}"
    );
    let analyst = bench.sql().await;
    analyst.run("set role analyst").await;
    assert!(analyst.count("select count(*) from live.orders").await > 100);
    check(&bench, &service, &Ledger::default()).await;
}
