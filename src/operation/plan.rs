//! What a definition would make of history: which of today's documents it would refuse, which open letters would come home, and
//! what is to be done after it is applied. Nothing is changed.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::store::{self, Operation, State};
use super::{Dependencies, Error};
use crate::account;
use crate::collection::{Collection, Id};
use crate::dead_letter::{self, Filter, Within};
use crate::document;
use crate::inbox::{self, Action, Position};
use crate::postgres::Client;
use crate::projection::{DryRun, InForce, Would};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRequest {
    pub definition: String,
    /// Positions of the messages to look at, both included; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
}

/// What was found so far; stored as the progress, so that a kill costs at most one window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Found {
    collection: String,
    /// Whether nothing is defined by this name.
    new: bool,
    /// Whether it means what the definition in force means.
    same: bool,
    /// Whether it would be refused: it changes what is fixed for the collection's life.
    fixed: bool,
    /// Whether documents would look otherwise, and are written anew after it.
    looks_otherwise: bool,
    /// Lookups whose indexes would be built.
    lookups: Vec<String>,
    position: i64,
    target: i64,
    messages_checked: i64,
    messages_taken: i64,
    documents_checked: i64,
    documents_refused: i64,
    /// Of today's documents, by rule or by code and field: how many it would refuse, and a few of them.
    refused_by: BTreeMap<String, Counted>,
    /// The letters come after the messages, newest first.
    letters_before: Option<i64>,
    letters_checked: i64,
    letters_passing: i64,
    /// By group (its fingerprint): how many would pass, and a few of them.
    passing_by: BTreeMap<String, Counted>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counted {
    count: i64,
    message: String,
    samples: Vec<String>,
}

impl Counted {
    fn add(&mut self, message: &str, sample: String) {
        self.count += 1;
        if self.message.is_empty() {
            message.clone_into(&mut self.message);
        }
        if self.samples.len() < 5 {
            self.samples.push(sample);
        }
    }
}

/// Positions that one statement reads.
const WINDOW: i64 = 20_000;
/// Groups of refusals that are told apart; the rest is counted in all.
const MOST_GROUPS: usize = 200;

pub async fn run(deps: &Dependencies, operation: Operation) -> Result<(), Error> {
    let unknown = || Error::UnknownRequest(operation.id);
    let request: PlanRequest =
        serde_json::from_value(operation.request.clone()).map_err(|_| unknown())?;
    let text = request.definition.clone();
    let compile = tokio::task::spawn_blocking(move || Collection::load(&text));
    let planned = compile
        .await
        .map_err(|_| unknown())?
        .map_err(|_| unknown())?;
    let planned = Arc::new(planned);
    let in_force = deps.in_force.borrow().clone();
    let mut found: Found = serde_json::from_value(operation.progress.clone()).unwrap_or_default();
    if found.target == 0 {
        let reader = deps.database.reader().await?;
        let live = account::projected(&reader).await?.0;
        found.target = request.to.unwrap_or(live).min(live);
        found.position = request.from.unwrap_or(1).max(1) - 1;
        compare(&reader, &in_force, &planned, &mut found).await?;
    }
    while found.position < found.target {
        let reader = deps.database.reader().await?;
        let to = (found.position + WINDOW).min(found.target);
        window(&reader, &in_force, &planned, &mut found, to).await?;
        found.position = to;
        if !tell(&reader, &operation, &found).await? {
            return Ok(());
        }
    }
    let as_if = Arc::new(in_force.with(&planned));
    letters(deps, &operation, as_if, &planned.name, &mut found).await
}

/// What can be said without a look at the messages.
async fn compare(
    reader: &Client,
    in_force: &InForce,
    planned: &Collection,
    found: &mut Found,
) -> Result<(), Error> {
    found.collection.clone_from(&planned.name);
    let now = in_force.get(&planned.name);
    found.new = now.is_none();
    let Some(now) = now else {
        return Ok(());
    };
    if let Some(before) = &now.compiled {
        found.same = before.meaning == planned.meaning;
        found.fixed = !before.may_become(planned);
        found.looks_otherwise = before.looks != planned.looks;
    }
    for pointer in &planned.lookups {
        if !document::is_indexed(reader, now.id, pointer).await? {
            found.lookups.push(pointer.clone());
        }
    }
    Ok(())
}

