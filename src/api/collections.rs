//! The collections: which there are, what each is, its history, and how to say what one is to be: a decision in the log.

use std::sync::Arc;

use poem::Body;
use poem::http::StatusCode;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, watch};

use super::asker::Asker;
use super::decide::{DecisionAnswer, Desk};
use super::documents::no_collection;
use super::operations::Started;
use super::problem::{Mistake, Problem};
use super::raw::{DefinitionFile, Message, whole_body};
use super::{Dependencies, times};
use crate::access::Principal;
use crate::account;
use crate::collection::{Collection, Keep, may_be_called};
use crate::document;
use crate::expression::Mistake as Found;
use crate::inbox::Decision;
use crate::operation::{self, Kind, PlanRequest};
use crate::postgres::Database;
use crate::projection::{self, Defined, InForce};

/// Of what the log holds at once, many are of no use, and each costs memory in every replica.
const MOST_COLLECTIONS: usize = 100;
/// The largest definition.
const MAX_BYTES: usize = 256 * 1024;

pub struct Collections {
    database: Database,
    in_force: watch::Receiver<Arc<InForce>>,
    desk: Desk,
    /// One file at a time is compiled: many hostile ones keep one core busy at most.
    compiler: Semaphore,
    asked: Arc<Notify>,
    max_body_bytes: usize,
}

/// How many rows of the log met each fate.
#[derive(Object, Default)]
pub struct CollectionCounts {
    documents: i64,
    superseded: i64,
    duplicates: i64,
    dead_letters: i64,
    decisions: i64,
}

/// A collection in force.
#[derive(Object)]
#[oai(example)]
pub struct CollectionView {
    name: String,
    /// The position of its first definition since it was last dropped; 0 for what a database begins with.
    id: i64,
    /// The position of the definition in force; 0 for what a database begins with. `PUT ?replaces=` names it.
    position: i64,
    /// SHA-256 of the definition's text.
    hash: String,
    /// What one document is called.
    one: String,
    title: String,
    about: String,
    /// first: the first valid message for a key is the document; latest: a later one takes its place.
    keep: String,
    /// JSON pointers of the key's parts; empty if each message is a document of its own.
    key: Vec<String>,
    /// JSON pointers that lists are filtered by, each a parameter by its dotted path.
    lookups: Vec<String>,
    /// Whether there is a running sum for each account.
    sums: bool,
    counts: CollectionCounts,
    /// What is wrong with its tables, if anything is.
    trouble: Option<String>,
}

#[derive(Object)]
#[oai(example)]
pub struct CollectionList {
    items: Vec<CollectionView>,
}

/// A collection with its definition.
#[derive(Object)]
#[oai(example)]
pub struct CollectionDefinition {
    #[oai(flatten)]
    collection: CollectionView,
    /// The YAML, as it was applied.
    text: String,
}

/// One decision about a definition.
#[derive(Object)]
pub struct DefinitionEntry {
    position: i64,
    /// define, drop, rules (0.1's)
    action: String,
    hash: String,
    text: String,
    /// done, already_so, too_late, refused
    result: String,
    who: String,
    /// How it is known who: token; null where it is what the client said.
    proof: Option<String>,
    why: String,
    at: String,
}

#[derive(Object)]
#[oai(example)]
pub struct Definitions {
    items: Vec<DefinitionEntry>,
    next: Option<String>,
}

/// What a definition says of a message.
#[derive(Object)]
#[oai(example)]
pub struct Judgement {
    valid: bool,
    /// The document as it would be served; null where it is none.
    document: Any<Value>,
    /// Why not.
    reason: Option<String>,
    key: Option<String>,
    /// All that is wrong in the first layer that objects: code, message, pointer, line, column.
    violations: Any<Value>,
}

/// A message that came for a key.
#[derive(Object)]
pub struct DocumentVersion {
    position: i64,
    /// The position of the message that it came from; of a healed or mended one, of its first letter.
    age: i64,
    /// document, superseded, duplicate
    what: String,
    /// Whether it has taken the document away.
    gone: bool,
    received_at: String,
    document: Any<Value>,
}

#[derive(Object)]
#[oai(example)]
pub struct DocumentVersions {
    /// Newest first.
    items: Vec<DocumentVersion>,
    next: Option<String>,
}

#[derive(Object)]
pub struct SumView {
    account: String,
    sum: i64,
    entries: i64,
    last_position: i64,
}

