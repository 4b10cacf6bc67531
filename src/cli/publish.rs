//! `waybill publish`: sends messages, over NATS Streaming or HTTP, and says how many were acknowledged.
//!
//! Samples with a share of junk, or what a file or stdin holds. A message counts once its acknowledgement
//! has come; where an outcome is unknown, because the broker was lost or did not answer, it is published
//! again. A second message of the same bytes does no harm: it becomes a duplicate.

mod documents;
mod over_http;
mod over_stan;
mod report;
mod source;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::credentials::Credentials;
use crate::record::Junk;

use report::Report;
use source::Source;
use target::{BrokerArguments, Target};

const AFTER_HELP: &str = "\
Without --stan-url or --http, broker and service of the nearest `waybill dev` are found by its \
.waybill/run.json, here or in a directory above.

When the broker is lost it waits for it and goes on. What was in flight is published again, so that a \
message may arrive twice. Ctrl-C stops, waits for the last acknowledgements and prints the summary.

Exit codes: 0 all messages were acknowledged; 1 some were not, or it was interrupted, or nobody answers; \
2 usage.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// How many messages [default: 1000; with --file all of it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    count: Option<u64>,

    /// Messages per second at most [default: as fast as they are taken]
    #[arg(long, value_name = "PER_SECOND", value_parser = rate, allow_hyphen_values = true)]
    rate: Option<f64>,

    /// Share of junk among the samples: 10% or 0.1
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0", allow_hyphen_values = true)]
    junk: f64,

    /// Which kinds of junk, separated by commas [default: all]
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = Junk::from_str)]
    junk_kinds: Vec<Junk>,

    /// Make the same samples as another run with this seed [default: new ones]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Publish a file instead of samples, `-` for stdin: one JSON document is one message, otherwise each
    /// line is one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["junk", "junk_kinds", "seed"])]
    file: Option<PathBuf>,

    /// How --file is read: `auto` refuses lines that are not JSON, `lines` sends every line as it is,
    /// `whole` sends all of it as one message
    #[arg(long, value_enum, default_value_t = Format::Auto, requires = "file")]
    format: Format,

    /// The collection that the messages are for: over HTTP its path; at a broker the channel, if --channel names none
    #[arg(long, value_name = "NAME", default_value = "orders")]
    collection: String,

    /// Publish to a service's POST /api/v1/COLLECTION instead of a broker; without URL to that of `waybill dev`
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    http: Option<String>,

    /// How many messages may wait for their acknowledgement
    /// [default: 1024, over HTTP 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    window: Option<u32>,

    /// Append the SHA-256 of each acknowledged message to this file, in hexadecimal, a line each
    #[arg(long, value_name = "FILE")]
    ack_log: Option<PathBuf>,

    /// How the summary is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,

    #[command(flatten)]
    broker: BrokerArguments,

    #[command(flatten)]
    credentials: Credentials,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Auto,
    Lines,
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A mistake in what was asked for: exit code 2, and nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn usage(problem: impl ToString) -> anyhow::Error {
    Usage(problem.to_string()).into()
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match publish(arguments).await {
        Ok(code) => Ok(code),
        Err(error) if error.is::<Usage>() => {
            eprintln!("error: {error}");
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error),
    }
}

async fn publish(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = Target::choose(
        arguments.http.as_deref(),
        &arguments.broker,
        &arguments.collection,
    )?;
    let stop = CancellationToken::new();
    // The log is opened before the source, so that a bad path is told before anything is read or sent.
    let mut report = Report::new(arguments.ack_log.as_deref())?;
    let source = Source::open(&arguments, &crate::collection::orders().model, &stop)?;
    report.start(source.total());
    tokio::spawn(stop_on_signal(stop.clone()));
    match target {
        Target::Broker { options, channel } => {
            let window = arguments.window.unwrap_or(1_024);
            over_stan::publish(&options, &channel, window, source, &mut report, &stop).await?;
        }
        Target::Service { url } => {
            let http = over_http::client(&arguments.credentials)?;
            let window = arguments.window.unwrap_or(32);
            over_http::publish(&url, http, window, source, &mut report, &stop).await?;
        }
    }
    let complete = report.finish(stop.is_cancelled())?;
    if let Some(mistake) = report.nothing_but_a_mistake() {
        return Err(usage(mistake));
    }
    report.print(arguments.output);
    Ok(ExitCode::from(u8::from(!complete)))
}

async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("a number of messages per second, above 0".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let (number, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(number) if (0.0..=whole).contains(&number) => Ok(number / whole),
        _ => Err("a share between 0% and 100%, as 10% or as 0.1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        for (text, wanted) in [
            ("10%", 0.1),
            ("0.1", 0.1),
            ("0", 0.0),
            ("100 %", 1.0),
            ("1", 1.0),
        ] {
            assert_eq!(share(text), Ok(wanted), "{text}");
        }
        for text in ["-1%", "101%", "1.5", "10", "ten", "", "%", "NaN", "inf%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-5", "NaN", "inf", "fast", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
