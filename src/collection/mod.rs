//! What a collection is: a name, a schema, the key that its documents are known by, what they are looked up by, and rules.
//! `orders` is the one that there is; its definition is `orders.yaml`.

#[cfg(test)]
mod corpus;
mod definition;
#[cfg(test)]
mod definitions;
mod expected;
mod meaning;
mod node;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
mod trial;

use std::sync::LazyLock;

use serde_json::Value;

pub use definition::{Collection, Keep, Sum};
pub use trial::{Failed, run as run_tests};

/// An order as real senders send it.
pub const EXAMPLE: &str = include_str!("order.json");

const ORDERS: &str = include_str!("orders.yaml");

/// The example as JSON.
pub fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap_or_default()
}

/// What an order is.
pub fn orders() -> &'static Collection {
    static COMPILED: LazyLock<Collection> = LazyLock::new(|| {
        // The text is part of the program: a test compiles it.
        Collection::compile(ORDERS).unwrap_or_else(|mistakes| panic!("orders.yaml: {mistakes:?}"))
    });
    &COMPILED
}
