//! YAML that users write: what is wrong in it is told with its place in the file.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

/// What is wrong in a file, and where, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    pub line: u64,
    pub column: u64,
    pub message: String,
}

impl Mistake {
    pub fn new(at: &Location, message: impl Into<String>) -> Self {
        Self {
            line: at.line().max(1),
            column: at.column().max(1),
            message: message.into(),
        }
    }

    /// About the file as a whole.
    pub fn whole(message: impl Into<String>) -> Vec<Self> {
        vec![Self {
            line: 1,
            column: 1,
            message: message.into(),
        }]
    }
}

/// Reads the YAML. Aliases are refused, since with them a small file can expand to a huge one; so are duplicate and unknown
/// keys.
///
/// None if the file holds nothing. `depth` bounds how deep it nests.
pub fn read<T: DeserializeOwned>(text: &str, depth: usize) -> Result<Option<T>, Vec<Mistake>> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_depth: depth,
            max_documents: 1,
        },
    };
    match serde_saphyr::from_str_with_options::<Option<T>>(text, options) {
        Ok(read) => Ok(read),
        Err(error) => {
            let (line, column) = error
                .location()
                .map_or((1, 1), |at| (at.line().max(1), at.column().max(1)));
            let message = error.render_with_formatter(&UserMessageFormatter);
            let message = message
                .rsplit_once(" at line ")
                .map_or(message.as_str(), |(message, _)| message);
            let message = format!(
                "The YAML cannot be read: {}.",
                short(message).trim_end_matches('.')
            );
            Err(vec![Mistake {
                line,
                column,
                message,
            }])
        }
    }
}

/// The place in the file of the byte `at` of a rule's expression. YAML folds lines, indents, quotes and escapes, but keeps the
/// order of everything that is no white space, so the file and the expression are walked in step.
pub fn place(text: &str, rule: &Spanned<String>, at: usize) -> (u64, u64) {
    let start = rule.referenced.span().byte_offset().unwrap_or_default();
    let start = usize::try_from(start).unwrap_or_default();
    let source = text.get(start..).unwrap_or_default();
    let value = &rule.value;
    let mut written = source.char_indices().peekable();
    if let Some((_, quote @ ('"' | '\''))) = written.peek()
        && !value.starts_with(*quote)
    {
        written.next();
    }
    let before = value.char_indices().take_while(|(place, _)| *place <= at);
    let mut found = start;
    for (_, char) in before.filter(|(_, char)| !char.is_whitespace()) {
        match written.find(|(_, candidate)| *candidate == char) {
            Some((place, _)) => found = start + place,
            None => break,
        }
    }
    // The end of the expression is a place, too.
    if at >= value.trim_end().len() && found > start {
        found += 1;
    }
    let before = text.get(..found).unwrap_or_default();
    let line = before.matches('\n').count() as u64 + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count() as u64
        + 1;
    (line, column)
}

/// A sentence of somebody else's, shortened and without control characters.
pub fn short(text: &str) -> String {
    let clean = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().take(200).map(clean).collect()
}
