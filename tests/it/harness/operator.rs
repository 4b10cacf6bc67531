//! What an operator does in the stories: decide, apply rules, ask for long work and wait for its end; and the whole projection
//! as text, to be compared.

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use super::service::OCTETS;
use super::{Answer, Service, Sql, until};

const JSON: (&str, &str) = ("content-type", "application/json");

/// The rows of every derived table, each as text, in one order.
pub type Tables = BTreeMap<String, Vec<String>>;

const DERIVED: [&str; 8] = [
    "orders",
    "duplicates",
    "dead_letters",
    "dead_letter_groups",
    "decisions",
    "definitions",
    "fates",
    "source_account",
];

/// A dump of all that follows from the log.
pub async fn tables(sql: &Sql) -> Tables {
    let mut tables = Tables::new();
    for name in DERIVED {
        let query = format!("select t::text from live.{name} t order by 1");
        let rows = sql.rows(&query).await;
        let rows = rows.iter().map(|row| row.get(0)).collect();
        tables.insert(name.to_owned(), rows);
    }
    // Those of the collections, which are called by their ids.
    let own = "select tablename from pg_tables where schemaname = 'live' and tablename ~ '^c[0-9]' order by 1";
    for row in sql.rows(own).await {
        let name: String = row.get(0);
        let rows = sql
            .rows(&format!("select t::text from live.{name} t order by 1"))
            .await;
        tables.insert(name, rows.iter().map(|row| row.get(0)).collect());
    }
    tables
}

/// The holder of the lease knows the definition that came last, and has asked for what follows: on a busy machine a moment later.
/// Without it `works_off` may find nothing under way, and what it waits for comes then.
pub async fn healing_is_asked(sql: &Sql) {
    until(
        60,
        "the letters are judged by what is in force",
        async || {
            let healed = "select count(*) from healed where definition =
            coalesce((select max(position) from live.definitions where result = 'done'), 0)";
            (sql.count(healed).await > 0).then_some(())
        },
    )
    .await;
}

/// Says which rows differ, not all of them.
pub fn same(before: &Tables, after: &Tables) {
    for (name, rows) in before {
        let now = &after[name];
        let gone: Vec<_> = rows
            .iter()
            .filter(|row| !now.contains(row))
            .take(5)
            .collect();
        let new: Vec<_> = now
            .iter()
            .filter(|row| !rows.contains(row))
            .take(5)
            .collect();
        assert!(
            rows == now,
            "{name}: {} rows before, {} after; gone: {gone:#?}; new: {new:#?}",
            rows.len(),
            now.len()
        );
    }
}

/// The definition that a database begins with, and these rules.
pub fn with_rules(rules: &str) -> String {
    let list: String = rules.lines().map(|line| format!("  {line}\n")).collect();
    let orders = &waybill::collection::orders().text;
    format!("{}\nrules:\n{list}", orders.trim_end())
}

impl Service {
    /// One POST of JSON, with a key where there is one.
    pub async fn try_tell(&self, path: &str, key: Option<&str>, body: &Value) -> Option<Answer> {
        let mut headers = vec![JSON];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let path = format!("/api/v1{path}");
        self.try_ask(Method::POST, &path, &headers, body.to_string())
            .await
    }

    pub async fn tell(&self, path: &str, key: Option<&str>, body: &Value) -> Answer {
        let answer = self.try_tell(path, key, body).await;
        answer.unwrap_or_else(|| panic!("no answer to {path}"))
    }

    /// Decides about a letter.
    pub async fn decide(&self, letter: i64, action: &str) -> Answer {
        let body = json!({"as": "olga", "reason": "because"});
        let path = format!("/dead-letters/{letter}/{action}");
        self.tell(&path, None, &body).await
    }

    pub async fn resubmit(&self, letter: i64, bytes: impl Into<Bytes>) -> Answer {
        let path = format!("/api/v1/dead-letters/{letter}/resubmit?as=olga");
        self.ask(Method::POST, &path, &[OCTETS], bytes.into()).await
    }

    /// Defines the orders with these rules; `query` as in `replaces=…`.
    pub async fn try_apply(&self, query: &str, rules: &str) -> Option<Answer> {
        self.try_define("orders", query, &with_rules(rules)).await
    }

    /// PUT /collections/{name}.
    pub async fn try_define(&self, name: &str, query: &str, text: &str) -> Option<Answer> {
        let path = format!("/api/v1/collections/{name}?as=olga&{query}");
        self.try_ask(Method::PUT, &path, &[OCTETS], text.to_owned())
            .await
    }

