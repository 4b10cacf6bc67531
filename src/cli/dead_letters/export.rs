//! Letters with their payloads, to stdout or into a file.

use std::process::ExitCode;

use super::super::export::{self, Target};
use super::filter::Filter;

#[derive(clap::Args)]
#[command(after_help = "\
Newest first. NDJSON has the list's fields, and the whole payload as `text`, or as `hex` where it is no text; CSV has the \
list's fields, and a text that a spreadsheet would take for a formula gets a leading apostrophe; XLSX has them in one sheet.

Examples:
  waybill dead-letters export | jq -r .text
  waybill dead-letters export --state all --since 7d --output letters.csv

Exit codes: 0 all of it is there; 1 it was cut off (a file is not written then), or the service is not there; 2 a wrong \
argument.")]
pub struct Args {
    /// open, replaced, discarded, or all
    #[arg(long, default_value = "open")]
    state: String,

    #[command(flatten)]
    filter: Filter,

    #[command(flatten)]
    target: Target,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut query = args.filter.query();
    query.extend(Some(("state", args.state)).filter(|(_, state)| state != "all"));
    let query = query
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    export::run(
        "/api/v1/dead-letters/export",
        query.collect(),
        args.target,
        "dead letters",
    )
    .await
}
