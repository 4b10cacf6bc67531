//! `waybill audit`: who was let in, who was turned away, who took data out.

use std::process::ExitCode;

use serde::Deserialize;

use super::connection::Connection;
use super::screen::{self, Output, Sheet};

#[derive(clap::Args)]
#[command(after_help = "\
Newest first. Decisions about messages are not here: `waybill dead-letters show` has those, with who made them. It needs the \
right admin.

Examples:
  waybill audit --since 1d
  waybill audit --what exported --who ada
  waybill audit --what sign_in_failed --output json | jq -r '.items[].address' | sort | uniq -c

Exit codes: 0 well; 1 the service is not there, or says no; 2 a wrong argument.")]
pub struct Args {
    /// signed_in, sign_in_failed, signed_out, refused, exported, replay, steered or new_address
    #[arg(long, value_name = "WHAT")]
    what: Option<String>,

    /// A name, exactly
    #[arg(long, value_name = "NAME")]
    who: Option<String>,

    /// At or after: 2026-01-31T12:00:00Z, or how long ago, as in 2h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=500))]
    limit: u64,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    at: String,
    what: String,
    who: String,
    proof: String,
    address: String,
    detail: String,
    times: i64,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, value) in [
        ("what", args.what),
        ("who", args.who),
        ("since", args.since),
        ("until", args.until),
    ] {
        query.extend(value.map(|value| (name, value)));
    }
    let answer = args.service.client()?.get("/api/v1/audit", &query).await?;
    match args.output {
        Output::Json => screen::print(answer.text())?,
        Output::Table => {
            let page: Page = answer.read()?;
            let mut sheet =
                Sheet::new(&["at", "what", "who", "proven by", "from", "times", "about"]);
            for entry in page.items {
                sheet.row([
                    screen::moment(&entry.at),
                    entry.what,
                    entry.who,
                    entry.proof,
                    entry.address,
                    screen::number(entry.times),
                    entry.detail,
                ]);
            }
            sheet.right(&[5]);
            sheet.cut(6);
            screen::print(sheet.text())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
