//! A child process on a leash: it dies when we do, also when we are killed -9 or abort. The two servers of this
//! room are such processes, and so are the services that the tests start; the functions at the bottom do harm.
//!
//! The leash is a pipe. The child begins as a tiny `sh` that leaves a watcher behind and then becomes the program
//! itself, so the program is our own child, under the pid that we know. The watcher blocks on the pipe, whose other
//! end we alone hold: the kernel closes it whenever we end, and the watcher ends the program. A line on the
//! pipe tells it that there is nothing left to watch.
//!
//! The child's stderr is its log file, locked by flock. The lock lives as long as anybody of the child's
//! family holds that file, so a second start on the same directory knows whether the first is really gone, with no
//! pid file to go stale.
//!
//! Deliberately absent: pre_exec and prctl (unsafe), tokio's Child (bound to the runtime that started it, while tests
//! share servers over runtimes).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
pub use rustix::process::Signal;
use tokio::time::sleep;

use super::place::User;
use super::{Error, io_error};

/// `$1` is the signal that the watcher begins with, the rest is the program. The watcher is a grandchild, so that the
/// program never gets a child it knows nothing of, and it gives back the log, so that it doesn't hold its lock. After
/// CONT even a frozen program hears the signal; 8 s is more than the 5 s that Postgres grants its own backends.
const LEASH: &str = r#"
exec 3<&0
soft=$1
shift
( (
    exec >/dev/null 2>&1
    trap '' HUP INT TERM
    read -r _ <&3 && exit 0
    kill -s "$soft" $$
    kill -s CONT $$
    n=0
    while [ $n -lt 80 ] && kill -s 0 $$; do
        sleep 0.1
        n=$((n + 1))
    done
    kill -s KILL $$
) & )
exec "$@" </dev/null >&2 3<&-
"#;

/// How often a child is looked at while something is awaited of it.
const LOOK: Duration = Duration::from_millis(5);
/// How long a start waits for the last holder of the log to be gone: one that was killed -9 takes its time.
const LOCK_PATIENCE: Duration = Duration::from_secs(8);
/// A log is emptied at a start once it is as long as this.
const LOG_BYTES: u64 = 16 << 20;
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 20;

/// What to start, and how.
pub struct Launch {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) log: PathBuf,
    pub(super) user: Option<User>,
    /// The first signal it gets once we are gone.
    pub(super) farewell: &'static str,
}

impl Launch {
    /// As ourselves; SIGTERM once we are gone.
    pub fn new(name: &'static str, program: PathBuf, args: Vec<OsString>, log: PathBuf) -> Self {
        Self {
            name,
            program,
            args,
            log,
            user: None,
            farewell: "TERM",
        }
    }
}

/// A running child. Dropping it kills it, and all that it has started.
pub struct Process {
    name: &'static str,
    child: Child,
    leash: Option<ChildStdin>,
    log: PathBuf,
    log_start: u64,
}

