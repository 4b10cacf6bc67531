//! `waybill collections`: which there are, what each is; try a definition, put it in force, take it away.
//!
//! Its invariant: whatever is wrong with a file is told as FILE:LINE:COLUMN, and then nothing has changed.

mod apply;
mod check;
mod drop;
mod plan;
mod show;

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use reqwest::Method;
use serde::Deserialize;

use super::client::{Answer, Client, Decision, Error};
use super::{screen, usage};
use crate::collection::may_be_called;
use crate::expression::Mistake;

pub use plan::told as plan_told;

#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A collection is a name, a JSON Schema, a key and rules, in one YAML file: its definition. docs/rules.md describes the rules' \
language, docs/strict-rules.yaml is an example, and `show orders` prints the definition that a database begins with.

Examples:
  waybill collections check purchases.yaml       are there mistakes, and do its tests pass? needs no service
  waybill collections plan purchases.yaml        what would it make of history?
  waybill collections apply purchases.yaml --reason 'the tills agreed'
  waybill collections show orders > orders.yaml  the one in force

Exit codes: 0 well; 1 refused (another was applied meanwhile), failed, or the service is not there; 2 a wrong argument, the \
file has mistakes, or a plan says that documents would be refused."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Those in force
    List(show::ListArgs),
    /// The definition in force, as it was applied
    Show(show::Args),
    /// All definitions that there ever were by a name, newest first
    History(show::HistoryArgs),
    /// Look for mistakes in a definition, and run its tests; needs no service
    Check(check::Args),
    /// See what a definition would make of history; changes nothing
    Plan(plan::Args),
    /// Put a definition in force, from the next position of the log on
    Apply(apply::Args),
    /// Take a collection away; the log keeps its messages
    Drop(drop::Args),
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => show::list(args).await,
        Command::Show(args) => show::run(args).await,
        Command::History(args) => show::history(args).await,
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(args).await,
        Command::Apply(args) => apply::run(args).await,
        Command::Drop(args) => drop::run(args).await,
    }
}

/// Where the service has it. Refuses what no collection can be called: a name is part of a path here.
pub fn path(name: &str) -> anyhow::Result<String> {
    match may_be_called(name) {
        true => Ok(format!("/api/v1/collections/{name}")),
        false => Err(usage(format!(
            "no collection can be called {name:?}: a name has small letters, digits and _, at most 41, and begins with a letter"
        ))),
    }
}

/// A definition in force.
#[derive(Deserialize)]
struct Defined {
    position: i64,
    hash: String,
    text: String,
    counts: Counts,
}

#[derive(Deserialize)]
struct Counts {
    documents: i64,
    superseded: i64,
    duplicates: i64,
    dead_letters: i64,
}

impl Defined {
    /// None if nothing is defined by this name.
    async fn now(client: &Client, path: &str) -> Result<Option<Self>, Error> {
        match client.get(path, &[]).await {
            Ok(answer) => answer.read().map(Some),
            Err(Error::Refused(problem)) if problem.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A definition applied, or a collection dropped.
struct About<'a> {
    replaces: i64,
    reason: &'a str,
    who: Option<&'a str>,
}

impl About<'_> {
    async fn send(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        text: String,
    ) -> Result<Answer, Error> {
        let replaces = self.replaces.to_string();
        let mut query = vec![("replaces", replaces.as_str()), ("reason", self.reason)];
        query.extend(self.who.map(|who| ("as", who)));
        let decision = Decision::Bytes {
            query: &query,
            payload: text.into(),
        };
        client.decide_by(method, path, decision).await
    }
}

/// What came of it.
#[derive(Deserialize)]
struct Outcome {
    position: i64,
    result: String,
}

fn pending(name: &str, position: i64) -> String {
    format!(
        "In the log at position {position}, and not yet projected: `waybill collections history {name}` says how it ended."
    )
}

/// One decision about a definition.
#[derive(Deserialize)]
struct Entry {
    position: i64,
    action: String,
    hash: String,
    text: String,
    result: String,
    who: String,
    #[serde(default)]
    proof: Option<String>,
    why: String,
    at: String,
}

#[derive(Deserialize)]
struct History {
    items: Vec<Entry>,
}

impl History {
    /// What stands now: the last decision that was done.
    fn last_done(&self) -> Option<&Entry> {
        self.items.iter().find(|entry| entry.result == "done")
    }
}

async fn history(client: &Client, path: &str) -> Result<History, Error> {
    let query = [("limit", "500".to_owned())];
    let path = format!("{path}/definitions");
    client.get(&path, &query).await?.read()
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = match is_stdin(file) {
        true => std::io::stdin().read_to_end(&mut bytes).map(|_| ()),
        false => std::fs::read(file).map(|content| bytes = content),
    };
    read.map_err(|error| usage(format!("{} cannot be read: {error}", file.display())))?;
    String::from_utf8(bytes)
        .map_err(|error| usage(format!("{}: it is not UTF-8 ({error})", file.display())))
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// As compilers write them, so that an editor finds the place.
fn tell(file: &Path, mistakes: &[Mistake]) -> ExitCode {
    for mistake in mistakes {
        eprintln!(
            "{}:{}:{}: {}",
            file.display(),
            mistake.line,
            mistake.column,
            screen::plain(&mistake.message)
        );
    }
    ExitCode::from(2)
}

/// What the service finds wrong with a file; it may be of another version than this command. None if its refusal is about
/// something else.
fn tell_mistakes(file: &Path, error: &Error) -> Option<ExitCode> {
    #[derive(Deserialize)]
    struct Mistakes {
        #[serde(default)]
        mistakes: Vec<Mistake>,
    }
    let Error::Refused(problem) = error else {
        return None;
    };
    let found: Mistakes = serde_json::from_slice(&problem.body).ok()?;
    (!found.mistakes.is_empty()).then(|| tell(file, &found.mistakes))
}

/// Asks a person. Refused if there is none to ask.
fn asked(question: &str, wanted: &[&str]) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(usage(
            "there is nobody to ask: stdin is no terminal. --yes says that you mean it",
        ));
    }
    eprint!("{question} ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(wanted.contains(&answer.trim()))
}
