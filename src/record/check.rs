//! What a schema asks of a single value, and how it is said that the value is otherwise. One list of questions for each kind:
//! the fast path asks whether any is broken, `explain` lists all that are.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::code::Code;
use super::date::{is_date, is_rfc3339, is_uuid};
use super::number;
use super::pattern::Pattern;

/// The words of JSON Schema of which it can be said in another way that they are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keyword {
    Type,
    Required,
    Enum,
    Const,
    MinLength,
    MaxLength,
    Pattern,
    Format,
    Minimum,
    Maximum,
    ExclusiveMinimum,
    ExclusiveMaximum,
    MinItems,
    MaxItems,
    /// Not JSON Schema's: no two documents have the same key.
    Key,
}

impl Keyword {
    pub const ALL: [Self; 15] = [
        Self::Type,
        Self::Required,
        Self::Enum,
        Self::Const,
        Self::MinLength,
        Self::MaxLength,
        Self::Pattern,
        Self::Format,
        Self::Minimum,
        Self::Maximum,
        Self::ExclusiveMinimum,
        Self::ExclusiveMaximum,
        Self::MinItems,
        Self::MaxItems,
        Self::Key,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Required => "required",
            Self::Enum => "enum",
            Self::Const => "const",
            Self::MinLength => "minLength",
            Self::MaxLength => "maxLength",
            Self::Pattern => "pattern",
            Self::Format => "format",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::ExclusiveMinimum => "exclusiveMinimum",
            Self::ExclusiveMaximum => "exclusiveMaximum",
            Self::MinItems => "minItems",
            Self::MaxItems => "maxItems",
            Self::Key => "key",
        }
    }

    /// True if it is asked of a field as such, and stands elsewhere in the schema or nowhere.
    pub fn is_of_field(self) -> bool {
        matches!(self, Self::Type | Self::Required | Self::Key)
    }
}

/// The schema's own words for a broken keyword (`x-code`, `x-message`).
#[derive(Debug, Default)]
pub struct Says {
    pub codes: HashMap<Keyword, Code>,
    pub messages: HashMap<Keyword, String>,
}

impl Says {
    pub fn code(&self, keyword: Keyword, usual: Code) -> Code {
        self.codes.get(&keyword).copied().unwrap_or(usual)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    DateTime,
    Date,
    Uuid,
}

impl Format {
    /// None for a format that is not asserted.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "date-time" => Some(Self::DateTime),
            "date" => Some(Self::Date),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Uuid => "uuid",
        }
    }

    pub fn holds(self, text: &str) -> bool {
        match self {
            Self::DateTime => is_rfc3339(text.as_bytes()),
            Self::Date => is_date(text.as_bytes()),
            Self::Uuid => is_uuid(text.as_bytes()),
        }
    }
}

/// What is asked of a text.
#[derive(Debug)]
pub struct TextCheck {
    /// In characters.
    pub shortest: usize,
    pub longest: usize,
    /// For an index.
    pub most_bytes: usize,
    pub format: Option<Format>,
    /// With the text that it was compiled from.
    pub pattern: Option<(String, Pattern)>,
    pub one_of: Option<Vec<String>>,
    /// Whether `one_of` was written as `const`.
    pub is_const: bool,
}

impl Default for TextCheck {
    fn default() -> Self {
        Self {
            shortest: 0,
            longest: usize::MAX,
            most_bytes: usize::MAX,
            format: None,
            pattern: None,
            one_of: None,
            is_const: false,
        }
    }
}

impl TextCheck {
    /// True if every text will do.
    pub fn is_any(&self) -> bool {
        self.shortest == 0
            && self.longest == usize::MAX
            && self.most_bytes == usize::MAX
            && self.format.is_none()
            && self.pattern.is_none()
            && self.one_of.is_none()
    }

    /// The keywords of the schema that the text breaks.
    pub fn broken(&self, text: &str) -> impl Iterator<Item = Keyword> {
        // Characters are counted only if their number could matter.
        let short = text.len() < self.shortest.saturating_mul(4) && self.is_shorter(text);
        let long = text.len() > self.longest && text.chars().count() > self.longest;
        let misshaped = self.format.is_some_and(|format| !format.holds(text));
        let unmatched = (self.pattern.as_ref()).is_some_and(|(_, pattern)| !pattern.is_match(text));
        let listed = |list: &Vec<String>| list.iter().any(|one| one == text);
        let other = self.one_of.as_ref().is_some_and(|list| !listed(list));
        [
            (short, Keyword::MinLength),
            (long, Keyword::MaxLength),
            (misshaped, Keyword::Format),
            (unmatched, Keyword::Pattern),
            (other, enum_or_const(self.is_const)),
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

fn enum_or_const(is_const: bool) -> Keyword {
    match is_const {
        true => Keyword::Const,
        false => Keyword::Enum,
    }
}

/// What is asked of a whole number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeCheck {
    /// Exclusive bounds are one nearer.
    pub least: i64,
    pub most: i64,
    pub exclusive: (bool, bool),
    pub one_of: Option<Vec<i64>>,
    pub is_const: bool,
}

impl Default for WholeCheck {
    fn default() -> Self {
        Self {
            least: i64::MIN,
            most: i64::MAX,
            exclusive: (false, false),
            one_of: None,
            is_const: false,
        }
    }
}

impl WholeCheck {
    pub fn broken(&self, number: i64) -> Option<Keyword> {
        if number < self.least {
            Some(match self.exclusive.0 {
                true => Keyword::ExclusiveMinimum,
                false => Keyword::Minimum,
            })
        } else if number > self.most {
            Some(match self.exclusive.1 {
                true => Keyword::ExclusiveMaximum,
                false => Keyword::Maximum,
            })
        } else if self
            .one_of
            .as_ref()
            .is_some_and(|list| !list.contains(&number))
        {
            Some(enum_or_const(self.is_const))
        } else {
            None
        }
    }
}

/// What is asked of a number that may have a fraction. All are written plainly (`number::plain`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberCheck {
    pub bounds: Vec<(Keyword, String)>,
    pub one_of: Option<Vec<String>>,
    pub is_const: bool,
}

impl NumberCheck {
    pub fn broken(&self, number: &str) -> Option<Keyword> {
        let breaks = |(keyword, bound): &&(Keyword, String)| {
            let order = number::compare(number, bound);
            match keyword {
                Keyword::Minimum => order == Ordering::Less,
                Keyword::ExclusiveMinimum => order != Ordering::Greater,
                Keyword::Maximum => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }
        };
        if let Some((keyword, _)) = self.bounds.iter().find(breaks) {
            return Some(*keyword);
        }
        let is = |one: &String| number::compare(number, one) == Ordering::Equal;
        match &self.one_of {
            Some(list) if !list.iter().any(is) => Some(enum_or_const(self.is_const)),
            _ => None,
        }
    }
}
