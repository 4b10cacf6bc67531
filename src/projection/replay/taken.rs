//! Which keys are taken, while orders are loaded into a table without an index. Each is kept as 16 bytes: two hashes with
//! random keys. After a few million the load ends, and `catch_up` asks the index instead, so the memory is bounded.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;

use futures_util::TryStreamExt;

use crate::postgres::{Client, Error};

/// 4 million orders are some 128 MB at most.
const MOST: usize = 4_000_000;

#[derive(Default)]
pub struct Taken {
    uids: foldhash::HashSet<(u64, u64)>,
    keys: (RandomState, RandomState),
}

const UIDS: &str = "select key from orders";

impl Taken {
    /// Reads them from the shadow tables, where a load goes on after a kill.
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

    /// SipHash twice, 128 bits: two keys of a few million have the same digest neither by chance nor, as nobody knows the
    /// keys, by somebody's choice.
    fn digest(&self, key: &str) -> (u64, u64) {
        let (first, second) = &self.keys;
        (first.hash_one(key), second.hash_one(key))
    }

    pub fn contains(&self, key: &str) -> bool {
        self.uids.contains(&self.digest(key))
    }

    pub fn insert(&mut self, key: &str) {
        let digest = self.digest(key);
        self.uids.insert(digest);
    }

    pub fn is_full(&self) -> bool {
        self.uids.len() >= MOST
    }
}
