//! What somebody may: rights, and the collections in which they count.

use std::collections::BTreeSet;

use super::right::{Right, Rights, Role};

/// The one collection that there is. A principal that does not see it sees nothing of orders, their letters, rules and
/// messages.
pub const ORDERS: &str = "orders";

/// Which collections a principal sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collections {
    All,
    Named(BTreeSet<String>),
}

impl Collections {
    pub fn has(&self, name: &str) -> bool {
        match self {
            Collections::All => true,
            Collections::Named(names) => names.contains(name),
        }
    }
}

pub fn checked_collections(names: &[String]) -> Result<BTreeSet<String>, String> {
    let fits = |name: &String| {
        name.len() <= 41
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    match names.iter().find(|name| !fits(name)) {
        Some(name) => Err(format!("{name:?} is no name of a collection, like orders")),
        None if names.is_empty() => {
            Err("collections is empty: leave it out if all are meant".to_owned())
        }
        None => Ok(names.iter().cloned().collect()),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub rights: Rights,
    pub collections: Collections,
}

impl Grant {
    /// As an entry of the tokens file says it.
    pub fn written(
        role: Option<Role>,
        rights: Option<&[Right]>,
        collections: Option<&[String]>,
    ) -> Result<Self, String> {
        let rights = match (role, rights) {
            (Some(role), None) => role.rights(),
            (None, Some(rights)) => Rights::of(rights),
            _ => return Err("it has either a role or rights".to_owned()),
        };
        let collections = match collections {
            None => Collections::All,
            Some(names) => Collections::Named(checked_collections(names)?),
        };
        Ok(Self {
            rights,
            collections,
        })
    }

    pub fn everything() -> Self {
        Self {
            rights: Rights::ALL,
            collections: Collections::All,
        }
    }

    pub fn nothing() -> Self {
        Self {
            rights: Rights::NONE,
            collections: Collections::Named(BTreeSet::new()),
        }
    }
}
