//! What a rule may read: every field of the order, with its type and an accessor. A test compares it with `shape`.

use crate::order::shape::{Field, Kind, ORDER};
use crate::order::{Item, Order};

/// The way to one field of an order.
#[derive(Clone, Copy)]
pub enum OrderField {
    Text(for<'a> fn(&'a Order<'_>) -> &'a str),
    Int(fn(&Order<'_>) -> i64),
}

/// The way to one field of an item.
#[derive(Clone, Copy)]
pub enum ItemField {
    Text(for<'a> fn(&'a Item<'_>) -> &'a str),
    Int(fn(&Item<'_>) -> i64),
}

/// Of `payment.amount` and the like: everything but the items and what is in them.
pub fn of_order(path: &str) -> Option<OrderField> {
    use OrderField::{Int, Text};
    Some(match path {
        "order_uid" => Text(|order| &order.order_uid),
        "track_number" => Text(|order| &order.track_number),
        "entry" => Text(|order| &order.entry),
        "delivery.name" => Text(|order| &order.delivery.name),
        "delivery.phone" => Text(|order| &order.delivery.phone),
        "delivery.zip" => Text(|order| &order.delivery.zip),
        "delivery.city" => Text(|order| &order.delivery.city),
        "delivery.address" => Text(|order| &order.delivery.address),
        "delivery.region" => Text(|order| &order.delivery.region),
        "delivery.email" => Text(|order| &order.delivery.email),
        "payment.transaction" => Text(|order| &order.payment.transaction),
        "payment.request_id" => Text(|order| &order.payment.request_id),
        "payment.currency" => Text(|order| &order.payment.currency),
        "payment.provider" => Text(|order| &order.payment.provider),
        "payment.amount" => Int(|order| order.payment.amount),
        "payment.payment_dt" => Int(|order| order.payment.payment_dt),
        "payment.bank" => Text(|order| &order.payment.bank),
        "payment.delivery_cost" => Int(|order| order.payment.delivery_cost),
        "payment.goods_total" => Int(|order| order.payment.goods_total),
        "payment.custom_fee" => Int(|order| order.payment.custom_fee),
        "locale" => Text(|order| &order.locale),
        "internal_signature" => Text(|order| &order.internal_signature),
        "customer_id" => Text(|order| &order.customer_id),
        "delivery_service" => Text(|order| &order.delivery_service),
        "shardkey" => Text(|order| &order.shardkey),
        "sm_id" => Int(|order| order.sm_id),
        "date_created" => Text(|order| &order.date_created),
        "oof_shard" => Text(|order| &order.oof_shard),
        _ => return None,
    })
}

pub fn of_item(name: &str) -> Option<ItemField> {
    use ItemField::{Int, Text};
    Some(match name {
        "chrt_id" => Int(|item| item.chrt_id),
        "track_number" => Text(|item| &item.track_number),
        "price" => Int(|item| item.price),
        "rid" => Text(|item| &item.rid),
        "name" => Text(|item| &item.name),
        "sale" => Int(|item| item.sale),
        "size" => Text(|item| &item.size),
        "total_price" => Int(|item| item.total_price),
        "nm_id" => Int(|item| item.nm_id),
        "brand" => Text(|item| &item.brand),
        "status" => Int(|item| item.status),
        _ => return None,
    })
}

/// The names under a path ("" is the order, `items` is an item), to be listed if somebody mistyped one.
pub fn names(path: &str) -> String {
    let inner = |name: &str| {
        let field = ORDER.iter().find(|field| field.name == name)?;
        match field.kind {
            Kind::Object(fields) | Kind::List(fields) => Some(fields),
            _ => None,
        }
    };
    let fields = if path.is_empty() {
        Some(ORDER)
    } else {
        inner(path)
    };
    let names: Vec<_> = fields
        .unwrap_or_default()
        .iter()
        .map(|field| field.name)
        .collect();
    names.join(", ")
}

/// The JSON pointer of the field that a rule says it speaks of: `payment.amount`, or `order` for the whole. A field of the
/// items is pointed to as `/items`, since a rule does not say which of them it means.
pub fn pointer(path: &str) -> Option<String> {
    if path == "order" {
        return Some(String::new());
    }
    let mut tokens = path.strip_prefix("order.").unwrap_or(path).split('.');
    let find =
        |fields: &[Field], name: &str| fields.iter().find(|field| field.name == name).copied();
    let first = tokens.next()?;
    let (name, indexed) = match first.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (first, false),
    };
    let field = find(ORDER, name)?;
    let pointer = format!("/{name}");
    match (field.kind, tokens.next()) {
        (Kind::List(_), None) => Some(pointer),
        (Kind::List(fields), Some(inner)) => find(fields, inner).map(|_| pointer),
        (_, None) if !indexed => Some(pointer),
        (Kind::Object(fields), Some(inner)) if !indexed => {
            find(fields, inner).map(|_| format!("{pointer}/{inner}"))
        }
        _ => None,
    }
    .filter(|_| tokens.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::parse;
    use crate::order::schema::EXAMPLE;

    #[test]
    fn every_field_is_known_and_reads_itself() {
        let order = parse(EXAMPLE.as_bytes()).unwrap();
        let json: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
        let check = |path: String, kind: Kind, pointer: &str| {
            let wanted = json.pointer(pointer).unwrap();
            let found = if let Some(name) = path.strip_prefix("items.") {
                match of_item(name).unwrap() {
                    ItemField::Text(get) => get(&order.items[0]).into(),
                    ItemField::Int(get) => get(&order.items[0]).into(),
                }
            } else {
                match of_order(&path).unwrap() {
                    OrderField::Text(get) => serde_json::Value::from(get(&order)),
                    OrderField::Int(get) => get(&order).into(),
                }
            };
            assert_eq!(*wanted, found, "{path}");
            let is_number = matches!(kind, Kind::Integer | Kind::Money);
            assert_eq!(found.is_i64(), is_number, "{path}");
        };
        for field in ORDER {
            match field.kind {
                Kind::Object(fields) => fields.iter().for_each(|inner| {
                    let path = format!("{}.{}", field.name, inner.name);
                    check(path, inner.kind, &format!("/{}/{}", field.name, inner.name));
                }),
                Kind::List(fields) => fields.iter().for_each(|inner| {
                    check(
                        format!("items.{}", inner.name),
                        inner.kind,
                        &format!("/items/0/{}", inner.name),
                    );
                }),
                kind => check(field.name.to_owned(), kind, &format!("/{}", field.name)),
            }
        }
    }

    #[test]
    fn a_rule_points_to_a_field_that_exists() {
        let good = [
            ("order", ""),
            ("order_uid", "/order_uid"),
            ("order.order_uid", "/order_uid"),
            ("payment", "/payment"),
            ("payment.amount", "/payment/amount"),
            ("items", "/items"),
            ("items[]", "/items"),
            ("items[].price", "/items"),
            ("order.items.price", "/items"),
        ];
        for (path, expected) in good {
            assert_eq!(pointer(path).as_deref(), Some(expected), "{path}");
        }
        for path in [
            "",
            ".",
            "nix",
            "payment.nix",
            "items[].nix",
            "payment[].amount",
            "order_uid.x",
            "items.price.x",
            "order.order",
            "payment.",
        ] {
            assert_eq!(pointer(path), None, "{path}");
        }
    }
}
