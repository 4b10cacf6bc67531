//! The rules in force, and all that ever were.

use std::process::ExitCode;

use serde::Deserialize;

use super::super::client::{Client, Error};
use super::super::connection::Connection;
use super::super::screen::{self, Sheet};
use super::ids;

#[derive(clap::Args)]
pub struct Args {
    /// All that were ever applied, newest first
    #[arg(long)]
    history: bool,

    /// text: the YAML alone, as it was applied
    #[arg(long, value_enum, default_value_t = ShowOutput::Table)]
    output: ShowOutput,

    #[command(flatten)]
    service: Connection,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ShowOutput {
    Table,
    Json,
    Text,
}

#[derive(Deserialize)]
pub struct InForce {
    pub position: i64,
    pub hash: String,
    pub text: String,
}

impl InForce {
    pub async fn now(client: &Client) -> Result<Self, Error> {
        client.get("/api/v1/rules", &[]).await?.read()
    }

    /// As a person knows them.
    pub fn name(&self) -> String {
        match self.position {
            0 => "no rules".to_owned(),
            position => format!("the rules of position {position} ({})", short(&self.hash)),
        }
    }
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

#[derive(Deserialize)]
pub struct Entry {
    pub position: i64,
    pub hash: String,
    pub text: String,
    pub result: String,
    pub who: String,
    #[serde(default)]
    pub proof: Option<String>,
    pub why: String,
    pub at: String,
}

#[derive(Deserialize)]
pub struct History {
    pub items: Vec<Entry>,
}

pub async fn history(client: &Client, limit: u32) -> Result<History, Error> {
    let query = [("limit", limit.to_string())];
    client.get("/api/v1/rules/history", &query).await?.read()
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    if args.history {
        return show_history(&client, args.output).await;
    }
    let answer = client.get("/api/v1/rules", &[]).await?;
    let now: InForce = answer.read()?;
    match args.output {
        ShowOutput::Json => screen::print(answer.text())?,
        ShowOutput::Text => screen::print_bytes(now.text.as_bytes())?,
        ShowOutput::Table if now.position == 0 => {
            screen::print("No rules were ever applied: the built-in checks alone decide.")?;
        }
        ShowOutput::Table => {
            let applied = history(&client, 100).await?;
            let entry = applied
                .items
                .iter()
                .find(|entry| entry.position == now.position);
            let mut sheet = Sheet::plain();
            sheet.row(["in force from position", &now.position.to_string()]);
            sheet.row(["hash", &now.hash]);
            if let Some(entry) = entry {
                sheet.row([
                    "applied",
                    &format!(
                        "{} by {}",
                        screen::moment(&entry.at),
                        screen::who(&entry.who, entry.proof.as_deref())
                    ),
                ]);
                if !entry.why.is_empty() {
                    sheet.row(["why", &entry.why]);
                }
            }
            let yaml: Vec<_> = now.text.lines().map(screen::plain).collect();
            screen::print(format!("{}\n\n{}", sheet.text(), yaml.join("\n")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_history(client: &Client, output: ShowOutput) -> anyhow::Result<ExitCode> {
    let answer = client
        .get("/api/v1/rules/history", &[("limit", "500".to_owned())])
        .await?;
    let history: History = answer.read()?;
    match output {
        ShowOutput::Json => screen::print(answer.text())?,
        ShowOutput::Text => {
            for entry in &history.items {
                screen::print(format!(
                    "# position {}, {}\n{}",
                    entry.position, entry.result, entry.text
                ))?;
            }
        }
        ShowOutput::Table if history.items.is_empty() => {
            screen::print("No rules were ever applied.")?
        }
        ShowOutput::Table => {
            let mut sheet = Sheet::new(&[
                "position", "hash", "rules", "result", "applied", "by", "why",
            ]);
            for entry in &history.items {
                sheet.row([
                    entry.position.to_string(),
                    short(&entry.hash),
                    ids(entry.text.as_bytes()).len().to_string(),
                    entry.result.clone(),
                    screen::age(&entry.at),
                    screen::who(&entry.who, entry.proof.as_deref()),
                    entry.why.clone(),
                ]);
            }
            sheet.right(&[0, 2]);
            sheet.cut(6);
            screen::print(sheet.text())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