/// Judges all messages to the collection between two positions by schema and rules, whatever became of them.
async fn window(
    reader: &Client,
    in_force: &InForce,
    planned: &Collection,
    found: &mut Found,
    to: i64,
) -> Result<(), Error> {
    let (after, until) = (Position(found.position), Position(to));
    let sources = inbox::collections(reader).await?;
    let sources: HashSet<_> = sources
        .into_iter()
        .filter(|(_, name)| *name == planned.name)
        .map(|(source, _)| source)
        .collect();
    if sources.is_empty() {
        return Ok(());
    }
    let now = in_force.get(&planned.name).map(|defined| defined.id);
    let others = account::not_documents(reader, after, until).await?;
    let others: HashSet<Position> = others.into_iter().collect();
    let model = &planned.model;
    let mut messages = pin!(inbox::messages(reader, after, until).await?);
    while let Some(message) = messages.try_next().await? {
        if !sources.contains(&message.source()) {
            continue;
        }
        found.messages_checked += 1;
        let payload = message.payload();
        let judged = model
            .parse(payload)
            .and_then(|record| planned.rules.check(model, &record));
        let position = message.position();
        let is_document = now.is_some_and(|id| id.0 < position.0) && !others.contains(&position);
        found.documents_checked += i64::from(is_document);
        let Err(rejection) = judged else {
            found.messages_taken += 1;
            continue;
        };
        if !is_document {
            continue;
        }
        found.documents_refused += 1;
        let first = rejection.first();
        let by = match &first.rule {
            Some(rule) => format!("rule {rule}"),
            None => format!("{} {}", first.code, first.pointer),
        };
        let key = rejection
            .key()
            .map_or_else(|| position.to_string(), str::to_owned);
        if found.refused_by.len() < MOST_GROUPS || found.refused_by.contains_key(&by) {
            found
                .refused_by
                .entry(by)
                .or_default()
                .add(&first.message, key);
        }
    }
    Ok(())
}

async fn letters(
    deps: &Dependencies,
    operation: &Operation,
    as_if: Arc<InForce>,
    name: &str,
    found: &mut Found,
) -> Result<(), Error> {
    let id = as_if.get(name).map_or(Id::NONE, |defined| defined.id);
    let filter = Filter {
        state: Some("open".to_owned()),
        collection: Some(name.to_owned()),
        within: Some(Within {
            ids: vec![id.0, Id::NONE.0],
            names: None,
        }),
        ..Filter::default()
    };
    let mut dry_run = DryRun::new(as_if);
    loop {
        let reader = deps.database.reader().await?;
        let before = found.letters_before.unwrap_or(i64::MAX);
        let page = dead_letter::list(&reader, &filter, before, 500).await?;
        let Some(last) = page.last() else {
            let outcome = serde_json::to_value(&*found).unwrap_or_default();
            store::finish(&reader, operation.id, State::Done, &outcome).await?;
            return Ok(());
        };
        found.letters_before = Some(last.id.0);
        let ids: Vec<i64> = page.iter().map(|letter| letter.id.0).collect();
        for (id, would) in dry_run.ask(&reader, Action::Retry, &ids).await? {
            found.letters_checked += 1;
            let Some(letter) = page.iter().find(|letter| letter.id.0 == id) else {
                continue;
            };
            if matches!(would, Would::Pass | Would::BeDuplicate) {
                found.letters_passing += 1;
                let group = dead_letter::format_fingerprint(letter.verdict.fingerprint);
                let counted = found.passing_by.entry(group).or_default();
                counted.add(&letter.verdict.message, id.to_string());
            }
        }
        if !tell(&reader, operation, found).await? {
            return Ok(());
        }
    }
}

async fn tell(reader: &Client, operation: &Operation, found: &Found) -> Result<bool, Error> {
    let progress = serde_json::to_value(found).unwrap_or_default();
    let done = found.position;
    Ok(store::report(
        reader,
        operation.id,
        &progress,
        done,
        found.target.max(done),
    )
    .await?)
}
