//! Orders made up for `waybill dev`, `waybill publish` and the tests, and junk beside them.
//!
//! No two orders share an uid, and each obeys all the rules that the model itself obeys: the amounts add
//! up, the payment names the order, the items its track number, phones are E.164. With a seed, the same
//! bytes come again. It only generates: nothing is validated here, and the clock is read once, at the beginning.

mod junk;
mod words;

use std::fmt::Write;

use fastrand::Rng;

pub use junk::{Junk, UnknownJunk};
use words::{BANKS, CARRIERS, FIRST_NAMES, LAST_NAMES, MAIL, PLACES, PRODUCTS, STREETS};

/// The moment that counts as now with a seed, since the same bytes must come at any time: October 2025.
const SEEDED_NOW: i64 = 1_760_000_000;
const SPAN_SECONDS: i64 = 30 * 86_400;
/// Room for the orders of most sizes.
const CAPACITY: usize = 2_048;
/// How many published uids are remembered, for conflicts with them.
const REMEMBERED: usize = 64;

#[derive(Debug)]
pub struct Samples {
    rng: Rng,
    now: i64,
    recent_uids: Vec<String>,
}

impl Default for Samples {
    fn default() -> Samples {
        Samples::new()
    }
}

impl Samples {
    /// Orders of the last thirty days, unlike those of any other run.
    pub fn new() -> Samples {
        Samples::with(Rng::new(), jiff::Timestamp::now().as_second())
    }

    /// The same orders and junk for the same seed, always.
    pub fn seeded(seed: u64) -> Samples {
        Samples::with(Rng::with_seed(seed), SEEDED_NOW)
    }

    fn with(rng: Rng, now: i64) -> Samples {
        Samples {
            rng,
            now,
            recent_uids: Vec::new(),
        }
    }

    /// A valid order, as compact JSON.
    pub fn order(&mut self) -> String {
        let uid = format!("{:019x}", self.rng.u128(..) >> 52);
        let order = self.order_with_uid(&uid);
        if self.recent_uids.len() < REMEMBERED {
            self.recent_uids.push(uid);
        } else {
            self.recent_uids[self.rng.usize(..REMEMBERED)] = uid;
        }
        order
    }

    fn order_with_uid(&mut self, uid: &str) -> String {
        let rng = &mut self.rng;
        let place = &PLACES[rng.usize(..PLACES.len())];
        let (first, last) = (pick(rng, &FIRST_NAMES), pick(rng, &LAST_NAMES));
        let mut track = String::from("WBIL");
        for _ in 0..10 {
            track.push(rng.uppercase());
        }
        let created = self.now - rng.i64(0..SPAN_SECONDS);

        // One item is commonest, five are rare.
        let count = rng.usize(1..=5).min(rng.usize(1..=5));
        let mut items = String::with_capacity(count * 256);
        let mut goods_total = 0;
        for _ in 0..count {
            goods_total += write_item(rng, &track, &mut items);
        }
        let delivery_cost = 100 * rng.i64(0..=20);
        let custom_fee = if rng.u8(..10) == 0 {
            rng.i64(50..500)
        } else {
            0
        };

        let mut order = String::with_capacity(CAPACITY);
        let mut json = Json(&mut order);
        json.open("");
        json.text("order_uid", uid);
        json.text("track_number", &track);
        json.text("entry", "WBIL");
        json.open("\"delivery\":");
        json.words("name", format_args!("{first} {last}"));
        json.words(
            "phone",
            format_args!("+{}{}", place.calling_code, rng.u32(20_000_000..99_999_999)),
        );
        json.words("zip", format_args!("{}", rng.u32(10_000..9_999_999)));
        json.text("city", place.city);
        json.words(
            "address",
            format_args!("{} {}", pick(rng, &STREETS), rng.u8(1..200)),
        );
        json.text("region", place.region);
        json.words(
            "email",
            format_args!(
                "{}.{}{}@{}",
                first.to_ascii_lowercase(),
                last.to_ascii_lowercase(),
                rng.u8(1..100),
                pick(rng, &MAIL)
            ),
        );
        json.close();
        json.open("\"payment\":");
        json.text("transaction", uid);
        json.text("request_id", "");
        json.text("currency", place.currency);
        json.text("provider", "wbpay");
        json.number("amount", goods_total + delivery_cost + custom_fee);
        json.number("payment_dt", created);
        json.text("bank", pick(rng, &BANKS));
        json.number("delivery_cost", delivery_cost);
        json.number("goods_total", goods_total);
        json.number("custom_fee", custom_fee);
        json.close();
        items.pop();
        json.0.push_str("\"items\":[");
        json.0.push_str(&items);
        json.0.push_str("],");
        json.text("locale", place.locale);
        json.text("internal_signature", "");
        json.words("customer_id", format_args!("c{:06}", rng.u32(..1_000_000)));
        json.text("delivery_service", pick(rng, &CARRIERS));
        json.words("shardkey", format_args!("{}", rng.u8(..10)));
        json.number("sm_id", rng.i64(1..100));
        json.words("date_created", format_args!("{}", timestamp(created)));
        json.words("oof_shard", format_args!("{}", rng.u8(1..3)));
        json.close();
        order.pop();
        order
    }
}

