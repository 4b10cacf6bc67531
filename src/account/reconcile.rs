//! The account read: what the counters say, in one snapshot; and, where asked, every row counted again.

use jiff::Timestamp;

use super::epoch::{Epoch, load_epochs};
use crate::inbox::SourceId;
use crate::postgres::{Client, Error, query, query_one, query_opt};

/// Each number counted on its own: head, checkpoint and the projector's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    pub received: i64,
    pub orders: i64,
    pub duplicates: i64,
    pub dead_letters: i64,
    pub decisions: i64,
    pub pending: i64,
    pub checkpoint: i64,
    pub sources: Vec<SourceLife>,
}

impl Reconciliation {
    pub fn balanced(&self) -> bool {
        self.received
            == self.orders + self.duplicates + self.dead_letters + self.decisions + self.pending
    }
}

/// One life of one broker's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLife {
    pub source: SourceId,
    pub kind: String,
    pub name: String,
    pub epoch: Epoch,
    /// True where a later life has begun.
    pub over: bool,
    /// The first holes, with when what follows each was received.
    pub holes: Vec<Hole>,
    pub hole_count: i64,
    pub missing: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    pub first: i64,
    pub last: i64,
    pub seen_at: Option<Timestamp>,
}

/// One statement, one snapshot: the numbers belong together. What is pending is counted in the inbox itself, as far as it is
/// few; an inbox that is far behind is counted by its ends.
const FATES: &str = "
    select h.next_position - 1,
           (select count from fates where fate = 'order'),
           (select count from fates where fate = 'duplicate'),
           (select count from fates where fate = 'dead_letter'),
           (select count from fates where fate = 'decision'),
           case when h.next_position - 1 - c.position <= 10000
                then (select count(*) from inbox i where i.position > c.position)
                else h.next_position - 1 - c.position end,
           c.position
    from inbox_head h, checkpoint c
    where c.projection = 'live'";
const SOURCES: &str = "select id, kind, name from source order by id";
/// By inbox_identity.
const AFTER_HOLE: &str =
    "select min(received_at) from inbox where source_id = $1 and sequence = $2";

/// How many holes of a source are looked at one by one.
const HOLES_SHOWN: usize = 200;

/// The fates alone, without the sources.
pub async fn reconcile_fates(client: &Client) -> Result<Reconciliation, Error> {
    let row = query_one(client, FATES, &[]).await?;
    Ok(Reconciliation {
        received: row.get(0),
        orders: row.get(1),
        duplicates: row.get(2),
        dead_letters: row.get(3),
        decisions: row.get(4),
        pending: row.get(5),
        checkpoint: row.get(6),
        sources: Vec::new(),
    })
}

pub async fn reconcile(client: &Client) -> Result<Reconciliation, Error> {
    let fates = reconcile_fates(client).await?;
    let epochs = load_epochs(client).await?;
    let names = query(client, SOURCES, &[]).await?;
    let all: Vec<(SourceId, Epoch)> = epochs
        .iter()
        .map(|(id, epoch)| (id, epoch.clone()))
        .collect();
    let mut sources = Vec::new();
    for (index, (source, epoch)) in all.iter().enumerate() {
        let Some(name) = names.iter().find(|row| row.get::<_, i32>(0) == source.0) else {
            continue;
        };
        let ranges = epoch.received.holes();
        let mut holes = Vec::new();
        for (first, last) in ranges.iter().copied().take(HOLES_SHOWN) {
            let seen = query_opt(client, AFTER_HOLE, &[&source.0, &(last + 1)]).await?;
            holes.push(Hole {
                first,
                last,
                seen_at: seen.and_then(|row| row.get(0)),
            });
        }
        sources.push(SourceLife {
            source: *source,
            kind: name.get(1),
            name: name.get(2),
            over: all.get(index + 1).is_some_and(|(next, _)| next == source),
            hole_count: ranges.len() as i64,
            missing: ranges.iter().map(|(first, last)| last - first + 1).sum(),
            holes,
            epoch: epoch.clone(),
        });
    }
    Ok(Reconciliation { sources, ..fates })
}