    /// The position of the decision.
    pub async fn define(&self, name: &str, text: &str) -> i64 {
        let answer = self.try_define(name, "", text).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["position"].as_i64().unwrap()
    }

    pub async fn apply(&self, rules: &str) {
        let answer = self.try_apply("", rules).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Asks for long work; its id.
    pub async fn asks(&self, path: &str, body: &Value) -> i64 {
        let answer = self.tell(path, None, body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_i64().unwrap()
    }

    pub async fn operation(&self, id: i64) -> Value {
        self.json(&format!("/api/v1/operations/{id}")).await
    }

    /// How a long work ended.
    pub async fn ends(&self, seconds: u64, id: i64) -> Value {
        let what = format!("operation {id} ends");
        until(seconds, &what, async || {
            let path = format!("/api/v1/operations/{id}");
            let answer = self.try_ask(Method::GET, &path, &[], "").await?;
            let now = answer.json();
            let state = now["state"].as_str()?;
            matches!(state, "done" | "failed" | "cancelled" | "stopped").then_some(now)
        })
        .await
    }

    /// A replay from its asking to its end, which must be a good one.
    pub async fn replays(&self, seconds: u64) {
        let id = self.asks("/replays", &json!({"as": "olga"})).await;
        let ended = self.ends(seconds, id).await;
        assert_eq!(ended["state"], "done", "{ended:#}");
    }

    /// Whatever a replay makes of the log is what was there before.
    pub async fn replay_changes_nothing(&self, sql: &Sql, seconds: u64) {
        let before = tables(sql).await;
        self.replays(seconds).await;
        same(&before, &tables(sql).await);
    }

    /// No long work is left, the service's own included.
    pub async fn works_off(&self, seconds: u64) {
        until(seconds, "all operations end", async || {
            let answer = self.try_ask(Method::GET, "/api/v1/operations", &[], "");
            let answer = answer.await?.json();
            let over = answer["items"].as_array()?.iter().all(|operation| {
                !matches!(
                    operation["state"].as_str(),
                    Some("freezing" | "pending" | "running")
                )
            });
            over.then_some(())
        })
        .await;
    }
}

/// A log made by SQL, in one transaction: orders, duplicates, conflicts, junk, and decisions about the junk. Positions go
/// on from the head. The service must have been started once, for its sources.
pub async fn make_log(sql: &Sql, rows: i64) {
    sql.http_source().await;
    sql.run(&format!(
        r#"
        begin;
        create temp table made on commit drop as
        select head.next_position - 1 + n as position, n,
               case when n % 20 = 7 then 'junk ' || n
                    when n % 20 = 9 then replace(model, 'b563feb7b2b84b6test', 'made-' || head.next_position || '-' || n - 1)
                    when n % 20 = 11 then replace(replace(model, 'b563feb7b2b84b6test', 'made-' || head.next_position || '-' || n - 1), '"en"', '"ru"')
                    else replace(model, 'b563feb7b2b84b6test', 'made-' || head.next_position || '-' || n)
               end as payload,
               case when n % 200 = 50 then jsonb_build_object('action', 'retry', 'letter', head.next_position - 1 + n - 3, 'who', 'olga')
                    when n % 200 = 90 then jsonb_build_object('action', 'discard', 'letter', head.next_position - 1 + n - 3, 'who', 'olga', 'why', 'junk')
                    when n % 200 = 110 then jsonb_build_object('action', 'reopen', 'letter', head.next_position - 1 + n - 23, 'who', 'olga')
                    when n % 200 = 130 then jsonb_build_object('action', 'note', 'letter', head.next_position - 1 + n - 4, 'who', 'olga', 'why', 'hm')
               end as decision
        from generate_series(1, {rows}) n, inbox_head head,
             (select '{example}'::text as model) example;
        insert into inbox (position, sequence, broker_time_ns, hash, received_at, source_id, key, payload, decision)
        select position, position, position, position, '2021-11-26T06:22:19Z'::timestamptz + position * interval '1 ms',
               (select id from source where kind = case when decision is null then 'http' else 'operator' end),
               case when decision is not null then 'made:' || position end,
               case when decision is null then convert_to(payload, 'UTF8') end, decision
        from made order by position;
        update inbox_head set next_position = next_position + {rows};
        commit"#,
        example = waybill::collection::EXAMPLE.replace('\'', "''"),
    ))
    .await;
}
