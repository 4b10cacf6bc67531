//! Which sequences of each source arrived. An epoch is one life of a broker's store: if the store is wiped, its numbers begin
//! again at 1.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::inbox::{Position, SourceId};
use crate::postgres::{Client, Error, Write, query};

/// Sequences received, as disjoint closed ranges (first to last). If nothing was lost, that is one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<i64, i64>);

impl Ranges {
    pub fn contains(&self, sequence: i64) -> bool {
        self.0
            .range(..=sequence)
            .next_back()
            .is_some_and(|(_, end)| *end >= sequence)
    }

    pub fn insert(&mut self, sequence: i64) {
        if self.contains(sequence) {
            return;
        }
        let mut start = sequence;
        let mut end = sequence;
        if let Some((before, last)) = self.0.range(..sequence).next_back().map(|(s, e)| (*s, *e))
            && last + 1 == sequence
        {
            start = before;
        }
        if let Some(after) = self.0.remove(&(sequence + 1)) {
            end = after;
        }
        self.0.insert(start, end);
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().map(|(start, end)| (*start, *end))
    }

    /// The ranges that are missing between the first and the last sequence.
    pub fn holes(&self) -> Vec<(i64, i64)> {
        let starts = self.0.keys().skip(1);
        self.0
            .values()
            .zip(starts)
            .map(|(end, start)| (end + 1, start - 1))
            .collect()
    }

    fn to_multirange(&self) -> String {
        let ranges: Vec<String> = self.iter().map(|(s, e)| format!("[{s},{e}]")).collect();
        format!("{{{}}}", ranges.join(","))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub number: i32,
    pub rows: i64,
    pub first: i64,
    pub last: i64,
    pub began_ns: i64,
    pub last_at: Timestamp,
    pub received: Ranges,
}

/// All epochs of all brokers' channels, kept in memory by the projector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs(BTreeMap<SourceId, Vec<Epoch>>);

/// What a batch adds, by source and epoch.
#[derive(Default)]
pub struct EpochChanges(BTreeMap<(SourceId, i32), Change>);

struct Change {
    rows: i64,
    first: i64,
    last: i64,
    began_ns: i64,
    last_at: Timestamp,
    added: Ranges,
}

impl Epochs {
    /// Notes one row. If the newest epoch has its sequence already, the store must have begun anew, and so does an epoch. A row
    /// that is older than the newest epoch belongs to the one before, if that lacks its sequence: it came late.
    pub fn receive(
        &mut self,
        changes: &mut EpochChanges,
        source: SourceId,
        sequence: i64,
        broker_time_ns: i64,
        at: Timestamp,
    ) {
        let epochs = self.0.entry(source).or_default();
        let count = epochs.len();
        let late = count >= 2
            && broker_time_ns < epochs[count - 1].began_ns
            && !epochs[count - 2].received.contains(sequence);
        let index = if late {
            count - 2
        } else if count > 0 && !epochs[count - 1].received.contains(sequence) {
            count - 1
        } else {
            epochs.push(Epoch {
                number: i32::try_from(count).unwrap_or(i32::MAX).saturating_add(1),
                rows: 0,
                first: sequence,
                last: sequence,
                began_ns: broker_time_ns,
                last_at: at,
                received: Ranges::default(),
            });
            count
        };
        let epoch = &mut epochs[index];
        epoch.rows += 1;
        epoch.first = epoch.first.min(sequence);
        epoch.last = epoch.last.max(sequence);
        epoch.last_at = at;
        epoch.received.insert(sequence);
        let change = changes.0.entry((source, epoch.number)).or_insert(Change {
            rows: 0,
            first: sequence,
            last: sequence,
            began_ns: epoch.began_ns,
            last_at: at,
            added: Ranges::default(),
        });
        change.rows += 1;
        change.first = change.first.min(sequence);
        change.last = change.last.max(sequence);
        change.last_at = at;
        change.added.insert(sequence);
    }
}

/// One statement, so that the epochs are those of that position. One row without a source if there are none.
const LOAD: &str = "
    select c.position, a.source_id, a.epoch, a.rows, a.first_sequence, a.last_sequence, a.began_ns, a.last_at,
           array(select lower(r) from unnest(a.received) r order by 1) as starts,
           array(select upper(r) - 1 from unnest(a.received) r order by 1) as ends
    from checkpoint c left join source_account a on true
    where c.projection = 'documents'
    order by a.source_id, a.epoch";

pub async fn load_epochs(client: &Client) -> Result<Epochs, Error> {
    Ok(load_epochs_at(client).await?.1)
}

/// With the position up to which the live projection has come.
pub async fn load_epochs_at(client: &Client) -> Result<(Position, Epochs), Error> {
    let mut epochs = Epochs::default();
    let mut position = Position(0);
    for row in query(client, LOAD, &[]).await? {
        position = Position(row.get("position"));
        let Some(source) = row.get("source_id") else {
            continue;
        };
        let starts: Vec<i64> = row.get("starts");
        let ends: Vec<i64> = row.get("ends");
        epochs.0.entry(SourceId(source)).or_default().push(Epoch {
            number: row.get("epoch"),
            rows: row.get("rows"),
            first: row.get("first_sequence"),
            last: row.get("last_sequence"),
            began_ns: row.get("began_ns"),
            last_at: row.get("last_at"),
            received: Ranges(starts.into_iter().zip(ends).collect()),
        });
    }
    Ok((position, epochs))
}

impl Epochs {
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Epoch)> {
        self.0
            .iter()
            .flat_map(|(source, epochs)| epochs.iter().map(|epoch| (*source, epoch)))
    }
}

