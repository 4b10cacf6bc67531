//! Orders in Postgres (`store`), as lines of a table (`flat`), and made up for a try (`sample`). What an order is says
//! `collection`.

pub mod flat;
pub mod sample;
pub mod store;

use crate::record::Model;

/// What an order is.
pub fn model() -> &'static Model {
    &crate::collection::orders().model
}
