//! Who was let in, who was turned away, and who took data out or steered work. Decisions about messages are in the log, with
//! who made them; here is what the log does not tell. Called by the API alone, at the gate and behind it.
//!
//! Its invariants: rows are only added; whoever exports is on record before the first byte leaves; what strangers can cause is
//! bounded, in memory and in rows. No token and no payload is ever in it.

mod entry;
mod recorder;
mod store;

pub use entry::{Entry, What};
pub use recorder::{Audit, Recorder};
pub use store::{Filter, Recorded, list};
