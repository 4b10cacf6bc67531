//! The account: how many rows met which fate, and which sequences of each source arrived. The projector keeps it in its own
//! transaction; `reconcile` compares it with head and checkpoint, `verify` with the tables. An epoch (a life of the broker's
//! store) is concluded from what arrived; nothing is stored or dropped because of it.

mod beside;
mod epoch;
mod fate;
mod patience;
mod reconcile;
mod verify;

pub use epoch::{Epoch, EpochChanges, Epochs, Ranges, load_epochs, write_epochs};
pub use fate::{
    Counts, Fate, Healed, add_fates, by_collection, fate, healed, not_documents, projected,
};
pub use patience::Patience;
pub use reconcile::{Counters, Reconciliation, SourceLife, counters, reconcile};
pub use verify::{Verified, verify};
