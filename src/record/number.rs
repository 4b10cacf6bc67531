//! JSON numbers by their digits, of which none is lost: as whole numbers of 64 bits (1.0 and 1e2 are whole), and written plainly,
//! without an exponent, as Postgres writes them.

use std::borrow::Cow;
use std::cmp::Ordering;

/// How many digits a number may have when it is written plainly. Postgres holds 131,072 before the point; 1e100000 is eight
/// bytes in a message, and 100 kB in each answer.
const MAX_DIGITS: usize = 1_000;

/// A number as JSON writes it, without an exponent; none if it would have too many digits. Its own digits stay: 1.50 is 1.50.
pub fn plain(text: &str) -> Option<Cow<'_, str>> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    let is_zero = |digits: &str| digits.bytes().all(|digit| matches!(digit, b'0' | b'.'));
    let Some((digits, exponent)) = unsigned.split_once(['e', 'E']) else {
        return match unsigned.len() <= MAX_DIGITS {
            true if negative && is_zero(unsigned) => Some(Cow::Borrowed(unsigned)),
            true => Some(Cow::Borrowed(text)),
            false => None,
        };
    };
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    if is_zero(digits) {
        return Some(Cow::Borrowed("0"));
    }
    let exponent: i32 = exponent.parse().ok()?;
    let most = i32::try_from(MAX_DIGITS).unwrap_or(i32::MAX);
    if exponent.abs() > most || digits.len() > MAX_DIGITS {
        return None;
    }
    // The point moves through the digits, and zeros stand where they end.
    let point = i32::try_from(before.len()).ok()? + exponent;
    let all = format!("{before}{after}");
    let (whole, fraction) = match usize::try_from(point) {
        Ok(point) if point >= all.len() => (
            format!("{all}{}", "0".repeat(point - all.len())),
            String::new(),
        ),
        Ok(point) => (all[..point].to_owned(), all[point..].to_owned()),
        Err(_) => {
            let zeros = usize::try_from(point.unsigned_abs()).ok()?;
            (String::new(), format!("{}{all}", "0".repeat(zeros)))
        }
    };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let sign = if negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    let plain = format!("{sign}{whole}{point}{fraction}");
    (plain.len() <= MAX_DIGITS).then_some(Cow::Owned(plain))
}

/// Compares two numbers that are written plainly.
pub fn compare(left: &str, right: &str) -> Ordering {
    fn parts(text: &str) -> (bool, &str, &str) {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let (whole, fraction) = (
            whole.trim_start_matches('0'),
            fraction.trim_end_matches('0'),
        );
        (
            negative && !(whole.is_empty() && fraction.is_empty()),
            whole,
            fraction,
        )
    }
    let ((negative, whole, fraction), (other_negative, other_whole, other_fraction)) =
        (parts(left), parts(right));
    let size = || {
        let length = whole.len().cmp(&other_whole.len());
        length
            .then_with(|| whole.cmp(other_whole))
            .then_with(|| fraction.cmp(other_fraction))
    };
    match (negative, other_negative) {
        (false, false) => size(),
        (true, true) => size().reverse(),
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
    }
}

/// What a JSON number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    Fits(i64),
    /// It has a fraction.
    Fraction,
    /// It does not fit in 64 bits.
    TooLarge,
}

