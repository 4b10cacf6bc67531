//! What a schema asks of a single value, and how it is said that the value is otherwise. One list of questions for each kind:
//! the fast path asks whether any is broken, `explain` lists all that are.

use std::collections::HashMap;

use super::code::Code;
use super::date::is_rfc3339;

/// The words of JSON Schema that can be broken by a value of the right type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keyword {
    MinLength,
    MaxLength,
    Format,
    Minimum,
    Maximum,
    MinItems,
    MaxItems,
    /// Not JSON Schema's: no two documents have the same key.
    Key,
}

impl Keyword {
    pub const ALL: [Self; 8] = [
        Self::Key,
        Self::MinLength,
        Self::MaxLength,
        Self::Format,
        Self::Minimum,
        Self::Maximum,
        Self::MinItems,
        Self::MaxItems,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::MinLength => "minLength",
            Self::MaxLength => "maxLength",
            Self::Format => "format",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::MinItems => "minItems",
            Self::MaxItems => "maxItems",
            Self::Key => "key",
        }
    }
}

/// The schema's own code for a keyword (`x-code`).
#[derive(Debug, Default)]
pub struct Says(pub HashMap<Keyword, Code>);

impl Says {
    pub fn code(&self, keyword: Keyword, usual: Code) -> Code {
        self.0.get(&keyword).copied().unwrap_or(usual)
    }
}

/// What is asked of a text.
#[derive(Debug, Clone)]
pub struct TextCheck {
    /// In characters.
    pub shortest: usize,
    pub longest: usize,
    /// For an index.
    pub most_bytes: usize,
    pub is_date_time: bool,
}

impl Default for TextCheck {
    fn default() -> Self {
        Self {
            shortest: 0,
            longest: usize::MAX,
            most_bytes: usize::MAX,
            is_date_time: false,
        }
    }
}

impl TextCheck {
    /// True if every text will do.
    pub fn is_any(&self) -> bool {
        self.shortest == 0
            && self.longest == usize::MAX
            && self.most_bytes == usize::MAX
            && !self.is_date_time
    }

    /// The keywords of the schema that the text breaks.
    pub fn broken(&self, text: &str) -> impl Iterator<Item = Keyword> {
        // Characters are counted only if their number could matter.
        let short = text.len() < self.shortest.saturating_mul(4) && self.is_shorter(text);
        let long = text.len() > self.longest && text.chars().count() > self.longest;
        let date = self.is_date_time && !is_rfc3339(text.as_bytes());
        [
            (short, Keyword::MinLength),
            (long, Keyword::MaxLength),
            (date, Keyword::Format),
        ]
        .into_iter()
        .filter_map(|(broken, keyword)| broken.then_some(keyword))
    }

    fn is_shorter(&self, text: &str) -> bool {
        text.chars().take(self.shortest).count() < self.shortest
    }

    pub fn holds(&self, text: &str) -> bool {
        text.len() <= self.most_bytes && self.broken(text).next().is_none()
    }
}

/// What is asked of a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub least: i64,
    pub most: i64,
}

impl Range {
    pub const ANY: Range = Range {
        least: i64::MIN,
        most: i64::MAX,
    };

    pub fn broken(self, number: i64) -> Option<Keyword> {
        if number < self.least {
            Some(Keyword::Minimum)
        } else if number > self.most {
            Some(Keyword::Maximum)
        } else {
            None
        }
    }
}
