//! Dates as JSON Schema's `format` means them, and the versions that are told by them.

use std::fmt;

/// A date-time by the grammar of RFC 3339, section 5.6: with an offset, on a day that exists. Second 60 (a leap second) is
/// accepted in any minute, since the minutes that have one cannot be computed.
pub fn is_rfc3339(text: &[u8]) -> bool {
    // 2021-11-26T06:22:19 and an offset, with a fraction of a second between them.
    let (Some(moment), Some(mut rest)) = (text.get(..19), text.get(19..)) else {
        return false;
    };
    let shaped = moment.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        10 => matches!(byte, b'T' | b't'),
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    if !shaped {
        return false;
    }
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    let offset = match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit())
                && two(&[*h1, *h2]) < 24
                && two(&[*m1, *m2]) < 60
        }
        _ => false,
    };
    let year = two(&moment[0..2]) * 100 + two(&moment[2..4]);
    let days = match two(&moment[5..7]) {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 0,
    };
    let day = two(&moment[8..10]);
    offset
        && (1..=days).contains(&day)
        && two(&moment[11..13]) < 24
        && two(&moment[14..16]) < 60
        && two(&moment[17..19]) <= 60
}

/// A moment, exact to any number of digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Since 1970. A leap second is the second after it.
    seconds: i64,
    /// The digits behind the point, without zeros at their end.
    fraction: String,
}

impl Instant {
    /// Of a date-time, or of a day's beginning in UTC.
    pub fn read(text: &str) -> Option<Self> {
        if is_date(text.as_bytes()) {
            return Self::read(&format!("{text}T00:00:00Z"));
        }
        let bytes = text.as_bytes();
        if !is_rfc3339(bytes) {
            return None;
        }
        let at = |from: usize, to: usize| {
            i64::from(
                bytes[from..to]
                    .iter()
                    .fold(0, |n, b| n * 10 + u32::from(b - b'0')),
            )
        };
        let (year, month, day) = (at(0, 4), at(5, 7), at(8, 10));
        let rest = &text[19..];
        let digits = rest.strip_prefix('.').map_or("", |rest| {
            &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()]
        });
        let offset = match rest
            .trim_start_matches('.')
            .trim_start_matches(|c: char| c.is_ascii_digit())
        {
            "Z" | "z" => 0,
            offset => {
                let minutes =
                    offset[1..3].parse::<i64>().ok()? * 60 + offset[4..6].parse::<i64>().ok()?;
                if offset.starts_with('-') {
                    -minutes
                } else {
                    minutes
                }
            }
        };
        // Days since 1970 by the civil calendar, years beginning in March.
        let (year, month) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let century = year.div_euclid(400);
        let of_century = year.rem_euclid(400);
        let of_year = (153 * month + 2) / 5 + day - 1;
        let days = century * 146_097 + of_century * 365 + of_century / 4 - of_century / 100
            + of_year
            - 719_468;
        Some(Self {
            seconds: days * 86_400 + at(11, 13) * 3_600 + at(14, 16) * 60 + at(17, 19)
                - offset * 60,
            fraction: digits.trim_end_matches('0').to_owned(),
        })
    }
}

/// By what a later version of a document is told from an earlier one. How versions compare never changes: a replay compares them
/// again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Number(i64),
    Time(Instant),
}

/// One text for each version, and another for each other: `7`, or `1764500400.25`, seconds since 1970 and always with a point.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(at) => write!(f, "{}.{}", at.seconds, at.fraction),
        }
    }
}

impl Version {
    /// Reads what it was written as.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text.split_once('.') {
            None => Self::Number(text.parse().ok()?),
            Some((seconds, fraction)) => Self::Time(Instant {
                seconds: seconds.parse().ok()?,
                fraction: fraction.to_owned(),
            }),
        })
    }
}

/// A day by the grammar of RFC 3339, on a day that exists.
pub fn is_date(text: &[u8]) -> bool {
    text.len() == 10 && is_rfc3339(&[text, b"T00:00:00Z"].concat())
}

/// A UUID as RFC 4122 writes it, of any version.
pub fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Two digits as a number.
fn two(digits: &[u8]) -> u32 {
    digits
        .iter()
        .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::{Instant, is_date, is_rfc3339, is_uuid};

    #[test]
    fn moments_are_compared_exactly() {
        let at = |text: &str| Instant::read(text).unwrap();
        let rising = [
            "0000-03-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999999Z",
            "1970-01-01",
            "1970-01-01T00:00:00.0000000000000000001Z",
            "2024-02-29T12:00:00+01:00",
            "2024-02-29T11:00:00.5Z",
            "2024-03-01",
            "9999-12-31T23:59:60Z",
        ];
        for (index, left) in rising.iter().enumerate() {
            for (other, right) in rising.iter().enumerate() {
                assert_eq!(
                    at(left).cmp(&at(right)),
                    index.cmp(&other),
                    "{left} {right}"
                );
            }
        }
        assert_eq!(
            at("2021-11-26T06:22:19.50Z"),
            at("2021-11-26t09:22:19.5+03:00")
        );
        for text in [
            "1970-01-01T00:00:00Z",
            "2021-11-26T06:22:19Z",
            "1900-02-28T23:00:00-02:00",
            "2400-02-29T00:00:00Z",
        ] {
            let other: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(at(text).seconds, other.as_second(), "{text}");
        }
        assert_eq!(Instant::read("yesterday"), None);
    }

    #[test]
    fn a_day_and_a_uuid_have_one_form() {
        assert!(is_date(b"2024-02-29"));
        for day in ["2023-02-29", "2024-2-29", "2024-02-29Z", "", "24-02-29"] {
            assert!(!is_date(day.as_bytes()), "{day}");
        }
        assert!(is_uuid(b"2eb8aa08-AA98-11ea-b4aa-73b441d16380"));
        for uuid in [
            "",
            "2eb8aa08aa9811eab4aa73b441d16380",
            "2eb8aa08-aa98-11ea-b4aa-73b441d1638x",
        ] {
            assert!(!is_uuid(uuid.as_bytes()), "{uuid}");
        }
    }

    #[test]
    fn dates_are_judged_by_rfc_3339() {
        let good = [
            "2021-11-26T06:22:19Z",
            "2021-11-26t06:22:19z",
            "2021-11-26T06:22:19.000000001+03:00",
            "0000-02-29T00:00:00-23:59",
            "2000-02-29T23:59:60Z",
        ];
        for date in good {
            assert!(is_rfc3339(date.as_bytes()), "{date}");
        }
        let bad = [
            "",
            "2021-11-26",
            "2021-11-26T06:22:19",
            "2021-11-26 06:22:19Z",
            "2021-11-26T06:22Z",
            "2021-11-26T06:22:19.Z",
            "2021-11-26T06:22:19+0300",
            "2021-11-26T06:22:19+24:00",
            "2021-11-26T06:22:19ZZ",
            "2021-11-31T06:22:19Z",
            "2021-02-29T06:22:19Z",
            "1900-02-29T06:22:19Z",
            "2021-00-01T06:22:19Z",
            "2021-01-00T06:22:19Z",
            "2021-01-01T24:00:00Z",
            "2021-01-01T00:60:00Z",
            "2021-01-01T00:00:61Z",
            "+021-01-01T00:00:00Z",
            "２021-01-01T00:00:00Z",
            "Fri Nov 26 2021",
            "1637907727",
        ];
        for date in bad {
            assert!(!is_rfc3339(date.as_bytes()), "{date}");
        }
    }
}
