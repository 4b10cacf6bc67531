//! Orders in Postgres (`store`). What an order is says `collection`.

pub mod store;

use crate::record::Model;

/// What an order is.
pub fn model() -> &'static Model {
    &crate::collection::orders().model
}
