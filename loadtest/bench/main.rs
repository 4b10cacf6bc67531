//! The benchmarks: each a ratio to a limit measured in the same run, interleaved, median of several pairs. Private Postgres,
//! private broker, the release binary as its own process. `cargo run --release --example bench -- all`

mod get;
mod publish;
mod replay;
mod stage;

use anyhow::bail;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // reqwest is built without a provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let all = ["publish", "get", "replay"];
    let asked: Vec<&str> = match asked.first().map(String::as_str) {
        None | Some("all") => all.to_vec(),
        Some(_) => asked.iter().map(String::as_str).collect(),
    };
    println!("{}", stage::machine());
    for name in asked {
        match name {
            "publish" => publish::run().await?,
            "get" => get::run().await?,
            "replay" => replay::run().await?,
            other => bail!("there is no benchmark {other:?}: {}", all.join(", ")),
        }
    }
    Ok(())
}
