//! The schema's own codes and sentences.

use serde_json::{Map, Value as Json};

use super::super::check::{Keyword, Says};
use super::super::code::Code;
use super::super::rejection::quote;
use super::super::shape::token;
use super::mistake::{Result, mistake};

const MAX_MESSAGE_CHARS: usize = 500;

/// `x-code: {minimum: negative_money}` and `x-message: {minimum: "…"}`.
pub fn says(at: &str, schema: &Map<String, Json>) -> Result<Says> {
    let mut says = Says::default();
    for (keyword, code, pointer) in spoken(at, schema, "x-code")? {
        match code.parse::<Code>() {
            Ok(code) if code != Code::Unknown => says.codes.insert(keyword, code),
            _ => return mistake(&pointer, "That is none of the codes."),
        };
    }
    for (keyword, message, pointer) in spoken(at, schema, "x-message")? {
        let length = message.chars().count();
        if length == 0 || length > MAX_MESSAGE_CHARS || message.contains('\0') {
            let message = format!("A message has 1 to {MAX_MESSAGE_CHARS} characters, and no NUL.");
            return mistake(&pointer, message);
        }
        says.messages.insert(keyword, message.to_owned());
    }
    Ok(says)
}

/// What `x-code` or `x-message` says of each keyword, and where.
fn spoken<'s>(
    at: &str,
    schema: &'s Map<String, Json>,
    word: &str,
) -> Result<Vec<(Keyword, &'s str, String)>> {
    let at = format!("{at}/{word}");
    let entries = match schema.get(word) {
        None => return Ok(Vec::new()),
        Some(Json::Object(entries)) => entries,
        Some(_) => {
            return mistake(
                &at,
                "It names keywords, and what is said of each: {minimum: …}.",
            );
        }
    };
    let mut found = Vec::new();
    for (name, said) in entries {
        let keyword = Keyword::ALL
            .into_iter()
            .find(|keyword| keyword.word() == name);
        let is_here =
            |keyword: &Keyword| keyword.is_of_field() || schema.contains_key(keyword.word());
        let pointer = format!("{at}/{}", token(name));
        match (keyword.filter(is_here), said.as_str()) {
            (Some(keyword), Some(said)) => found.push((keyword, said, pointer)),
            (None, _) => {
                let message = format!("Nothing can be said of {} here.", quote(name));
                return mistake(&pointer, message);
            }
            (_, None) => return mistake(&pointer, "It must be a text."),
        }
    }
    Ok(found)
}
