//! What new rules would make of history: which orders they would have rejected, which open letters would pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::store::{self, Operation, State};
use super::{Dependencies, Error};
use crate::dead_letter::{self, Filter};
use crate::inbox::{Action, Position};
use crate::projection::{DryRun, InForce, Would};
use crate::{account, order};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRequest {
    pub rules: String,
    /// Positions of the orders to look at, both included; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
}

/// What was found so far; stored as the progress, so that a kill costs at most one window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Found {
    position: i64,
    target: i64,
    orders_checked: i64,
    orders_rejected: i64,
    /// By rule: how many, and a few of them.
    rejected_by: BTreeMap<String, Counted>,
    /// The letters come after the orders, newest first.
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

const WINDOW: i64 = 5_000;

pub async fn run(deps: &Dependencies, operation: Operation) -> Result<(), Error> {
    let unknown = || Error::UnknownRequest(operation.id);
    let request: CheckRequest =
        serde_json::from_value(operation.request.clone()).map_err(|_| unknown())?;
    let model = order::model();
    let asked = InForce::compile(Position(0), &request.rules).map_err(|_| unknown())?;
    let mut found: Found = serde_json::from_value(operation.progress.clone()).unwrap_or_default();
    if found.target == 0 {
        let reader = deps.database.reader().await?;
        let live = account::projected(&reader).await?.0;
        found.target = request.to.unwrap_or(live).min(live);
        found.position = request.from.unwrap_or(1).max(1) - 1;
    }
    while found.position < found.target {
        let reader = deps.database.reader().await?;
        let to = (found.position + WINDOW).min(found.target);
        for (key, payload) in
            order::store::window(&reader, Position(found.position), Position(to)).await?
        {
            found.orders_checked += 1;
            let Ok(order) = model.parse(&payload) else {
                continue;
            };
            if let Err(rejection) = asked.rules.check(model, &order) {
                found.orders_rejected += 1;
                for violation in rejection.violations() {
                    let rule = violation.rule.clone().unwrap_or_default();
                    let counted = found.rejected_by.entry(rule).or_default();
                    counted.add(&violation.message, key.clone());
                }
            }
        }
        found.position = to;
        if !tell(&reader, &operation, &found).await? {
            return Ok(());
        }
    }
    letters(deps, &operation, asked, &mut found).await
}

async fn letters(
    deps: &Dependencies,
    operation: &Operation,
    asked: Arc<InForce>,
    found: &mut Found,
) -> Result<(), Error> {
    let filter = Filter {
        state: Some("open".to_owned()),
        ..Filter::default()
    };
    let mut dry_run = DryRun::new(asked);
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

async fn tell(
    reader: &crate::postgres::Client,
    operation: &Operation,
    found: &Found,
) -> Result<bool, Error> {
    let progress = serde_json::to_value(found).unwrap_or_default();
    let done = found.orders_checked + found.letters_checked;
    Ok(store::report(
        reader,
        operation.id,
        &progress,
        done,
        found.target.max(done),
    )
    .await?)
}
