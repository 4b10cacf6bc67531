//! Where a private server may live, and as whom: the user that Postgres runs as when we are root, a directory that
//! this user can enter, a directory short enough for a Unix socket. Called by this room alone.
//!
//! Its invariant: a data directory's path always leads to its data. Where the data has to be elsewhere, a symbolic link
//! is left in its place, and that link is the only record of it.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::{Error, io_error};

/// Linux has room for 107 bytes, others for 103; the longest name in it is `/.s.PGSQL.65535`.
const SOCKET_DIR_BYTES: usize = 103 - 15;
/// Kept over a reboot, and passable for everybody. The second is for systems where even root cannot write there.
const ELSEWHERE: [&str; 2] = ["/var/lib/waybill", "/var/tmp/waybill"];

/// An unprivileged user, for a server that refuses to run as root.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// Whom to run Postgres as: ourselves (`None`) unless we are root; then whoever owns the data already, or one
    /// of the usual unprivileged users.
    pub fn for_data(data_dir: &Path) -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if let Ok(meta) = fs::metadata(data_dir)
            && meta.uid() != 0
        {
            let (uid, gid) = (meta.uid(), meta.gid());
            let name = format!("user {uid}");
            return Ok(Some(Self { name, uid, gid }));
        }
        let names = ["postgres", "nobody", "daemon"];
        let found = names.into_iter().find_map(|name| {
            let (uid, gid) = (id("-u", name)?, id("-g", name)?);
            let name = format!("the user {name}");
            (uid != 0).then_some(Self { name, uid, gid })
        });
        found.ok_or(Error::NoUser).map(Some)
    }

    /// Tried, not reckoned from mode bits: access lists and mount options count too.
    fn can_enter(&self, dir: &Path) -> bool {
        Command::new("/bin/sh")
            .args(["-c", "cd \"$1\"", "sh"])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .gid(self.gid)
            .uid(self.uid)
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// `id` knows the users of every name service, /etc/passwd only some.
fn id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// The real place of `data_dir`, whose parent exists afterwards and can be entered by `user`. Root's home is
/// closed to others: then the data goes elsewhere, and a link to it is left here.
pub(super) fn settle(data_dir: &Path, user: Option<&User>) -> Result<PathBuf, Error> {
    if let Ok(target) = fs::read_link(data_dir) {
        make_parent(&target)?;
        return Ok(target);
    }
    let parent = make_parent(data_dir)?;
    let Some(user) = user.filter(|user| !user.can_enter(parent)) else {
        return Ok(data_dir.to_owned());
    };
    let unreachable = || Error::Unreachable {
        dir: data_dir.to_owned(),
        user: user.name.clone(),
    };
    if data_dir.exists() {
        return Err(unreachable());
    }
    let mut failed = unreachable();
    for base in ELSEWHERE {
        let base = Path::new(base);
        let home = base.join(short_hash(&[data_dir.as_os_str().as_bytes()]));
        // What is there without a link from here was thrown away together with its link.
        let made = remove(&home).and_then(|()| {
            fs::create_dir_all(&home).map_err(io_error("create", &home))?;
            // Whatever the umask: others pass through; what is inside is closed.
            [base, &home].into_iter().try_for_each(|dir| {
                fs::set_permissions(dir, Permissions::from_mode(0o755))
                    .map_err(io_error("open up", dir))
            })
        });
        match made {
            Ok(()) if user.can_enter(&home) => {
                let target = home.join("data");
                symlink(&target, data_dir).map_err(io_error("create the link", data_dir))?;
                return Ok(target);
            }
            Ok(()) => {}
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Removes a directory that was settled, wherever it really is.
pub(super) fn erase(data_dir: &Path) -> Result<(), Error> {
    if let Ok(target) = fs::read_link(data_dir) {
        remove(&target)?;
        // Only a home that we made holds nothing else.
        if let Some(home) = target.parent()
            && let Some(base) = home.parent()
            && ELSEWHERE
                .iter()
                .any(|elsewhere| base == Path::new(elsewhere))
        {
            remove(home)?;
            // Unless others have a home there.
            let _ = fs::remove_dir(base);
        }
    }
    remove(data_dir)
}

/// Removes a file, a link or a whole directory; nothing there is fine.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(io_error("remove", path))
}

fn make_parent(path: &Path) -> Result<&Path, Error> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    Ok(parent)
}

/// Makes a directory that `user` alone can enter (and root).
pub(super) fn private_dir(dir: &Path, user: Option<&User>) -> Result<(), Error> {
    make_parent(dir)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(io_error("create", dir)(error));
        }
        _ => {}
    }
    // Whoever finds a directory here that another has made, or a link, must not use it: in /tmp anybody can.
    let meta = fs::symlink_metadata(dir).map_err(io_error("read", dir))?;
    let euid = rustix::process::geteuid().as_raw();
    let ours = meta.uid() == euid || user.is_some_and(|user| meta.uid() == user.uid);
    if !meta.is_dir() || !ours {
        return Err(Error::SocketDir {
            dir: dir.to_owned(),
            why: "it is somebody else's",
        });
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(io_error("close off", dir))?;
    if let Some(user) = user {
        chown(dir, Some(user.uid), Some(user.gid)).map_err(io_error("give away", dir))?;
    }
    Ok(())
}

/// A directory for the socket: `asked`, or a short one under the temporary directory, the same at each start with the
/// same data.
pub(super) fn socket_dir(
    asked: Option<&Path>,
    data_dir: &Path,
    user: Option<&User>,
) -> Result<PathBuf, Error> {
    if let Some(asked) = asked {
        return try_socket_dir(asked.to_owned(), user);
    }
    let uid = user.map_or(rustix::process::geteuid().as_raw(), |user| user.uid);
    let hash = short_hash(&[data_dir.as_os_str().as_bytes(), &uid.to_le_bytes()]);
    let stable = format!("waybill-{hash}");
    let random = format!("waybill-{:016x}", fastrand::u64(..));
    let temp = env::temp_dir();
    try_socket_dir(temp.join(&stable), user)
        .or_else(|_| try_socket_dir(Path::new("/tmp").join(&stable), user))
        .or_else(|_| try_socket_dir(Path::new("/tmp").join(&random), user))
}

fn try_socket_dir(dir: PathBuf, user: Option<&User>) -> Result<PathBuf, Error> {
    let refused = |dir, why| Err(Error::SocketDir { dir, why });
    if dir.as_os_str().len() > SOCKET_DIR_BYTES {
        return refused(dir, "its path is too long");
    }
    // Postgres separates directories by commas, and so does the URL.
    if dir.to_str().is_none_or(|text| text.contains([',', '"'])) {
        return refused(dir, "its path has a comma or is not UTF-8");
    }
    private_dir(&dir, user)?;
    if user.is_some_and(|user| !user.can_enter(&dir)) {
        let user = user.map_or(String::new(), |user| user.name.clone());
        return Err(Error::Unreachable { dir, user });
    }
    Ok(dir)
}

fn short_hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
