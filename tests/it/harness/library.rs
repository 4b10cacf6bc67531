//! A library before libc's in a service, made by the C compiler that Rust links with: for what is the machine's own, such as
//! its clock and its names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// For `LD_PRELOAD`.
pub fn library(dir: &Path, name: &str, source: &str) -> PathBuf {
    let at = |end: &str| dir.join(format!("{name}{end}"));
    let (file, library) = (at(".c"), at(".so"));
    fs::write(&file, source).unwrap();
    let mut compile = Command::new("cc");
    compile.args(["-O1", "-shared", "-fPIC", "-o"]);
    let made = compile.arg(&library).arg(&file).output();
    let made = made.expect("cc is missing: Rust needs one, too");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    library
}
