//! Orders in Postgres (`store`), and made up for a try (`sample`). What an order is says `collection`.

pub mod sample;
pub mod store;

use crate::record::Model;

/// What an order is.
pub fn model() -> &'static Model {
    &crate::collection::orders().model
}
