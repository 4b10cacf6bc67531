//! The benchmarks: each a ratio to a limit measured in the same run, interleaved, the median of several pairs. Private
//! Postgres, private broker, the release binary as a process of its own. `make bench` runs all of them and writes the
//! report; `make bench ARGS="get replay"` runs some, and keeps the others' figures.

mod access;
mod append;
mod benthos;
mod catch_up;
mod chart;
mod cost;
mod fill;
mod get;
mod growth;
mod latency;
mod lists;
mod live;
mod memory;
mod mixed;
mod replay;
mod report;
mod restore;
mod stage;
mod vegeta;

use anyhow::bail;
use tokio_util::sync::CancellationToken;
use waybill::cli::stop_on_signal;

use report::{Figure, Report};

/// All of them, in the report's order.
pub const ORDER: [&str; 15] = [
    "append", "catch_up", "live", "benthos", "latency", "replay", "restore", "get", "access",
    "vegeta", "lists", "mixed", "memory", "growth", "cost",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // reqwest is built without a provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let asked: Vec<&str> = match asked.first() {
        None => ORDER.to_vec(),
        Some(_) => asked.iter().map(String::as_str).collect(),
    };
    if let Some(unknown) = asked.iter().find(|name| !ORDER.contains(name)) {
        bail!("there is no benchmark {unknown:?}: {}", ORDER.join(", "));
    }
    println!("{}", machine());
    let mut report = Report::load()?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let mut failed = Vec::new();
    for name in asked {
        println!("{name} (load {})", load());
        // Whoever is interrupted takes his servers and their gigabytes with him.
        let measured = tokio::select! {
            measured = measure(name) => measured,
            () = stop.cancelled() => bail!("interrupted"),
        };
        match measured {
            Ok(figures) => report.put(name, figures)?,
            Err(error) => {
                eprintln!("  {name} failed: {error:#}");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        eprintln!("not measured: {}", failed.join(", "));
        std::process::exit(1);
    }
    Ok(())
}

async fn measure(name: &str) -> anyhow::Result<Vec<Figure>> {
    match name {
        "append" => append::run().await,
        "catch_up" => catch_up::run().await,
        "live" => live::run().await,
        "benthos" => benthos::run().await,
        "latency" => latency::run().await,
        "replay" => replay::run().await,
        "restore" => restore::run().await,
        "get" => get::run().await,
        "access" => access::run().await,
        "vegeta" => vegeta::run().await,
        "lists" => lists::run().await,
        "mixed" => mixed::run().await,
        "memory" => memory::run().await,
        "growth" => growth::run().await,
        _ => cost::run().await,
    }
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("", |(_, model)| model);
    format!("Servers, publisher, service and load generator share {cores} cores ({model}).")
}
