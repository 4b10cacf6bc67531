//! Dead letters: messages that are no order, kept until an operator has brought them home or let them go. The projector
//! writes them, the API reads them. Invariant: a letter's state changes only by a decision in the log. Absent on purpose:
//! any way to delete one.

mod filter;
mod letter;
mod list;
mod store;
mod trend;

pub use filter::{Filter, InvalidFilter, Within, format_fingerprint};
pub use letter::{Letter, State, Verdict, longest_pause, next_attempt};
pub use list::{
    DecisionResult, Group, GroupPlace, Judges, PastDecision, ResultWithVerdict, Story, Summary,
    groups, ids, list, newest, older_verdicts, page_end, result, results, story, summary,
};
pub use store::{GroupChange, GroupChanges, change, insert, load, write_groups, write_verdicts};
pub use trend::trend;
