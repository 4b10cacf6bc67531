//! Lists of letters and of groups.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::client::{Client, Error};
use super::super::connection::Connection;
use super::super::screen::{self, ListOutput, Output, Sheet};
use super::Letter;
use super::filter::Filter;

const PAGE: u64 = 500;
/// From so many columns on there is room for a group's sentence.
const WIDE: u16 = 130;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  waybill dead-letters list
  waybill dead-letters list --state discarded --since 7d
  waybill dead-letters list --failed-for schema --code missing_field --limit 500
  waybill dead-letters list --fingerprint 2b39b95674f94688 --all --output ids

Exit codes: 0 listed, however many there are; 1 the service is not there; 2 a wrong argument.")]
pub struct Args {
    /// open, replaced, discarded, or all
    #[arg(long, default_value = "open")]
    state: String,

    #[command(flatten)]
    filter: Filter,

    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,

    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    #[arg(long, value_enum, default_value_t = ListOutput::Table)]
    output: ListOutput,

    #[command(flatten)]
    service: Connection,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let mut left = if args.all { u64::MAX } else { args.limit };
    let mut shown = 0;
    let mut after = None;
    // Page by page, so that a million letters need no more memory than one page.
    loop {
        let page = page(&client, &args, left.min(PAGE), after.as_deref()).await?;
        left -= page.items.len() as u64;
        let last = page.next.is_none() || left == 0 || page.items.is_empty();
        print_page(&args, &page, shown, last)?;
        shown += page.items.len();
        after = page.next;
        if last {
            break;
        }
    }
    if args.output == ListOutput::Table {
        let which = match args.state.as_str() {
            "all" => String::new(),
            state => format!("{} ", screen::plain(state)),
        };
        match (shown, &after) {
            (0, _) => screen::print(format!("No {which}dead letters like that."))?,
            (_, Some(_)) => screen::print("\nThere are more: --limit N, or --all.")?,
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn page(
    client: &Client,
    args: &Args,
    limit: u64,
    after: Option<&str>,
) -> Result<Page, Error> {
    let mut query = args.filter.query();
    query.extend(Some(("state", args.state.clone())).filter(|(_, state)| state != "all"));
    query.push(("limit", limit.to_string()));
    query.extend(after.map(|after| ("after", after.to_owned())));
    client.get("/api/v1/dead-letters", &query).await?.read()
}

fn print_page(args: &Args, page: &Page, shown: usize, last: bool) -> anyhow::Result<()> {
    match args.output {
        // One object, as the service answers it, however many pages it took.
        ListOutput::Json => {
            let mut text = String::new();
            if shown == 0 {
                text.push_str("{\"items\":[");
            }
            for (index, item) in page.items.iter().enumerate() {
                if shown + index > 0 {
                    text.push_str(",\n");
                }
                text.push_str(item.get());
            }
            if last {
                let next = serde_json::to_string(&page.next)?;
                text.push_str(&format!("],\"next\":{next}}}"));
            }
            screen::print(text)?;
        }
        ListOutput::Ids => {
            let mut text = String::new();
            for item in &page.items {
                let letter: Letter = serde_json::from_str(item.get())?;
                text.push_str(&format!("{}\n", letter.id));
            }
            if !text.is_empty() {
                screen::print(text)?;
            }
        }
        ListOutput::Table if page.items.is_empty() => {}
        ListOutput::Table => {
            let states = args.state == "all";
            let mut header = vec![
                "id",
                "received",
                "collection",
                "code",
                "key",
                "what is wrong",
            ];
            if states {
                header.insert(1, "state");
            }
            let mut sheet = match shown {
                0 => Sheet::new(&header),
                _ => Sheet::plain(),
            };
            for item in &page.items {
                let letter: Letter = serde_json::from_str(item.get())?;
                sheet.row(row(&letter, states));
            }
            sheet.right(&[0]);
            sheet.cut(header.len() - 1);
            screen::print(sheet.text())?;
        }
    }
    Ok(())
}

fn row(letter: &Letter, states: bool) -> Vec<String> {
    let uid = letter.key.clone().unwrap_or_default();
    let short: String = match uid.chars().count() {
        0..=24 => uid,
        _ => uid.chars().take(23).chain(['…']).collect(),
    };
    let mut row = vec![
        letter.id.to_string(),
        screen::age(&letter.received_at),
        letter.collection.clone(),
        letter.code.clone(),
        short,
        letter.message.clone(),
    ];
    if states {
        row.insert(1, letter.state.clone());
    }
    row
}

#[derive(clap::Args)]
#[command(after_help = "\
Letters are of one group when collection, reason, code and field are the same (an item's place in its list does not matter).

Examples:
  waybill dead-letters groups
  waybill dead-letters groups --state all --failed-for schema")]
pub struct GroupsArgs {
    /// Groups that have letters of this state: open, replaced, discarded, or all
    #[arg(long, default_value = "open")]
    state: String,

    /// Why they failed: not_utf8, not_json, schema, rule, unstorable, conflict, collection,
    /// sum
    #[arg(long, value_name = "REASON")]
    failed_for: Option<String>,

    /// Of this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

#[derive(Deserialize)]
struct Groups {
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    fingerprint: String,
    collection: Option<String>,
    code: String,
    pointer: String,
    message: String,
    open: i64,
    replaced: i64,
    discarded: i64,
    last_seen: String,
    sample: i64,
}

pub async fn groups(args: GroupsArgs) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let mut query = Vec::new();
    query.extend(
        Some(args.state.clone())
            .filter(|state| state != "all")
            .map(|state| ("state", state)),
    );
    query.extend(args.failed_for.clone().map(|reason| ("reason", reason)));
    query.extend(args.collection.clone().map(|name| ("collection", name)));
    let answer = client.get("/api/v1/dead-letter-groups", &query).await?;
    if args.output == Output::Json {
        screen::print(answer.text())?;
        return Ok(ExitCode::SUCCESS);
    }
    let groups: Groups = answer.read()?;
    if groups.items.is_empty() {
        screen::print("No groups of dead letters like that.")?;
        return Ok(ExitCode::SUCCESS);
    }
    // On a narrow screen code and field have to do.
    let wide = screen::width().is_none_or(|width| width >= WIDE);
    let mut header = vec![
        "open",
        "closed",
        "last",
        "fingerprint",
        "sample",
        "collection",
        "code",
        "field",
    ];
    if wide {
        header.splice(1..2, ["replaced", "discarded"]);
        header.push("as in");
    }
    let mut sheet = Sheet::new(&header);
    for group in &groups.items {
        let mut row = vec![
            screen::number(group.open),
            screen::number(group.replaced + group.discarded),
            screen::age(&group.last_seen),
            group.fingerprint.clone(),
            group.sample.to_string(),
            group.collection.clone().unwrap_or_default(),
            group.code.clone(),
            group.pointer.clone(),
        ];
        if wide {
            let closed = [group.replaced, group.discarded].map(screen::number);
            row.splice(1..2, closed);
            row.push(group.message.clone());
        }
        sheet.row(row);
    }
    let sample = header.iter().position(|name| *name == "sample");
    sheet.right(&[0, 1]);
    sheet.right(sample.as_slice());
    if wide {
        sheet.right(&[2]);
    }
    sheet.cut(header.len() - 1);
    screen::print(sheet.text())?;
    Ok(ExitCode::SUCCESS)
}
