//! JSON numbers as whole numbers of 64 bits, exactly: 1.0 and 1e2 are whole, and no digit is lost on the way.

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
