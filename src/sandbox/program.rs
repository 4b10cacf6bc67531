//! Where the programs of the private servers are. Called by this room, and by tests that need a program more.
//!
//! Its invariant: data is only ever touched by the major version of PostgreSQL that wrote it.
//!
//! Deliberately absent: installing anything; the errors say what to install.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;

const OLDEST: u32 = 14;
const INSTALL: &str = "run `make tools`, or install PostgreSQL 14 or newer (Debian, Ubuntu: apt-get install postgresql)";

/// Every program of that name, best first: on the PATH, in `extra`, beside our own executable, in `.tools/bin` of the current
/// directory, of the executable's (`target/release` of a checkout) or of one above them, and where Linux distributions and
/// Homebrew keep PostgreSQL, newest first.
pub fn find_program<'a>(name: &'a str, extra: &[PathBuf]) -> impl Iterator<Item = PathBuf> + 'a {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.extend_from_slice(extra);
    let own = env::current_exe().ok();
    let own = own.as_deref().and_then(Path::parent);
    dirs.extend(own.map(Path::to_owned));
    for dir in [env::current_dir().ok().as_deref(), own]
        .into_iter()
        .flatten()
    {
        dirs.extend(dir.ancestors().map(|dir| dir.join(".tools/bin")));
    }
    for (base, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ] {
        dirs.extend(versions(Path::new(base), prefix));
    }
    dirs.into_iter()
        .filter(|dir| dir.is_absolute())
        .map(move |dir| dir.join(name))
        .filter(|file| {
            fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
        })
}

/// `base/prefix15/bin`, `base/prefix13/bin`, …
fn versions(base: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry
                .file_name()
                .to_str()?
                .strip_prefix(prefix)?
                .parse()
                .ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The first PostgreSQL that is new enough and, where there is data already, of the version that wrote it.
pub(super) fn postgres_bin_dir(data_dir: &Path) -> Result<PathBuf, Error> {
    let wrote = fs::read_to_string(data_dir.join("PG_VERSION"))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let mut refused = Error::NotFound {
        program: "postgres",
        install: INSTALL,
    };
    for path in find_program("postgres", &[]) {
        // The one on the PATH may be a link to where initdb is too.
        let Some((found, bin_dir)) = fs::canonicalize(&path).ok().and_then(|real| {
            let dir = real.parent()?.to_owned();
            dir.join("initdb").exists().then_some(())?;
            Some((major_version(&real)?, dir))
        }) else {
            continue;
        };
        refused = match wrote {
            _ if found < OLDEST => Error::TooOld {
                path,
                found,
                oldest: OLDEST,
            },
            Some(wrote) if wrote != found => Error::OtherVersion {
                dir: data_dir.to_owned(),
                wrote,
                found,
            },
            _ => return Ok(bin_dir),
        };
    }
    Err(refused)
}

fn major_version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    parse_major_version(&String::from_utf8(output.stdout).ok()?)
}

/// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "postgres (PostgreSQL) 18beta1"
fn parse_major_version(text: &str) -> Option<u32> {
    let version = text.rsplit_once("(PostgreSQL) ")?.1;
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_versions_are_read() {
        for (text, version) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(15),
            ),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 9.6.24\n", Some(9)),
            ("something else", None),
        ] {
            assert_eq!(parse_major_version(text), version, "{text}");
        }
    }

    #[test]
    fn newest_version_comes_first() {
        let base = env::temp_dir().join(format!("waybill-test-{:08x}", fastrand::u32(..)));
        for name in ["pgsql-9", "pgsql-17", "pgsql-13", "other-99"] {
            fs::create_dir_all(base.join(name).join("bin")).unwrap();
        }
        let expected = [17, 13, 9].map(|version| base.join(format!("pgsql-{version}/bin")));
        let found = versions(&base, "pgsql-");
        fs::remove_dir_all(&base).unwrap();
        assert_eq!(found, expected);
    }
}
