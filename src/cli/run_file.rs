//! `.waybill/run.json`: where `waybill dev` left its service and servers, for the commands run beside it.
//!
//! `dev` writes it once all is up and removes it when it stops; every other command reads it where a flag
//! is absent. It holds the database's URL, so only its owner may read it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const DIRECTORY: &str = ".waybill";
const NAME: &str = "run.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The service.
    pub url: String,
    /// Absent where no broker was found, and messages come over HTTP alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stan_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_url: Option<String>,
    /// Where the data is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    #[error("no .waybill/run.json here or in a directory above: is `waybill dev` running?")]
    NotFound,
    #[error("cannot read {path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "{path} is damaged ({source}): start `waybill dev` again, or remove the file",
        path = path.display()
    )]
    Damaged {
        path: PathBuf,
        source: serde_json::Error,
    },
}

impl RunFile {
    /// The one in the current directory, or in the nearest above it.
    pub fn find() -> Result<RunFile, RunFileError> {
        let here = std::env::current_dir().map_err(|source| RunFileError::Unreadable {
            path: PathBuf::from("."),
            source,
        })?;
        RunFile::find_from(&here)
    }

    pub fn find_from(directory: &Path) -> Result<RunFile, RunFileError> {
        for directory in directory.ancestors() {
            let path = directory.join(DIRECTORY).join(NAME);
            match fs::read(&path) {
                Ok(json) => {
                    return serde_json::from_slice(&json)
                        .map_err(|source| RunFileError::Damaged { path, source });
                }
                // `.waybill` may be a file, and then it is not ours.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(source) => return Err(RunFileError::Unreadable { path, source }),
            }
        }
        Err(RunFileError::NotFound)
    }

    /// Writes it into `.waybill` (or wherever the data is), so that a reader sees all of it or none.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let new = directory.join(format!("{NAME}.{}", std::process::id()));
        // A name of our own may be left by a namesake that was killed.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        let written = file
            .write_all(&json)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&new, directory.join(NAME)));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    /// Removes what [`RunFile::write`] wrote; none being there is as good.
    pub fn remove(directory: &Path) -> io::Result<()> {
        match fs::remove_file(directory.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("waybill-run-file-{name}-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            fs::create_dir_all(directory.join("a/b/.waybill")).unwrap();
            fs::create_dir_all(directory.join("a/.waybill")).unwrap();
            Scratch(directory)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn sample() -> RunFile {
        RunFile {
            url: "http://127.0.0.1:8080".into(),
            stan_url: Some("nats://127.0.0.1:4222".into()),
            cluster_id: Some("waybill".into()),
            channel: Some("orders".into()),
            monitoring_url: None,
            database_url: Some("postgresql://waybill@/waybill?host=%2Ftmp".into()),
            data: Some("/data".into()),
        }
    }

    #[test]
    fn it_is_found_from_below_and_is_its_owners_alone() {
        let scratch = Scratch::new("found");
        let above = scratch.0.join("a");
        assert!(matches!(
            RunFile::find_from(&above.join("b")),
            Err(RunFileError::NotFound)
        ));
        sample().write(&above.join(".waybill")).unwrap();
        sample().write(&above.join(".waybill")).unwrap();
        assert_eq!(RunFile::find_from(&above.join("b")).unwrap(), sample());
        let file = above.join(".waybill/run.json");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(above.join(".waybill")).unwrap().count(), 1);
        RunFile::remove(&above.join(".waybill")).unwrap();
        RunFile::remove(&above.join(".waybill")).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn the_nearest_counts_and_a_damaged_one_is_named() {
        let scratch = Scratch::new("nearest");
        let above = scratch.0.join("a");
        sample().write(&above.join(".waybill")).unwrap();
        fs::write(above.join("b/.waybill/run.json"), "{\"url\": ").unwrap();
        let error = RunFile::find_from(&above.join("b")).unwrap_err();
        assert!(matches!(error, RunFileError::Damaged { .. }));
        assert!(
            error.to_string().contains("a/b/.waybill/run.json"),
            "{error}"
        );
        fs::write(
            above.join("b/.waybill/run.json"),
            "{\"url\": \"http://x\", \"new\": 1}",
        )
        .unwrap();
        assert_eq!(RunFile::find_from(&above.join("b")).unwrap().stan_url, None);
    }
}