#[derive(Object)]
#[oai(example)]
pub struct SumPage {
    items: Vec<SumView>,
    next: Option<String>,
}

/// What one message has added.
#[derive(Object)]
pub struct SumEntry {
    position: i64,
    value: i64,
    received_at: String,
}

/// An account's sum, and what it is made of.
#[derive(Object)]
#[oai(example)]
pub struct Statement {
    account: String,
    sum: i64,
    entries: i64,
    last_position: i64,
    /// Newest first.
    items: Vec<SumEntry>,
    next: Option<String>,
}

impl Collections {
    pub fn new(deps: &Dependencies, max_body_bytes: usize) -> Self {
        Self {
            database: deps.database.clone(),
            in_force: deps.in_force.clone(),
            desk: Desk::new(deps),
            compiler: Semaphore::new(1),
            asked: deps.asked.clone(),
            max_body_bytes,
        }
    }

    fn now(&self) -> Arc<InForce> {
        self.in_force.borrow().clone()
    }

    fn seen(&self, name: &str, principal: &Principal) -> Result<Arc<Defined>, Problem> {
        let defined = self.now().get(name).cloned();
        let seen = defined.filter(|_| principal.sees(name));
        seen.ok_or_else(|| no_collection(name))
    }

    /// The text of a definition that compiles, or every mistake in it with its place. Readers do not wait meanwhile.
    async fn compiled(&self, body: Body) -> Result<Collection, Problem> {
        let bytes = whole_body(body, MAX_BYTES).await?;
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| Problem::bad_request("The definition is not UTF-8."))?;
        let stopping = || Problem::unavailable("The service is stopping.");
        let _turn = self.compiler.acquire().await.map_err(|_| stopping())?;
        let compile = move || Collection::compile(&text);
        let compiled = tokio::task::spawn_blocking(compile).await;
        compiled.map_err(|_| stopping())?.map_err(mistaken)
    }

    async fn views(&self, defined: &[Arc<Defined>]) -> Result<Vec<CollectionView>, Problem> {
        let reader = self.database.reader().await?;
        let counts = account::by_collection(&reader).await?;
        let tables = projection::tables(&reader).await?;
        let view = |one: &Arc<Defined>| {
            let count = |fate| counts.get(&(one.id, fate)).copied().unwrap_or(0);
            let made = tables.iter().find(|made| made.id == one.id);
            let compiled = one.compiled.as_deref();
            let trouble = made.and_then(|made| made.trouble.clone());
            CollectionView {
                name: one.name.to_string(),
                id: one.id.0,
                position: one.position.0,
                hash: one.hash.to_string(),
                one: one.one().to_owned(),
                title: compiled.map_or_else(|| one.name.to_string(), |one| one.title.clone()),
                about: compiled.map(|one| one.about.clone()).unwrap_or_default(),
                keep: match one.place().keep {
                    Keep::First => "first",
                    Keep::Latest => "latest",
                }
                .to_owned(),
                key: compiled.map(|one| one.key.clone()).unwrap_or_default(),
                lookups: compiled.map(|one| one.lookups.clone()).unwrap_or_default(),
                sums: compiled.is_some_and(|one| one.sum.is_some()),
                counts: CollectionCounts {
                    documents: count(account::Fate::Document),
                    superseded: count(account::Fate::Superseded),
                    duplicates: count(account::Fate::Duplicate),
                    dead_letters: count(account::Fate::DeadLetter),
                    decisions: count(account::Fate::Decision),
                },
                trouble: trouble.or_else(|| one.collection().err().map(|error| error.to_string())),
            }
        };
        Ok(defined.iter().map(view).collect())
    }

    /// In force, or answered before by another definition: what this one says that it replaces. From the tables, not from what
    /// this replica knows: whoever has applied one by another replica applies the next by any.
    async fn replaced(
        &self,
        name: &str,
        asked: Option<i64>,
        key: Option<&String>,
    ) -> Result<i64, Problem> {
        match (asked, key) {
            (Some(position), _) => Ok(position),
            // In this order: where the first of two with one key is in force already, its decision is found.
            (None, Some(key)) => {
                let now = self.stands_at(name).await?;
                let earlier = self.desk.earlier(key).await?;
                Ok(earlier.and_then(|by| by.replaces_position).unwrap_or(now))
            }
            (None, None) => self.stands_at(name).await,
        }
    }

    async fn stands_at(&self, name: &str) -> Result<i64, Problem> {
        let reader = self.database.reader().await?;
        Ok(projection::stands_at(&reader, name).await?.0)
    }
}

