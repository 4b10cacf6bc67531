//! Which definitions are in force: what the `define` and `drop` decisions of the log have come to. A process that cannot compile
//! one of them neither projects nor takes the lease, and takes no messages for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::Error;
use super::outcome::Outcome;
use crate::cache::Served;
use crate::collection::{self, Collection, Id};
use crate::document::Place;
use crate::expression::hash;
use crate::inbox::Position;
use crate::postgres::{self, Client, copy, query, query_one, query_opt};
use crate::record::Model;

/// A collection in force.
#[derive(Clone)]
pub struct Defined {
    pub id: Id,
    /// Where in the log its definition is; 0 for what a database begins with.
    pub position: Position,
    pub name: Arc<str>,
    pub text: Arc<str>,
    pub hash: Arc<str>,
    /// None if this version of the service cannot compile the text.
    pub compiled: Option<Arc<Collection>>,
    /// The definitions before it that look otherwise, since the collection was first defined.
    earlier: Vec<Arc<Collection>>,
    /// The hash of 0.1's rules, if nothing has been defined since: a `rules` decision of 0.1 names it.
    rules: Option<Arc<str>>,
}

impl Defined {
    pub fn collection(&self) -> Result<&Arc<Collection>, Error> {
        self.compiled
            .as_ref()
            .ok_or_else(|| Error::UnknownDefinition {
                name: self.name.to_string(),
                position: self.position.0,
            })
    }

    /// What one of its documents is called.
    pub fn one(&self) -> &str {
        self.compiled
            .as_ref()
            .map_or("document", |one| one.model.one.as_str())
    }

    /// What readers are served: what all its definitions have required is required.
    pub fn served_schema(&self) -> Option<serde_json::Value> {
        let earlier: Vec<&Model> = self.earlier.iter().map(|one| &one.model).collect();
        let model = &self.compiled.as_ref()?.model;
        Some(model.served_schema_since(&earlier))
    }

    /// Where its documents are. One that cannot be compiled is as `first` is: its documents can be read by their keys.
    pub fn place(&self) -> Place {
        let keep = self
            .compiled
            .as_ref()
            .map_or(collection::Keep::First, |one| one.keep);
        Place { id: self.id, keep }
    }
}

impl std::fmt::Debug for InForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.names.values().map(|one| (&one.name, one.position.0));
        f.debug_map().entries(names).finish()
    }
}

/// All that is in force at a moment.
#[derive(Clone)]
pub struct InForce {
    /// Of the last define or drop that was done; 0 if there never was one.
    pub position: Position,
    names: BTreeMap<Arc<str>, Arc<Defined>>,
    /// Where a name that is not in force was dropped.
    dropped: BTreeMap<Arc<str>, Position>,
}

impl Default for InForce {
    /// What a database begins with.
    fn default() -> Self {
        let orders = collection::orders();
        let name: Arc<str> = orders.name.as_str().into();
        let defined = Defined {
            id: Id::ORDERS,
            position: Position(0),
            name: name.clone(),
            text: orders.text.as_str().into(),
            hash: orders.hash.as_str().into(),
            compiled: Some(orders.clone()),
            earlier: Vec::new(),
            rules: Some("".into()),
        };
        Self {
            position: Position(0),
            names: BTreeMap::from([(name, Arc::new(defined))]),
            dropped: BTreeMap::new(),
        }
    }
}

/// A decision about a definition, as the log has it.
pub enum Change<'d> {
    Define {
        text: &'d str,
        replaces: Position,
    },
    Drop {
        replaces: Position,
    },
    /// 0.1's: other rules for the orders, in the place of those with this hash.
    Rules {
        text: &'d str,
        replaces: &'d str,
    },
}

impl Change<'_> {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Define { .. } => "define",
            Self::Drop { .. } => "drop",
            Self::Rules { .. } => "rules",
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Define { text, .. } | Self::Rules { text, .. } => text,
            Self::Drop { .. } => "",
        }
    }
}

impl InForce {
    pub fn get(&self, name: &str) -> Option<&Arc<Defined>> {
        self.names.get(name)
    }

    pub fn by_id(&self, id: Id) -> Option<&Arc<Defined>> {
        self.names.values().find(|defined| defined.id == id)
    }

