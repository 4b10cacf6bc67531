//! The end of the log as this process appended it last. It wakes the projector, and hands it the rows if they are few, so that
//! the projector need not read them back. The rows are committed, but perhaps not on the disk: if the server crashes, others may
//! get their positions. So only a writer whose session was open before they were appended may use them: a crash ends that
//! session, and its commit fails.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::super::few::FEW;
use super::super::row::{Appended, Incoming, Position, Row};
use super::Witness;
use crate::postgres::Identity;

#[derive(Clone, Debug, Default)]
pub struct Tail {
    last: Option<Position>,
    few: Option<Arc<Few>>,
}

/// Rows that follow each other, and when the first of them was begun to be appended.
#[derive(Clone, Debug)]
struct Few {
    rows: Vec<Row>,
    server: Identity,
    started: Instant,
}

impl Tail {
    /// Answers false if nothing of the batch is new.
    pub(in crate::inbox) fn append(
        &mut self,
        batch: &[Incoming],
        outcome: &[Appended],
        server: &Identity,
        started: Instant,
    ) -> bool {
        let Some(last) = outcome.iter().rev().find_map(Appended::stored) else {
            return false;
        };
        let before = self.few.take();
        self.last = Some(last);
        // To read many back costs little for each.
        if batch.len() > FEW {
            return true;
        }
        let rows = batch.iter().zip(outcome);
        let rows = rows.map(|(incoming, appended)| row(incoming, appended.stored()?));
        let Some(rows) = rows.collect::<Option<Vec<Row>>>() else {
            return true;
        };
        let goes_on = |few: &Arc<Few>| {
            let end = few.rows.last().map(|row| row.position.0 + 1);
            few.server == *server
                && few.rows.len() + rows.len() <= FEW
                && end == rows.first().map(|row| row.position.0)
        };
        let few = match before.filter(goes_on) {
            Some(mut few) => {
                Arc::make_mut(&mut few).rows.extend(rows);
                few
            }
            None => Arc::new(Few {
                rows,
                server: server.clone(),
                started,
            }),
        };
        self.few = Some(few);
        true
    }

    /// Whether there is more than up to here.
    pub fn is_beyond(&self, position: Position) -> bool {
        self.last.is_some_and(|last| last > position)
    }

    /// The rows after `position`, if all of them are here and the witness saw them appended.
    pub fn after(&self, position: Position, witness: &Witness) -> Option<Vec<Row>> {
        let few = self.few.as_ref()?;
        let next = few
            .rows
            .iter()
            .position(|row| row.position.0 == position.0 + 1)?;
        witness
            .saw(&few.server, few.started)
            .then(|| few.rows[next..].to_vec())
    }
}

/// The row as it would be read back. None for a decision: jsonb comes back in another form than it was sent.
fn row(incoming: &Incoming, position: Position) -> Option<Row> {
    if incoming.decision.is_some() {
        return None;
    }
    Some(Row {
        position,
        source: incoming.source,
        sequence: incoming.sequence,
        broker_time_ns: incoming.broker_time_ns,
        received_at: Timestamp::from_microsecond(incoming.received_at.as_microsecond()).ok()?,
        payload: incoming.payload.clone(),
        decision: None,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::inbox::{Reply, Room, SourceId};

    fn incoming(sequence: i64, decision: Option<&str>) -> Incoming {
        Incoming {
            source: SourceId(1),
            sequence,
            broker_time_ns: sequence,
            received_at: Timestamp::from_nanosecond(1_999).unwrap(),
            key: None,
            payload: Some(Bytes::from_static(b"{}")),
            decision: decision.map(str::to_owned),
            hash: 0,
            reply: Reply::Answer(oneshot::channel().0, Room::default()),
        }
    }

    fn server(system: &str) -> Identity {
        Identity {
            system: system.to_owned(),
            timeline: "1".to_owned(),
        }
    }

    /// Appends as many at these positions.
    fn append(tail: &mut Tail, positions: impl Iterator<Item = i64>, system: &str, at: Instant) {
        let outcome: Vec<Appended> = positions.map(|p| Appended::Stored(Position(p))).collect();
        let batch: Vec<Incoming> = outcome.iter().map(|_| incoming(1, None)).collect();
        assert!(tail.append(&batch, &outcome, &server(system), at));
    }

    fn positions(tail: &Tail, after: i64, witness: &Witness) -> Option<Vec<i64>> {
        let rows = tail.after(Position(after), witness)?;
        Some(rows.iter().map(|row| row.position.0).collect())
    }

    #[test]
    fn a_few_rows_are_handed_over_to_whom_they_follow() {
        let witness = Witness::since(server("a"), Instant::now());
        let now = Instant::now();
        let mut tail = Tail::default();
        append(&mut tail, 5..=6, "a", now);
        append(&mut tail, 7..=7, "a", now);
        assert_eq!(positions(&tail, 4, &witness), Some(vec![5, 6, 7]));
        assert_eq!(positions(&tail, 6, &witness), Some(vec![7]));
        assert_eq!(positions(&tail, 3, &witness), None, "4 must be read");
        assert_eq!(positions(&tail, 7, &witness), None, "there is no more");
        assert!(tail.is_beyond(Position(6)) && !tail.is_beyond(Position(7)));
        let row = &tail.after(Position(6), &witness).unwrap()[0];
        assert_eq!(
            row.received_at.as_nanosecond(),
            1_000,
            "as Postgres keeps it"
        );
        // Another replica has appended 8.
        append(&mut tail, 9..=9, "a", now);
        assert_eq!(positions(&tail, 6, &witness), None);
        assert_eq!(positions(&tail, 8, &witness), Some(vec![9]));
    }

    #[test]
    fn many_rows_and_decisions_are_to_be_read() {
        let witness = Witness::since(server("a"), Instant::now());
        let now = Instant::now();
        let mut tail = Tail::default();
        append(&mut tail, 1..=17, "a", now);
        assert_eq!(positions(&tail, 0, &witness), None);
        append(&mut tail, 18..=33, "a", now);
        append(&mut tail, 34..=34, "a", now);
        assert_eq!(
            positions(&tail, 17, &witness),
            None,
            "they have become too many"
        );
        assert_eq!(positions(&tail, 33, &witness), Some(vec![34]));
        let stored = [Appended::Stored(Position(35))];
        assert!(tail.append(&[incoming(1, Some("{}"))], &stored, &server("a"), now));
        assert_eq!(positions(&tail, 34, &witness), None);
        assert!(tail.is_beyond(Position(34)));
        let known = [Appended::Known(Position(3))];
        assert!(!tail.append(&[incoming(1, None)], &known, &server("a"), now));
    }

    #[test]
    fn nobody_takes_rows_that_were_appended_before_he_was_there_or_elsewhere() {
        let before = Instant::now();
        let mut tail = Tail::default();
        append(&mut tail, 1..=1, "a", before);
        let late = Witness::since(server("a"), before + std::time::Duration::from_nanos(1));
        assert_eq!(positions(&tail, 0, &late), None);
        append(&mut tail, 2..=2, "a", Instant::now());
        assert_eq!(
            positions(&tail, 0, &late),
            None,
            "the first of them is in doubt"
        );
        let elsewhere = Witness::since(server("b"), before);
        assert_eq!(positions(&tail, 0, &elsewhere), None);
        append(&mut tail, 3..=3, "b", Instant::now());
        assert_eq!(positions(&tail, 2, &elsewhere), Some(vec![3]));
    }
}
