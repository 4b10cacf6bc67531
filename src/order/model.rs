//! The order as it is kept and served. Its texts borrow from the message wherever they can, so that parsing one copies
//! almost nothing; its fields stand in the order of the canonical JSON.
//!
//! Every check that a single field can fail is made while the field is read (`read`), so what exists is valid, and nobody
//! can forget one. Unknown fields are ignored, whatever is in them. Two orders are equal if their canonical JSON is.
//!
//! When the model gains a field: it must be optional, and what does not fit it must be left out, since what was accepted
//! once is accepted for ever. That includes a text that Postgres cannot hold, and the field given twice. So it is read by
//! `gained::text` or `gained::integer` with `default`, its struct's `visit_map` reads through `gained::Once`, and in `shape`
//! it is a field that `diagnose` passes over, whatever is in it. The code's version stays: no verdict changes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize as DeriveDeserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::read::{
    REFUSED, date, integer, key, money, optional_integer, optional_money, optional_text, text,
};

/// One valid order.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize)]
#[serde(remote = "Self")]
pub struct Order<'a> {
    #[serde(borrow, deserialize_with = "key")]
    pub order_uid: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "key")]
    pub track_number: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub entry: Cow<'a, str>,
    #[serde(borrow)]
    pub delivery: Delivery<'a>,
    #[serde(borrow)]
    pub payment: Payment<'a>,
    #[serde(borrow, deserialize_with = "items")]
    pub items: Vec<Item<'a>>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub locale: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub internal_signature: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "key")]
    pub customer_id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub delivery_service: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub shardkey: Cow<'a, str>,
    #[serde(default, deserialize_with = "optional_integer")]
    pub sm_id: i64,
    #[serde(borrow, deserialize_with = "date")]
    pub date_created: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub oof_shard: Cow<'a, str>,
}

/// To whom and where an order goes.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize)]
#[serde(remote = "Self")]
pub struct Delivery<'a> {
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub phone: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub zip: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub city: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub address: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub region: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub email: Cow<'a, str>,
}

/// What was paid, and how.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize)]
#[serde(remote = "Self")]
pub struct Payment<'a> {
    #[serde(borrow, deserialize_with = "text")]
    pub transaction: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub request_id: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    pub currency: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub provider: Cow<'a, str>,
    #[serde(deserialize_with = "money")]
    pub amount: i64,
    #[serde(default, deserialize_with = "optional_integer")]
    pub payment_dt: i64,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub bank: Cow<'a, str>,
    #[serde(deserialize_with = "money")]
    pub delivery_cost: i64,
    #[serde(deserialize_with = "money")]
    pub goods_total: i64,
    #[serde(default, deserialize_with = "optional_money")]
    pub custom_fee: i64,
}

/// One thing that was bought.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize)]
#[serde(remote = "Self")]
pub struct Item<'a> {
    #[serde(deserialize_with = "integer")]
    pub chrt_id: i64,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub track_number: Cow<'a, str>,
    #[serde(deserialize_with = "money")]
    pub price: i64,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub rid: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub name: Cow<'a, str>,
    #[serde(default, deserialize_with = "optional_integer")]
    pub sale: i64,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub size: Cow<'a, str>,
    #[serde(deserialize_with = "money")]
    pub total_price: i64,
    #[serde(default, deserialize_with = "optional_integer")]
    pub nm_id: i64,
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub brand: Cow<'a, str>,
    #[serde(default, deserialize_with = "optional_integer")]
    pub status: i64,
}

/// At least one.
fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Item<'de>>, D::Error> {
    let items = Vec::deserialize(deserializer)?;
    if items.is_empty() {
        return Err(D::Error::custom(REFUSED));
    }
    Ok(items)
}

/// Serde's derived structs also take a list of values in the fields' order; a list is no order. So each is read
/// through a visitor that knows objects only, and hands them to the derived code (`remote = "Self"` above).
macro_rules! objects_only {
    ($($name:ident),*) => {$(
        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $name<'de>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                        $name::deserialize(MapAccessDeserializer::new(map))
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    )*};
}

objects_only!(Order, Delivery, Payment, Item);