    /// What readers are served.
    pub fn served(&self) -> impl Iterator<Item = Served> {
        self.names.values().map(|defined| Served {
            name: defined.name.clone(),
            place: defined.place(),
            looks: defined.compiled.clone(),
            since: defined.position,
        })
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Defined>> {
        self.names.values()
    }

    /// The first that this version cannot compile.
    pub fn check(&self) -> Result<(), Error> {
        self.names
            .values()
            .try_for_each(|defined| defined.collection().map(|_| ()))
    }

    /// What a definition of this name has to say that it replaces: the definition in force, or where the name was dropped.
    pub fn stands_at(&self, name: &str) -> Position {
        match (self.names.get(name), self.dropped.get(name)) {
            (Some(defined), _) => defined.position,
            (None, Some(dropped)) => *dropped,
            (None, None) => Position(0),
        }
    }

    /// As if this definition were in force.
    pub fn with(&self, collection: &Arc<Collection>) -> Self {
        let mut as_if = self.clone();
        let name: Arc<str> = collection.name.as_str().into();
        let now = self.names.get(&name);
        let defined = Defined {
            id: now.map_or(Id::PLANNED, |now| now.id),
            position: Position(i64::MAX),
            name: name.clone(),
            text: collection.text.as_str().into(),
            hash: collection.hash.as_str().into(),
            compiled: Some(collection.clone()),
            earlier: Vec::new(),
            rules: None,
        };
        as_if.names.insert(name, Arc::new(defined));
        as_if
    }

    /// What comes of a decision at this position. The first in the log wins: it says which definition it replaces.
    pub fn change(&mut self, name: &str, position: Position, change: &Change<'_>) -> (Outcome, Id) {
        let now = self.names.get(name).cloned();
        let id = now.as_ref().map_or(Id::NONE, |now| now.id);
        let (compiled, rules) = match change {
            Change::Define { text, replaces } => {
                if now.as_ref().is_some_and(|now| *now.hash == hash(text)) {
                    return (Outcome::AlreadySo, id);
                }
                if *replaces != self.stands_at(name) {
                    return (Outcome::TooLate, id);
                }
                (load(text), None)
            }
            Change::Drop { replaces } => {
                let outcome = match &now {
                    None if self.dropped.contains_key(name) => Outcome::AlreadySo,
                    Some(now) if now.position == *replaces => {
                        self.remove(name, position);
                        Outcome::Done
                    }
                    _ => Outcome::TooLate,
                };
                return (outcome, id);
            }
            Change::Rules { text, replaces } => {
                let Some(before) = now.as_ref().and_then(|now| now.rules.clone()) else {
                    return (Outcome::TooLate, id);
                };
                let hash = hash(text);
                if *before == hash {
                    return (Outcome::AlreadySo, id);
                }
                if *before != **replaces {
                    return (Outcome::TooLate, id);
                }
                (with_rules(text), Some(hash))
            }
        };
        let before = now.as_ref().and_then(|now| now.compiled.as_ref());
        if let (Some(before), Some(later)) = (before, &compiled)
            && !before.may_become(later)
        {
            return (Outcome::Refused, id);
        }
        let id = self.put(name, position, change.text(), compiled, rules);
        (Outcome::Done, id)
    }

    /// From this position on a definition is in force. Its collection's id.
    fn put(
        &mut self,
        name: &str,
        position: Position,
        text: &str,
        compiled: Option<Arc<Collection>>,
        rules: Option<String>,
    ) -> Id {
        let now = self.names.get(name).cloned();
        let id = now.as_ref().map_or(Id(position.0), |now| now.id);
        let mut earlier = now
            .as_ref()
            .map(|now| now.earlier.clone())
            .unwrap_or_default();
        let before = now.and_then(|now| now.compiled.clone());
        let looks = compiled.as_ref().map(|one| &one.looks);
        earlier.extend(before.filter(|before| Some(&before.looks) != looks));
        let (text, hash) = match &compiled {
            Some(compiled) => (compiled.text.as_str().into(), compiled.hash.as_str().into()),
            None => (text.into(), hash(text).into()),
        };
        let defined = Defined {
            id,
            position,
            name: name.into(),
            text,
            hash,
            compiled,
            earlier,
            rules: rules.map(Into::into),
        };
        self.names.insert(defined.name.clone(), Arc::new(defined));
        self.dropped.remove(name);
        self.position = position;
        id
    }

    fn remove(&mut self, name: &str, position: Position) {
        self.names.remove(name);
        self.dropped.insert(name.into(), position);
        self.position = position;
    }
}

/// 0.1's: the definition that a database begins with, and these.
fn with_rules(rules: &str) -> Option<Arc<Collection>> {
    collection::orders().with_rules(rules).ok().map(Arc::new)
}

fn load(text: &str) -> Option<Arc<Collection>> {
    match Collection::load(text) {
        Ok(collection) => Some(Arc::new(collection)),
        Err(mistakes) => {
            tracing::error!(
                "a definition of the log cannot be compiled by this version: {mistakes:?}"
            );
            None
        }
    }
}

/// How one decision about a definition ended.
pub struct Applied {
    pub position: Position,
    pub id: Id,
    pub name: String,
    pub action: &'static str,
    pub text: String,
    pub result: Outcome,
}

const COPY_DEFINITIONS: &str =
    "copy definitions (position, collection, name, action, hash, text, result) from stdin binary";

pub async fn write(client: &Client, applied: &[Applied]) -> Result<(), postgres::Error> {
    copy(client, COPY_DEFINITIONS, 7, applied.iter(), |row, one| {
        row.int8(one.position.0);
        row.int8(one.id.0);
        row.text(&one.name);
        row.text(one.action);
        row.text(&hash(&one.text));
        row.text(&one.text);
        row.text(one.result.as_str());
    })
    .await
}

/// Nearly always a few rows: the log's whole history of definitions.
const DONE: &str = "
    select position, name, action, text from definitions
    where result = 'done' and position > $1 and position <= $2 order by position";

/// A decision of which it is known that it was done.
pub struct Done {
    position: Position,
    name: String,
    action: String,
    text: String,
}

async fn done(
    client: &Client,
    after: Position,
    until: Position,
) -> Result<Vec<Done>, postgres::Error> {
    let rows = query(client, DONE, &[&after.0, &until.0]).await?;
    let done = rows.iter().map(|row| Done {
        position: Position(row.get("position")),
        name: row.get("name"),
        action: row.get("action"),
        text: row.get("text"),
    });
    Ok(done.collect())
}

/// All that has changed what is in force, up to a position of the live tables.
pub async fn changes(client: &Client, until: Position) -> Result<Vec<Done>, postgres::Error> {
    done(client, Position(0), until).await
}

/// What was in force at a position.
pub async fn load_until(client: &Client, until: Position) -> Result<InForce, postgres::Error> {
    let mut in_force = InForce::default();
    catch_up(client, &mut in_force, until).await?;
    Ok(in_force)
}

/// Brings what is in force up to a position. True if it has changed.
pub async fn catch_up(
    client: &Client,
    in_force: &mut InForce,
    until: Position,
) -> Result<bool, postgres::Error> {
    let done = done(client, in_force.position, until).await?;
    for one in &done {
        in_force.apply(one);
    }
    Ok(!done.is_empty())
}

impl InForce {
    /// Its outcome is known, so nothing is asked again: other code may have judged it.
    pub fn apply(&mut self, done: &Done) {
        let (name, text) = (done.name.as_str(), done.text.as_str());
        match done.action.as_str() {
            "drop" => self.remove(name, done.position),
            "rules" => {
                self.put(
                    name,
                    done.position,
                    text,
                    with_rules(text),
                    Some(hash(text)),
                );
            }
            _ => {
                self.put(name, done.position, text, load(text), None);
            }
        }
    }
}

/// By definitions_pkey: they are few.
const STANDS_AT: &str = "select coalesce(max(position), 0) as position from definitions where name = $1 and result = 'done'";

/// As `InForce::stands_at`, from the tables: what another replica has projected this one may not know yet.
pub async fn stands_at(client: &Client, name: &str) -> Result<Position, postgres::Error> {
    let row = query_one(client, STANDS_AT, &[&name]).await?;
    Ok(Position(row.get("position")))
}

/// By definitions_collection.
const BETWEEN: &str = "
    select 1 from definitions where collection = $1 and position > $2 and position < $3 and result = 'done' limit 1";

/// Whether another definition of a collection was in force after the one at `from` and before the one at `to`.
pub async fn is_defined_between(
    client: &Client,
    id: Id,
    from: Position,
    to: Position,
) -> Result<bool, postgres::Error> {
    let found = query_opt(client, BETWEEN, &[&id.0, &from.0, &to.0]).await?;
    Ok(found.is_some())
}

/// By definitions_pkey: they are few.
const HISTORY: &str = "
    select d.position, d.collection, d.action, d.hash, d.text, d.result, i.received_at, i.decision ->> 'who' as who,
        coalesce(i.decision ->> 'why', '') as why, i.decision ->> 'proof' as proof
    from definitions d join inbox i on i.position = d.position
    where d.name = $1 and d.position < $2 order by d.position desc limit $3";

/// One decision about a definition, as its history shows it.
pub struct Entry {
    pub position: Position,
    pub id: Id,
    pub action: String,
    pub hash: String,
    pub text: String,
    pub result: String,
    pub at: Timestamp,
    pub who: String,
    pub why: String,
    pub proof: Option<String>,
}

pub async fn history(
    client: &Client,
    name: &str,
    before: i64,
    limit: i64,
) -> Result<Vec<Entry>, postgres::Error> {
    let rows = query(client, HISTORY, &[&name, &before, &limit]).await?;
    let entry = |row: &Row| Entry {
        position: Position(row.get("position")),
        id: Id(row.get("collection")),
        action: row.get("action"),
        hash: row.get("hash"),
        text: row.get("text"),
        result: row.get("result"),
        at: row.get("received_at"),
        who: row.get("who"),
        why: row.get("why"),
        proof: row.get("proof"),
    };
    Ok(rows.iter().map(entry).collect())
}
