//! What must hold after every story, however wild: everything acknowledged is in the inbox byte for byte, positions are
//! dense, each row has the one fate that an independent fold of the log gives it, the account balances, and the service
//! serves what the database holds.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use waybill::collection;

use super::{Bench, Ledger, Service, Sql, lifecycle};

/// What there was in the end. A letter is counted where it began, also when it came home later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub rows: usize,
    pub orders: usize,
    pub duplicates: usize,
    pub letters: usize,
    pub decisions: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Order { order_uid: String, bytes_at: i64 },
    Duplicate { order_uid: String },
    Letter { reason: String, code: String },
    Decision,
}

/// A row of the log.
pub(super) struct Row {
    pub position: i64,
    pub payload: Option<Bytes>,
    pub action: Option<String>,
    pub letter: Option<i64>,
}

const ROWS: &str = "select position, payload, decision ->> 'action', (decision ->> 'letter')::int8 from inbox order by position";
/// A letter with its first verdict; later ones are of decisions.
const FATES: &str = "
    select position, 'order', key, bytes_position, null from orders
    union all select position, 'duplicate', key, null, null from duplicates
    union all select l.id, 'letter', v.reason, null, v.code from dead_letters l join verdict v on v.position = l.id
    union all select position, 'decision', null, null, null from decisions where fate = 'decision'
    order by 1";

/// Everything must be at rest.
pub async fn check(bench: &Bench, service: &Service, ledger: &Ledger) -> Count {
    let sql = bench.sql().await;
    let rows = read_rows(&sql).await;
    let fates = read_fates(&sql).await;
    let holds = all_is_there(&rows, ledger);
    let (expected, orders) = fold(&rows, &fates);
    assert_eq!(expected.len(), fates.len());
    for (position, fate) in &expected {
        assert_eq!(fates.get(position), Some(fate), "position {position}");
    }
    lifecycle::holds(&sql, &rows, &expected).await;
    let unjudged = "select count(*) from dead_letters l where not exists (select from verdict v where v.position = l.id)";
    assert_eq!(sql.count(unjudged).await, 0);
    let groups = "select count(*) from (
        select fingerprint, count(*) filter (where state = 'open') o, count(*) filter (where state = 'replaced') r,
               count(*) filter (where state = 'discarded') d from dead_letters group by 1) l
        full join (select * from dead_letter_groups where open + replaced + discarded > 0) g using (fingerprint)
        where (o, r, d) is distinct from (open, replaced, discarded)";
    assert_eq!(sql.count(groups).await, 0, "groups that miscount");
    stored_is_canonical(&sql, &orders).await;
    account_balances(service, rows.len()).await;
    is_served(service, &orders).await;
    let mut count = Count {
        rows: holds,
        ..Count::default()
    };
    for fate in expected.values() {
        *match fate {
            Fate::Order { .. } => &mut count.orders,
            Fate::Duplicate { .. } => &mut count.duplicates,
            Fate::Letter { .. } => &mut count.letters,
            Fate::Decision => &mut count.decisions,
        } += 1;
    }
    count
}

async fn read_rows(sql: &Sql) -> Vec<Row> {
    let rows: Vec<Row> = sql
        .rows(ROWS)
        .await
        .iter()
        .map(|row| Row {
            position: row.get(0),
            payload: row.get::<_, Option<&[u8]>>(1).map(Bytes::copy_from_slice),
            action: row.get(2),
            letter: row.get(3),
        })
        .collect();
    for (expected, row) in (1..).zip(&rows) {
        assert_eq!(row.position, expected, "positions are dense");
    }
    assert_eq!(sql.head().await, rows.len() as i64);
    rows
}

async fn read_fates(sql: &Sql) -> BTreeMap<i64, Fate> {
    let mut fates = BTreeMap::new();
    for row in sql.rows(FATES).await {
        let text = |column: usize| row.get::<_, Option<String>>(column).unwrap_or_default();
        let fate = match text(1).as_str() {
            "order" => Fate::Order {
                order_uid: text(2),
                bytes_at: row.get(3),
            },
            "duplicate" => Fate::Duplicate { order_uid: text(2) },
            "letter" => Fate::Letter {
                reason: text(2),
                code: text(4),
            },
            _ => Fate::Decision,
        };
        let position: i64 = row.get(0);
        let before = fates.insert(position, fate);
        assert!(before.is_none(), "position {position} has two fates");
    }
    fates
}

