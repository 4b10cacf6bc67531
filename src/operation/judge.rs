//! Judging letters again without deciding anything: for dry runs, for healing, for the check of new rules. The same order of
//! questions as the fold's.

use std::collections::HashMap;

use bytes::Bytes;

use crate::inbox;
use crate::order::{self, Rejection, Rules, store};
use crate::postgres::{Client, Error};

/// What the letter would become.
pub enum Would {
    Pass,
    /// The order is there already.
    BeDuplicate,
    Fail(Rejection),
}

/// Letters that passed earlier in the same set take their uids, as they would in the fold.
#[derive(Default)]
pub struct Passed(HashMap<String, u64>);

fn digest(data: &str) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(data.as_bytes());
    hasher.finish()
}

/// In the order of `letters`.
pub async fn judge(
    client: &Client,
    rules: &Rules,
    passed: &mut Passed,
    letters: &[i64],
) -> Result<Vec<(i64, Would)>, Error> {
    let bytes: HashMap<i64, Bytes> = inbox::payloads(client, letters)
        .await?
        .into_iter()
        .map(|(position, bytes)| (position.0, bytes))
        .collect();
    let parsed: Vec<(i64, &Bytes, Result<order::Order<'_>, Rejection>)> = letters
        .iter()
        .filter_map(|letter| {
            let bytes = bytes.get(letter)?;
            Some((*letter, bytes, order::parse(bytes)))
        })
        .collect();
    let order_uids: Vec<&str> = parsed
        .iter()
        .filter_map(|(_, _, parsed)| match parsed {
            Ok(order) => Some(&*order.order_uid),
            Err(rejection) => rejection.order_uid(),
        })
        .collect();
    let taken: HashMap<String, Bytes> = store::find(client, &order_uids)
        .await?
        .into_iter()
        .collect();
    let mut judged = Vec::with_capacity(parsed.len());
    for (letter, bytes, parsed) in &parsed {
        judged.push((*letter, one(rules, passed, &taken, bytes, parsed)));
    }
    Ok(judged)
}

fn one(
    rules: &Rules,
    passed: &mut Passed,
    taken: &HashMap<String, Bytes>,
    bytes: &Bytes,
    parsed: &Result<order::Order<'_>, Rejection>,
) -> Would {
    let order = match parsed {
        Ok(order) => order,
        Err(rejection) => return Would::Fail(rejection.clone()),
    };
    let order_uid = order.order_uid.to_string();
    let data = order.to_json();
    let equal = match (taken.get(&order_uid), passed.0.get(&order_uid)) {
        (Some(known), _) => {
            Some(known == bytes || order::parse(known).is_ok_and(|known| known.to_json() == data))
        }
        (None, Some(before)) => Some(*before == digest(&data)),
        (None, None) => None,
    };
    match equal {
        Some(true) => Would::BeDuplicate,
        Some(false) => Would::Fail(Rejection::conflict(&order_uid)),
        None => match rules.check(order) {
            Err(rejection) => Would::Fail(rejection),
            Ok(()) => {
                passed.0.insert(order_uid, digest(&data));
                Would::Pass
            }
        },
    }
}
