//! Which order_uids are taken, while the rows are loaded into a table without an index: 16 bytes of SHA-256 for each. Past
//! a few million the index is built and asked instead, so the memory is bounded.

use std::pin::pin;

use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::postgres::{Client, Error};

/// 4 million orders are some 128 MB at most.
const MOST: usize = 4_000_000;

#[derive(Default)]
pub struct Taken(foldhash::HashSet<u128>);

fn digest(order_uid: &str) -> u128 {
    let digest = Sha256::digest(order_uid.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(first)
}

const UIDS: &str = "select order_uid from orders";

impl Taken {
    /// As the shadow tables have it, after a kill: one pass, streamed.
    pub async fn load(client: &Client) -> Result<Self, Error> {
        let mut taken = Self::default();
        client.batch_execute("set statement_timeout = 0").await?;
        let rows = client.query_raw(UIDS, Vec::<i64>::new()).await?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await? {
            taken.insert(row.get(0));
        }
        client
            .batch_execute("set statement_timeout = '12s'")
            .await?;
        Ok(taken)
    }

    pub fn contains(&self, order_uid: &str) -> bool {
        self.0.contains(&digest(order_uid))
    }

    pub fn insert(&mut self, order_uid: &str) {
        self.0.insert(digest(order_uid));
    }

    pub fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }
}
