//! `waybill dead-letters`: find them, read one's story, decide: by id, or about a whole set by filters. Ids come from the
//! command line or, with `-`, from stdin, so that one command's `--output ids` feeds the next.

mod bulk;
mod decide;
mod export;
pub mod filter;
mod layout;
mod list;
mod resubmit;
mod story;

use std::io::Read;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;

use super::usage;

#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
An hour with dead letters:
  waybill dead-letters groups                             what is wrong, and how often
  waybill dead-letters list --code missing_field          which ones
  waybill dead-letters show 4711                          one, with its whole story
  waybill dead-letters retry 4711 4712                    the same bytes, judged again
  waybill dead-letters resubmit 4711 --edit               mended bytes in its place
  waybill dead-letters retry --all --dry-run              what a second look would bring
  waybill dead-letters discard --code empty --reason 'a test that went astray'
  waybill dead-letters export --output letters.csv        all of them, for a spreadsheet

Exit codes: 0 done; 1 it failed, or the service is not there; 2 a wrong argument; 3 some of several were done, some not."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List them, newest first
    List(Box<list::Args>),
    /// Like with like: what is wrong, and how often
    Groups(list::GroupsArgs),
    /// One, with its whole story
    Show(story::Args),
    /// One's exact bytes, to stdout
    Payload(story::PayloadArgs),
    /// Judge the same bytes again
    Retry(Box<decide::Args>),
    /// Let them go
    Discard(Box<decide::Args>),
    /// Undo a discard
    Reopen(Box<decide::Args>),
    /// Write a note on them
    Note(Box<decide::Args>),
    /// Send edited bytes in one's place
    Resubmit(resubmit::Args),
    /// All that filters ask for, with their payloads, to stdout or into a file
    Export(Box<export::Args>),
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list::run(*args).await,
        Command::Groups(args) => list::groups(args).await,
        Command::Show(args) => story::run(args).await,
        Command::Payload(args) => story::payload(args).await,
        Command::Retry(args) => decide::run("retry", *args).await,
        Command::Reopen(args) => decide::run("reopen", *args).await,
        Command::Discard(args) => decide::run("discard", *args).await,
        Command::Note(args) => decide::run("note", *args).await,
        Command::Resubmit(args) => resubmit::run(args).await,
        Command::Export(args) => export::run(*args).await,
    }
}

/// A letter as lists and stories show it.
#[derive(Deserialize)]
struct Letter {
    id: i64,
    collection: String,
    state: String,
    reason: String,
    code: String,
    message: String,
    pointer: String,
    key: Option<String>,
    fingerprint: String,
    attempts: i64,
    received_at: String,
    last_failed_at: String,
    next_attempt_at: Option<String>,
    replaced_by: Option<i64>,
    origin: Option<i64>,
}

/// One id, as clap wants it.
fn id(word: &str) -> Result<i64, &'static str> {
    match word.parse() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err("ids are numbers, as `waybill dead-letters list` shows them"),
    }
}

/// The ids named, each once and in their order; `-` stands for those on stdin.
fn ids(named: &[String]) -> anyhow::Result<Vec<i64>> {
    let mut text = String::new();
    if named.iter().any(|id| id == "-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| usage(format!("the ids on stdin cannot be read: {error}")))?;
    }
    let ids = parse_ids(named, &text)?;
    if ids.is_empty() {
        return Err(usage("no id came on stdin: nothing to do"));
    }
    Ok(ids)
}

fn parse_ids(named: &[String], stdin: &str) -> anyhow::Result<Vec<i64>> {
    let words = named.iter().flat_map(|word| match word.as_str() {
        "-" => stdin.split_whitespace().collect(),
        word => vec![word],
    });
    let mut seen = std::collections::HashSet::new();
    let mut ids = Vec::new();
    for word in words {
        let id = id(word).map_err(|wrong| {
            let word: String = word.chars().take(40).collect();
            usage(format!("{word:?} is no id of a dead letter: {wrong}"))
        })?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_once_each_and_from_stdin_too() {
        let named = ["7", "-", "7"].map(str::to_owned);
        assert_eq!(parse_ids(&named, "8\n7 9\n").unwrap(), [7, 8, 9]);
        for wrong in ["x", "-1", "0", "1.5", "99999999999999999999"] {
            assert!(
                parse_ids(&[wrong.to_owned()], "")
                    .unwrap_err()
                    .is::<super::super::Usage>(),
                "{wrong}"
            );
        }
    }
}
