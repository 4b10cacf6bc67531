//! Retry, discard, reopen, note: one decision for each letter, told as it comes.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;

use super::super::client::{Client, Decision, Error};
use super::super::connection::Connection;
use super::super::credentials::decider;
use super::super::screen::{self, ListOutput, Paint};
use super::super::usage;
use super::bulk::{self, Set};
use super::ids;

#[derive(clap::Args)]
#[command(after_help = "\
Each decision is a row in the log, with who, when and why. One that came too late is refused, and says what was decided. \
A set is frozen when it is asked for, and worked by the service as an operation: it survives a restart, and `waybill \
operations` shows, pauses and cancels it. A few ids are decided one by one, many of them as a set.

Examples:
  waybill dead-letters retry 4711
  waybill dead-letters retry --code missing_field --since 2h --dry-run
  waybill dead-letters retry --all --rate 500 --stop-share 20%
  waybill dead-letters discard 4711 4712 --reason 'sent by a load test'
  waybill dead-letters note 4711 --reason 'asked the shop, ticket 82'
  waybill dead-letters list --text 'load test' --all --output ids | waybill dead-letters discard - --reason 'a load test'
  waybill dead-letters retry --failed-for rule --dry-run --output ids | waybill dead-letters retry -

Exit codes: 0 all done (of a dry run: all would be); 1 none was done, it failed, or the service is not there; 2 a wrong \
argument; 3 some were done, some not (a letter that fails again counts as not done); 130 this command was interrupted, and \
the operation goes on.")]
pub struct Args {
    /// Ids of letters, - for those on stdin
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    ids: Vec<String>,

    #[command(flatten)]
    by: By,

    /// Why, for those who ask later; a discard and a note need it
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,

    #[command(flatten)]
    set: Set,
}

#[derive(clap::Args)]
pub struct By {
    /// Who decides [default: the user's name at the system]
    #[arg(long = "as", value_name = "NAME")]
    who: Option<String>,

    /// ids: of the letters for which it was done (or would be), one a line, for the next command
    #[arg(long, value_enum, default_value_t = ListOutput::Table)]
    output: ListOutput,

    #[command(flatten)]
    service: Connection,
}

/// What the service says of a decision.
#[derive(Deserialize)]
pub struct Outcome {
    pub position: i64,
    pub result: String,
    pub fate: Option<String>,
}

impl Outcome {
    pub fn is_done(&self) -> bool {
        matches!(self.result.as_str(), "done" | "already_so")
    }

    /// One sentence, without the letter's id.
    pub fn told(&self, action: &str) -> String {
        let position = self.position;
        match (self.result.as_str(), self.fate.as_deref()) {
            ("done", Some("document")) => {
                format!("home: it is a document now, at position {position}")
            }
            ("done", Some("duplicate")) => {
                format!(
                    "home: its document was there already (position {position} is the duplicate)"
                )
            }
            ("done", Some("dead_letter")) => {
                format!("replaced by the dead letter {position}: the new bytes fail too")
            }
            ("done", _) => match action {
                "discard" => "discarded".to_owned(),
                "reopen" => "open again".to_owned(),
                "note" => "noted".to_owned(),
                _ => "done".to_owned(),
            },
            ("already_so", _) => "it was so already".to_owned(),
            ("still_failing", _) => match action {
                "reopen" => "open again; it still fails".to_owned(),
                _ => "still fails".to_owned(),
            },
            ("pending", _) => format!(
                "in the log at position {position}, and not yet projected: `waybill status` shows how far it is"
            ),
            (other, _) => screen::plain(other).into_owned(),
        }
    }
}

/// More ids than these are a set: one request, one operation.
const FEW: usize = 50;

pub async fn run(action: &'static str, args: Args) -> anyhow::Result<ExitCode> {
    let (set, reason) = (&args.set, args.reason.as_str());
    if matches!(action, "discard" | "note") && reason.trim().is_empty() && !set.is_dry_run() {
        return Err(usage(format!("a {action} needs a --reason")));
    }
    let ids = match args.ids.is_empty() {
        false => Some(ids(&args.ids)?),
        true if set.says_which() => None,
        true => {
            return Err(usage(format!(
                "which letters? Name ids (- for those on stdin), or filters as --code, or --all: waybill dead-letters {action} --help"
            )));
        }
    };
    let client = args.by.service.client()?;
    let who = decider(&client, args.by.who.as_deref()).await?;
    match ids {
        Some(ids) if ids.len() <= FEW && !set.is_asked() => {
            one_by_one(
                &client,
                action,
                &ids,
                (who.as_deref(), reason),
                args.by.output,
            )
            .await
        }
        ids => {
            bulk::run(
                &client,
                action,
                ids.as_deref(),
                set,
                (who.as_deref(), reason),
                args.by.output,
            )
            .await
        }
    }
}

async fn one_by_one(
    client: &Client,
    action: &str,
    ids: &[i64],
    (who, reason): (Option<&str>, &str),
    output: ListOutput,
) -> anyhow::Result<ExitCode> {
    let paint = Paint::stdout();
    let mut done = 0;
    for id in ids {
        let outcome = decide(client, action, *id, who, reason).await;
        let well = match &outcome {
            Ok((outcome, _)) => {
                outcome.is_done() || (action == "reopen" && outcome.result == "still_failing")
            }
            Err(Error::Refused(problem)) if problem.status != 400 && problem.status != 503 => false,
            // The next one would fare no better.
            Err(_) => {
                if done > 0 {
                    eprintln!("waybill: {done} of {} are done; then it broke", ids.len());
                }
                outcome?;
                break;
            }
        };
        done += usize::from(well);
        match (output, outcome) {
            (ListOutput::Table, Ok((outcome, _))) => {
                let told = outcome.told(action);
                let told = if well {
                    paint.green(&told)
                } else {
                    paint.yellow(&told)
                };
                screen::print(format!("{id}: {told}"))?;
            }
            (ListOutput::Table, Err(error)) => {
                screen::print(format!("{id}: {}", paint.red(&error.to_string())))?
            }
            (ListOutput::Json, Ok((_, json))) => screen::print(json)?,
            (ListOutput::Json, Err(Error::Refused(problem))) => {
                screen::print(String::from_utf8_lossy(&problem.body))?;
            }
            (ListOutput::Ids, _) if well => screen::print(id.to_string())?,
            (_, Err(error)) => eprintln!("{id}: {error}"),
            (ListOutput::Ids, Ok((outcome, _))) => eprintln!("{id}: {}", outcome.told(action)),
        }
    }
    if output == ListOutput::Table && ids.len() > 1 {
        screen::print(format!("{done} of {} done", ids.len()))?;
    }
    Ok(ExitCode::from(match done {
        done if done == ids.len() => 0,
        0 => 1,
        _ => 3,
    }))
}

async fn decide(
    client: &Client,
    action: &str,
    id: i64,
    who: Option<&str>,
    reason: &str,
) -> Result<(Outcome, String), Error> {
    let path = match action {
        "note" => format!("/api/v1/dead-letters/{id}/notes"),
        action => format!("/api/v1/dead-letters/{id}/{action}"),
    };
    let body = json!({ "as": who, "reason": reason });
    let answer = client.decide(&path, Decision::Json(body)).await?;
    Ok((answer.read()?, answer.text()))
}
