//! The `operation_item` table: the letters of a frozen set, and what became of each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::postgres::{self, Client, execute, query, query_one};

/// By operation_item_open.
const OPEN_ITEMS: &str = "
    select letter from operation_item where operation = $1 and result is null order by letter limit $2";

pub async fn open_items(client: &Client, id: i64, limit: i64) -> Result<Vec<i64>, postgres::Error> {
    let rows = query(client, OPEN_ITEMS, &[&id, &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What became of one item.
pub struct ItemResult {
    pub letter: i64,
    pub position: Option<i64>,
    pub result: String,
    pub detail: Value,
}

const RECORD: &str = "
    with recorded as (
        update operation_item i set position = w.position, result = w.result, detail = w.detail
        from unnest($2::int8[], $3::int8[], $4::text[], $5::jsonb[]) as w(letter, position, result, detail)
        where i.operation = $1 and i.letter = w.letter and i.result is null
        returning i.result
    )
    update operation set
        done = done + (select count(*) from recorded),
        failed = failed + (select count(*) from recorded where result in ('still_failing', 'would_fail', 'too_late', 'would_be_too_late'))
    where id = $1";

/// Items and counters in one statement: recorded twice counts once.
pub async fn record(
    client: &Client,
    id: i64,
    results: &[ItemResult],
) -> Result<(), postgres::Error> {
    let letters: Vec<i64> = results.iter().map(|item| item.letter).collect();
    let positions: Vec<Option<i64>> = results.iter().map(|item| item.position).collect();
    let words: Vec<&str> = results.iter().map(|item| item.result.as_str()).collect();
    let details: Vec<&Value> = results.iter().map(|item| &item.detail).collect();
    execute(
        client,
        RECORD,
        &[&id, &letters, &positions, &words, &details],
    )
    .await?;
    Ok(())
}

/// How many items one statement reads or resets: a set may have millions, and no statement may take longer than a few
/// seconds. This one takes 50 to 200 ms.
const PAGE: i64 = 20_000;

/// By operation_item_pkey. A range, not a join: if nothing is known of a new operation's letters yet, Postgres takes them
/// for one, and would look through the whole page for each of them.
const FORGET: &str = "
    with page as (
        select max(letter) as last from (
            select letter from operation_item where operation = $1 and letter > $2 order by letter limit $3
        ) letters
    ), reset as (
        update operation_item set result = null, position = null, detail = null
        where operation = $1 and letter > $2 and letter <= (select last from page) and result is not null
    )
    select last from page";
const FORGET_COUNTS: &str = "update operation set done = 0, failed = 0 where id = $1";

/// A dry run that was interrupted begins again: what passes depends on what passed before. What was forgiven stays so. The
/// counts come last: if this is interrupted, too, they say that it is to be done again.
pub async fn forget(client: &Client, id: i64) -> Result<(), postgres::Error> {
    let mut after = Some(0_i64);
    while let Some(letter) = after {
        after = query_one(client, FORGET, &[&id, &letter, &PAGE])
            .await?
            .get(0);
    }
    execute(client, FORGET_COUNTS, &[&id]).await?;
    Ok(())
}

/// By operation_item_pkey. Why letters failed is asked only of those that did.
const RESULTS: &str = "
    select result, failing ->> 'fingerprint' as fingerprint, failing ->> 'reason' as reason, failing ->> 'code' as code,
           failing ->> 'pointer' as pointer, min(failing ->> 'message') as message, count(*) as count,
           min(letter) as sample, max(letter) as last
    from (
        select letter, result, case when result in ('would_fail', 'still_failing') then detail end as failing
        from operation_item where operation = $1 and letter > $2 order by letter limit $3
    ) page
    group by 1, 2, 3, 4, 5";

/// What is alike in letters that failed: fingerprint, reason, code, pointer.
type Alike = [Option<String>; 4];

struct Failing {
    message: Option<String>,
    count: i64,
    sample: i64,
}

/// How many groups of failing letters an outcome names.
const MOST_GROUPS: usize = 50;

/// How it ended, in numbers and by group: why those failed that did, with one letter of each.
pub async fn summary(client: &Client, id: i64) -> Result<Value, postgres::Error> {
    let mut results: BTreeMap<String, i64> = BTreeMap::new();
    let mut groups: BTreeMap<Alike, Failing> = BTreeMap::new();
    let mut after = Some(0_i64);
    while let Some(letter) = after {
        after = None;
        for row in query(client, RESULTS, &[&id, &letter, &PAGE]).await? {
            after = after.max(Some(row.get("last")));
            // Not its turn yet, or never: the operation was stopped before.
            let Some(result) = row.get::<_, Option<String>>("result") else {
                continue;
            };
            let count: i64 = row.get("count");
            *results.entry(result).or_default() += count;
            let alike: Alike =
                ["fingerprint", "reason", "code", "pointer"].map(|column| row.get(column));
            if alike[0].is_none() {
                continue;
            }
            let failing = groups.entry(alike).or_insert_with(|| Failing {
                message: row.get("message"),
                count: 0,
                sample: row.get("sample"),
            });
            failing.count += count;
        }
    }
    let mut groups: Vec<(Alike, Failing)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, failing)| (-failing.count, failing.sample));
    groups.truncate(MOST_GROUPS);
    let failing: Vec<Value> = groups
        .iter()
        .map(|([fingerprint, reason, code, pointer], failing)| {
            json!({
                "fingerprint": fingerprint, "reason": reason, "code": code, "pointer": pointer,
                "message": failing.message, "count": failing.count, "sample": failing.sample,
            })
        })
        .collect();
    Ok(json!({"results": results, "failing": failing}))
}

/// One letter of a frozen set, and what became of it.
pub struct Item {
    pub letter: i64,
    /// The decision's place in the log; none where there was none.
    pub position: Option<i64>,
    /// None while it is not its turn.
    pub result: Option<String>,
    pub detail: Option<Value>,
}

/// By operation_item_pkey.
const ITEMS: &str = "
    select letter, position, result, detail from operation_item
    where operation = $1 and letter > $2 and ($3::text[] is null or result = any($3))
    order by letter limit $4";

/// The set, by letter, narrowed to these results.
pub async fn items(
    client: &Client,
    id: i64,
    results: Option<&[&str]>,
    after: i64,
    limit: i64,
) -> Result<Vec<Item>, postgres::Error> {
    let rows = query(client, ITEMS, &[&id, &after, &results, &limit]).await?;
    Ok(rows
        .iter()
        .map(|row| Item {
            letter: row.get("letter"),
            position: row.get("position"),
            result: row.get("result"),
            detail: row
                .get::<_, Option<Value>>("detail")
                .filter(|detail| !detail.is_null()),
        })
        .collect())
}
