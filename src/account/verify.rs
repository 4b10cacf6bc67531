//! Every row counted again, table by table: each position that was given must have one row in the inbox and exactly one fate.
//! The statements are short, so that none holds a snapshot for long. A bit for each position is kept in memory (125 kB for a
//! million rows), which saves joins between tables. Then `beside` checks what follows from the rows beside their fates.

use super::beside;
use super::reconcile::Counters;
use crate::inbox::{self, Position};
use crate::postgres::{Client, Error, query, query_one};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub rows: i64,
    pub orders: i64,
    pub duplicates: i64,
    pub dead_letters: i64,
    pub decisions: i64,
    /// What does not fit, a sentence each; empty if everything does.
    pub findings: Vec<String>,
}

/// How many positions one statement reads, and one finding is about.
const SPAN: i64 = 100_000;
/// How many pages of the orders' table one statement reads: 128 MB.
const PAGES: i64 = 16_384;

/// By the primary keys. Order and limit keep the planner from reading all of a table whose statistics are old.
const DUPLICATES: &str = "select position from duplicates where position > $1 and position <= $1 + $2 order by position limit $2";
const LETTERS: &str =
    "select id from dead_letters where id > $1 and id <= $1 + $2 order by id limit $2";
const DECISIONS: &str = "
    select position from decisions where position > $1 and position <= $1 + $2 and fate = 'decision'
    order by position limit $2";
/// The table's identity and its number of pages. The identity changes if a replay swaps in another table.
const ORDERS: &str = "
    select 'orders'::regclass::oid::int8, pg_relation_size('orders') / current_setting('block_size')::int8";
/// Reads the table page by page (a range of tuple ids), so that each page is read once; an index would also lack
/// bytes_position. An order whose bytes are another row's is counted if that row is missing.
const ORDER_POSITIONS: &str = "
    select coalesce(array_agg(position), '{}'),
           count(*) filter (where bytes_position <> position and not exists (
               select from inbox i where i.position = o.bytes_position))
    from orders o where ctid >= ('(' || $1::int8 || ',0)')::tid and ctid < ('(' || $1::int8 + $2::int8 || ',0)')::tid";
const BEYOND: &str = "
    select (select count(*) from duplicates where position > $1) + (select count(*) from duplicates where position < 1)
         + (select count(*) from dead_letters where id > $1) + (select count(*) from dead_letters where id < 1)
         + (select count(*) from decisions where position > $1) + (select count(*) from decisions where position < 1)";

/// Which positions up to the checkpoint have a fate: one bit each.
struct Fates {
    last: i64,
    bits: Vec<u64>,
    /// For each span, how many positions were found a second time.
    twice: Vec<i64>,
}

impl Fates {
    fn new(last: i64) -> Self {
        let length = |each: i64| usize::try_from(last / each + 1).unwrap_or(0);
        Self {
            last,
            bits: vec![0; length(64)],
            twice: vec![0; length(SPAN)],
        }
    }

    /// False if the position is beyond the checkpoint, or no position at all.
    fn add(&mut self, position: i64) -> bool {
        if position < 1 || position > self.last {
            return false;
        }
        let index = usize::try_from(position - 1).unwrap_or(0);
        let (word, bit) = (&mut self.bits[index / 64], 1 << (index % 64));
        if *word & bit != 0 {
            self.twice[index / SPAN as usize] += 1;
        }
        *word |= bit;
        true
    }

    /// How many of these positions have a fate.
    fn count(&self, after: i64, to: i64) -> i64 {
        (after..to)
            .filter(|index| self.bits[*index as usize / 64] & (1 << (*index % 64)) != 0)
            .count() as i64
    }
}

