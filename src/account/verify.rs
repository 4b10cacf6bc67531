//! Every row counted again, table by table: each position that was given must have one row in the inbox and exactly one fate.
//! The statements are short, so that none holds a snapshot for long. A bit for each position is kept in memory (125 kB for a
//! million rows), which saves joins between tables. Then `beside` checks what follows from the rows beside their fates.

use super::beside;
use super::reconcile::Counters;
use crate::collection::Id;
use crate::document::{self, Table};
use crate::inbox::{self, Position};
use crate::postgres::{Client, Error, Sql, query, query_one};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub rows: i64,
    pub documents: i64,
    pub superseded: i64,
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
/// Whose tables are there.
const COLLECTIONS: &str = "select id from collection order by id";
/// A table's identity and its number of pages; null if it is not there. The identity changes if a replay swaps in another table.
const TABLE: &str = "
    select to_regclass($1)::oid::int8, pg_relation_size(to_regclass($1)) / current_setting('block_size')::int8";
/// What is counted of collections whose tables are removed.
const FROZEN: &str = "
    select coalesce(sum(count), 0)::int8 from fates
    where fate = $2 and collection >= 0 and not collection = any($1)";
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
    let (mut fates, later, frozen) = loop {
        let mut fates = Fates::new(last);
        if let Some((later, frozen)) = count_documents(client, &mut fates, &mut found).await? {
            break (fates, later, frozen);
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
        found.compare(after, to, rows, &fates, frozen != 0);
        let (without, made_up) = beside::verdicts(client, Position(after), Position(to)).await?;
        if (without, made_up) != (0, 0) {
            found.findings.push(format!(
                "positions {} to {to}: {without} rejected rows have no verdict, {made_up} verdicts are of rows that were \
                 not rejected",
                after + 1
            ));
        }
    }
    let fated = fates.count(0, last) + frozen;
    if frozen != 0 && fated != found.rows {
        found.findings.push(format!(
            "{} rows, but {fated} with a fate, {frozen} of them of collections that were dropped",
            found.rows
        ));
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
        ("documents", found.documents, counters.documents),
        ("superseded", found.superseded, counters.superseded),
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

/// A table whose rows are documents or versions, and what of them is counted as what.
struct Rows {
    name: String,
    is_versions: bool,
}

/// Positions that are beyond the checkpoint (documents that came meanwhile, or that are made up), and how many documents of dropped
/// collections are in no table any more.
type Counted = (Vec<i64>, i64);

/// Notes all documents among the fates. None if a replay swapped a table while it was read.
async fn count_documents(
    client: &Client,
    fates: &mut Fates,
    found: &mut Verified,
) -> Result<Option<Counted>, Error> {
    (found.documents, found.superseded) = (0, 0);
    let (mut later, mut orphans, mut there) = (Vec::new(), 0, Vec::new());
    for row in query(client, COLLECTIONS, &[]).await? {
        let id = Id(row.get(0));
        let versions = document::table(id, Table::Versions);
        let is_versions = table_of(client, &versions).await?.is_some();
        let rows = match is_versions {
            true => Rows {
                name: versions,
                is_versions,
            },
            false => Rows {
                name: document::table(id, Table::Documents),
                is_versions,
            },
        };
        let Some((table, pages)) = table_of(client, &rows.name).await? else {
            continue;
        };
        there.push(id.0);
        for page in (0..pages).step_by(PAGES as usize) {
            let part = read(client, &rows, page).await?;
            orphans += part.orphans;
            for (positions, count) in [
                (part.documents, &mut found.documents),
                (part.superseded, &mut found.superseded),
            ] {
                for position in positions {
                    if fates.add(position) {
                        *count += 1;
                    } else {
                        later.push(position);
                    }
                }
            }
        }
        let still = table_of(client, &rows.name).await?;
        if still.is_none_or(|(still, _)| still != table) {
            return Ok(None);
        }
    }
    if orphans != 0 {
        found.findings.push(format!(
            "{orphans} documents whose bytes are not in the inbox"
        ));
    }
    let mut frozen = 0;
    for (fate, count) in [
        ("document", &mut found.documents),
        ("superseded", &mut found.superseded),
    ] {
        let of = query_one(client, FROZEN, &[&there, &fate])
            .await?
            .get::<_, i64>(0);
        *count += of;
        frozen += of;
    }
    Ok(Some((later, frozen)))
}

async fn table_of(client: &Client, name: &str) -> Result<Option<(i64, i64)>, Error> {
    let row = query_one(client, TABLE, &[&name]).await?;
    Ok(row
        .get::<_, Option<i64>>(0)
        .zip(row.get::<_, Option<i64>>(1)))
}

struct Part {
    documents: Vec<i64>,
    superseded: Vec<i64>,
    orphans: i64,
}

/// Reads a table page by page (a range of tuple ids), so that each page is read once; an index would also lack bytes_position. A
/// row whose bytes are another's is counted if that one is missing.
async fn read(client: &Client, rows: &Rows, page: i64) -> Result<Part, Error> {
    let what = match rows.is_versions {
        true => "what",
        false => "'document'",
    };
    let mut sql = Sql::new("select coalesce(array_agg(position) filter (where ");
    sql.push(what)
        .push(" = 'document'), '{}'), coalesce(array_agg(position) filter (where ")
        .push(what)
        .push(
            " = 'superseded'), '{}'), count(*) filter (where bytes_position <> position and not exists (
                select from inbox i where i.position = o.bytes_position)) from ",
        )
        .name(&rows.name)
        .bind(" o where ctid >= ('(' || $::int8 || ',0)')::tid", page)
        .bind(" and ctid < ('(' || $::int8 || ',0)')::tid", page + PAGES);
    let found = sql.query(client).await?;
    let found = found.first();
    Ok(Part {
        documents: found.map(|row| row.get(0)).unwrap_or_default(),
        superseded: found.map(|row| row.get(1)).unwrap_or_default(),
        orphans: found.map_or(0, |row| row.get(2)),
    })
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

    fn compare(&mut self, after: i64, to: i64, rows: i64, fates: &Fates, is_frozen: bool) {
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
        // Those of dropped collections are in no table; they are counted together.
        if fated != rows && !is_frozen {
            find(format!("{rows} rows, but {fated} with a fate"));
        }
    }
}