/// Whether something may be called so, and whoever asks may see it, also where nothing is.
fn named(name: &str, principal: &Principal) -> Result<(), Problem> {
    match principal.sees(name) && may_be_called(name) {
        true => Ok(()),
        false => Err(no_collection(name)),
    }
}

fn mistaken(mistakes: Vec<Found>) -> Problem {
    let mut problem = Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "definition-mistaken",
        format!(
            "The definition has {} mistake(s); nothing was changed.",
            mistakes.len()
        ),
    );
    problem.mistakes = mistakes
        .into_iter()
        .map(|mistake| Mistake {
            line: mistake.line,
            column: mistake.column,
            message: mistake.message,
        })
        .collect();
    problem
}

#[OpenApi]
impl Collections {
    /// The collections in force
    #[oai(
        path = "/collections",
        method = "get",
        operation_id = "listCollections"
    )]
    async fn list(&self, principal: Principal) -> Result<Json<CollectionList>, Problem> {
        let now = self.now();
        let seen = now.iter().filter(|defined| principal.sees(&defined.name));
        let seen: Vec<Arc<Defined>> = seen.cloned().collect();
        let items = self.views(&seen).await?;
        Ok(Json(CollectionList { items }))
    }

    /// One collection, with its definition
    #[oai(
        path = "/collections/:name",
        method = "get",
        operation_id = "getCollection"
    )]
    async fn one(
        &self,
        principal: Principal,
        name: Path<String>,
    ) -> Result<Json<CollectionDefinition>, Problem> {
        let defined = self.seen(&name.0, &principal)?;
        let text = defined.text.to_string();
        let view = self.views(&[defined]).await?.pop();
        let collection = view.ok_or_else(|| no_collection(&name.0))?;
        Ok(Json(CollectionDefinition { collection, text }))
    }

    /// Apply a definition
    ///
    /// The body is the YAML. It is in force from the next position of the log on, for every replica; what was decided before
    /// stays decided. `replaces` names the position of the definition that it replaces: 409 where another came between. What
    /// is fixed for the life of a collection (key, keep, whether there is a sum, what one is called) is refused: 409.
    #[oai(
        path = "/collections/:name",
        method = "put",
        operation_id = "putCollection"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn put(
        &self,
        principal: Principal,
        name: Path<String>,
        /// The position of the definition in force, as GET gives it; 0 for none.
        replaces: Query<Option<i64>>,
        /// Who decides.
        #[oai(name = "as")]
        who: Query<Option<String>>,
        /// Why.
        reason: Query<Option<String>>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: DefinitionFile,
    ) -> Result<DecisionAnswer, Problem> {
        named(&name.0, &principal)?;
        let asker = Asker::new(&principal, who.0, reason.0, key.0)?;
        let collection = self.compiled(body.0).await?;
        if collection.name != name.0 {
            return Err(Problem::bad_request(format!(
                "The definition is of `{}`, and the path names `{}`.",
                collection.name, name.0
            )));
        }
        let now = self.now();
        if now.get(&name.0).is_none() && now.iter().count() >= MOST_COLLECTIONS {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "too-many-collections",
                format!(
                    "There are {MOST_COLLECTIONS} collections, and that is the most. Drop one first."
                ),
            ));
        }
        let replaces = self
            .replaced(&name.0, replaces.0, asker.key.as_ref())
            .await?;
        let decision = Decision {
            proof: asker.proof,
            ..Decision::define(&name.0, &collection.text, replaces, &asker.who, &asker.why)
        };
        self.desk.decide(decision, asker.key, None).await
    }

    /// Drop a collection
    ///
    /// Its documents are no longer served, its open letters are closed, and its tables are removed. The log keeps its messages.
    /// Defined again it begins with nothing.
    #[oai(
        path = "/collections/:name",
        method = "delete",
        operation_id = "dropCollection"
    )]
    async fn remove(
        &self,
        principal: Principal,
        name: Path<String>,
        /// The position of the definition in force, as GET gives it.
        replaces: Query<Option<i64>>,
        /// Who decides.
        #[oai(name = "as")]
        who: Query<Option<String>>,
        /// Why.
        reason: Query<Option<String>>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
    ) -> Result<DecisionAnswer, Problem> {
        named(&name.0, &principal)?;
        let asker = Asker::new(&principal, who.0, reason.0, key.0)?;
        // By the tables, where this replica does not know it yet: another may have projected its definition.
        if self.now().get(&name.0).is_none() && self.stands_at(&name.0).await? == 0 {
            return Err(no_collection(&name.0));
        }
        let replaces = self
            .replaced(&name.0, replaces.0, asker.key.as_ref())
            .await?;
        let decision = Decision {
            proof: asker.proof,
            ..Decision::drop(&name.0, replaces, &asker.who, &asker.why)
        };
        self.desk.decide(decision, asker.key, None).await
    }

    /// All definitions that there ever were by this name, newest first
    #[oai(
        path = "/collections/:name/definitions",
        method = "get",
        operation_id = "getDefinitions"
    )]
    async fn definitions(
        &self,
        principal: Principal,
        name: Path<String>,
        after: Query<Option<String>>,
        limit: Query<Option<i64>>,
    ) -> Result<Json<Definitions>, Problem> {
        named(&name.0, &principal)?;
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let reader = self.database.reader().await?;
        let mut entries = projection::history(&reader, &name.0, before, limit + 1).await?;
        let next = times::next_page(&mut entries, limit, |last| last.position.to_string());
        Ok(Json(Definitions {
            next,
            items: entries
                .into_iter()
                .map(|entry| DefinitionEntry {
                    position: entry.position.0,
                    action: entry.action,
                    hash: entry.hash,
                    text: entry.text,
                    result: entry.result,
                    who: entry.who,
                    proof: entry.proof,
                    why: entry.why,
                    at: entry.at.to_string(),
                })
                .collect(),
        }))
    }

    /// What senders may send, as JSON Schema
    #[oai(
        path = "/collections/:name/schema",
        method = "get",
        operation_id = "getCollectionSchema"
    )]
    async fn schema(
        &self,
        principal: Principal,
        name: Path<String>,
    ) -> Result<Json<Any<Value>>, Problem> {
        let defined = self.seen(&name.0, &principal)?;
        Ok(Json(Any(compiled(&defined)?.schema())))
    }

    /// Judge a message and store nothing
    ///
    /// By the definition in force. Whether its key is taken is not asked.
    #[oai(
        path = "/collections/:name/validate",
        method = "post",
        operation_id = "validate"
    )]
    async fn validate(
        &self,
        principal: Principal,
        name: Path<String>,
        body: Message,
    ) -> Result<Json<Judgement>, Problem> {
        let defined = self.seen(&name.0, &principal)?;
        let collection = compiled(&defined)?;
        let payload = whole_body(body.0, self.max_body_bytes.max(1 << 20)).await?;
        let model = &collection.model;
        let judged = model.parse(&payload).and_then(|record| {
            collection.rules.check(model, &record)?;
            Ok(record)
        });
        Ok(Json(match judged {
            Ok(record) => Judgement {
                valid: true,
                key: model.has_key().then(|| model.key(&record).into_owned()),
                document: Any(serde_json::from_str(&model.to_json(&record)).unwrap_or_default()),
                reason: None,
                violations: Any(serde_json::json!([])),
            },
            Err(rejection) => Judgement {
                valid: false,
                key: rejection.key().map(str::to_owned),
                document: Any(Value::Null),
                reason: Some(rejection.reason().to_string()),
                violations: Any(serde_json::to_value(rejection.violations()).unwrap_or_default()),
            },
        }))
    }

    /// All that came for a key, newest first
    ///
    /// Of a collection that keeps the latest. Also of a document that is gone.
    #[oai(
        path = "/collections/:name/versions",
        method = "get",
        operation_id = "getVersions"
    )]
    async fn versions(
        &self,
        principal: Principal,
        name: Path<String>,
        key: Query<String>,
        after: Query<Option<String>>,
        limit: Query<Option<i64>>,
    ) -> Result<Json<DocumentVersions>, Problem> {
        let defined = self.seen(&name.0, &principal)?;
        if defined.place().keep != Keep::Latest {
            return Err(Problem::not_found(format!(
                "{} keeps the first message for each key: there are no versions.",
                name.0
            )));
        }
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let reader = self.database.reader().await?;
        let mut found =
            document::versions_of(&reader, defined.id, &key.0, before, limit + 1).await?;
        let next = times::next_page(&mut found, limit, |last| last.position.to_string());
        let collection = compiled(&defined)?;
        Ok(Json(DocumentVersions {
            next,
            items: found
                .iter()
                .map(|version| {
                    let json = collection.serve(&version.payload, &mut Vec::new());
                    DocumentVersion {
                        position: version.position.0,
                        age: version.age.0,
                        what: version.what.clone(),
                        gone: version.gone,
                        received_at: version.received_at.to_string(),
                        document: Any(serde_json::from_slice(&json).unwrap_or_default()),
                    }
                })
                .collect(),
        }))
    }

    /// The running sums, by account
    #[oai(
        path = "/collections/:name/sums",
        method = "get",
        operation_id = "listSums"
    )]
    async fn sums(
        &self,
        principal: Principal,
        name: Path<String>,
        /// What `next` was on the page before.
        after: Query<Option<String>>,
        limit: Query<Option<i64>>,
    ) -> Result<Json<SumPage>, Problem> {
        let defined = self.summed(&name.0, &principal)?;
        let limit = times::limit(limit.0)?;
        let above = after.0.unwrap_or_default();
        let reader = self.database.reader().await?;
        let mut found = document::sums_above(&reader, defined.id, &above, limit + 1).await?;
        let next = times::next_page(&mut found, limit, |last| last.account.clone());
        Ok(Json(SumPage {
            next,
            items: found
                .into_iter()
                .map(|sum| SumView {
                    account: sum.account,
                    sum: sum.sum,
                    entries: sum.entries,
                    last_position: sum.last.0,
                })
                .collect(),
        }))
    }

    /// An account's sum, and its statement, newest first
    #[oai(
        path = "/collections/:name/sums/:account",
        method = "get",
        operation_id = "getSum"
    )]
    async fn sum(
        &self,
        principal: Principal,
        name: Path<String>,
        account: Path<String>,
        after: Query<Option<String>>,
        limit: Query<Option<i64>>,
    ) -> Result<Json<Statement>, Problem> {
        let defined = self.summed(&name.0, &principal)?;
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let nobody = || Problem::not_found(format!("{} has no account {}.", name.0, account.0));
        if account.0.contains('\0') {
            return Err(nobody());
        }
        let reader = self.database.reader().await?;
        let sum = document::sum_of(&reader, defined.id, &account.0).await?;
        let sum = sum.ok_or_else(nobody)?;
        let mut found =
            document::entries_of(&reader, defined.id, &account.0, before, limit + 1).await?;
        let next = times::next_page(&mut found, limit, |last| last.position.to_string());
        Ok(Json(Statement {
            account: sum.account,
            sum: sum.sum,
            entries: sum.entries,
            last_position: sum.last.0,
            next,
            items: found
                .iter()
                .map(|entry| SumEntry {
                    position: entry.position.0,
                    value: entry.value,
                    received_at: entry.received_at.to_string(),
                })
                .collect(),
        }))
    }

    /// See what a definition would make of history
    ///
    /// The body is the YAML. An operation: which of today's documents it would refuse, which open letters would come home,
    /// what documents would look like. Changes nothing.
    #[oai(path = "/plans", method = "post", operation_id = "planCollection")]
    async fn plan(
        &self,
        principal: Principal,
        /// The lowest position of the messages to look at.
        from: Query<Option<i64>>,
        /// The highest.
        to: Query<Option<i64>>,
        #[oai(name = "as")] who: Query<Option<String>>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: DefinitionFile,
    ) -> Result<Started, Problem> {
        let asker = Asker::new(&principal, who.0, None, key.0)?;
        let collection = self.compiled(body.0).await?;
        if !principal.sees(&collection.name) {
            return Err(no_collection(&collection.name));
        }
        let request = PlanRequest {
            definition: collection.text,
            from: from.0,
            to: to.0,
        };
        let reader = self.database.reader().await?;
        let json = serde_json::to_value(&request).unwrap_or_default();
        let operation = operation::ask(&reader, Kind::Plan, &json, asker.asked()).await?;
        self.asked.notify_one();
        Ok(Started::new(operation))
    }
}

impl Collections {
    fn summed(&self, name: &str, principal: &Principal) -> Result<Arc<Defined>, Problem> {
        let defined = self.seen(name, principal)?;
        match compiled(&defined)?.sum {
            Some(_) => Ok(defined),
            None => Err(Problem::not_found(format!(
                "{name} keeps no sums: its definition has no `sum`."
            ))),
        }
    }
}

fn compiled(defined: &Defined) -> Result<&Collection, Problem> {
    match defined.collection() {
        Ok(collection) => Ok(collection),
        Err(error) => Err(Problem::unavailable(format!("{error}."))),
    }
}
