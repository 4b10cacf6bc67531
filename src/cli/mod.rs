//! The command line: one file for each subcommand. `serve`, `dev` and `migrate` touch Postgres; all others are clients of a
//! running service, by HTTP: one authority for who may do what.

mod audit;
pub mod client;
mod collections;
mod connection;
mod credentials;
mod dead_letters;
mod dev;
mod diff;
mod documents;
mod export;
mod follow;
mod migrate;
mod openapi;
mod operations;
pub mod publish;
mod reconcile;
mod replay;
pub mod run_file;
pub mod screen;
mod serve;
mod status;
mod token;
mod trust;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use serve::stop_on_signal;

/// A durable inbox for messages, and a desk for dead letters: no message is lost, no bad one is forgotten.
#[derive(Parser)]
#[command(name = "waybill", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Begin with `waybill dev`: it brings its own Postgres and NATS Streaming, and sample orders. The commands run beside it \
find it by themselves; elsewhere --url or WAYBILL_URL says where the service is.

Exit codes: 0 well; 1 it failed, or what was asked about is not well; 2 a wrong argument or setting; 3 some of several \
were done, some not. `waybill help COMMAND` says what they mean there.";

#[derive(Subcommand)]
enum Command {
    /// Try it: a private Postgres and NATS Streaming, the service, and sample orders
    Dev(dev::Args),
    /// Run the service
    Serve(Box<serve::Args>),
    /// Send samples, files or junk
    Publish(Box<publish::Arguments>),
    /// How a running service is, on one screen
    Status(status::Args),
    /// Judge messages, and store nothing
    Validate(validate::Args),
    /// The account: what was received, and what became of it
    Reconcile(reconcile::Args),
    /// Find dead letters, read their stories, decide about them
    DeadLetters(dead_letters::Args),
    /// What the collections are: try a definition, put it in force, see those in force
    Collections(collections::Args),
    /// One document, by its key
    Get(documents::GetArgs),
    /// Documents, newest first
    List(documents::ListArgs),
    /// Take documents out: NDJSON, CSV, XLSX
    Export(documents::ExportArgs),
    /// Long-running work: its progress and outcome; pause it, go on, end it
    Operations(operations::Args),
    /// Fold the log again, while the service goes on
    Replay(replay::Args),
    /// Who may ask a service for what: make a token, list them, try one
    Token(token::Args),
    /// Who was let in, who was turned away, who took data out
    Audit(audit::Args),
    /// Bring the database to this version, and exit
    Migrate(migrate::Args),
    /// Print the OpenAPI specification
    Openapi,
}

pub fn main() -> ExitCode {
    // One provider for every TLS connection: Postgres, broker, HTTP client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let outcome = runtime.block_on(run(cli.command));
            // A blocking read of stdin must not hold up the exit.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// A mistake in what was asked for: one sentence, exit code 2, and nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn usage(problem: impl Into<String>) -> anyhow::Error {
    Usage(problem.into()).into()
}

/// One sentence. Wrong settings end with 2, what failed in doing with 1.
fn fail(error: &anyhow::Error) -> ExitCode {
    if error
        .downcast_ref::<screen::Unprinted>()
        .is_some_and(screen::Unprinted::is_closed)
    {
        return ExitCode::FAILURE;
    }
    eprintln!("waybill: {}", sentence(error));
    let wrong_setting = error.downcast_ref::<crate::config::Wrong>().is_some()
        || error.downcast_ref::<Usage>().is_some()
        || error
            .downcast_ref::<client::Error>()
            .is_some_and(client::Error::is_usage)
        || error.chain().any(|cause| {
            cause
                .downcast_ref::<crate::postgres::Error>()
                .is_some_and(crate::postgres::Error::is_fatal_at_start)
        });
    ExitCode::from(if wrong_setting { 2 } else { 1 })
}

/// What failed and why; a cause that the sentence before it has told already is left out.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            text if text.contains(&cause) => text.to_owned(),
            text => format!("{text}: {cause}"),
        }
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::Serve(args) => serve::run(*args).await,
        Command::Status(args) => status::run(args).await,
        Command::Validate(args) => validate::run(args).await,
        Command::Reconcile(args) => reconcile::run(args).await,
        Command::DeadLetters(args) => dead_letters::run(args).await,
        Command::Collections(args) => collections::run(args).await,
        Command::Get(args) => documents::get(args).await,
        Command::List(args) => documents::list(args).await,
        Command::Export(args) => documents::export(args).await,
        Command::Operations(args) => operations::run(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Token(args) => token::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Publish(args) => publish::run(*args).await,
        Command::Openapi => openapi::run(),
    }
}
