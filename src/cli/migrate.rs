use std::process::ExitCode;

use crate::config::DatabaseArgs;
use crate::postgres::{self, Database};
use crate::telemetry::{self, LogFormat};

#[derive(clap::Args)]
#[command(after_help = "\
`waybill serve` does the same at its start; this is for those who migrate in a step of its own. Under a lock, so that \
several at once do no harm.

Example:
  waybill migrate --database-url postgresql://waybill@localhost/waybill

Exit codes: 0 the database is at this version; 1 it failed; 2 a wrong or missing setting, or one that Postgres refuses.")]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(LogFormat::Text, "warn");
    let settings = args.database.settings()?;
    let target = settings.target();
    let applied = postgres::migrate(&Database::new(settings, 1)?).await?;
    if applied.is_empty() {
        println!("{target} is at this version already");
    }
    for name in applied {
        println!("migrated: {name}");
    }
    Ok(ExitCode::SUCCESS)
}
