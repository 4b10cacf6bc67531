//! Dates as JSON Schema's `format` means them.

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
    use super::{is_date, is_rfc3339, is_uuid};

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
