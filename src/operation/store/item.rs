//! The `operation_item` table: the letters of a frozen set, and what became of each.

use serde_json::Value;

use crate::postgres::{self, Client, execute, query};

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

const FORGET: &str =
    "update operation_item set result = null, position = null, detail = null where operation = $1";
const FORGET_COUNTS: &str = "update operation set done = 0, failed = 0 where id = $1";

/// A dry run that was interrupted begins again: what passes depends on what passed before. What was forgiven stays so.
pub async fn forget(client: &Client, id: i64) -> Result<(), postgres::Error> {
    execute(client, FORGET, &[&id]).await?;
    execute(client, FORGET_COUNTS, &[&id]).await?;
    Ok(())
}

const RESULTS: &str = "select result, count(*) from operation_item where operation = $1 and result is not null group by result";
/// Why those failed that did, by group, with one letter of each.
const FAILING: &str = "
    select detail ->> 'fingerprint', detail ->> 'reason', detail ->> 'code', detail ->> 'pointer',
           min(detail ->> 'message'), count(*), min(letter)
    from operation_item where operation = $1 and result in ('would_fail', 'still_failing') and detail is not null
    group by 1, 2, 3, 4 order by 6 desc limit 50";

/// How it ended, in numbers and by group.
pub async fn summary(client: &Client, id: i64) -> Result<Value, postgres::Error> {
    let mut results = serde_json::Map::new();
    for row in query(client, RESULTS, &[&id]).await? {
        results.insert(row.get(0), Value::from(row.get::<_, i64>(1)));
    }
    let failing: Vec<Value> = query(client, FAILING, &[&id])
        .await?
        .iter()
        .map(|row| {
            serde_json::json!({
                "fingerprint": row.get::<_, Option<&str>>(0),
                "reason": row.get::<_, Option<&str>>(1),
                "code": row.get::<_, Option<&str>>(2),
                "pointer": row.get::<_, Option<&str>>(3),
                "message": row.get::<_, Option<&str>>(4),
                "count": row.get::<_, i64>(5),
                "sample": row.get::<_, i64>(6),
            })
        })
        .collect();
    Ok(serde_json::json!({"results": results, "failing": failing}))
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
            letter: row.get(0),
            position: row.get(1),
            result: row.get(2),
            detail: row
                .get::<_, Option<Value>>(3)
                .filter(|detail| !detail.is_null()),
        })
        .collect())
}