/// Counts what the tables have up to the checkpoint, and compares it with the counters.
pub async fn verify(client: &Client, counters: &Counters) -> Result<Verified, Error> {
    let mut found = Verified::default();
    let last = counters.projected;
    let (mut fates, later) = loop {
        let mut fates = Fates::new(last);
        if let Some(later) = count_orders(client, &mut fates, &mut found).await? {
            break (fates, later);
        }
    };
    for after in (0..last).step_by(SPAN as usize) {
        let to = (after + SPAN).min(last);
        let span = to - after;
        for (statement, count) in [
            (DUPLICATES, &mut found.duplicates),
            (LETTERS, &mut found.dead_letters),
            (DECISIONS, &mut found.decisions),
        ] {
            for row in query(client, statement, &[&after, &span]).await? {
                fates.add(row.get(0));
                *count += 1;
            }
        }
        let rows = inbox::count(client, Position(after), Position(to)).await?;
        found.rows += rows;
        found.compare(after, to, rows, &fates);
        let (without, made_up) = beside::verdicts(client, Position(after), Position(to)).await?;
        if (without, made_up) != (0, 0) {
            found.findings.push(format!(
                "positions {} to {to}: {without} rejected rows have no verdict, {made_up} verdicts are of rows that were \
                 not rejected",
                after + 1
            ));
        }
    }
    found.check_beside(client).await?;
    let head = inbox::head(client).await?.0;
    let beyond: i64 = query_one(client, BEYOND, &[&head]).await?.get(0);
    let beyond = beyond + later.iter().filter(|one| **one > head || **one < 1).count() as i64;
    if beyond != 0 {
        found.findings.push(format!(
            "{beyond} derived rows at positions that the inbox never gave"
        ));
    }
    for (name, counted, counter) in [
        ("orders", found.orders, counters.orders),
        ("duplicates", found.duplicates, counters.duplicates),
        ("dead letters", found.dead_letters, counters.dead_letters),
        ("decisions", found.decisions, counters.decisions),
    ] {
        if counted != counter {
            found.findings.push(format!(
                "{name}: {counted} rows, but the counter says {counter}"
            ));
        }
    }
    Ok(found)
}

/// Notes all orders among the fates. Answers with the positions that are beyond the checkpoint: orders that came meanwhile, or
/// that are made up. None if a replay swapped the table while it was read.
async fn count_orders(
    client: &Client,
    fates: &mut Fates,
    found: &mut Verified,
) -> Result<Option<Vec<i64>>, Error> {
    let table = query_one(client, ORDERS, &[]).await?;
    let (id, pages): (i64, i64) = (table.get(0), table.get(1));
    let (mut orders, mut orphans) = (0, 0);
    let mut later = Vec::new();
    for page in (0..pages).step_by(PAGES as usize) {
        let row = query_one(client, ORDER_POSITIONS, &[&page, &PAGES]).await?;
        let positions: Vec<i64> = row.get(0);
        orphans += row.get::<_, i64>(1);
        for position in positions {
            if fates.add(position) {
                orders += 1;
            } else {
                later.push(position);
            }
        }
    }
    let still: i64 = query_one(client, ORDERS, &[]).await?.get(0);
    if still != id {
        return Ok(None);
    }
    found.orders = orders;
    if orphans != 0 {
        found
            .findings
            .push(format!("{orphans} orders whose bytes are not in the inbox"));
    }
    Ok(Some(later))
}

impl Verified {
    async fn check_beside(&mut self, client: &Client) -> Result<(), Error> {
        let groups = beside::groups(client).await?;
        if groups != 0 {
            self.findings.push(format!(
                "{groups} groups of dead letters do not count what their letters come to"
            ));
        }
        if !beside::epochs_hold(client).await? {
            self.findings.push(
                "the sources' rows and sequences are not those of the inbox's rows".to_owned(),
            );
        }
        Ok(())
    }

    fn compare(&mut self, after: i64, to: i64, rows: i64, fates: &Fates) {
        let span = format!("positions {} to {to}", after + 1);
        let mut find = |what: String| self.findings.push(format!("{span}: {what}"));
        if rows != to - after {
            find(format!("{} inbox rows are missing", to - after - rows));
        }
        let twice = fates.twice[usize::try_from(after / SPAN).unwrap_or(0)];
        if twice != 0 {
            find(format!("{twice} rows have more than one fate"));
        }
        let fated = fates.count(after, to);
        if fated != rows {
            find(format!("{rows} rows, but {fated} with a fate"));
        }
    }
}
