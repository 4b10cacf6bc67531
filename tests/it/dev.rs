//! `waybill dev`: a newcomer's whole first hour, as a process with servers of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};
use waybill::cli::run_file::RunFile;
use waybill::sandbox::find_program;
use waybill::sandbox::process::{Signal, signal};

use crate::harness::{Bench, Weight, directory, until, within};

struct Dev {
    child: Child,
    run: RunFile,
}

fn command(home: &Path, args: &[&str]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_waybill")), home, args)
}

/// The same program in another place.
fn installed(dir: &Path) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    let (built, at) = (
        Path::new(env!("CARGO_BIN_EXE_waybill")),
        dir.join("waybill"),
    );
    // It is large; a link is not possible from one disk to another.
    std::fs::hard_link(built, &at)
        .or_else(|_| std::fs::copy(built, &at).map(|_| ()))
        .unwrap();
    at
}

fn command_of(program: &Path, home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(home)
        .env_remove("WAYBILL_URL")
        // Of a service elsewhere: `serve` would refuse it, `dev` does not look.
        .env("WAYBILL_ACK_WAIT", "1")
        // Where `make tools` put the broker: `dev` looks beside its own directory, which is another here.
        .env("PATH", with_tools())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn with_tools() -> std::ffi::OsString {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(tools).chain(std::env::split_paths(&path));
    std::env::join_paths(dirs).unwrap()
}

/// Until it has told where everything is.
async fn dev(home: &Path, args: &[&str]) -> Dev {
    let args = [&["dev", "--listen", "127.0.0.1:0"], args].concat();
    let mut child = command(home, &args).spawn().unwrap();
    let run = until(90, "waybill dev runs", async || {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("waybill dev ended: {status}");
        }
        RunFile::find_from(home).ok()
    })
    .await;
    Dev { child, run }
}

impl Dev {
    async fn stop(mut self) {
        signal(self.child.id().unwrap(), Signal::INT);
        let status = within(60, "waybill dev stops", self.child.wait()).await;
        assert!(status.unwrap().success());
    }
}

async fn ask(home: &Path, args: &[&str]) -> (i32, String, String) {
    let output = within(60, "the command ends", command(home, args).output()).await;
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

async fn orders(home: &Path) -> i64 {
    let (_, out, _) = ask(home, &["status", "--output", "json"]).await;
    let status: serde_json::Value = serde_json::from_str(&out).unwrap_or_default();
    status["stats"]["documents"].as_i64().unwrap_or_default()
}

fn home() -> PathBuf {
    directory()
}

#[tokio::test]
async fn a_newcomer_sees_orders_and_finds_them_again_after_a_kill() {
    // Takes a turn on the machine.
    let _bench = Bench::new(Weight::Heavy).await;
    let home = home();
    let mut first = dev(&home, &[]).await;
    let mode = std::fs::metadata(home.join(".waybill/run.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    assert!(first.run.stan_url.is_some());
    until(30, "samples are orders", async || {
        (orders(&home).await >= 40).then_some(())
    })
    .await;
    let (code, out, _) = ask(&home, &["dead-letters", "groups"]).await;
    assert!(code == 0 && out.lines().count() > 5, "{out}");
    let (code, _, err) = ask(&home, &["publish", "--count", "100"]).await;
    assert_eq!(code, 0, "{err}");

    let (code, _, err) = ask(&home, &["dev"]).await;
    assert_eq!(code, 1);
    assert!(err.contains(&first.run.url), "{err}");

    first.child.kill().await.unwrap();
    let (code, _, err) = ask(&home, &["status"]).await;
    assert!(code == 1 && err.contains("waybill dev"), "{err}");

    let second = dev(&home, &["--no-samples"]).await;
    until(30, "the published ones are there", async || {
        (orders(&home).await >= 140).then_some(())
    })
    .await;
    assert_eq!(ask(&home, &["reconcile", "--verify"]).await.0, 0);
    second.stop().await;
    assert!(RunFile::find_from(&home).is_err());

    let third = dev(&home, &["--no-samples", "--fresh"]).await;
    assert_eq!(orders(&home).await, 0);
    third.stop().await;
}

const WITHOUT_BROKER: &str = "/usr/bin:/bin";

/// In a checkout, above `target/release`; and in whatever directory both were put into.
#[tokio::test]
async fn run_elsewhere_it_finds_the_broker_by_its_own_place() {
    const BROKER: &str = "nats-streaming-server";
    let _bench = Bench::new(Weight::Heavy).await;
    let broker = find_program(BROKER, &[]).next();
    let broker = broker.expect("the broker is missing: `make tools` brings it to .tools/bin");
    let place = home();
    for (program, tools) in [
        ("checkout/target/release", "checkout/.tools/bin"),
        ("bin", "bin"),
    ] {
        let program = installed(&place.join(program));
        std::fs::create_dir_all(place.join(tools)).unwrap();
        std::os::unix::fs::symlink(&broker, place.join(tools).join(BROKER)).unwrap();
        let home = home();
        let args = ["dev", "--listen", "127.0.0.1:0", "--no-samples"];
        let mut child = command_of(&program, &home, &args)
            .env("PATH", WITHOUT_BROKER)
            .spawn()
            .unwrap();
        let run = until(90, "waybill dev runs", async || {
            assert!(child.try_wait().unwrap().is_none());
            RunFile::find_from(&home).ok()
        })
        .await;
        assert!(run.stan_url.is_some(), "beside {}", program.display());
        Dev { child, run }.stop().await;
    }
}

#[tokio::test]
async fn without_a_broker_messages_come_over_http_alone() {
    let _bench = Bench::new(Weight::Heavy).await;
    let home = home();
    let args = ["dev", "--listen", "127.0.0.1:0", "--data", "data"];
    // No PATH leads to a broker, and neither a directory above nor the program's own holds one.
    let mut child = command_of(&installed(&home.join("bin")), &home, &args)
        .env("PATH", WITHOUT_BROKER)
        .spawn()
        .unwrap();
    let run = until(90, "waybill dev runs", async || {
        assert!(child.try_wait().unwrap().is_none());
        let json = std::fs::read(home.join("data/run.json")).ok()?;
        serde_json::from_slice::<RunFile>(&json).ok()
    })
    .await;
    assert_eq!(run.stan_url, None);
    let status = ["status", "--url", &run.url, "--output", "json"];
    until(30, "samples are orders", async || {
        let (_, out, _) = ask(&home, &status).await;
        let status: serde_json::Value = serde_json::from_str(&out).ok()?;
        (status["stats"]["documents"].as_i64()? >= 40).then_some(())
    })
    .await;
    signal(child.id().unwrap(), Signal::TERM);
    let status = within(60, "waybill dev stops", child.wait()).await;
    assert!(status.unwrap().success());
}
