use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::config::ServeArgs;
use crate::{api, serve, telemetry};

#[derive(clap::Args)]
#[command(after_help = "\
Each flag has a variable of the same name: --cache-bytes is WAYBILL_CACHE_BYTES; .env.example lists them all. It waits for \
a Postgres or a broker that is not there yet, migrates the database, and drains on SIGTERM or Ctrl-C; a second one ends \
it at once. Several processes on one database share the work: give each a --client-id of its own.

Examples:
  waybill serve --database-url postgresql://waybill@localhost/waybill
  waybill serve --database-url-file /run/secrets/database_url --stan-url nats://broker:4222 --cluster-id orders

Exit codes: 0 stopped in order; 1 something broke; 2 a wrong or missing setting, or one that Postgres refuses.")]
pub struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(args.serve.log_format, "info");
    let config = args.serve.config()?;
    let listener = api::listen(config.api.listen).await?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    serve::run(config, listener, stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// The first SIGTERM or Ctrl-C stops in order; a second one ends at once.
pub fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for asked in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked > 0 {
                std::process::exit(1);
            }
            stop.cancel();
        }
    });
    Ok(())
}
