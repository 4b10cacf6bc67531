use std::process::ExitCode;

use crate::config::DatabaseArgs;
use crate::postgres::{self, Database};
use crate::telemetry::{self, LogFormat};

#[derive(clap::Args)]
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
