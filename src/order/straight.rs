//! A parser for messages that are the canonical JSON already: all fields in the model's order, and no white space. It knows which
//! byte must come next, so it compares and does not search. It rejects nothing: any other message, valid or not, is left to
//! `parse`.

use std::borrow::Cow;

use super::model::{Delivery, Item, Order, Payment};
use super::plain::plain;
use super::read::{MAX_KEY_BYTES, is_rfc3339};

/// The order, if `text` is its canonical JSON byte for byte.
pub fn read(text: &str) -> Option<Order<'_>> {
    let mut rest = Rest(text);
    let order = Order::read(&mut rest)?;
    (rest.0.is_empty() && holds(&order)).then_some(order)
}

/// The checks of single fields that `parse` makes while reading. NUL needs none: in JSON it is an escape, and a text with an
/// escape is not read here.
fn holds(order: &Order<'_>) -> bool {
    let Payment {
        amount,
        delivery_cost,
        goods_total,
        custom_fee,
        ..
    } = order.payment;
    let keys = [&order.order_uid, &order.track_number, &order.customer_id];
    keys.iter()
        .all(|key| (1..=MAX_KEY_BYTES).contains(&key.len()))
        && is_rfc3339(order.date_created.as_bytes())
        && (amount | delivery_cost | goods_total | custom_fee) >= 0
        && !order.items.is_empty()
        && order
            .items
            .iter()
            .all(|item| (item.price | item.total_price) >= 0)
}

/// The part of the message that is not read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    // Inlined, so that the length of `expected` is known and the comparison needs no call.
    #[inline(always)]
    fn skip(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }
}

trait Read<'a>: Sized {
    fn read(rest: &mut Rest<'a>) -> Option<Self>;
}

impl<'a> Read<'a> for Cow<'a, str> {
    /// A text without escapes.
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.skip("\"")?;
        let (text, after) = rest.0.split_at_checked(plain(rest.0.as_bytes()))?;
        rest.0 = after;
        rest.skip("\"")?;
        Some(Cow::Borrowed(text))
    }
}

impl<'a> Read<'a> for i64 {
    /// A whole number in canonical form (no leading zero), and too short to overflow.
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        let negative = rest.0.starts_with('-');
        let unsigned = &rest.0[usize::from(negative)..];
        let mut number = 0;
        let mut length = 0;
        for byte in unsigned.bytes().take_while(u8::is_ascii_digit).take(18) {
            number = number * 10 + i64::from(byte - b'0');
            length += 1;
        }
        let zero = unsigned.starts_with('0');
        if length == 0 || (zero && (length > 1 || negative)) {
            return None;
        }
        rest.0 = &unsigned[length..];
        Some(if negative { -number } else { number })
    }
}

impl<'a, T: Read<'a>> Read<'a> for Vec<T> {
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.skip("[")?;
        // Most orders have at most six items, so the list seldom grows.
        let mut list = Vec::with_capacity(6);
        loop {
            list.push(T::read(rest)?);
            if rest.skip(",").is_none() {
                rest.skip("]")?;
                return Some(list);
            }
        }
    }
}

macro_rules! objects {
    ($($name:ident { $first:ident $($field:ident)* })*) => {$(
        impl<'a> Read<'a> for $name<'a> {
            fn read(rest: &mut Rest<'a>) -> Option<Self> {
                rest.skip(concat!("{\"", stringify!($first), "\":"))?;
                let $first = Read::read(rest)?;
                $(
                    rest.skip(concat!(",\"", stringify!($field), "\":"))?;
                    let $field = Read::read(rest)?;
                )*
                rest.skip("}")?;
                Some(Self { $first, $($field),* })
            }
        }
    )*};
}

// The fields in the order in which `write` writes them; a test compares.
objects! {
    Order {
        order_uid track_number entry delivery payment items locale internal_signature customer_id delivery_service
        shardkey sm_id date_created oof_shard
    }
    Delivery { name phone zip city address region email }
    Payment {
        transaction request_id currency provider amount payment_dt bank delivery_cost goods_total custom_fee
    }
    Item { chrt_id track_number price rid name sale size total_price nm_id brand status }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::parse;
    use crate::order::sample::Samples;
    use crate::order::schema::EXAMPLE;

    /// True if this parser read it; then serde must have read the same order.
    fn goes(text: &str) -> bool {
        let straight = read(text);
        if let Some(order) = &straight {
            assert_eq!(&serde_json::from_str::<Order<'_>>(text).unwrap(), order);
            assert_eq!(order.to_json(), text);
        }
        straight.is_some()
    }

    #[test]
    fn canonical_json_goes_straight_and_nothing_else_does() {
        let canonical = parse(EXAMPLE.as_bytes()).unwrap().to_json();
        assert!(goes(&canonical));
        assert!(!goes(EXAMPLE), "it has spaces");
        let mut samples = Samples::seeded(7);
        for _ in 0..1_000 {
            assert!(goes(&samples.order()));
        }
        for escaped in ["a\\\"b", "\\u0442", "\\n"] {
            assert!(!goes(&canonical.replace("Test Testov", escaped)));
        }
        assert!(goes(
            &canonical.replace("Test Testov", "Тест </script>\u{7f}")
        ));
    }

    #[test]
    fn what_goes_straight_is_what_parse_makes_of_it_whatever_the_bytes() {
        let canonical = parse(EXAMPLE.as_bytes()).unwrap().to_json();
        let pieces = [
            "",
            "0",
            "-0",
            "-1",
            "01",
            "1.0",
            "1e2",
            "999999999999999999",
            "9999999999999999999",
            "null",
            "\"\"",
            "\"x\"",
            "[]",
            "{}",
            "\\",
            "\"",
            "\u{1}",
            " ",
            ",",
            "}",
            "]",
            "é",
        ];
        let mut straight = 0;
        let mut ends: Vec<usize> = canonical.char_indices().map(|(at, _)| at).collect();
        ends.push(canonical.len());
        for (index, start) in ends.iter().enumerate() {
            // Each piece in the place of nothing, of one character, and of what stands up to the next comma.
            let next = ends.get(index + 1).copied().unwrap_or(canonical.len());
            let comma = canonical[*start..]
                .find(',')
                .map_or(canonical.len(), |at| start + at);
            for end in [*start, next, comma] {
                for piece in pieces {
                    let text = format!("{}{piece}{}", &canonical[..*start], &canonical[end..]);
                    straight += u32::from(goes(&text));
                }
            }
        }
        assert!(straight > 1_000, "{straight}");
    }
}
