//! Why a message is no order: six reasons, and under them the codes, which are stable words that people filter by and
//! scripts depend on. A code is never renamed or given another meaning; `docs/codes.md` is written from this file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A word that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no reason; the reasons are not_utf8, not_json, schema, rule, unstorable, conflict"
)]
pub struct UnknownReason(String);

/// A closed set of words: the enum, all its members, their spelling and their meaning, in one list.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident $word:literal $about:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $(#[doc = $about] $variant,)* }

        impl $name {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means, in a sentence.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }

            fn find(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// Which layer of the checks said no. The layers are asked in this order, and the first that objects is the reason.
    Reason {
        NotUtf8 "not_utf8" "The bytes are not UTF-8.",
        NotJson "not_json" "The text is not JSON that can be read.",
        Schema "schema" "The JSON is not an order.",
        Rule "rule" "A rule in force says no.",
        Unstorable "unstorable" "Postgres cannot hold it.",
        Conflict "conflict" "Another order already has this order_uid.",
    }
}

words! {
    /// What exactly is wrong.
    Code {
        NotUtf8 "not_utf8" "A byte is not UTF-8.",
        Utf16 "utf16" "The message is text in UTF-16.",
        Compressed "compressed" "The message is compressed (gzip, zstd, zip and the like).",
        Empty "empty" "The message is empty, or blank.",
        ByteOrderMark "byte_order_mark" "A byte order mark stands before the JSON.",
        Syntax "syntax" "The JSON has a mistake.",
        Truncated "truncated" "The message ends in the middle of the JSON.",
        TrailingCharacters "trailing_characters" "Something follows after the JSON's end.",
        TooDeep "too_deep" "A field of the order is nested more than 128 levels deep.",
        DuplicateField "duplicate_field" "A field of the order is there twice.",
        UnreadableName "unreadable_name" "A field's name has half of a surrogate pair, which is no character.",
        MissingField "missing_field" "A required field is missing.",
        WrongType "wrong_type" "A field holds another type of value.",
        NumberOutOfRange "number_out_of_range" "A number does not fit in 64 bits.",
        BadDate "bad_date" "A date is not as RFC 3339 wants it.",
        EmptyField "empty_field" "A field that must not be empty is empty.",
        NoItems "no_items" "The order has no items.",
        NegativeMoney "negative_money" "An amount of money is negative.",
        RuleViolated "rule_violated" "The order is not as a rule wants it.",
        RuleFailed "rule_failed" "A rule could not be worked out for this order: its arithmetic overflowed or divided by zero.",
        NulCharacter "nul_character" "A text holds the character NUL, which Postgres cannot store.",
        LoneSurrogate "lone_surrogate" "A text holds half of a surrogate pair, which is no character.",
        TooLong "too_long" "An id is longer than 1,000 bytes, too long to index.",
        TooLarge "too_large" "The order is larger than Postgres' jsonb can be.",
        RefusedByPostgres "refused_by_postgres" "Postgres refused the order; its SQLSTATE is in the message.",
        OrderUidTaken "order_uid_taken" "An order with this order_uid and other content is already there.",
        Unexplained "unexplained" "The message cannot be read, and no check can say why; please report it.",
        Unknown "unknown" "A code that a newer version gave and this one does not know.",
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(word: &str) -> Result<Self, UnknownReason> {
        Self::find(word).ok_or_else(|| UnknownReason(word.chars().take(80).collect()))
    }
}

impl FromStr for Code {
    type Err = std::convert::Infallible;

    /// Never fails: two versions may be at work on one database, and the older must read what the newer wrote.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(Self::find(word).unwrap_or(Self::Unknown))
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(Self::find(&word).unwrap_or(Self::Unknown))
    }
}

impl Code {
    /// The reasons under which it can appear.
    pub const fn reasons(self) -> &'static [Reason] {
        match self {
            Self::NotUtf8 => &[Reason::NotUtf8],
            Self::Utf16 | Self::Compressed => &[Reason::NotUtf8, Reason::NotJson],
            Self::Empty
            | Self::ByteOrderMark
            | Self::Syntax
            | Self::Truncated
            | Self::TrailingCharacters
            | Self::TooDeep
            | Self::DuplicateField
            | Self::UnreadableName
            | Self::Unexplained => &[Reason::NotJson],
            Self::MissingField
            | Self::WrongType
            | Self::NumberOutOfRange
            | Self::BadDate
            | Self::EmptyField
            | Self::NoItems
            | Self::NegativeMoney => &[Reason::Schema],
            Self::RuleViolated | Self::RuleFailed => &[Reason::Rule],
            Self::NulCharacter
            | Self::LoneSurrogate
            | Self::TooLong
            | Self::TooLarge
            | Self::RefusedByPostgres => &[Reason::Unstorable],
            Self::OrderUidTaken => &[Reason::Conflict],
            Self::Unknown => Reason::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/codes.md as it should be.
    fn page() -> String {
        let mut page = String::from(
            "# Reasons and codes\n\n<!-- Written by `WAYBILL_BLESS=1 cargo test codes_page` from src/order/code.rs. -->\n\n\
             A message that is no order is a dead letter with one *reason* and at least one violation, each with a *code*.\n\
             Both are stable words.\n\n| reason | |\n|---|---|\n",
        );
        for reason in Reason::ALL {
            page += &format!("| `{reason}` | {} |\n", reason.about());
        }
        page += "\n| code | reason | |\n|---|---|---|\n";
        for code in Code::ALL {
            let reasons: Vec<_> = code.reasons().iter().map(|r| format!("`{r}`")).collect();
            let reasons = if *code == Code::Unknown {
                "any".to_owned()
            } else {
                reasons.join(", ")
            };
            page += &format!("| `{code}` | {reasons} | {} |\n", code.about());
        }
        page
    }

    #[test]
    fn codes_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/codes.md");
        if std::env::var_os("WAYBILL_BLESS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == page(),
            "docs/codes.md is stale: run `WAYBILL_BLESS=1 cargo test codes_page`"
        );
    }

    #[test]
    fn words_survive_the_way_to_json_and_back() {
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        for reason in Reason::ALL {
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), *reason);
        }
        assert!("newer".parse::<Reason>().is_err());
        assert_eq!("newer".parse(), Ok(Code::Unknown));
    }
}