/// Writes an item, with a comma behind it; returns its total price.
fn write_item(rng: &mut Rng, track: &str, out: &mut String) -> i64 {
    let product = &PRODUCTS[rng.usize(..PRODUCTS.len())];
    let price = rng.i64(product.prices.clone());
    let sale = 5 * rng.i64(0..=12);
    let total_price = price * (100 - sale) / 100;
    let mut json = Json(out);
    json.open("");
    json.number("chrt_id", rng.i64(1_000_000..99_999_999));
    json.text("track_number", track);
    json.number("price", price);
    json.words("rid", format_args!("{:021x}", rng.u128(..) >> 44));
    json.text("name", product.name);
    json.number("sale", sale);
    json.text("size", pick(rng, product.sizes));
    json.number("total_price", total_price);
    json.number("nm_id", rng.i64(100_000..9_999_999));
    json.text("brand", product.brand);
    json.number("status", 202);
    json.close();
    total_price
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}

fn timestamp(second: i64) -> jiff::Timestamp {
    // Out of range only in the year 10,000.
    jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX)
}

/// Writes members, each with a comma behind it. Nothing here needs escaping.
struct Json<'a>(&'a mut String);

impl Json<'_> {
    fn open(&mut self, key: &str) {
        self.0.push_str(key);
        self.0.push('{');
    }

    fn close(&mut self) {
        self.0.pop();
        self.0.push_str("},");
    }

    fn key(&mut self, key: &str) {
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.push('"');
        self.0.push_str(value);
        self.0.push_str("\",");
    }

    fn words(&mut self, key: &str, value: std::fmt::Arguments<'_>) {
        self.key(key);
        // Writing to a String does not fail.
        let _ = write!(self.0, "\"{value}\",");
    }

    fn number(&mut self, key: &str, value: i64) {
        self.key(key);
        let _ = write!(self.0, "{value},");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_order_obeys_the_rules_that_the_model_obeys() {
        let mut samples = Samples::seeded(7);
        let mut uids = HashSet::new();
        let mut counts = HashSet::new();
        for _ in 0..5_000 {
            let order: Value = serde_json::from_str(&samples.order()).unwrap();
            let (payment, delivery) = (&order["payment"], &order["delivery"]);
            let money = |of: &Value, name: &str| of[name].as_i64().unwrap();
            let items = order["items"].as_array().unwrap();
            let goods: i64 = items.iter().map(|item| money(item, "total_price")).sum();
            assert_eq!(money(payment, "goods_total"), goods);
            let fees = money(payment, "delivery_cost") + money(payment, "custom_fee");
            assert_eq!(money(payment, "amount"), goods + fees);
            assert_eq!(payment["transaction"], order["order_uid"]);
            assert!(
                items
                    .iter()
                    .all(|item| item["track_number"] == order["track_number"])
            );
            let phone = delivery["phone"]
                .as_str()
                .unwrap()
                .strip_prefix('+')
                .unwrap();
            assert!(
                (8..=15).contains(&phone.len()) && !phone.starts_with('0'),
                "{phone}"
            );
            assert!(phone.bytes().all(|b| b.is_ascii_digit()));
            let email = delivery["email"].as_str().unwrap();
            assert!(email.is_ascii() && !email.contains(' ') && email.matches('@').count() == 1);
            let created: jiff::Timestamp = order["date_created"].as_str().unwrap().parse().unwrap();
            assert_eq!(created.as_second(), money(payment, "payment_dt"));
            let uid = order["order_uid"].as_str().unwrap().to_owned();
            assert_eq!(uid.len(), 19);
            assert!(uids.insert(uid));
            counts.insert(items.len());
        }
        assert_eq!(counts, HashSet::from([1, 2, 3, 4, 5]));
    }

    #[test]
    fn an_order_has_the_members_of_the_model() {
        fn members(value: &Value, path: &str, into: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    for (name, value) in object {
                        members(value, &format!("{path}/{name}"), into);
                    }
                }
                Value::Array(items) => members(&items[0], &format!("{path}/0"), into),
                _ => into.push(path.to_owned()),
            }
        }
        let of = |json: &str| {
            let mut names = Vec::new();
            members(&serde_json::from_str(json).unwrap(), "", &mut names);
            names
        };
        assert_eq!(of(&Samples::seeded(1).order()), of(MODEL));
    }

    const MODEL: &str = r#"{"order_uid":"","track_number":"","entry":"","delivery":{"name":"","phone":"",
        "zip":"","city":"","address":"","region":"","email":""},"payment":{"transaction":"","request_id":"",
        "currency":"","provider":"","amount":1,"payment_dt":1,"bank":"","delivery_cost":1,"goods_total":1,
        "custom_fee":0},"items":[{"chrt_id":1,"track_number":"","price":1,"rid":"","name":"","sale":1,
        "size":"","total_price":1,"nm_id":1,"brand":"","status":1}],"locale":"","internal_signature":"",
        "customer_id":"","delivery_service":"","shardkey":"","sm_id":1,"date_created":"","oof_shard":""}"#;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let (mut one, mut other) = (Samples::seeded(3), Samples::seeded(3));
        for kind in Junk::ALL {
            assert_eq!(one.order(), other.order());
            assert_eq!(one.junk(kind), other.junk(kind));
        }
        assert_ne!(Samples::seeded(4).order(), Samples::seeded(3).order());
        assert_ne!(Samples::new().order(), Samples::new().order());
    }
}
