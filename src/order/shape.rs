//! The order's shape as a table: which fields there are, of which kind, and which may be missing. One description for
//! `diagnose` (what is wrong with a message), `schema` (what senders may read) and `rules` (what a rule may speak of). The
//! typed structs in `model` are the other description, and tests hold the two together.
//!
//! What must be there: what identifies an order, what it costs, and what was bought. What merely describes may be missing
//! or null, which means "" or 0. A field of which that is not clear is required: checks may only ever become more lenient.

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that is looked up by: not empty, and short enough for an index.
    Key,
    /// A text that is an RFC 3339 date.
    Date,
    /// A whole number that fits in 64 bits.
    Integer,
    /// A whole number that is not negative.
    Money,
    /// One object.
    Object(&'static [Field]),
    /// A list of at least one object.
    List(&'static [Field]),
}

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// What it means, for the published schema.
    pub about: &'static str,
}

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: true,
        about,
    }
}

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: false,
        about,
    }
}

/// The order itself.
pub static ORDER: &[Field] = &[
    required(
        "order_uid",
        Kind::Key,
        "What the order is known by; the first valid message for it is the order.",
    ),
    required(
        "track_number",
        Kind::Key,
        "What its parcel is known by on the way.",
    ),
    optional("entry", Kind::Text, "Where the order came in."),
    required(
        "delivery",
        Kind::Object(DELIVERY),
        "To whom and where it goes.",
    ),
    required("payment", Kind::Object(PAYMENT), "What was paid, and how."),
    required("items", Kind::List(ITEM), "What was bought."),
    optional("locale", Kind::Text, "The customer's language."),
    optional(
        "internal_signature",
        Kind::Text,
        "The sender's signature, often empty.",
    ),
    required("customer_id", Kind::Key, "Who ordered."),
    optional("delivery_service", Kind::Text, "Who delivers."),
    optional("shardkey", Kind::Text, "The sender's shard."),
    optional("sm_id", Kind::Integer, "The sender's number of the shop."),
    required(
        "date_created",
        Kind::Date,
        "When it was ordered, as RFC 3339 writes it.",
    ),
    optional("oof_shard", Kind::Text, "The sender's other shard."),
];

static DELIVERY: &[Field] = &[
    optional("name", Kind::Text, "Who receives it."),
    optional("phone", Kind::Text, "The receiver's phone, in any form."),
    optional("zip", Kind::Text, "Postal code."),
    optional("city", Kind::Text, "City."),
    optional("address", Kind::Text, "Street and house."),
    optional("region", Kind::Text, "Region."),
    optional("email", Kind::Text, "The receiver's e-mail, in any form."),
];

static PAYMENT: &[Field] = &[
    required("transaction", Kind::Text, "The payment's id."),
    optional("request_id", Kind::Text, "The request's id, often empty."),
    required("currency", Kind::Text, "The currency of every amount."),
    optional("provider", Kind::Text, "Who handled the payment."),
    required("amount", Kind::Money, "What was paid in all."),
    optional(
        "payment_dt",
        Kind::Integer,
        "When it was paid, in seconds since 1970.",
    ),
    optional("bank", Kind::Text, "The bank."),
    required("delivery_cost", Kind::Money, "What the delivery costs."),
    required("goods_total", Kind::Money, "What the goods cost."),
    optional("custom_fee", Kind::Money, "The customs' fee."),
];

static ITEM: &[Field] = &[
    required("chrt_id", Kind::Integer, "The article; not unique."),
    optional("track_number", Kind::Text, "The item's parcel."),
    required("price", Kind::Money, "The price of one before the sale."),
    optional("rid", Kind::Text, "The item's own id."),
    optional("name", Kind::Text, "What it is."),
    optional("sale", Kind::Integer, "The reduction in per cent."),
    optional("size", Kind::Text, "The size."),
    required("total_price", Kind::Money, "What it costs in the end."),
    optional("nm_id", Kind::Integer, "The seller's number of it."),
    optional("brand", Kind::Text, "The brand."),
    optional("status", Kind::Integer, "The sender's status of it."),
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::order::parse;
    use crate::order::schema::EXAMPLE;

    /// Every field of the table with its pointer in the model.
    fn all(fields: &'static [Field], path: &str) -> Vec<(String, &'static Field)> {
        let with_inner = |field: &'static Field| {
            let pointer = format!("{path}/{}", field.name);
            let inner = match field.kind {
                Kind::Object(fields) => all(fields, &pointer),
                Kind::List(fields) => all(fields, &format!("{pointer}/0")),
                _ => Vec::new(),
            };
            std::iter::once((pointer, field)).chain(inner)
        };
        fields.iter().flat_map(with_inner).collect()
    }

    fn is_order(message: &Value) -> bool {
        parse(message.to_string().as_bytes()).is_ok()
    }

    #[test]
    fn table_and_structs_are_one_model() {
        let model: Value = serde_json::from_str(EXAMPLE).unwrap();
        let canonical = parse(EXAMPLE.as_bytes()).unwrap().to_json();
        let mut place = 0;
        for (pointer, field) in all(ORDER, "") {
            // The canonical JSON has the table's fields in the table's order, and no others.
            let name = format!("\"{}\":", field.name);
            place += canonical[place..].find(&name).unwrap() + name.len();

            let with = |value: Value| {
                let mut message = model.clone();
                *message.pointer_mut(&pointer).unwrap() = value;
                is_order(&message)
            };
            let mut without = model.clone();
            let parent = &pointer[..pointer.len() - field.name.len() - 1];
            without
                .pointer_mut(parent)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(field.name);
            assert_eq!(is_order(&without), !field.required, "{pointer} missing");
            assert_eq!(with(Value::Null), !field.required, "{pointer} null");

            let (any_text, date, whole, negative) = (
                json!("x"),
                json!("2021-11-26T06:22:19Z"),
                json!(i64::MAX),
                json!(i64::MIN),
            );
            let takes = [
                with(any_text),
                with(date),
                with(whole),
                with(negative),
                with(json!("")),
            ];
            let expected = match field.kind {
                Kind::Text => [true, true, false, false, true],
                Kind::Key => [true, true, false, false, false],
                Kind::Date => [false, true, false, false, false],
                Kind::Integer => [false, false, true, true, false],
                Kind::Money => [false, false, true, false, false],
                Kind::Object(_) | Kind::List(_) => [false; 5],
            };
            assert_eq!(takes, expected, "{pointer}");
            assert!(
                !with(json!({}))
                    || matches!(field.kind, Kind::Object(fields) if fields.len() == DELIVERY.len()),
                "{pointer}"
            );
            assert!(
                !with(json!([])) && !with(json!(1.5)) && !with(json!(true)),
                "{pointer}"
            );
            if matches!(field.kind, Kind::Text | Kind::Key | Kind::Date) {
                assert!(!with(json!("\0")), "{pointer}");
            }
            if matches!(field.kind, Kind::Key) {
                assert!(
                    with(json!("x".repeat(1_000))) && !with(json!("x".repeat(1_001))),
                    "{pointer}"
                );
            }
        }
        let names = canonical.matches("\":").count();
        assert_eq!(
            names,
            all(ORDER, "").len(),
            "a field is missing in the table"
        );
    }
}
