//! Sums, differences and products of numbers with a fraction: exactly, or not at all.

/// How many digits a number may have that is reckoned with, before and behind the point together: so many fit in 128 bits.
const MAX_DIGITS: u32 = 38;

/// Units of which each is a tenth, a hundredth, … by the number of places.
struct Decimal {
    units: i128,
    places: u32,
}

impl Decimal {
    /// `text` is written plainly, as `record::number` has it.
    fn read(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        let units = format!("{whole}{fraction}").parse().ok()?;
        let places = u32::try_from(fraction.len()).ok()?;
        Self { units, places }.bounded()
    }

    /// Itself, in as few places as it needs; none if it has too many digits.
    fn bounded(mut self) -> Option<Self> {
        while self.places > 0 && self.units % 10 == 0 {
            self.units /= 10;
            self.places -= 1;
        }
        let fits = self.units.unsigned_abs() < 10_u128.pow(MAX_DIGITS) && self.places <= MAX_DIGITS;
        fits.then_some(self)
    }

    /// Its units, if it had so many places, which are no fewer.
    fn units_in(&self, places: u32) -> Option<i128> {
        let factor = 10_i128.checked_pow(places - self.places)?;
        self.units.checked_mul(factor)
    }

    fn write(&self) -> String {
        let places = self.places as usize;
        let digits = format!("{:0>1$}", self.units.unsigned_abs(), places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if self.units < 0 { "-" } else { "" };
        let point = if places > 0 { "." } else { "" };
        format!("{sign}{whole}{point}{fraction}")
    }
}

pub fn add(left: &str, right: &str) -> Option<String> {
    together(left, right, i128::checked_add)
}

pub fn subtract(left: &str, right: &str) -> Option<String> {
    together(left, right, i128::checked_sub)
}

fn together(
    left: &str,
    right: &str,
    units: impl FnOnce(i128, i128) -> Option<i128>,
) -> Option<String> {
    let (left, right) = (Decimal::read(left)?, Decimal::read(right)?);
    let places = left.places.max(right.places);
    let units = units(left.units_in(places)?, right.units_in(places)?)?;
    Some(Decimal { units, places }.bounded()?.write())
}

pub fn multiply(left: &str, right: &str) -> Option<String> {
    let (left, right) = (Decimal::read(left)?, Decimal::read(right)?);
    let units = left.units.checked_mul(right.units)?;
    let places = left.places + right.places;
    Some(Decimal { units, places }.bounded()?.write())
}

/// Of any number of digits.
pub fn negative(number: &str) -> String {
    match number.strip_prefix('-') {
        Some(positive) => positive.to_owned(),
        None => format!("-{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worked_out_is_exact() {
        let nines = "9".repeat(38);
        let cases = [
            (add("0.1", "0.2"), Some("0.3")),
            (add("-0.1", "0.1"), Some("0")),
            (add("1.50", "-2"), Some("-0.5")),
            (add("9007199254740993", "0.1"), Some("9007199254740993.1")),
            (subtract("0.3", "0.1"), Some("0.2")),
            (subtract("1", "1.05"), Some("-0.05")),
            (multiply("0.1", "0.1"), Some("0.01")),
            (multiply("-2.5", "4"), Some("-10")),
            (multiply("19.99", "3"), Some("59.97")),
            (multiply("0.0", "-5"), Some("0")),
            (add(&nines, "0"), Some(nines.as_str())),
            (add(&nines, "1"), None),
            (add(&nines, "0.1"), None),
            (multiply(&nines, "10"), None),
            (add(&format!("0.{}1", "0".repeat(38)), "0"), None),
            (add(&format!("1.5{}", "0".repeat(900)), "1"), Some("2.5")),
        ];
        for (number, (found, wanted)) in cases.into_iter().enumerate() {
            assert_eq!(found.as_deref(), wanted, "case {number}");
        }
        assert_eq!(
            (negative("1.5"), negative("-1.5")),
            ("-1.5".to_owned(), "1.5".to_owned())
        );
    }
}
