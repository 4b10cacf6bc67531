//! What the dependencies must keep to, as far as it needs no tool to be seen; `make deny` checks the rest of .ci/deny.toml.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::tidy::sources;

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    /// None: a crate of this repository.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
    advisories: Advisories<Explained>,
}

#[derive(Deserialize)]
struct Audit {
    advisories: Advisories<String>,
}

#[derive(Deserialize)]
struct Advisories<T> {
    ignore: Vec<T>,
}

#[derive(Deserialize)]
struct Explained {
    id: String,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

/// How code of poem's, which calls quick-xml, could be reached. `Junk::Xml` is a sample's.
const READS_XML: &[&str] = &["Xml<", "Xml(", "quick_xml", "into_xml", "parse_xml"];

fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn each_dependency_comes_from_crates_io() {
    let lock: Lock = read("Cargo.lock");
    let (known, ours): (Vec<_>, Vec<_>) = lock.package.iter().partition(|it| it.source.is_some());
    let ours: Vec<&str> = ours.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(ours, ["waybill"]);
    assert!(known.len() > 100, "only {} packages", known.len());
    for package in known {
        let source = package.source.as_deref();
        let crates_io = Some("registry+https://github.com/rust-lang/crates.io-index");
        assert_eq!(source, crates_io, "{}", package.name);
    }
}

#[test]
fn no_crate_that_is_banned_is_there() {
    let lock: Lock = read("Cargo.lock");
    let deny: Deny = read(".ci/deny.toml");
    assert!(deny.bans.deny.len() >= 5, "a second TLS is banned");
    for banned in deny.bans.deny {
        let found = lock.package.iter().find(|it| it.name == banned.name);
        assert!(found.is_none(), "Cargo.lock has {}", banned.name);
    }
}

/// `cargo audit` reads its own file.
#[test]
fn both_tools_make_the_same_exceptions() {
    let deny: Deny = read(".ci/deny.toml");
    let audit: Audit = read(".cargo/audit.toml");
    let explained = deny.advisories.ignore.into_iter().map(|it| it.id);
    assert_eq!(explained.collect::<Vec<_>>(), audit.advisories.ignore);
}

/// The exceptions in .ci/deny.toml lean on it: poem's quick-xml has known vulnerabilities.
#[test]
fn no_route_takes_xml() {
    for source in sources() {
        for word in READS_XML {
            let found = source.text.contains(word);
            assert!(!found, "{}: {word}", source.name());
        }
    }
}