/// As often as it was acknowledged, and no more often than it was sent.
fn all_is_there(rows: &[Row], ledger: &Ledger) -> usize {
    let mut stored: HashMap<&Bytes, i64> = HashMap::new();
    for payload in rows.iter().filter_map(|row| row.payload.as_ref()) {
        *stored.entry(payload).or_default() += 1;
    }
    let mut acked: HashMap<&Bytes, i64> = HashMap::new();
    for payload in &ledger.acked {
        *acked.entry(payload).or_default() += 1;
    }
    let mut unsure: HashMap<&Bytes, i64> = HashMap::new();
    for payload in &ledger.unsure {
        *unsure.entry(payload).or_default() += 1;
    }
    for (payload, times) in &acked {
        let there = stored.get(payload).copied().unwrap_or(0);
        let most = times + unsure.get(payload).copied().unwrap_or(0);
        assert!(
            (*times..=most).contains(&there),
            "acknowledged {times} times, at most {most} times sent, {there} times in the inbox: {}",
            String::from_utf8_lossy(&payload[..payload.len().min(200)])
        );
    }
    rows.len()
}

/// The model: what each row must have come to, and which bytes each order has.
fn fold(
    rows: &[Row],
    fates: &BTreeMap<i64, Fate>,
) -> (BTreeMap<i64, Fate>, HashMap<String, String>) {
    let mut orders: HashMap<String, String> = HashMap::new();
    let mut expected = BTreeMap::new();
    let model = &collection::orders().model;
    for row in rows {
        // A retry's bytes are its letter's.
        let (bytes, bytes_at) = match (&row.payload, row.action.as_deref(), row.letter) {
            // Too late, or of no letter: `lifecycle` says whether that is so.
            (_, Some("resubmit"), _) if fates.get(&row.position) == Some(&Fate::Decision) => {
                expected.insert(row.position, Fate::Decision);
                continue;
            }
            (Some(payload), None | Some("resubmit"), _) => (payload, row.position),
            (_, Some("retry" | "reopen"), Some(letter))
                if matches!(
                    fates.get(&row.position),
                    Some(Fate::Order { .. } | Fate::Duplicate { .. })
                ) =>
            {
                let index = usize::try_from(letter).unwrap() - 1;
                (rows[index].payload.as_ref().unwrap(), letter)
            }
            _ => {
                expected.insert(row.position, Fate::Decision);
                continue;
            }
        };
        // What Postgres refuses, no fold can foresee.
        let refused = Fate::Letter {
            reason: "unstorable".into(),
            code: "refused_by_postgres".into(),
        };
        if fates.get(&row.position) == Some(&refused) {
            expected.insert(row.position, refused);
            continue;
        }
        let fate = match model.parse(bytes) {
            Err(rejection) => Fate::Letter {
                reason: rejection.reason().to_string(),
                code: rejection.first().code.to_string(),
            },
            Ok(order) => {
                let (order_uid, data) = (model.key(&order).into_owned(), model.to_json(&order));
                let ruled = matches!(fates.get(&row.position), Some(Fate::Letter { reason, .. }) if reason == "rule");
                match orders.get(&order_uid) {
                    // Rules are not foretold here, but they are asked for a free order_uid alone.
                    None if ruled => Fate::Letter {
                        reason: "rule".into(),
                        code: "rule_violated".into(),
                    },
                    None => {
                        orders.insert(order_uid.clone(), data);
                        Fate::Order {
                            order_uid,
                            bytes_at,
                        }
                    }
                    Some(known) if *known == data => Fate::Duplicate { order_uid },
                    Some(_) => Fate::Letter {
                        reason: "conflict".into(),
                        code: "order_uid_taken".into(),
                    },
                }
            }
        };
        expected.insert(row.position, fate);
    }
    (expected, orders)
}

async fn stored_is_canonical(sql: &Sql, orders: &HashMap<String, String>) {
    let stored = sql.rows("select key, data from orders").await;
    assert_eq!(stored.len(), orders.len());
    for row in stored {
        let order_uid: &str = row.get(0);
        let data: Value = serde_json::from_str(&orders[order_uid]).unwrap();
        assert_eq!(row.get::<_, Value>(1), data, "{order_uid}");
    }
}

async fn account_balances(service: &Service, rows: usize) {
    let account = service.json("/api/v1/reconciliation?verify=true").await;
    assert_eq!(account["received"], rows, "{account:#}");
    assert_eq!(account["pending"], 0, "{account:#}");
    assert_eq!(account["balanced"], true, "{account:#}");
    assert_eq!(
        account["verified"]["findings"],
        serde_json::json!([]),
        "{account:#}"
    );
}

/// Every order, byte for byte.
async fn is_served(service: &Service, orders: &HashMap<String, String>) {
    stream::iter(orders)
        .for_each_concurrent(16, |(order_uid, data)| async move {
            let answer = service.order(order_uid).await;
            assert_eq!(answer.status, 200, "{order_uid}: {answer:?}");
            assert_eq!(answer.body, data.as_bytes(), "{order_uid}");
        })
        .await;
}
