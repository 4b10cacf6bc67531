//! The account read: what the counters say, in one snapshot.

use super::epoch::{Epoch, load_epochs};
use crate::inbox::SourceId;
use crate::postgres::{Client, Error, query, query_one};

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
    /// True if a later life has begun: nobody sends what this one still lacks.
    pub over: bool,
    /// First and last of each hole.
    pub holes: Vec<(i64, i64)>,
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
        sources.push(SourceLife {
            source: *source,
            kind: name.get(1),
            name: name.get(2),
            over: all.get(index + 1).is_some_and(|(next, _)| next == source),
            holes: epoch.received.holes(),
            epoch: epoch.clone(),
        });
    }
    Ok(Reconciliation { sources, ..fates })
}
