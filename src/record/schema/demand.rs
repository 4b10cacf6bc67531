//! What a schema's words ask, read from it: counts, bounds, lists of values.

use serde_json::{Map, Value as Json};

use super::super::check::{Keyword, NumberCheck, WholeCheck};
use super::super::number::{self, Whole};
use super::mistake::{Result, mistake};

pub fn names<'s>(at: &str, schema: &'s Map<String, Json>) -> Result<Vec<&'s str>> {
    let wrong = || mistake(&format!("{at}/required"), "It must be a list of names.");
    match schema.get("required") {
        None => Ok(Vec::new()),
        Some(Json::Array(list)) => {
            let names: Vec<_> = list.iter().filter_map(Json::as_str).collect();
            if names.len() == list.len() {
                Ok(names)
            } else {
                wrong()
            }
        }
        Some(_) => wrong(),
    }
}

pub fn count(at: &str, schema: &Map<String, Json>, word: &str) -> Result<Option<usize>> {
    let Some(count) = schema.get(word) else {
        return Ok(None);
    };
    let whole = match number::whole(&count.to_string()) {
        Whole::Fits(count) if count_is_number(schema, word) => usize::try_from(count).ok(),
        _ => None,
    };
    match whole {
        Some(count) => Ok(Some(count)),
        None => mistake(
            &format!("{at}/{word}"),
            "It must be a whole number, 0 or more.",
        ),
    }
}

fn count_is_number(schema: &Map<String, Json>, word: &str) -> bool {
    schema.get(word).is_some_and(Json::is_number)
}

/// The values of `enum` or `const` that are of the type, if there is a list.
pub fn listed<T>(
    at: &str,
    schema: &Map<String, Json>,
    read: impl Fn(&Json) -> Option<T>,
) -> Result<Option<Vec<T>>> {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Json::Array(values)), None) => Ok(Some(values.iter().filter_map(read).collect())),
        (None, Some(value)) => Ok(Some(read(value).into_iter().collect())),
        (Some(Json::Array(values)), Some(value)) => {
            let both = values.iter().filter(|one| *one == value);
            Ok(Some(both.filter_map(read).collect()))
        }
        (Some(_), _) => mistake(&format!("{at}/enum"), "It must be a list."),
        (None, None) => Ok(None),
    }
}

const BOUNDS: [Keyword; 4] = [
    Keyword::Minimum,
    Keyword::ExclusiveMinimum,
    Keyword::Maximum,
    Keyword::ExclusiveMaximum,
];

/// The bounds that a schema sets to a number, written plainly.
fn bounds(at: &str, schema: &Map<String, Json>) -> Result<Vec<(Keyword, String)>> {
    let mut found = Vec::new();
    for keyword in BOUNDS {
        match schema.get(keyword.word()) {
            None => {}
            Some(Json::Number(number)) => match number::plain(&number.to_string()) {
                Some(plain) => found.push((keyword, plain.into_owned())),
                None => {
                    return mistake(
                        &format!("{at}/{}", keyword.word()),
                        "It has too many digits.",
                    );
                }
            },
            Some(_) => return mistake(&format!("{at}/{}", keyword.word()), "It must be a number."),
        }
    }
    Ok(found)
}

pub fn whole(at: &str, schema: &Map<String, Json>) -> Result<WholeCheck> {
    let mut check = WholeCheck {
        one_of: listed(at, schema, |value| {
            match number::whole(&value.to_string()) {
                Whole::Fits(number) if value.is_number() => Some(number),
                _ => None,
            }
        })?,
        is_const: schema.contains_key("const"),
        ..WholeCheck::default()
    };
    for (keyword, bound) in bounds(at, schema)? {
        let exclusive = matches!(
            keyword,
            Keyword::ExclusiveMinimum | Keyword::ExclusiveMaximum
        );
        let is_lower = matches!(keyword, Keyword::Minimum | Keyword::ExclusiveMinimum);
        let nearest = nearest(&bound, is_lower, exclusive);
        match nearest {
            // No number of 64 bits is on its right side.
            None => (check.least, check.most) = (i64::MAX, i64::MIN),
            Some(least) if is_lower && least > check.least => {
                (check.least, check.exclusive.0) = (least, exclusive);
            }
            Some(most) if !is_lower && most < check.most => {
                (check.most, check.exclusive.1) = (most, exclusive);
            }
            Some(_) => {}
        }
    }
    Ok(check)
}

/// The whole number nearest to a bound that is on its right side.
fn nearest(bound: &str, is_lower: bool, exclusive: bool) -> Option<i64> {
    let negative = bound.starts_with('-');
    match number::whole(bound) {
        Whole::Fits(number) if exclusive && is_lower => number.checked_add(1),
        Whole::Fits(number) if exclusive => number.checked_sub(1),
        Whole::Fits(number) => Some(number),
        Whole::Fraction => {
            let (cut, _) = bound.split_once('.')?;
            // Towards zero; a bound that it passes by is one further.
            let cut: i64 = cut.parse().ok()?;
            match (is_lower, negative) {
                (true, false) => cut.checked_add(1),
                (false, true) => cut.checked_sub(1),
                _ => Some(cut),
            }
        }
        Whole::TooLarge if is_lower == negative => Some(if negative { i64::MIN } else { i64::MAX }),
        Whole::TooLarge => None,
    }
}

pub fn fraction(at: &str, schema: &Map<String, Json>) -> Result<NumberCheck> {
    Ok(NumberCheck {
        bounds: bounds(at, schema)?,
        one_of: listed(at, schema, |value| match value {
            Json::Number(number) => {
                number::plain(&number.to_string()).map(|plain| plain.into_owned())
            }
            _ => None,
        })?,
        is_const: schema.contains_key("const"),
    })
}