/// `text` must be a number as JSON writes it.
pub fn whole(text: &str) -> Whole {
    if let Ok(number) = text.parse() {
        return Whole::Fits(number);
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    let (digits, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let after = after.trim_end_matches('0');
    if before
        .bytes()
        .chain(after.bytes())
        .all(|digit| digit == b'0')
    {
        return Whole::Fits(0);
    }
    // An exponent that is too long to be read moves the point beyond all digits there can be.
    let far = if exponent.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    let exponent: i64 = exponent.parse().unwrap_or(far);
    let places = i64::try_from(after.len()).unwrap_or(i64::MAX);
    // The number is all its digits times ten to the power of this.
    let mut power = exponent.saturating_sub(places);
    let mut all = format!("{before}{after}");
    while power < 0 && all.ends_with('0') {
        let zeros = all.len() - all.trim_end_matches('0').len();
        let taken = zeros.min(usize::try_from(power.unsigned_abs()).unwrap_or(usize::MAX));
        all.truncate(all.len() - taken);
        power = power.saturating_add(i64::try_from(taken).unwrap_or(i64::MAX));
    }
    if power < 0 {
        let places = usize::try_from(power.unsigned_abs()).unwrap_or(usize::MAX);
        let before = all.get(..all.len().saturating_sub(places)).unwrap_or("");
        let fits = before.is_empty() || before.parse::<i64>().is_ok();
        return if fits {
            Whole::Fraction
        } else {
            Whole::TooLarge
        };
    }
    let all = all.trim_start_matches('0');
    if power.saturating_add(all.len() as i64) > 19 {
        return Whole::TooLarge;
    }
    let zeros = "0".repeat(usize::try_from(power).unwrap_or(0));
    let sign = if negative { "-" } else { "" };
    format!("{sign}{all}{zeros}")
        .parse()
        .map_or(Whole::TooLarge, Whole::Fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_plainly_and_keeps_its_digits() {
        let far = format!("1e{}", "9".repeat(50));
        let long = "1".repeat(1_001);
        let cases = [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("-0.00", Some("0.00")),
            ("0e5", Some("0")),
            ("1.50", Some("1.50")),
            ("-1.5e1", Some("-15")),
            ("1.50e1", Some("15.0")),
            ("1e3", Some("1000")),
            ("12.5E-1", Some("1.25")),
            ("1e-3", Some("0.001")),
            ("0.01e2", Some("1")),
            ("123e-2", Some("1.23")),
            ("1e2000", None),
            ("1e-2000", None),
            (&far, None),
            (&long, None),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text).as_deref(), expected, "{text}");
        }
        let rising = [
            "-10", "-9.5", "-0.1", "0", "0.05", "0.1", "0.12", "1", "1.01", "9", "10", "10.5",
        ];
        for (index, left) in rising.iter().enumerate() {
            for (other, right) in rising.iter().enumerate() {
                assert_eq!(compare(left, right), index.cmp(&other), "{left} {right}");
            }
        }
        assert_eq!(compare("1.50", "1.5"), Ordering::Equal);
        assert_eq!(compare("-0", "0.0"), Ordering::Equal);
    }

    #[test]
    fn a_number_is_whole_by_its_value_and_not_by_how_it_is_written() {
        use Whole::{Fits, Fraction, TooLarge};
        let far = format!("1e{}", "9".repeat(500));
        let near = format!("1e-{}", "9".repeat(500));
        let long = format!("0.{}1", "0".repeat(500));
        let cases = [
            ("0", Fits(0)),
            ("-0", Fits(0)),
            ("-0.0", Fits(0)),
            ("0e999999999999999999999", Fits(0)),
            ("1.0", Fits(1)),
            ("-17.000", Fits(-17)),
            ("1e2", Fits(100)),
            ("1.5E1", Fits(15)),
            ("100e-2", Fits(1)),
            ("120.0e-1", Fits(12)),
            ("0.00001e5", Fits(1)),
            ("9223372036854775807", Fits(i64::MAX)),
            ("-9223372036854775808", Fits(i64::MIN)),
            ("9223372036854775807.0", Fits(i64::MAX)),
            ("9.223372036854775807e18", Fits(i64::MAX)),
            ("9007199254740993.0", Fits(9_007_199_254_740_993)),
            ("9223372036854775808", TooLarge),
            ("-9223372036854775809", TooLarge),
            ("1e19", TooLarge),
            ("1e999999", TooLarge),
            (&far, TooLarge),
            (&near, Fraction),
            (&long, Fraction),
            ("1.5", Fraction),
            ("1e-1", Fraction),
            ("1.00000000000000000000000001", Fraction),
            ("9223372036854775807.5", Fraction),
        ];
        for (text, expected) in cases {
            assert_eq!(whole(text), expected, "{text}");
        }
    }
}
