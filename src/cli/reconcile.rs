//! `waybill reconcile`: the account, each fate counted on its own, and what each source's sequences say.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;
use reqwest::Method;
use serde::Deserialize;

use super::client::Answer;
use super::connection::Connection;
use super::screen::{self, Output, Paint, Sheet};

/// All rows are counted again: seconds for millions.
const VERIFY_TIME: Duration = Duration::from_secs(3_600);
const SHOWN_HOLES: usize = 20;

#[derive(clap::Args)]
#[command(after_help = "\
received = documents + superseded + duplicates + dead letters + decisions + pending: each is counted on its own, none as the \
remainder. A hole is a range of a broker's sequences that did not arrive: awaited while the broker may still send it, lost when it \
no longer has it, or should long have sent it.

Examples:
  waybill reconcile
  waybill reconcile --verify            count every row again; slower, and proof against a lost or doubled row

Exit codes: 0 it balances and nothing is lost; 1 it does not balance, something is lost, or the service is not there; \
2 a wrong argument.")]
pub struct Args {
    /// Count every row again
    #[arg(long)]
    verify: bool,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

#[derive(Deserialize)]
struct Account {
    received: i64,
    documents: i64,
    superseded: i64,
    duplicates: i64,
    dead_letters: i64,
    decisions: i64,
    pending: i64,
    balanced: bool,
    well: bool,
    sources: Vec<Source>,
    verified: Option<Verified>,
}

#[derive(Deserialize)]
struct Source {
    source: String,
    epoch: i64,
    rows: i64,
    first_sequence: i64,
    last_sequence: i64,
    broker_last_sequence: Option<i64>,
    holes: Vec<Hole>,
    hole_count: i64,
    missing: i64,
    lost: i64,
}

#[derive(Deserialize)]
struct Hole {
    first: i64,
    last: i64,
    state: String,
}

#[derive(Deserialize)]
struct Verified {
    rows: i64,
    documents: i64,
    superseded: i64,
    duplicates: i64,
    dead_letters: i64,
    decisions: i64,
    findings: Vec<String>,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let mut request = client.request(Method::GET, "/api/v1/reconciliation");
    let mut waiting = None;
    if args.verify {
        request = request.query(&[("verify", "true")]).timeout(VERIFY_TIME);
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner().with_message("counting every row again");
            bar.enable_steady_tick(Duration::from_millis(100));
            waiting = Some(bar);
        }
    }
    let answer = client.send(request).await;
    if let Some(bar) = waiting {
        bar.finish_and_clear();
    }
    let answer: Answer = answer?;
    let account: Account = answer.read()?;
    screen::print(match args.output {
        Output::Json => answer.text(),
        Output::Table => show(&account),
    })?;
    Ok(ExitCode::from(u8::from(!account.well)))
}

fn show(account: &Account) -> String {
    let verified = account.verified.as_ref();
    let mut header = vec!["fate", "rows"];
    if verified.is_some() {
        header.push("counted again");
    }
    let mut fates = Sheet::new(&header);
    for (name, count, again) in [
        (
            "documents",
            account.documents,
            verified.map(|v| v.documents),
        ),
        (
            "superseded",
            account.superseded,
            verified.map(|v| v.superseded),
        ),
        (
            "duplicates",
            account.duplicates,
            verified.map(|v| v.duplicates),
        ),
        (
            "dead letters",
            account.dead_letters,
            verified.map(|v| v.dead_letters),
        ),
        (
            "decisions",
            account.decisions,
            verified.map(|v| v.decisions),
        ),
        ("pending", account.pending, None),
        ("received", account.received, verified.map(|v| v.rows)),
    ] {
        let mut row = vec![name.to_owned(), screen::number(count)];
        if verified.is_some() {
            row.push(again.map_or(String::new(), screen::number));
        }
        fates.row(row);
    }
    fates.right(&[1, 2]);
    let mut text = fates.text();
    if !account.sources.is_empty() {
        text.push_str("\n\n");
        text.push_str(&sources(&account.sources));
    }
    text.push_str("\n\n");
    text.push_str(&verdict(account));
    text
}

fn sources(sources: &[Source]) -> String {
    let mut sheet = Sheet::new(&[
        "source",
        "epoch",
        "rows",
        "first",
        "last",
        "broker's last",
        "missing",
        "lost",
    ]);
    for source in sources {
        sheet.row([
            source.source.clone(),
            source.epoch.to_string(),
            screen::number(source.rows),
            screen::number(source.first_sequence),
            screen::number(source.last_sequence),
            source
                .broker_last_sequence
                .map_or("?".to_owned(), screen::number),
            screen::number(source.missing),
            screen::number(source.lost),
        ]);
    }
    sheet.right(&[1, 2, 3, 4, 5, 6, 7]);
    let mut text = sheet.text();
    for source in sources.iter().filter(|source| !source.holes.is_empty()) {
        text.push_str(&format!(
            "\n\nHoles of {}, epoch {}:",
            screen::plain(&source.source),
            source.epoch
        ));
        for hole in source.holes.iter().take(SHOWN_HOLES) {
            let range = match hole.first == hole.last {
                true => hole.first.to_string(),
                false => format!("{} to {}", hole.first, hole.last),
            };
            text.push_str(&format!("\n  {range}  {}", screen::plain(&hole.state)));
        }
        let shown = source.holes.len().min(SHOWN_HOLES) as i64;
        if source.hole_count > shown {
            text.push_str(&format!(
                "\n  and {} more (--output json lists the first 200)",
                screen::number(source.hole_count - shown)
            ));
        }
    }
    text
}

fn verdict(account: &Account) -> String {
    let paint = Paint::stdout();
    let mut text = match account.balanced {
        true => paint.green("The account balances."),
        false => paint.red("The account does not balance."),
    };
    let lost: i64 = account.sources.iter().map(|source| source.lost).sum();
    if lost > 0 {
        let lost = screen::count(lost, "message is", "messages are");
        text.push_str(&paint.red(&format!(" {lost} lost: the holes above.")));
    }
    if let Some(verified) = &account.verified {
        match verified.findings.as_slice() {
            [] => text.push_str(" Every row was counted again, and is where it should be."),
            findings => {
                text.push_str(&paint.red(" Counted again, it does not fit:"));
                for finding in findings {
                    text.push_str(&format!("\n  {}", screen::plain(finding)));
                }
            }
        }
    }
    text
}
