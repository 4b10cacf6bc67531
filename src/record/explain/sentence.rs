//! What is said to people. Whatever it quotes of a message is short and has no control characters.

use super::super::rejection::quote;
use super::super::scan::{Mistake, Span};
use super::Wanted;

/// What the message itself is called in a sentence.
const MESSAGE: &str = "The message";

/// Enough for a quotation, whatever the value's length.
const MAX_QUOTED_BYTES: usize = 400;

/// `/items/0/price` as people write it.
pub fn name(pointer: &str) -> String {
    let mut name = String::new();
    for token in pointer.split('/').skip(1) {
        if token.bytes().all(|b| b.is_ascii_digit()) {
            name += &format!("[{token}]");
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            name += token;
        }
    }
    if name.is_empty() {
        name += MESSAGE;
    }
    name
}

/// A value as it stands in the message, with its type.
pub fn value(bytes: &[u8], span: Span) -> String {
    let raw = bytes.get(span.start..span.end).unwrap_or_default();
    let raw = String::from_utf8_lossy(&raw[..raw.len().min(MAX_QUOTED_BYTES)]);
    match raw.bytes().next() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "a list".to_owned(),
        Some(b'"') => {
            let text: Option<String> = serde_json::from_str(&raw).ok();
            let text = text.as_deref().unwrap_or(raw.trim_matches('"'));
            format!("the text {}", quote(text))
        }
        Some(b'-' | b'0'..=b'9') => format!("the number {}", quote(&raw).replace('"', "")),
        _ => raw.into_owned(),
    }
}

/// Another type was wanted. `one` is what a document is called.
pub fn wrong_type(one: &str, bytes: &[u8], wanted: Wanted, span: Span, name: &str) -> String {
    let a_kind = match wanted {
        Wanted::Text => "a text",
        Wanted::Whole => "a whole number",
        Wanted::Number => "a number",
        Wanted::Any => "a value",
        Wanted::Truth => "true or false",
        Wanted::Object => "an object",
        Wanted::List => "a list",
    };
    let found = value(bytes, span);
    let first = bytes.get(span.start).copied().unwrap_or_default();
    let hint = match (wanted, first) {
        (Wanted::Object, b'"') if name == MESSAGE => " Was it encoded twice?".to_owned(),
        (Wanted::Object, b'[') if name == MESSAGE => of_its_own(one),
        (Wanted::Whole, b'-' | b'0'..=b'9') => " Write it without a fraction.".to_owned(),
        _ => String::new(),
    };
    format!("{name} must be {a_kind}, but it is {found}.{hint}")
}

/// The values of a list, of which a sentence names a few.
pub fn one_of(values: impl ExactSizeIterator<Item = String>) -> String {
    const NAMED: usize = 10;
    let count = values.len();
    let named: Vec<String> = values.take(NAMED).map(|value| short(&value)).collect();
    match (count, named.as_slice()) {
        (0, _) => "one of no values".to_owned(),
        (1, [one]) => one.clone(),
        (count, named) if count > NAMED => {
            format!("one of {} and {} more", named.join(", "), count - NAMED)
        }
        (_, named) => format!("one of {}", named.join(", ")),
    }
}

/// A text of the schema's, cut short and without control characters.
pub fn short(text: &str) -> String {
    let clean = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().take(100).map(clean).collect()
}

fn of_its_own(one: &str) -> String {
    format!(" Send each {one} as a message of its own.")
}

/// The text stops being JSON.
pub fn mistake(bytes: &[u8], mistake: Mistake) -> String {
    let expected = mistake.expected;
    let rest = bytes.get(mistake.at..).unwrap_or_default();
    let Some(found) = first_char(rest) else {
        return format!("The message ends too early: expected {expected}.");
    };
    let hint = match found {
        '\'' => " JSON wants double quotes.",
        '}' if expected.contains("name") => " No comma may stand before a closing brace.",
        ']' if expected == "a value" => " No comma may stand before a closing bracket.",
        '<' if mistake.at == 0 => " It looks like XML or HTML.",
        '/' | '#' => " JSON has no comments.",
        'N' | 'T' | 'F' | 'u' | 'I' => " JSON knows no words but true, false and null.",
        _ => "",
    };
    let found = quote(&found.to_string());
    format!("The JSON has a mistake: expected {expected}, but found {found}.{hint}")
}

/// The JSON is at its end, and the message is not.
pub fn trailing(one: &str, bytes: &[u8], at: usize) -> String {
    let rest = bytes.get(at..).unwrap_or_default();
    let hint = match rest.first() {
        Some(b'{') => of_its_own(one),
        _ => String::new(),
    };
    let found = quote(&first_char(rest).map(String::from).unwrap_or_default());
    format!("Something follows after the JSON's end: {found}.{hint}")
}

fn first_char(bytes: &[u8]) -> Option<char> {
    let chunk = bytes.get(..bytes.len().min(4))?.utf8_chunks().next()?;
    chunk.valid().chars().next()
}
