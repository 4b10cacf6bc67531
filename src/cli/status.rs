//! `waybill status`: one screen, and an exit code for scripts and health checks.

use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Answer, Client, Error};
use super::connection::Connection;
use super::screen::{self, Output, Paint, Sheet};

/// A health check must be over soon.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  waybill status                        the service that `waybill dev` runs here, or on port 8080
  waybill status --url http://orders:8080
  waybill status --ready                for a health check: quiet, and of readiness alone

Exit codes: 0 it serves (also while Postgres or the broker is away: cached documents still answer); 1 it is not there, is \
warming up or stopping, or its account does not balance; 2 a wrong argument.")]
pub struct Args {
    /// Ask for readiness alone
    #[arg(long)]
    ready: bool,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

#[derive(Deserialize)]
struct Ready {
    status: String,
    postgres: String,
    broker: String,
    broker_problem: Option<String>,
}

#[derive(Deserialize)]
struct Stats {
    version: String,
    received: i64,
    pending: i64,
    documents: i64,
    superseded: i64,
    duplicates: i64,
    dead_letters_open: i64,
    dead_letters_replaced: i64,
    dead_letters_discarded: i64,
    oldest_open_dead_letter: Option<String>,
    cache_documents: i64,
    cache_bytes: i64,
    cache_warm: bool,
    cache_hits: i64,
    cache_misses: i64,
    last_message_at: Option<String>,
    broker: Option<Broker>,
}

#[derive(Deserialize)]
struct Broker {
    channel: String,
    lag: Option<i64>,
}

#[derive(Deserialize)]
struct Account {
    decisions: i64,
    balanced: bool,
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    lost: i64,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let ready = ask(&client, "/healthz/ready").await?;
    let serves = ready.status.is_success();
    let known: Ready = ready.read()?;
    if args.ready {
        screen::print(match args.output {
            Output::Table => known.status,
            Output::Json => ready.text(),
        })?;
        return Ok(ExitCode::from(u8::from(!serves)));
    }
    let stats = whole(&client, ask(&client, "/api/v1/stats").await)?;
    let account = whole(&client, ask(&client, "/api/v1/reconciliation").await)?;
    let balanced = match &account {
        None => true,
        Some(answer) => answer.read::<Account>()?.balanced,
    };
    match args.output {
        Output::Json => {
            let raw = |answer: Option<&Answer>| {
                answer
                    .map(|answer| answer.read::<Box<RawValue>>())
                    .transpose()
            };
            let all = serde_json::json!({
                "ready": raw(Some(&ready))?,
                "stats": raw(stats.as_ref())?,
                "reconciliation": raw(account.as_ref())?,
            });
            screen::print(all.to_string())?;
        }
        Output::Table => screen::print(show(
            &client.url(),
            &known,
            stats.as_ref().map(Answer::read).transpose()?,
            account.as_ref().map(Answer::read).transpose()?,
        ))?,
    }
    Ok(ExitCode::from(u8::from(!(serves && balanced))))
}

/// With whatever status it comes.
async fn ask(client: &Client, path: &str) -> Result<Answer, Error> {
    let request = client.request(Method::GET, path).timeout(PATIENCE);
    client.exchange(request).await
}

/// None while Postgres is away.
fn whole(client: &Client, answer: Result<Answer, Error>) -> Result<Option<Answer>, Error> {
    match answer {
        Ok(answer) if answer.status.is_success() => Ok(Some(answer)),
        Ok(answer) if answer.status != StatusCode::SERVICE_UNAVAILABLE => {
            Err(client.refused(answer))
        }
        Ok(_) | Err(Error::TimedOut { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn show(url: &str, ready: &Ready, stats: Option<Stats>, account: Option<Account>) -> String {
    let paint = Paint::stdout();
    let status = match ready.status.as_str() {
        "ready" => paint.green(&paint.bold("ready")),
        "degraded" => paint.yellow(&paint.bold("degraded")),
        other => paint.red(&paint.bold(other)),
    };
    let version = stats
        .as_ref()
        .map_or(String::new(), |stats| format!(" {}", stats.version));
    let mut text = format!("Waybill{version} at {url}: {status}\n\n");
    let mut rooms = Sheet::plain();
    let postgres = match (ready.postgres.as_str(), &stats) {
        ("connected", None) => "does not answer in time",
        (other, _) => other,
    };
    rooms.row(["Postgres", postgres]);
    let mut broker = match ready.broker.as_str() {
        "none" => "none: messages come over HTTP alone".to_owned(),
        other => other.to_owned(),
    };
    if let Some(problem) = &ready.broker_problem {
        broker.push_str(&format!(": {problem}"));
    }
    if let Some(known) = stats.as_ref().and_then(|stats| stats.broker.as_ref()) {
        broker.push_str(&format!(", channel {}", known.channel));
        if let Some(lag) = known.lag {
            let messages = screen::count(lag, "message", "messages");
            broker.push_str(&format!(", {messages} not yet acknowledged"));
        }
    }
    rooms.row(["Broker", &broker]);
    if let Some(stats) = &stats {
        let asked = stats.cache_hits + stats.cache_misses;
        let hits = match asked {
            0 => String::new(),
            _ => format!(", {} % of reads hit", 100 * stats.cache_hits / asked),
        };
        let warm = if stats.cache_warm { "" } else { ", warming up" };
        rooms.row([
            "Cache",
            &format!(
                "{}, {}{hits}{warm}",
                screen::count(stats.cache_documents, "document", "documents"),
                screen::bytes(stats.cache_bytes)
            ),
        ]);
    }
    text.push_str(&rooms.text());
    text.push_str("\n\n");
    match (stats, account) {
        (Some(stats), Some(account)) => text.push_str(&fates(&stats, &account, paint)),
        _ => text.push_str(
            "Postgres is away, so the account is not known; documents in the cache still answer.",
        ),
    }
    text
}

fn fates(stats: &Stats, account: &Account, paint: Paint) -> String {
    let letters =
        stats.dead_letters_open + stats.dead_letters_replaced + stats.dead_letters_discarded;
    let open = match stats.dead_letters_open {
        0 => "none is open".to_owned(),
        open => {
            let oldest = stats.oldest_open_dead_letter.as_deref().unwrap_or_default();
            format!(
                "{} open, the oldest {}",
                screen::number(open),
                screen::age(oldest)
            )
        }
    };
    let closed = format!(
        "{open}; {} replaced, {} discarded",
        screen::number(stats.dead_letters_replaced),
        screen::number(stats.dead_letters_discarded)
    );
    let last = match &stats.last_message_at {
        Some(at) => format!("the last {}", screen::age(at)),
        None => "none since this process started".to_owned(),
    };
    let mut sheet = Sheet::plain();
    for (name, count, remark) in [
        ("Received", stats.received, last.as_str()),
        ("Documents", stats.documents, ""),
        ("Superseded", stats.superseded, ""),
        ("Duplicates", stats.duplicates, ""),
        ("Dead letters", letters, &closed),
        ("Decisions", account.decisions, ""),
        ("Pending", stats.pending, ""),
    ] {
        sheet.row([name, &screen::number(count), remark]);
    }
    sheet.right(&[1]);
    let lost: i64 = account.sources.iter().map(|source| source.lost).sum();
    let verdict = match (account.balanced, lost) {
        (false, _) => {
            paint.red("The account does not balance: `waybill reconcile --verify` says where.")
        }
        (true, 0) => "The account balances.".to_owned(),
        (true, lost) => paint.yellow(&format!(
            "The account balances, but {} never came: `waybill reconcile` says which.",
            screen::count(lost, "message of the broker's", "messages of the broker's")
        )),
    };
    format!("{}\n\n{verdict}", sheet.text())
}
