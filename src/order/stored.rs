//! The order as Postgres is given it: the canonical JSON with each object's names in jsonb's own order (shorter ones first,
//! then by bytes). Postgres sorts the names of every object that it reads, which is a sixth of its work with an order, and
//! does not where they are sorted. What is stored is the same, and what is served keeps the model's order (`to_json`).

use std::borrow::Cow;

use super::model::{Delivery, Item, Order, Payment};

trait Write {
    fn write(&self, out: &mut Vec<u8>);
}

impl Write for Cow<'_, str> {
    fn write(&self, out: &mut Vec<u8>) {
        let bytes = self.as_bytes();
        // Without an early end, so that the compiler can look at many bytes at once.
        let escapes = bytes.iter().fold(false, |any, byte| {
            any | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\')
        });
        if escapes {
            serde_json::to_writer(out, self).expect("a text is always writable as JSON");
        } else {
            out.push(b'"');
            out.extend_from_slice(bytes);
            out.push(b'"');
        }
    }
}

impl Write for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("a number is always writable as JSON");
    }
}

impl<T: Write> Write for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            item.write(out);
        }
        out.push(b']');
    }
}

macro_rules! objects {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Write for $name<'_> {
            fn write(&self, out: &mut Vec<u8>) {
                out.push(b'{');
                $(
                    out.extend_from_slice(concat!("\"", stringify!($field), "\":").as_bytes());
                    self.$field.write(out);
                    out.push(b',');
                )*
                // The last comma.
                out.pop();
                out.push(b'}');
            }
        }
    )*};
}

objects! {
    Order {
        entry, items, sm_id, locale, payment, delivery, shardkey, oof_shard, order_uid, customer_id, date_created,
        track_number, delivery_service, internal_signature
    }
    Delivery { zip, city, name, email, phone, region, address }
    Payment {
        bank, amount, currency, provider, custom_fee, payment_dt, request_id, goods_total, transaction, delivery_cost
    }
    Item { rid, name, sale, size, brand, nm_id, price, status, chrt_id, total_price, track_number }
}

impl Order<'_> {
    /// Appends the text that jsonb is made of.
    pub fn write_stored(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use crate::order::parse;
    use crate::order::schema::EXAMPLE;

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
        }
    }
}
