//! Which keys are taken, while documents are loaded into tables without an index. Each is kept as 16 bytes: two hashes with
//! random keys. After a few million the load ends, and `catch_up` asks the indexes instead, so the memory is bounded.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;

use foldhash::{HashMap, HashSet};
use futures_util::TryStreamExt;

use super::super::state::{Known, Question, Standing, States};
use crate::collection::{Id, Keep};
use crate::document::{self, Table};
use crate::inbox::Position;
use crate::postgres::{Client, Error, Sql};
use crate::record::Version;

/// 4 million keys are some 128 MB at most.
const MOST: usize = 4_000_000;

type Digest = (u64, u64);

#[derive(Default)]
pub struct Taken {
    /// Keys of `first`, versions of `latest`.
    keys: HashSet<Digest>,
    /// Documents of `latest`, as they stand.
    standing: HashMap<Digest, Standing>,
    hashers: (RandomState, RandomState),
}

impl Taken {
    /// Reads them from the shadow tables, where a load goes on after a kill.
    pub async fn load(client: &Client, tables: &[(Id, Keep)]) -> Result<Self, Error> {
        let mut taken = Self::default();
        client.batch_execute("set statement_timeout = 0").await?;
        for (id, keep) in tables {
            match keep {
                Keep::First => taken.load_first(client, *id).await?,
                Keep::Latest => taken.load_latest(client, *id).await?,
            }
        }
        client
            .batch_execute("set statement_timeout = '12s'")
            .await?;
        Ok(taken)
    }

    async fn load_first(&mut self, client: &Client, id: Id) -> Result<(), Error> {
        let mut sql = Sql::new("select key from ");
        sql.name(&document::table(id, Table::Documents));
        let rows = client.query_raw(sql.text(), Vec::<i64>::new()).await?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await? {
            let digest = self.digest(id, row.get(0), "");
            self.keys.insert(digest);
        }
        Ok(())
    }

    /// As the fold would have left them, version after version.
    async fn load_latest(&mut self, client: &Client, id: Id) -> Result<(), Error> {
        let mut sql = Sql::new("select v.key, v.version, v.what, v.age, i.payload from ");
        sql.name(&document::table(id, Table::Versions))
            .push(" v join inbox i on i.position = v.bytes_position order by v.position");
        let rows = client.query_raw(sql.text(), Vec::<i64>::new()).await?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await? {
            let (key, what): (&str, &str) = (row.get(0), row.get(2));
            let version: Option<&str> = row.get(1);
            let age = Position(row.get(3));
            let digest = self.digest(id, key, "");
            match (what, self.standing.get_mut(&digest)) {
                ("document", _) => {
                    let standing = Standing {
                        digest: super::super::examine::digest(row.get(4)),
                        age,
                        version: version.and_then(Version::read),
                    };
                    self.standing.insert(digest, standing);
                }
                ("duplicate", Some(standing)) if standing.version.is_none() => {
                    standing.age = standing.age.max(age);
                }
                _ => {}
            }
            if let Some(version) = version.filter(|_| what != "duplicate") {
                let digest = self.digest(id, key, version);
                self.keys.insert(digest);
            }
        }
        Ok(())
    }

    /// SipHash twice, 128 bits: two keys of a few million have the same digest neither by chance nor, as nobody knows the
    /// hashers' keys, by somebody's choice.
    fn digest(&self, id: Id, key: &str, version: &str) -> Digest {
        let (first, second) = &self.hashers;
        let whole = (id.0, key, version);
        (first.hash_one(whole), second.hash_one(whole))
    }

    /// What the load knows of what a row asks.
    pub fn answer(&self, keep: Keep, asked: &Question<'_>, states: &mut States) {
        let state = states.of(asked.id);
        let digest = self.digest(asked.id, asked.key, "");
        match keep {
            Keep::First if self.keys.contains(&digest) => {
                state.documents.insert(asked.key.into(), Known::Taken);
            }
            Keep::First => {}
            Keep::Latest => {
                if let Some(standing) = self.standing.get(&digest) {
                    state.standing.insert(asked.key.into(), standing.clone());
                }
                if let Some(version) = asked.version {
                    let digest = self.digest(asked.id, asked.key, &version.to_string());
                    if self.keys.contains(&digest) {
                        let version = (asked.key.into(), version.clone());
                        state.versions.insert(version, Known::Taken);
                    }
                }
            }
        }
    }

    /// Takes over what a batch has left.
    pub fn learn(&mut self, states: &States) {
        for (id, state) in states.iter() {
            for key in state.documents.keys() {
                let digest = self.digest(id, key, "");
                self.keys.insert(digest);
            }
            for (key, standing) in &state.standing {
                let digest = self.digest(id, key, "");
                self.standing.insert(digest, standing.clone());
            }
            for (key, version) in state.versions.keys() {
                let digest = self.digest(id, key, &version.to_string());
                self.keys.insert(digest);
            }
        }
    }

    pub fn is_full(&self) -> bool {
        self.keys.len() + self.standing.len() >= MOST
    }
}
