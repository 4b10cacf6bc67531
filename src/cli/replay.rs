//! `waybill replay`: folds the log again into shadow tables, while the service goes on; then they become the tables.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::json;

use super::connection::Connection;
use super::credentials::decider;
use super::follow::{self, Operation};
use super::screen::ListOutput;

#[derive(clap::Args)]
#[command(after_help = "\
For rebuilding alone: what a new definition asks for, the service does by itself. No fate changes, readers see the old tables until \
the new ones take their place at once. One at a time. It survives a restart of the service; `waybill operations` pauses and cancels it.

Exit codes: 0 replayed; 1 it failed, was cancelled, another one runs, or the service is not there; 2 a wrong argument; 130 \
this command was interrupted, and the replay goes on.")]
pub struct Args {
    /// Ask for it, and do not wait for its end
    #[arg(long)]
    detach: bool,

    /// Why, for those who ask later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,

    /// Who asks [default: the user's name at the system]
    #[arg(long = "as", value_name = "NAME")]
    who: Option<String>,

    /// ids: the operation's
    #[arg(long, value_enum, default_value_t = ListOutput::Table)]
    output: ListOutput,

    #[command(flatten)]
    service: Connection,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let body = json!({
        "as": decider(&client, args.who.as_deref()).await?,
        "reason": args.reason,
    });
    let request = client.request(Method::POST, "/api/v1/replays").json(&body);
    let answer = client.ask(request).await?;
    let operation: Operation = answer.read()?;
    if args.detach || args.output == ListOutput::Ids {
        return follow::detached(&operation, &answer, args.output);
    }
    follow::follow_and_tell(&client, operation, args.output).await
}
