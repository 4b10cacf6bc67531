//! The account read: what the counters say in one snapshot, what is pending, and what each source's sequences tell.

use super::epoch::{Epoch, load_epochs};
use crate::inbox::{self, Position, SourceId};
use crate::postgres::{Client, Error, query, query_one};

/// What head, checkpoint and the projector's counters say, in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    pub received: i64,
    pub projected: i64,
    pub documents: i64,
    pub superseded: i64,
    pub duplicates: i64,
    pub dead_letters: i64,
    pub decisions: i64,
    /// Rows at positions that the head has not given yet, of which there must be none; 0 if nobody looked.
    beyond: i64,
}

impl Counters {
    /// How many positions the projector is behind. The account itself counts the pending rows instead.
    pub fn behind(&self) -> i64 {
        self.received - self.projected
    }
}

/// The account: each number is counted on its own, none is what the others leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    pub counters: Counters,
    pub pending: i64,
    pub sources: Vec<SourceLife>,
}

impl Reconciliation {
    pub fn balanced(&self) -> bool {
        let Counters {
            received,
            documents,
            superseded,
            duplicates,
            dead_letters,
            decisions,
            ..
        } = self.counters;
        received == documents + superseded + duplicates + dead_letters + decisions + self.pending
    }
}

/// One life of one broker's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLife {
    pub source: SourceId,
    pub kind: String,
    pub name: String,
    pub epoch: Epoch,
    /// True if a later life has begun. Then nobody will send what this one lacks.
    pub over: bool,
    /// The first and last missing sequence of each hole.
    pub holes: Vec<(i64, i64)>,
}

/// One statement, one snapshot: the numbers belong together. By inbox_pkey; the limit keeps the planner from reading all of it.
/// What is beyond the head is looked for only if it is asked for: rows of an append under way are there, too, and each is visited.
const COUNTERS: &str = "
    select h.next_position - 1, c.position,
           (select coalesce(sum(count), 0)::int8 from fates where fate = 'document'),
           (select coalesce(sum(count), 0)::int8 from fates where fate = 'superseded'),
           (select coalesce(sum(count), 0)::int8 from fates where fate = 'duplicate'),
           (select coalesce(sum(count), 0)::int8 from fates where fate = 'dead_letter'),
           (select coalesce(sum(count), 0)::int8 from fates where fate = 'decision'),
           case when $1::bool then (select count(*) from (
               select from inbox i where i.position >= h.next_position order by i.position limit 1000) beyond) else 0 end
    from inbox_head h, checkpoint c
    where c.projection = 'documents'";
const SOURCES: &str = "select id, kind, name from source order by id";

/// What the counters say, without a look at the log.
pub async fn counters(client: &Client) -> Result<Counters, Error> {
    counted(client, false).await
}

async fn counted(client: &Client, beyond: bool) -> Result<Counters, Error> {
    let row = query_one(client, COUNTERS, &[&beyond]).await?;
    Ok(Counters {
        received: row.get(0),
        projected: row.get(1),
        documents: row.get(2),
        superseded: row.get(3),
        duplicates: row.get(4),
        dead_letters: row.get(5),
        decisions: row.get(6),
        beyond: row.get(7),
    })
}

pub async fn reconcile(client: &Client) -> Result<Reconciliation, Error> {
    let counters = counted(client, true).await?;
    // Counted after the snapshot, and still true of it: rows are only ever added above the head.
    let (after, to) = (Position(counters.projected), Position(counters.received));
    let pending = counters.beyond + inbox::count(client, after, to).await?;
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
        sources.push(SourceLife {
            source: *source,
            kind: name.get(1),
            name: name.get(2),
            over: all.get(index + 1).is_some_and(|(next, _)| next == source),
            holes: epoch.received.holes(),
            epoch: epoch.clone(),
        });
    }
    Ok(Reconciliation {
        counters,
        pending,
        sources,
    })
}
