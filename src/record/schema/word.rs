//! The words of a schema: which ask something, and of which type of value.

use super::super::rejection::quote;

/// Words that ask nothing of a value.
const ANNOTATIONS: [&str; 15] = [
    "$comment",
    "$defs",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
    "x-code",
];
/// Words that ask something of a text, a number, an object or a list, and nothing of any other type.
const OF_TEXTS: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const OF_NUMBERS: [&str; 5] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
const OF_OBJECTS: [&str; 11] = [
    "properties",
    "required",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
];
const OF_LISTS: [&str; 9] = [
    "items",
    "minItems",
    "maxItems",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "unevaluatedItems",
];
/// Words that can ask something of any value.
const OF_ALL: [&str; 11] = [
    "type", "enum", "const", "$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else",
];

pub fn is_annotation(word: &str) -> bool {
    word.starts_with("x-") || ANNOTATIONS.contains(&word)
}

pub fn is_known(word: &str) -> bool {
    is_annotation(word)
        || [&OF_TEXTS[..], &OF_NUMBERS, &OF_OBJECTS, &OF_LISTS, &OF_ALL]
            .iter()
            .any(|words| words.contains(&word))
}

pub fn unknown(word: &str) -> String {
    let near = |known: &&&str| known.eq_ignore_ascii_case(word) || is_near(known, word);
    let all = [&OF_TEXTS[..], &OF_NUMBERS, &OF_OBJECTS, &OF_LISTS, &OF_ALL];
    let mut all = all.iter().flat_map(|words| words.iter());
    let hint = match all.find(|word| near(word)) {
        Some(known) => format!(" Is it {known}?"),
        None => " What is yours alone begins with x-.".to_owned(),
    };
    format!("{} is no word of a schema here.{hint}", quote(word))
}

/// One letter more, fewer, or another.
pub fn is_near(known: &str, word: &str) -> bool {
    let (known, word) = (known.as_bytes(), word.as_bytes());
    let same = known.iter().zip(word).take_while(|(a, b)| a == b).count();
    let (rest, other) = (&known[same..], &word[same..]);
    known.len() > 3
        && (rest.get(1..) == Some(other)
            || other.get(1..) == Some(rest)
            || matches!((rest.get(1..), other.get(1..)), (Some(a), Some(b)) if a == b)
            || matches!((rest, other), ([a, b, rest @ ..], [c, d, other @ ..]) if a == d && b == c && rest == other))
}

/// Whether the word asks something of a value of this type.
pub fn asks_of(one: Option<&str>, word: &str) -> bool {
    let of = |words: &[&str], types: &[&str]| {
        words.contains(&word) && one.is_some_and(|one| types.contains(&one))
    };
    of(&OF_TEXTS, &["string"])
        || of(&OF_NUMBERS, &["integer", "number"])
        || of(&OF_OBJECTS, &["object"])
        || of(&OF_LISTS, &["array"])
        || OF_ALL.contains(&word) && word != "type"
}
