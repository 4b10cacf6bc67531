//! Why a message is no order: six reasons, and under them the codes, which are stable words that people filter by and
//! scripts depend on. A code is never renamed or given another meaning; `docs/codes.md` is written from this file.

words! {
    /// Which layer of the checks said no. The layers are asked in this order, and the first that objects is the reason.
    pub enum Reason {
        /// The bytes are not UTF-8.
        NotUtf8 = "not_utf8",
        /// The text is not JSON that can be read.
        NotJson = "not_json",
        /// The JSON is not an order.
        Schema = "schema",
        /// A rule in force says no.
        Rule = "rule",
        /// Postgres cannot hold it.
        Unstorable = "unstorable",
        /// Another document already has this key.
        Conflict = "conflict",
        /// Nothing is defined by the name that it was sent to.
        Collection = "collection",
        /// A sum says no.
        Sum = "sum",
    }
}

words! {
    /// What exactly is wrong.
    /// Two versions may be at work on one database, and the older must read what the newer wrote.
    pub enum Code or Unknown {
        /// A byte is not UTF-8.
        NotUtf8 = "not_utf8",
        /// The message is text in UTF-16.
        Utf16 = "utf16",
        /// The message is compressed (gzip, zstd, zip and the like).
        Compressed = "compressed",
        /// The message is empty, or blank.
        Empty = "empty",
        /// A byte order mark stands before the JSON.
        ByteOrderMark = "byte_order_mark",
        /// The JSON has a mistake.
        Syntax = "syntax",
        /// The message ends in the middle of the JSON.
        Truncated = "truncated",
        /// Something follows after the JSON's end.
        TrailingCharacters = "trailing_characters",
        /// A field of the order is nested more than 128 levels deep.
        TooDeep = "too_deep",
        /// A field of the order is there twice.
        DuplicateField = "duplicate_field",
        /// A field's name has half of a surrogate pair, which is no character.
        UnreadableName = "unreadable_name",
        /// A required field is missing.
        MissingField = "missing_field",
        /// A field holds another type of value.
        WrongType = "wrong_type",
        /// A number does not fit in 64 bits.
        NumberOutOfRange = "number_out_of_range",
        /// A date is not as RFC 3339 wants it.
        BadDate = "bad_date",
        /// A field that must not be empty is empty.
        EmptyField = "empty_field",
        /// The order has no items.
        NoItems = "no_items",
        /// A list has fewer elements than the schema wants.
        TooFew = "too_few",
        /// A list has more elements than the schema allows.
        TooMany = "too_many",
        /// A text has fewer characters than the schema wants.
        TooShort = "too_short",
        /// A text is not as the schema's pattern wants it.
        NoMatch = "no_match",
        /// A value is none of those that the schema lists.
        NotOneOf = "not_one_of",
        /// A UUID is not as RFC 4122 writes it.
        BadUuid = "bad_uuid",
        /// A field is there that the schema does not allow.
        UnknownField = "unknown_field",
        /// Another demand of the schema is not met.
        SchemaViolated = "schema_violated",
        /// A number is less than the schema's minimum.
        TooSmall = "too_small",
        /// A number is greater than the schema's maximum.
        TooGreat = "too_great",
        /// An amount of money is negative.
        NegativeMoney = "negative_money",
        /// The order is not as a rule wants it.
        RuleViolated = "rule_violated",
        /// A rule could not be worked out for this order: its arithmetic overflowed or divided by zero.
        RuleFailed = "rule_failed",
        /// A text holds the character NUL, which Postgres cannot store.
        NulCharacter = "nul_character",
        /// A text holds half of a surrogate pair, which is no character.
        LoneSurrogate = "lone_surrogate",
        /// A text is longer than the schema allows, or an id than the 1,000 bytes that an index takes.
        TooLong = "too_long",
        /// The order is larger than Postgres' jsonb can be.
        TooLarge = "too_large",
        /// Postgres refused the order; its SQLSTATE is in the message.
        RefusedByPostgres = "refused_by_postgres",
        /// An order with this order_uid and other content is already there.
        OrderUidTaken = "order_uid_taken",
        /// A document with this key and other content is already there.
        KeyTaken = "key_taken",
        /// No collection is defined by the name that the message was sent to.
        NoCollection = "no_collection",
        /// What the message adds to a sum cannot be worked out.
        SumFailed = "sum_failed",
        /// The message would leave its account's sum below the floor.
        SumTooLow = "sum_too_low",
        /// Whether the message takes its document away cannot be worked out.
        GoneFailed = "gone_failed",
        /// The message cannot be read, and no check can say why; please report it.
        Unexplained = "unexplained",
        /// A code that a newer version gave and this one does not know.
        Unknown = "unknown",
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
            | Self::TooFew
            | Self::TooMany
            | Self::TooShort
            | Self::NoMatch
            | Self::NotOneOf
            | Self::BadUuid
            | Self::UnknownField
            | Self::SchemaViolated
            | Self::TooSmall
            | Self::TooGreat
            | Self::NegativeMoney => &[Reason::Schema],
            Self::TooLong => &[Reason::Schema, Reason::Unstorable],
            Self::RuleViolated | Self::RuleFailed | Self::GoneFailed => &[Reason::Rule],
            Self::NoCollection => &[Reason::Collection],
            Self::SumFailed | Self::SumTooLow => &[Reason::Sum],
            Self::NulCharacter | Self::LoneSurrogate | Self::TooLarge | Self::RefusedByPostgres => {
                &[Reason::Unstorable]
            }
            Self::OrderUidTaken | Self::KeyTaken => &[Reason::Conflict],
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
            "# Reasons and codes\n\n<!-- Written by `WAYBILL_BLESS=1 cargo test codes_page` from src/record/code.rs. -->\n\n\
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