/// What counting the rows themselves found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub rows: i64,
    pub orders: i64,
    pub duplicates: i64,
    pub dead_letters: i64,
    pub decisions: i64,
    /// What does not fit, in sentences; empty where all does.
    pub findings: Vec<String>,
}

/// A window of the log: its rows, its fates, and those that do not meet one to one.
const WINDOW: &str = "
    with fate as (
        select 'order' as fate, position from orders where position > $1 and position <= $2
        union all select 'duplicate', position from duplicates where position > $1 and position <= $2
        union all select 'dead_letter', id from dead_letters where id > $1 and id <= $2
        union all select 'decision', position from decisions where position > $1 and position <= $2 and fate = 'decision'
    )
    select (select count(*) from inbox where position > $1 and position <= $2),
           count(*) filter (where fate = 'order'), count(*) filter (where fate = 'duplicate'),
           count(*) filter (where fate = 'dead_letter'), count(*) filter (where fate = 'decision'),
           count(distinct position),
           (select count(*) from orders o where position > $1 and position <= $2
               and not exists (select from inbox i where i.position = o.bytes_position))
    from fate";
const WINDOW_ROWS: i64 = 100_000;
/// Orders and letters at positions that the log never gave.
const BEYOND: &str = "
    select (select count(*) from orders where position > $1 or position < 1)
         + (select count(*) from duplicates where position > $1 or position < 1)
         + (select count(*) from dead_letters where id > $1 or id < 1)
         + (select count(*) from decisions where position > $1 or position < 1)";

/// Counts every row up to the checkpoint again, in windows, each in a short transaction of its own, and compares with the
/// counters. `progress` hears the position reached.
pub async fn verify(
    client: &Client,
    account: &Reconciliation,
    mut progress: impl FnMut(i64),
) -> Result<Verified, Error> {
    let mut found = Verified::default();
    let mut from = 0;
    while from < account.checkpoint {
        let to = (from + WINDOW_ROWS).min(account.checkpoint);
        let row = query_one(client, WINDOW, &[&from, &to]).await?;
        let counts: Vec<i64> = (0..7).map(|column| row.get(column)).collect();
        let [
            rows,
            orders,
            duplicates,
            letters,
            decisions,
            distinct,
            orphans,
        ] = counts[..]
        else {
            break;
        };
        found.rows += rows;
        found.orders += orders;
        found.duplicates += duplicates;
        found.dead_letters += letters;
        found.decisions += decisions;
        let fates = orders + duplicates + letters + decisions;
        let span = format!("positions {} to {to}", from + 1);
        if rows != to - from {
            found.findings.push(format!(
                "{span}: {} inbox rows are missing",
                to - from - rows
            ));
        }
        if fates != distinct {
            found.findings.push(format!(
                "{span}: {} rows have more than one fate",
                fates - distinct
            ));
        }
        if distinct != rows {
            found
                .findings
                .push(format!("{span}: {rows} rows, but {distinct} with a fate"));
        }
        if orphans != 0 {
            found.findings.push(format!(
                "{span}: {orphans} orders whose bytes are not in the inbox"
            ));
        }
        from = to;
        progress(to);
    }
    let head = query_one(client, FATES, &[]).await?;
    let beyond: i64 = query_one(client, BEYOND, &[&head.get::<_, i64>(0)])
        .await?
        .get(0);
    if beyond != 0 {
        found.findings.push(format!(
            "{beyond} derived rows at positions that the inbox never gave"
        ));
    }
    for (name, counted, counter) in [
        ("orders", found.orders, account.orders),
        ("duplicates", found.duplicates, account.duplicates),
        ("dead letters", found.dead_letters, account.dead_letters),
        ("decisions", found.decisions, account.decisions),
    ] {
        if counted != counter {
            found.findings.push(format!(
                "{name}: {counted} rows, but the counter says {counter}"
            ));
        }
    }
    Ok(found)
}
