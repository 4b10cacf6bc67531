//! What may be done, as verbs, and the roles that bundle them. Which route needs which right is the table's to say, in
//! `api::gate`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Documents: orders, their lists and exports.
    Read,
    /// Dead letters, payloads, the inbox.
    Letters,
    /// Send messages.
    Publish,
    /// Retry, resubmit, discard, reopen, note; one letter or a set.
    Decide,
    /// Rules.
    Define,
    /// Replays, and others' operations.
    Operate,
    /// Tokens, audit.
    Admin,
}

impl Right {
    pub const ALL: [Right; 7] = [
        Right::Read,
        Right::Letters,
        Right::Publish,
        Right::Decide,
        Right::Define,
        Right::Operate,
        Right::Admin,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Letters => "letters",
            Right::Publish => "publish",
            Right::Decide => "decide",
            Right::Define => "define",
            Right::Operate => "operate",
            Right::Admin => "admin",
        }
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|right| right.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is none of {}", Rights::ALL))
    }
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self::of(&Right::ALL);

    pub const fn of(rights: &[Right]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < rights.len() {
            bits |= 1 << rights[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    pub const fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u8) != 0
    }

    /// At least one of them.
    pub const fn has_any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.has(*right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<T: IntoIterator<Item = Right>>(rights: T) -> Self {
        let bits = rights.into_iter().map(|right| 1 << right as u8);
        Self(bits.fold(0, |all, bit: u8| all | bit))
    }
}

/// As in `read, letters`.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Right::as_str).collect();
        match names.as_slice() {
            [] => f.write_str("no rights"),
            names => f.write_str(&names.join(", ")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// read
    Reader,
    /// read, letters
    Support,
    /// read, letters, decide
    Operator,
    /// publish
    Publisher,
    /// All rights
    Owner,
}

impl Role {
    pub const fn rights(self) -> Rights {
        match self {
            Role::Reader => Rights::of(&[Right::Read]),
            Role::Support => Rights::of(&[Right::Read, Right::Letters]),
            Role::Operator => Rights::of(&[Right::Read, Right::Letters, Right::Decide]),
            Role::Publisher => Rights::of(&[Right::Publish]),
            Role::Owner => Rights::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_bundles_of_rights() {
        for (role, rights) in [
            (Role::Reader, "read"),
            (Role::Support, "read, letters"),
            (Role::Operator, "read, letters, decide"),
            (Role::Publisher, "publish"),
            (
                Role::Owner,
                "read, letters, publish, decide, define, operate, admin",
            ),
        ] {
            assert_eq!(role.rights().to_string(), rights, "{role:?}");
        }
        assert_eq!(Rights::NONE.to_string(), "no rights");
        assert_eq!("decide".parse(), Ok(Right::Decide));
        assert!("Decide".parse::<Right>().is_err());
    }

    #[test]
    fn one_of_several_is_enough_where_any_is_asked_for() {
        let support = Role::Support.rights();
        assert!(support.has(Right::Letters) && !support.has(Right::Decide));
        assert!(support.has_any(Rights::of(&[Right::Decide, Right::Read])));
        assert!(!support.has_any(Rights::of(&[Right::Decide, Right::Admin])));
        assert!(!support.has_any(Rights::NONE));
    }
}
