//! Writes an order as JSON, in two forms. The served form is the canonical JSON, with the fields in the model's order. The stored
//! form is what Postgres is given: the same members, but each object's names in jsonb's own order (shorter names first, then
//! by bytes). Postgres sorts the names of every object, which is a sixth of its work with an order, unless they are sorted.
//!
//! Written by hand and not by serde: this runs for every message, and most texts need no escape.

use std::borrow::Cow;

use super::model::{Delivery, Item, Order, Payment};
use super::plain::is_plain;

/// The most that an item takes in jsonb without its texts: the names of its fields, an entry for each name and value, six
/// numbers, and padding.
const ITEM_JSONB_BYTES: usize = 400;

/// A list in jsonb may have 256 MiB (its offsets have 28 bits). The difference is room for the order's other fields.
const MAX_JSONB_BYTES: usize = 250 << 20;

/// True if an order of so many bytes and items might not fit in jsonb. It is larger there than in the message, since missing
/// fields are filled in.
pub fn is_too_large(bytes: usize, items: usize) -> bool {
    bytes.saturating_add(items.saturating_mul(ITEM_JSONB_BYTES)) > MAX_JSONB_BYTES
}

trait Write {
    fn served(&self, out: &mut Vec<u8>);
    /// By default the same as the served form.
    fn stored(&self, out: &mut Vec<u8>) {
        self.served(out);
    }
}

impl Write for Cow<'_, str> {
    fn served(&self, out: &mut Vec<u8>) {
        let bytes = self.as_bytes();
        if is_plain(bytes) {
            out.reserve(bytes.len() + 2);
            out.push(b'"');
            out.extend_from_slice(bytes);
            out.push(b'"');
        } else {
            serde_json::to_writer(out, self).expect("a text is always writable as JSON");
        }
    }
}

impl Write for i64 {
    fn served(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("a number is always writable as JSON");
    }
}

fn list<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

impl<T: Write> Write for Vec<T> {
    fn served(&self, out: &mut Vec<u8>) {
        list(self, out, T::served);
    }

    fn stored(&self, out: &mut Vec<u8>) {
        list(self, out, T::stored);
    }
}

macro_rules! object {
    ($self:ident, $out:ident, $how:ident, $first:ident $($field:ident)*) => {
        $out.extend_from_slice(concat!("{\"", stringify!($first), "\":").as_bytes());
        $self.$first.$how($out);
        $(
            $out.extend_from_slice(concat!(",\"", stringify!($field), "\":").as_bytes());
            $self.$field.$how($out);
        )*
        $out.push(b'}');
    };
}

macro_rules! objects {
    ($($name:ident served { $($served:ident)* } stored { $($stored:ident)* })*) => {$(
        impl Write for $name<'_> {
            fn served(&self, out: &mut Vec<u8>) {
                object!(self, out, served, $($served)*);
            }

            fn stored(&self, out: &mut Vec<u8>) {
                object!(self, out, stored, $($stored)*);
            }
        }
    )*};
}

objects! {
    Order
    served {
        order_uid track_number entry delivery payment items locale internal_signature customer_id delivery_service
        shardkey sm_id date_created oof_shard
    }
    stored {
        entry items sm_id locale payment delivery shardkey oof_shard order_uid customer_id date_created track_number
        delivery_service internal_signature
    }

    Delivery
    served { name phone zip city address region email }
    stored { zip city name email phone region address }

    Payment
    served {
        transaction request_id currency provider amount payment_dt bank delivery_cost goods_total custom_fee
    }
    stored {
        bank amount currency provider custom_fee payment_dt request_id goods_total transaction delivery_cost
    }

    Item
    served { chrt_id track_number price rid name sale size total_price nm_id brand status }
    stored { rid name sale size brand nm_id price status chrt_id total_price track_number }
}

impl Order<'_> {
    /// The served form: the canonical compact JSON. Two orders are equal if it is.
    pub fn to_json(&self) -> String {
        let mut json = Vec::with_capacity(2048);
        self.served(&mut json);
        String::from_utf8(json).expect("texts and ASCII between them")
    }

    /// Appends the served form.
    pub fn write_served(&self, out: &mut Vec<u8>) {
        self.served(out);
    }

    /// Appends the stored form.
    pub fn write_stored(&self, out: &mut Vec<u8>) {
        self.stored(out);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::order::schema::EXAMPLE;
    use crate::order::{parse, parse_to_serve};

    fn assert_sorted(value: &Value) {
        match value {
            Value::Object(object) => {
                let names: Vec<_> = object.keys().map(|name| (name.len(), name)).collect();
                assert!(names.is_sorted(), "{names:?}");
                object.values().for_each(assert_sorted);
            }
            Value::Array(list) => list.iter().for_each(assert_sorted),
            _ => {}
        }
    }

    #[test]
    fn it_is_the_canonical_order_with_its_names_sorted() {
        let escaped = EXAMPLE.replace("Test Testov", "a \\\"b\\\" \\\\ \\n\\u0001 é </script>");
        assert_ne!(escaped, EXAMPLE);
        for message in [EXAMPLE, &escaped] {
            let order = parse(message.as_bytes()).unwrap();
            let mut stored = Vec::new();
            order.write_stored(&mut stored);
            let stored: Value = serde_json::from_slice(&stored).unwrap();
            assert_sorted(&stored);
            let served: Value = serde_json::from_str(&order.to_json()).unwrap();
            assert_eq!(stored, served);
            assert_eq!(order.to_json(), serde_json::to_string(&served).unwrap());
            let (_, kept) = parse_to_serve(message.as_bytes(), &mut b"before".to_vec()).unwrap();
            assert_eq!(kept, order.to_json().as_bytes());
        }
    }
}
