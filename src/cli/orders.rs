//! `waybill orders`: take them out.

use std::process::ExitCode;

use clap::Subcommand;

use super::export::{self, Target};

#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All of them, a customer's, or those with a track number, oldest first
    Export(ExportArgs),
}

#[derive(clap::Args)]
#[command(after_help = "\
NDJSON has each order as the service serves it. CSV has one line an item, the order's fields repeated; a text that a \
spreadsheet would take for a formula gets a leading apostrophe. XLSX has the same lines in one sheet, at most 1,048,575: \
numbers of up to 15 digits as numbers, longer ones and dates as text; a text of more than 32,767 characters is cut.

Examples:
  waybill orders export | jq .payment.amount
  waybill orders export --customer-id test --output orders.csv
  waybill orders export --from 1 --to 100000 --output orders.xlsx

Exit codes: 0 all of it is there; 1 it was cut off (a file is not written then), or the service is not there; 2 a wrong \
argument.")]
pub struct ExportArgs {
    #[arg(long, value_name = "ID")]
    customer_id: Option<String>,

    #[arg(long, value_name = "NUMBER")]
    track_number: Option<String>,

    /// The lowest position
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    from: Option<i64>,

    /// The highest position
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,

    #[command(flatten)]
    target: Target,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Export(args) = args.command;
    let mut query = Vec::new();
    query.extend(args.customer_id.map(|id| ("customer_id", id)));
    query.extend(args.track_number.map(|number| ("track_number", number)));
    query.extend(args.from.map(|from| ("from", from.to_string())));
    query.extend(args.to.map(|to| ("to", to.to_string())));
    export::run("/api/v1/orders/export", query, args.target, "orders").await
}
