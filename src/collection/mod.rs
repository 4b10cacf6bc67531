//! What a collection is: a name, a schema, the key that its documents are known by, and what they are looked up by. `orders`
//! is the one that there is; its text is `orders.yaml`.

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::record::Model;

/// An order as real senders send it.
pub const EXAMPLE: &str = include_str!("order.json");

const ORDERS: &str = include_str!("orders.yaml");

/// A definition as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    collection: String,
    one: String,
    title: String,
    about: String,
    key: String,
    lookups: Vec<String>,
    schema: Value,
}

pub struct Collection {
    pub name: String,
    pub title: String,
    pub about: String,
    pub model: Model,
}

impl Collection {
    /// What senders may send, as JSON Schema.
    pub fn schema(&self) -> Value {
        let mut schema = self.model.schema();
        schema["examples"] = Value::Array(vec![example()]);
        schema
    }
}

/// The example as JSON.
pub fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap_or_default()
}

/// What an order is.
pub fn orders() -> &'static Collection {
    static COMPILED: LazyLock<Collection> = LazyLock::new(|| {
        // The text is part of the program: a test compiles it.
        compile(ORDERS).expect("orders.yaml is a definition")
    });
    &COMPILED
}

fn compile(text: &str) -> Result<Collection, String> {
    let definition: Definition = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let lookups: Vec<&str> = definition.lookups.iter().map(String::as_str).collect();
    let model = Model::compile(
        &definition.one,
        &definition.schema,
        &[&definition.key],
        &lookups,
    )
    .map_err(|mistake| format!("{}: {}", mistake.pointer, mistake.message))?;
    Ok(Collection {
        name: definition.collection,
        title: definition.title,
        about: definition.about,
        model,
    })
}

#[cfg(test)]
mod definition {
    use super::*;

    #[test]
    fn an_order_is_what_its_definition_says() {
        let orders = compile(ORDERS).unwrap();
        assert_eq!(orders.name, "orders");
        let order = orders.model.parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(orders.model.key(&order), "b563feb7b2b84b6test");
    }
}
