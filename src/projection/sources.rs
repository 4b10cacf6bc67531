//! Where rows come from: which collection each source feeds, and whose sequences can have holes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::inbox::SourceId;
use crate::postgres::{Client, Error, query};

const SOURCES: &str = "select id, kind, collection from source";
/// Only a broker's sequences can have holes, so only those are kept account of.
const BROKERS: [&str; 2] = ["stan", "jetstream"];

/// As far as they were asked for: a source's collection never changes, and new ones appear.
#[derive(Clone, Default)]
pub struct Sources(HashMap<SourceId, Source>);

#[derive(Clone)]
struct Source {
    is_broker: bool,
    collection: Option<Arc<str>>,
}

impl Sources {
    /// Reads them again if one of these is not known.
    pub async fn know(
        &mut self,
        client: &Client,
        mut sources: impl Iterator<Item = SourceId>,
    ) -> Result<(), Error> {
        if sources.all(|source| self.0.contains_key(&source)) {
            return Ok(());
        }
        for row in query(client, SOURCES, &[]).await? {
            let collection: Option<&str> = row.get("collection");
            let source = Source {
                is_broker: BROKERS.contains(&row.get("kind")),
                collection: collection.map(Into::into),
            };
            self.0.insert(SourceId(row.get("id")), source);
        }
        Ok(())
    }

    pub fn is_broker(&self, source: SourceId) -> bool {
        self.0.get(&source).is_some_and(|source| source.is_broker)
    }

    /// The name of the collection that it feeds; none of the operator's decisions.
    pub fn collection(&self, source: SourceId) -> Option<Arc<str>> {
        self.0.get(&source)?.collection.clone()
    }
}
