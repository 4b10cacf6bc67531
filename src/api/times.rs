//! Parameters that several nouns share.

use jiff::Timestamp;

use super::problem::Problem;

/// RFC 3339, or how long ago: 90s, 15m, 2h, 7d.
pub fn parse_time(name: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let ago = text
        .strip_suffix(['s', 'm', 'h', 'd'])
        .and_then(|number| number.parse::<i64>().ok())
        .and_then(|number| {
            let unit = match text.as_bytes().last() {
                Some(b's') => 1,
                Some(b'm') => 60,
                Some(b'h') => 3600,
                _ => 86_400,
            };
            let ago = jiff::SignedDuration::from_secs(number.checked_mul(unit)?);
            Timestamp::now().checked_sub(ago).ok()
        });
    match ago.or_else(|| text.parse().ok()) {
        Some(time) => Ok(Some(time)),
        None => Err(Problem::bad_request(format!(
            "{name}={text:?} is no time: write 2026-01-31T12:00:00Z, or how long ago, as in 90s, 15m, 2h, 7d."
        ))),
    }
}

/// How many items a page has.
pub fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    match asked {
        None => Ok(50),
        Some(limit @ 1..=500) => Ok(limit),
        Some(other) => Err(Problem::bad_request(format!(
            "limit={other} is not between 1 and 500."
        ))),
    }
}

/// The cursor of a list that goes downwards by position: what `next` was.
pub fn below(after: Option<String>) -> Result<i64, Problem> {
    match after {
        None => Ok(i64::MAX),
        Some(text) => match text.parse() {
            Ok(position) if position > 0 => Ok(position),
            _ => Err(no_cursor(&text)),
        },
    }
}

/// Of what was asked for with one more than fits on the page, what fits; and where the next one begins.
pub fn next_page<T>(
    found: &mut Vec<T>,
    limit: i64,
    place: impl FnOnce(&T) -> String,
) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| more).map(place)
}

pub fn no_cursor(text: &str) -> Problem {
    Problem::bad_request(format!(
        "after={text:?} is no cursor: pass what `next` was, or leave it out."
    ))
}
