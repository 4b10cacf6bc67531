use std::process::ExitCode;

use super::screen::print;
use crate::config::DatabaseArgs;
use crate::postgres::{self, Database};
use crate::telemetry::{self, LogFormat};

#[derive(clap::Args)]
#[command(after_help = "\
`waybill serve` does the same at its start if its role owns the tables. Better is a role that owns them and migrates, and \
another that serves: --grant gives that one the rights to append to the log and to read it, and neither to change nor to \
remove a message; what is derived becomes its own. Said once, it holds for later migrations, too. Under a lock, so that \
several at once do no harm.

Examples:
  waybill migrate --database-url postgresql://owner@localhost/waybill --grant waybill
  waybill serve --database-url postgresql://waybill@localhost/waybill

Exit codes: 0 the database is at this version; 1 it failed; 2 a wrong or missing setting, or one that Postgres refuses.")]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,

    /// The role that `waybill serve` connects as, which is to have a service's rights and no more. It must be there.
    #[arg(long, value_name = "ROLE")]
    grant: Option<String>,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(LogFormat::Text, "warn");
    let settings = args.database.settings()?;
    let target = settings.target();
    let grant = args.grant.as_deref();
    let applied = postgres::migrate(&Database::new(settings, 1)?, grant).await?;
    if applied.is_empty() {
        print(format!("{target} is at this version already"))?;
    }
    for name in applied {
        print(format!("migrated: {name}"))?;
    }
    if let Some(role) = grant {
        print(format!(
            "{role} may append to the log and read it, and owns what is derived"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
