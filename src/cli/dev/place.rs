//! The data directory of `waybill dev`, held by one run at a time. A lock that dies with its process says who is at work:
//! no pid file goes stale.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::super::run_file::RunFile;
use super::usage;
use crate::sandbox::postgres::Postgres;

const LOCK: &str = "dev.lock";
/// After a run that was killed, its servers take a while to end.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Place {
    dir: PathBuf,
    /// Held open: the lock goes with it.
    _lock: File,
}

impl Place {
    pub async fn take(dir: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("the data directory {} cannot be used", dir.display());
        if dir.exists() && !dir.is_dir() {
            return Err(usage(format!("--data {} is no directory", dir.display())));
        }
        fs::create_dir_all(dir).with_context(cannot)?;
        let dir = fs::canonicalize(dir).with_context(cannot)?;
        // Somebody's own directory may have a `postgres` in it, which we must neither start nor erase.
        if !dir.join(LOCK).exists()
            && let Some(stranger) = ["postgres", "broker"]
                .map(|name| dir.join(name))
                .into_iter()
                .find(|path| fs::symlink_metadata(path).is_ok())
        {
            return Err(usage(format!(
                "{} was not made by `waybill dev`: choose another directory with --data",
                stranger.display()
            )));
        }
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join(LOCK))
            .with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => anyhow::bail!("{}", busy(&dir)),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        let place = Self { dir, _lock: lock };
        place.forget_run();
        for log in [place.postgres_log(), place.broker().join("broker.log")] {
            until_unlocked(&log).await?;
        }
        Ok(place)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    fn postgres_log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    pub fn broker(&self) -> PathBuf {
        self.dir.join("broker")
    }

    /// Only what is ours; nothing of it is running.
    pub fn erase(&self) -> anyhow::Result<()> {
        Postgres::erase(&self.postgres())?;
        for removed in [
            fs::remove_file(self.postgres_log()),
            fs::remove_dir_all(self.broker()),
        ] {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| {
                        format!("the data in {} cannot be removed", self.dir.display())
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub fn forget_run(&self) {
        if let Err(error) = RunFile::remove(&self.dir) {
            tracing::warn!(%error, "run.json could not be removed from {}: {error}", self.dir.display());
        }
    }
}

fn busy(dir: &Path) -> String {
    let at = fs::read(dir.join("run.json"))
        .ok()
        .and_then(|json| serde_json::from_slice::<RunFile>(&json).ok());
    match at {
        Some(run) => format!(
            "`waybill dev` runs in {} already, at {}: stop it first (Ctrl-C there), or choose another directory with --data",
            dir.display(),
            run.url
        ),
        None => format!(
            "another `waybill dev` is starting or stopping in {}: wait a moment, or choose another directory with --data",
            dir.display()
        ),
    }
}

/// A server's log is locked for as long as it lives.
async fn until_unlocked(log: &Path) -> anyhow::Result<()> {
    let Ok(file) = OpenOptions::new().append(true).open(log) else {
        return Ok(());
    };
    let deadline = Instant::now() + PATIENCE;
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if Instant::now() >= deadline {
            anyhow::bail!(
                "a server of an earlier run is still at work (it holds {}): end it, or choose another directory with --data",
                log.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How to call this program from here: by its name where the PATH leads to it, else by its path.
pub fn own_name() -> String {
    let Ok(program) = env::current_exe() else {
        return "waybill".to_owned();
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = program.file_name() == Some(OsStr::new("waybill"))
        && env::split_paths(&path)
            .map(|dir| dir.join("waybill"))
            .find(|file| file.exists())
            .is_some_and(|file| fs::canonicalize(file).is_ok_and(|file| file == program));
    if on_path {
        return "waybill".to_owned();
    }
    let here = env::current_dir().unwrap_or_default();
    match program.strip_prefix(&here) {
        Ok(below) => below.display().to_string(),
        Err(_) => program.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let dir = env::temp_dir().join(format!("waybill-place-{:016x}", fastrand::u64(..)));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn a_directory_is_held_by_one_run_and_then_free_again() {
        let scratch = Scratch::new();
        let dir = scratch.0.join("new");
        let place = Place::take(&dir).await.unwrap();
        let error = Place::take(&dir).await.err().unwrap();
        assert!(error.to_string().contains("starting or stopping"));
        RunFile {
            url: "http://127.0.0.1:1".to_owned(),
            stan_url: None,
            cluster_id: None,
            channel: None,
            monitoring_url: None,
            database_url: None,
            data: None,
        }
        .write(place.dir())
        .unwrap();
        let error = Place::take(&dir).await.err().unwrap();
        assert!(error.to_string().contains("at http://127.0.0.1:1"));
        drop(place);
        let place = Place::take(&dir).await.unwrap();
        assert!(
            !place.dir().join("run.json").exists(),
            "a stale one is gone"
        );
    }

    #[tokio::test]
    async fn somebody_elses_directory_is_left_alone() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.0.join("postgres")).unwrap();
        let error = Place::take(&scratch.0).await.err().unwrap();
        assert!(error.is::<super::super::super::Usage>());
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn erasing_takes_only_what_is_ours() {
        let scratch = Scratch::new();
        let place = Place::take(&scratch.0).await.unwrap();
        fs::create_dir_all(place.broker().join("store")).unwrap();
        fs::create_dir(place.postgres()).unwrap();
        fs::write(place.dir().join("notes"), "mine").unwrap();
        place.erase().unwrap();
        place.erase().unwrap();
        assert!(place.dir().join("notes").exists());
        assert!(!place.broker().exists() && !place.postgres().exists());
    }
}
