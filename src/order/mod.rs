//! The order: what it is (`model`, `shape`), whether a message is one (`validate`), and if not, why (`rejection`).
//!
//! The checks are pure: they know no other room, and give the same verdict everywhere and for ever within one
//! `CODE_VERSION`.

mod code;
#[cfg(test)]
mod corpus;
mod diagnose;
mod encoding;
pub mod flat;
mod gained;
mod layer;
mod model;
mod plain;
mod read;
mod rejection;
mod rules;
pub mod sample;
mod scan;
pub mod schema;
mod sentence;
mod shape;
pub mod store;
mod straight;
mod validate;
mod write;

pub use model::{Delivery, Item, Order, Payment};
pub use rejection::{Code, MAX_VIOLATIONS, Reason, Rejection, Violation};
pub use rules::{Mistake as RulesMistake, Rules, RulesError};
pub use validate::{CODE_VERSION, parse, parse_to_serve};
