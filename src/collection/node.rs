//! YAML as a tree that remembers where each part stands in the file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

use crate::record::names_of;

pub enum Node {
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    /// A text, a number, a truth or null.
    One(Value),
}

impl Node {
    pub fn to_json(&self) -> Value {
        match self {
            Self::Map(entries) => entries
                .iter()
                .map(|(name, node)| (name.value.clone(), node.value.to_json()))
                .collect::<Map<_, _>>()
                .into(),
            Self::List(nodes) => nodes.iter().map(|node| node.value.to_json()).collect(),
            Self::One(value) => value.clone(),
        }
    }

    fn step(&self, name: &str) -> Option<&Spanned<Node>> {
        match self {
            Self::Map(entries) => {
                let mut entries = entries.iter();
                entries
                    .find(|entry| entry.0.value == name)
                    .map(|entry| &entry.1)
            }
            Self::List(nodes) => nodes.get(name.parse::<usize>().ok()?),
            Self::One(_) => None,
        }
    }
}

/// Where the part at a JSON pointer stands; as near as the pointer leads.
pub fn place(root: &Spanned<Node>, pointer: &str) -> Location {
    let mut at = root;
    for name in names_of(pointer) {
        match at.value.step(&name) {
            Some(next) => at = next,
            None => break,
        }
    }
    at.referenced
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(yaml: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Node::Map(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = seq.next_element()? {
                    nodes.push(node);
                }
                Ok(Node::List(nodes))
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::One(Value::from(text)))
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
                Ok(Node::One(Value::from(truth)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
                Ok(Node::One(Value::from(number)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
                Ok(Node::One(Value::from(number)))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
                let number = serde_json::Number::from_f64(number);
                let number = number.ok_or_else(|| E::custom("a number must be finite"))?;
                Ok(Node::One(Value::Number(number)))
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::One(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::One(Value::Null))
            }
        }
        yaml.deserialize_any(Any)
    }
}
