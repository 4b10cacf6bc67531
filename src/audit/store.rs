//! The `audit` table.

use jiff::Timestamp;

use super::entry::{Entry, What};
use crate::postgres::{Client, Error, execute, query};

/// In the order given. An address is new only once for each name, whichever replica sees it first; two that see it at the same
/// moment may both say so.
const INSERT: &str = "
    insert into audit (what, who, proof, address, detail, times)
    select w.what, w.who, w.proof, w.address, w.detail, w.times
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int4[])
        with ordinality as w(what, who, proof, address, detail, times, n)
    where w.what <> 'new_address' or not exists (
        select from audit a where a.what = 'new_address' and a.who = w.who and a.address = w.address)
    order by n";

pub async fn add(client: &Client, rows: &[(Entry, i32)]) -> Result<(), Error> {
    fn column<'a, T>(rows: &'a [(Entry, i32)], of: impl Fn(&'a Entry) -> T) -> Vec<T> {
        rows.iter().map(|(entry, _)| of(entry)).collect()
    }
    let times: Vec<i32> = rows.iter().map(|(_, times)| *times).collect();
    execute(
        client,
        INSERT,
        &[
            &column(rows, |entry| entry.what.as_str()),
            &column(rows, |entry| entry.who.as_str()),
            &column(rows, |entry| entry.proof),
            &column(rows, |entry| entry.address.as_str()),
            &column(rows, |entry| entry.detail.as_str()),
            &times,
        ],
    )
    .await?;
    Ok(())
}

/// What is asked for: all that is set has to fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub what: Option<What>,
    pub who: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

pub struct Recorded {
    pub id: i64,
    pub at: Timestamp,
    pub what: String,
    pub who: String,
    pub proof: String,
    pub address: String,
    pub detail: String,
    pub times: i32,
}

/// By audit_pkey, or audit_who.
const LIST: &str = "
    select id, at, what, who, proof, address, detail, times from audit
    where id < $1 and ($2::text is null or what = $2) and ($3::text is null or who = $3)
      and ($4::timestamptz is null or at >= $4) and ($5::timestamptz is null or at < $5)
    order by id desc limit $6";

/// The newest below `before`.
pub async fn list(
    client: &Client,
    filter: &Filter,
    before: i64,
    limit: i64,
) -> Result<Vec<Recorded>, Error> {
    let what = filter.what.map(What::as_str);
    let (who, since, until) = (&filter.who, filter.since, filter.until);
    let rows = query(client, LIST, &[&before, &what, who, &since, &until, &limit]).await?;
    Ok(rows
        .iter()
        .map(|row| Recorded {
            id: row.get(0),
            at: row.get(1),
            what: row.get(2),
            who: row.get(3),
            proof: row.get(4),
            address: row.get(5),
            detail: row.get(6),
            times: row.get(7),
        })
        .collect())
}
