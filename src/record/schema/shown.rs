//! What a schema says of how values look: `examples`, and `x-sample`.

use serde_json::Value as Json;

use super::super::shape::{Made, Shown};
use super::mistake::{Result, mistake};

const WRONG: &str = "It says how a sample's value is made, in one of three ways: {like: a pattern}, {same: a pointer}, \
                     {sum: [pointers]}.";

/// What the first of these schemas says that says something; the others are what its `$ref` leads to.
pub fn shown(at: &str, schemas: &[&Json]) -> Result<Shown> {
    let word = |name| schemas.iter().find_map(|schema| schema.get(name));
    let examples = match word("examples") {
        Some(Json::Array(examples)) => examples.clone(),
        _ => Vec::new(),
    };
    let made = word("x-sample").map(|said| made(at, said)).transpose()?;
    Ok(Shown { examples, made })
}

fn made(at: &str, said: &Json) -> Result<Made> {
    let at = format!("{at}/x-sample");
    let only = said.as_object().filter(|said| said.len() == 1);
    let Some((way, value)) = only.and_then(|said| said.iter().next()) else {
        return mistake(&at, WRONG);
    };
    let text = |value: &Json| value.as_str().map(str::to_owned);
    match (way.as_str(), value) {
        ("like", Json::String(pattern)) => match regex_syntax::parse(pattern) {
            Ok(parsed) => Ok(Made::Like(parsed)),
            Err(_) => mistake(&at, "`like` is no pattern."),
        },
        ("same", Json::String(pointer)) => Ok(Made::Same(pointer.clone())),
        ("sum", Json::Array(pointers)) => match pointers.iter().map(text).collect() {
            Some(pointers) => Ok(Made::Sum(pointers)),
            None => mistake(&at, WRONG),
        },
        _ => mistake(&at, WRONG),
    }
}