const WRITE: &str = "
    insert into source_account as a
        (source_id, epoch, rows, first_sequence, last_sequence, began_ns, last_at, received)
    select source_id, epoch, rows, first_sequence, last_sequence, began_ns, last_at, received::int8multirange
    from unnest($1::int4[], $2::int4[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::timestamptz[], $8::text[])
        as w(source_id, epoch, rows, first_sequence, last_sequence, began_ns, last_at, received)
    on conflict on constraint source_account_pkey do update
    set rows = a.rows + excluded.rows, first_sequence = least(a.first_sequence, excluded.first_sequence),
        last_sequence = greatest(a.last_sequence, excluded.last_sequence), last_at = excluded.last_at,
        received = a.received + excluded.received";

pub fn write_epochs(changes: &EpochChanges) -> Option<Write<'_>> {
    if changes.0.is_empty() {
        return None;
    }
    fn column<T>(changes: &EpochChanges, field: impl Fn(&Change) -> T) -> Vec<T> {
        changes.0.values().map(field).collect()
    }
    let sources: Vec<i32> = changes.0.keys().map(|(source, _)| source.0).collect();
    let numbers: Vec<i32> = changes.0.keys().map(|(_, number)| *number).collect();
    Some(
        Write::new(WRITE)
            .with(sources)
            .with(numbers)
            .with(column(changes, |change| change.rows))
            .with(column(changes, |change| change.first))
            .with(column(changes, |change| change.last))
            .with(column(changes, |change| change.began_ns))
            .with(column(changes, |change| change.last_at))
            .with(column(changes, |change| change.added.to_multirange())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_show_their_holes() {
        let mut ranges = Ranges::default();
        for sequence in [5, 1, 2, 9, 3, 10, 8, 5] {
            ranges.insert(sequence);
        }
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(1, 3), (5, 5), (8, 10)]);
        assert_eq!(ranges.holes(), [(4, 4), (6, 7)]);
        ranges.insert(4);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(1, 5), (8, 10)]);
        assert!(ranges.contains(9) && !ranges.contains(7));
    }

    #[test]
    fn a_number_received_again_begins_an_epoch_and_a_late_row_goes_back() {
        let (mut epochs, mut changes) = (Epochs::default(), EpochChanges::default());
        let source = SourceId(1);
        for (sequence, time) in [
            (1, 10),
            (2, 20),
            (4, 40),
            (1, 100),
            (2, 110),
            (3, 30),
            (3, 120),
        ] {
            epochs.receive(&mut changes, source, sequence, time, Timestamp::UNIX_EPOCH);
        }
        let seen: Vec<_> = epochs
            .iter()
            .map(|(_, e)| (e.number, e.rows, e.received.holes()))
            .collect();
        assert_eq!(seen, [(1, 4, vec![]), (2, 3, vec![])]);
    }
}
