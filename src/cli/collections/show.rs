//! The collections in force, one's definition, and all that ever were by a name.

use std::process::ExitCode;

use serde::Deserialize;

use super::super::connection::Connection;
use super::super::screen::{self, Output, Sheet};
use super::{Counts, Defined, History, path, short};

#[derive(clap::Args)]
pub struct ListArgs {
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

#[derive(Deserialize)]
struct List {
    items: Vec<View>,
}

#[derive(Deserialize)]
struct View {
    name: String,
    position: i64,
    hash: String,
    title: String,
    keep: String,
    counts: Counts,
    trouble: Option<String>,
}

pub async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let answer = client.get("/api/v1/collections", &[]).await?;
    let list: List = answer.read()?;
    if args.output == Output::Json {
        screen::print(answer.text())?;
        return Ok(ExitCode::SUCCESS);
    }
    if list.items.is_empty() {
        screen::print("There is no collection, or none that is yours to see.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut sheet = Sheet::new(&[
        "name",
        "documents",
        "superseded",
        "duplicates",
        "dead letters",
        "keeps",
        "since",
        "hash",
        "title",
    ]);
    for view in &list.items {
        sheet.row([
            view.name.clone(),
            screen::number(view.counts.documents),
            screen::number(view.counts.superseded),
            screen::number(view.counts.duplicates),
            screen::number(view.counts.dead_letters),
            view.keep.clone(),
            view.position.to_string(),
            short(&view.hash),
            view.title.clone(),
        ]);
    }
    sheet.right(&[1, 2, 3, 4, 6]);
    sheet.cut(8);
    let mut text = sheet.text();
    for view in &list.items {
        if let Some(trouble) = &view.trouble {
            let trouble = screen::plain(trouble);
            text.push_str(&format!("\n\n{} is in trouble: {trouble}", view.name));
        }
    }
    screen::print(text)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
#[command(after_help = "\
It is the text alone, as it was applied: `waybill collections show NAME | waybill collections apply -` changes nothing.

Exit codes: 0 shown; 1 there is no such collection, or the service is not there; 2 a wrong argument.")]
pub struct Args {
    /// The collection
    #[arg(value_name = "NAME")]
    name: String,

    /// table: the text
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let answer = client.get(&path(&args.name)?, &[]).await?;
    match args.output {
        Output::Json => screen::print(answer.text())?,
        Output::Table => screen::print_bytes(answer.read::<Defined>()?.text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
pub struct HistoryArgs {
    /// The collection; one that was dropped has a history, too
    #[arg(value_name = "NAME")]
    name: String,

    /// text: each with its YAML
    #[arg(long, value_enum, default_value_t = HistoryOutput::Table)]
    output: HistoryOutput,

    #[command(flatten)]
    service: Connection,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum HistoryOutput {
    Table,
    Json,
    Text,
}

pub async fn history(args: HistoryArgs) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let path = format!("{}/definitions", path(&args.name)?);
    let answer = client.get(&path, &[("limit", "500".to_owned())]).await?;
    let history: History = answer.read()?;
    match args.output {
        HistoryOutput::Json => screen::print(answer.text())?,
        HistoryOutput::Text => {
            for entry in &history.items {
                let (position, action) = (entry.position, &entry.action);
                let head = format!("# position {position}, {action}, {}", entry.result);
                screen::print(format!("{head}\n{}", entry.text))?;
            }
        }
        HistoryOutput::Table if history.items.is_empty() => screen::print(format!(
            "Nothing was ever applied by the name {}.",
            args.name
        ))?,
        HistoryOutput::Table => {
            let header = ["position", "what", "hash", "result", "decided", "by", "why"];
            let mut sheet = Sheet::new(&header);
            for entry in &history.items {
                sheet.row([
                    entry.position.to_string(),
                    entry.action.clone(),
                    short(&entry.hash),
                    entry.result.replace('_', " "),
                    screen::age(&entry.at),
                    screen::who(&entry.who, entry.proof.as_deref()),
                    entry.why.clone(),
                ]);
            }
            sheet.right(&[0]);
            sheet.cut(6);
            screen::print(sheet.text())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
