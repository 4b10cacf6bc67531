//! `waybill get`, `list` and `export`: the documents of a collection, read one by one, by pages, or all of them.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::connection::Connection;
use super::export::{self, Target};
use super::{collections, screen, usage};
use crate::collection::may_be_called;

const PAGE: u64 = 500;

/// Which of a collection's documents.
#[derive(clap::Args)]
pub struct Which {
    /// The collection
    #[arg(long, value_name = "NAME", default_value = "orders")]
    collection: String,

    /// Those that have this value there: a lookup of the collection by its dotted path, as payment.currency=USD; may be repeated
    #[arg(long = "where", value_name = "LOOKUP=VALUE", value_parser = lookup)]
    lookups: Vec<(String, String)>,
}

fn lookup(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a lookup and its value, as customer_id=test".to_owned()),
    }
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  waybill get b563feb7b2b84b6test
  waybill get --collection rooms '[\"house\",7]'        a key of several parts, as a JSON array

Exit codes: 0 it is there; 1 it is not (and why is said), or the service is not there; 2 a wrong argument.")]
pub struct GetArgs {
    /// What it is known by
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,

    /// The collection
    #[arg(long, value_name = "NAME", default_value = "orders")]
    collection: String,

    #[command(flatten)]
    service: Connection,
}

pub async fn get(args: GetArgs) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let path = path(&args.collection)?;
    let answer = client.get(&path, &[("key", args.key)]).await?;
    screen::print(answer.text())?;
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
#[command(after_help = "\
One JSON object a line, newest first; of a collection that keeps the latest, by key. `waybill export` has all of them, and CSV \
and XLSX.

Examples:
  waybill list --where customer_id=test | jq .payment.amount
  waybill list --collection couriers --received-before 15m

Exit codes: 0 listed, however many there are; 1 the service is not there; 2 a wrong argument.")]
pub struct ListArgs {
    #[command(flatten)]
    which: Which,

    /// Received before: 2026-01-31T12:00:00Z, or how long ago, as 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    received_before: Option<String>,

    /// Received after
    #[arg(long, value_name = "TIME")]
    received_after: Option<String>,

    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,

    #[command(flatten)]
    service: Connection,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

pub async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let path = path(&args.which.collection)?;
    let mut left = args.limit;
    let mut after: Option<String> = None;
    loop {
        let mut query: Vec<(&str, String)> = Vec::new();
        for (name, value) in &args.which.lookups {
            query.push((name, value.clone()));
        }
        let times = [
            ("received_before", &args.received_before),
            ("received_after", &args.received_after),
        ];
        for (name, time) in times {
            query.extend(time.clone().map(|time| (name, time)));
        }
        query.push(("limit", left.min(PAGE).to_string()));
        query.extend(after.take().map(|after| ("after", after)));
        let page: Page = client.get(&path, &query).await?.read()?;
        let lines = page.items.iter().map(|item| format!("{}\n", item.get()));
        screen::print_bytes(lines.collect::<String>().as_bytes())?;
        left -= page.items.len() as u64;
        after = page.next;
        if after.is_none() || left == 0 || page.items.is_empty() {
            break;
        }
    }
    if after.is_some() {
        eprintln!("There are more: --limit N, or `waybill export`.");
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
#[command(after_help = "\
NDJSON has each document as the service serves it. CSV and XLSX have columns from the schema: a list of objects makes a row of \
each, the other fields repeated. In CSV a text that a spreadsheet would take for a formula gets a leading apostrophe. XLSX has \
one sheet, at most 1,048,575 rows: numbers of up to 15 digits as numbers, longer ones and dates as text; a text of more than \
32,767 characters is cut.

Examples:
  waybill export | jq .payment.amount
  waybill export --where customer_id=test --output orders.csv
  waybill export --collection purchases --from 1 --to 100000 --output purchases.xlsx

Exit codes: 0 all of it is there; 1 it was cut off (a file is not written then), or the service is not there; 2 a wrong \
argument.")]
pub struct ExportArgs {
    #[command(flatten)]
    which: Which,

    /// The lowest position
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    from: Option<i64>,

    /// The highest position
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,

    #[command(flatten)]
    target: Target,
}

pub async fn export(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let path = format!("{}/export", collections::path(&args.which.collection)?);
    let mut query = args.which.lookups;
    let positions = [("from", args.from), ("to", args.to)];
    for (name, position) in positions {
        query.extend(position.map(|position| (name.to_owned(), position.to_string())));
    }
    export::run(&path, query, args.target, "documents").await
}

fn path(name: &str) -> anyhow::Result<String> {
    match may_be_called(name) {
        true => Ok(format!("/api/v1/{name}")),
        false => Err(usage(format!(
            "--collection {name:?}: no collection can be called so"
        ))),
    }
}