impl Process {
    pub async fn start(launch: Launch) -> Result<Self, Error> {
        let log = lock_log(&launch.log).await?;
        let log_start = log.metadata().map_err(io_error("read", &launch.log))?.len();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", LEASH, launch.name, launch.farewell])
            .arg(&launch.program)
            .args(&launch.args)
            // Ours may be closed to the user that it runs as.
            .current_dir("/")
            // A group of its own: Ctrl-C in the terminal is for us, and we stop the child in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(user) = &launch.user {
            command.gid(user.gid).uid(user.uid);
        }
        let mut child = command
            .spawn()
            .map_err(io_error("start", &launch.program))?;
        let leash = child.stdin.take();
        Ok(Self {
            name: launch.name,
            child,
            leash,
            log: launch.log,
            log_start,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        if status.is_some()
            && let Some(mut leash) = self.leash.take()
        {
            // The pid may soon be somebody else's: send the watcher home. If it is gone already, so much the better.
            let _ = leash.write_all(b"\n");
        }
        status
    }

    /// Waits until it ends, for `patience` at most.
    pub async fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.ended();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            sleep(LOOK).await;
        }
    }

    /// Asks with `soft`, and kills what has not ended after `patience`.
    pub async fn stop(&mut self, soft: Signal, patience: Duration) {
        if self.ended().is_none() {
            signal(self.pid(), soft);
            // A frozen child could not hear it.
            self.resume();
        }
        if self.ends_within(patience).await.is_none() {
            self.kill();
        }
    }

    /// Kills it and all its descendants (-9), as if the power had gone.
    pub fn kill(&mut self) {
        if self.ended().is_some() {
            return;
        }
        // Frozen first, it starts no more children behind our back.
        signal(self.pid(), Signal::STOP);
        for pid in descendants(self.pid()) {
            signal(pid, Signal::KILL);
        }
        signal(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        self.ended();
    }

    /// Freezes it with all its descendants; time-outs are all that others see of it.
    pub fn pause(&mut self) {
        if self.ended().is_none() {
            signal(self.pid(), Signal::STOP);
            for pid in descendants(self.pid()) {
                signal(pid, Signal::STOP);
            }
        }
    }

    pub fn resume(&mut self) {
        if self.ended().is_none() {
            for pid in descendants(self.pid()) {
                signal(pid, Signal::CONT);
            }
            signal(self.pid(), Signal::CONT);
        }
    }

    /// What it has written to its log since this start.
    pub fn log_text(&self) -> String {
        self.read_log(self.log_start)
    }

    /// The error for a start that failed, with the last lines of the log.
    pub fn failed(&self, what: impl Into<String>) -> Error {
        let end = fs::metadata(&self.log).map_or(0, |meta| meta.len());
        let text = self.read_log(self.log_start.max(end.saturating_sub(TAIL_BYTES)));
        let lines: Vec<&str> = text.lines().collect();
        Error::Failed {
            name: self.name,
            what: what.into(),
            log: self.log.clone(),
            tail: lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"),
        }
    }

    fn read_log(&self, from: u64) -> String {
        let mut bytes = Vec::new();
        // A log that cannot be read has nothing to say; the caller has an error of its own.
        let _ = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut bytes)
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn lock_log(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(io_error("open", path))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOOK).await,
            Err(TryLockError::WouldBlock) => {
                let dir = path.parent().unwrap_or(path).to_owned();
                return Err(Error::InUse { dir });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", path)(source)),
        }
    }
    if file.metadata().is_ok_and(|meta| meta.len() >= LOG_BYTES) {
        file.set_len(0).map_err(io_error("empty", path))?;
    }
    Ok(file)
}

/// Sends a signal to a process, whose end is none of our business: it may be gone already.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Whether the process is still there, one that has ended but was not yet reaped aside.
pub fn is_alive(pid: u32) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    // Not our user's (EPERM) is alive as well.
    let there = rustix::process::test_kill_process(raw) != Err(rustix::io::Errno::SRCH);
    there && stat(pid).is_none_or(|(state, _)| state != 'Z')
}

/// Children, their children, and so on.
pub fn descendants(of: u32) -> Vec<u32> {
    let parents = parents();
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| pid),
        );
        next += 1;
    }
    found.split_off(1)
}

/// Every process and its parent: from /proc, or by `ps` where there is none.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
        return listed.map_or(Vec::new(), |listed| {
            let text = String::from_utf8_lossy(&listed.stdout).into_owned();
            let pair = |line: &str| {
                let mut words = line.split_whitespace();
                Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            };
            text.lines().filter_map(pair).collect()
        });
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.1)))
        .collect()
}

/// State and parent. The name before them is in brackets, and may hold brackets and blanks itself.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// A port that nobody listens on, below the range from which the kernel takes the ports of outgoing connections: there,
/// a client that keeps trying a stopped server could be given the server's own port, and talk to itself.
pub fn free_port() -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let port = fastrand::u16(15_000..32_000);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}
