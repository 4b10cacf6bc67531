//! What a collection is: a name, a schema, the key that its documents are known by, what they are looked up by, and rules.
//! Pure: which definitions are in force says the log, and `projection` reads it. `orders.yaml` is the definition that every
//! database begins with, whatever the log says later.

mod ask;
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

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

pub use ask::no_collection;
pub use definition::{Collection, Keep, Known, Sum, may_be_called};
pub use trial::{Failed, run as run_tests};

/// An order as real senders send it.
pub const EXAMPLE: &str = include_str!("order.json");

const ORDERS: &str = include_str!("orders.yaml");

/// The example as JSON.
pub fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap_or_default()
}

/// What a database begins with. It is part of every log that has no definition of `orders`: this text never changes.
pub fn orders() -> &'static Arc<Collection> {
    static COMPILED: LazyLock<Arc<Collection>> = LazyLock::new(|| {
        // The text is part of the program: a test compiles it.
        let compiled = Collection::load(ORDERS);
        Arc::new(compiled.unwrap_or_else(|mistakes| panic!("orders.yaml: {mistakes:?}")))
    });
    &COMPILED
}

/// What all that is derived from a collection's messages is kept under: the position of its first definition since it was last
/// dropped. So what is dropped and defined again begins with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub i64);

impl Id {
    /// The orders that a database begins with.
    pub const ORDERS: Self = Self(0);
    /// Of one that is only thought of: it has no tables.
    pub const PLANNED: Self = Self(i64::MAX);
    /// Of what belongs to no collection: a message to a name that is not defined, a decision about no letter.
    pub const NONE: Self = Self(-1);
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
