//! The account: how many rows met which fate, and which sequences of each source arrived. The projector keeps it in its own
//! transaction; `reconcile` compares it with head and checkpoint. An epoch (a life of the broker's store) is a reading of
//! what arrived, never a decision in the write path.

mod epoch;
mod patience;
mod reconcile;
mod verify;

pub use epoch::{Epoch, EpochChanges, Epochs, Ranges, load_epochs, write_epochs};
pub use patience::Patience;
pub use reconcile::{Counters, Reconciliation, SourceLife, counters, reconcile};
pub use verify::{Verified, verify};

use crate::postgres::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    Order,
    Duplicate,
    DeadLetter,
    Decision,
}

impl Fate {
    pub const ALL: [Fate; 4] = [
        Fate::Order,
        Fate::Duplicate,
        Fate::DeadLetter,
        Fate::Decision,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Order => "order",
            Fate::Duplicate => "duplicate",
            Fate::DeadLetter => "dead_letter",
            Fate::Decision => "decision",
        }
    }
}

const ADD_FATES: &str = "
    update fates f set count = f.count + w.count
    from unnest($1::text[], $2::int8[]) as w(fate, count)
    where f.fate = w.fate and w.count <> 0";

pub fn add_fates(counts: [i64; 4]) -> Write<'static> {
    Write::new(ADD_FATES)
        .with(Fate::ALL.map(Fate::as_str).to_vec())
        .with(counts.to_vec())
}
