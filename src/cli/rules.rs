//! `waybill rules`: try rules on what is there, apply them, see those in force.
//!
//! Its invariant: whatever is wrong with a file is told as file:line:column, and then nothing has changed.

mod apply;
mod check;
mod show;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;

use super::client::Error;
use super::{screen, usage};
use crate::expression::Rules;
use crate::order;

pub use check::told as check_told;

#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A rules file is a YAML list; each rule has an id, a message, the field it speaks of, and a CEL expression that is true of a \
good order. docs/rules.md describes the language, docs/strict-rules.yaml is an example.

Examples:
  waybill rules check strict.yaml                what would they make of history?
  waybill rules apply strict.yaml --reason 'the shops agreed'
  waybill rules show --output text > now.yaml    those in force

Exit codes: 0 well; 1 refused (others were applied meanwhile), failed, or the service is not there; 2 a wrong argument, or \
the file has mistakes."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See what rules would make of history; changes nothing
    Check(check::Args),
    /// Put rules in force, from the next position of the log on
    Apply(apply::Args),
    /// Those in force
    Show(show::Args),
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check(args) => check::run(args).await,
        Command::Apply(args) => apply::run(args).await,
        Command::Show(args) => show::run(args).await,
    }
}

pub fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut text).map(|_| ()),
        _ => std::fs::read(file).map(|bytes| text = bytes),
    };
    read.map_err(|error| usage(format!("{}: {error}", file.display())))?;
    Ok(text)
}

#[derive(Deserialize)]
struct Mistakes {
    #[serde(default)]
    mistakes: Vec<Mistake>,
}

#[derive(Deserialize)]
struct Mistake {
    line: u64,
    column: u64,
    message: String,
}

/// As compilers write them, so that an editor finds the place. None where the refusal is about something else.
fn tell_mistakes(file: &Path, error: &Error) -> Option<ExitCode> {
    let Error::Refused(problem) = error else {
        return None;
    };
    let found: Mistakes = serde_json::from_slice(&problem.body).ok()?;
    tell(file, &found.mistakes)
}

fn tell(file: &Path, mistakes: &[Mistake]) -> Option<ExitCode> {
    for mistake in mistakes {
        eprintln!(
            "{}:{}:{}: {}",
            file.display(),
            mistake.line,
            mistake.column,
            screen::plain(&mistake.message)
        );
    }
    (!mistakes.is_empty()).then_some(ExitCode::from(2))
}

/// The ids in a file, in their order; none where this version cannot compile it.
fn ids(text: &[u8]) -> Vec<String> {
    let compiled = std::str::from_utf8(text)
        .ok()
        .and_then(|text| Rules::compile(text, order::model()).ok());
    compiled.map_or_else(Vec::new, |rules| rules.ids().map(str::to_owned).collect())
}
