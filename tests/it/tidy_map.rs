//! The map as a test: docs/ARCHITECTURE.md and the README name only what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every page of ours: those at the top, and all below docs.
fn pages() -> Vec<PathBuf> {
    let mut pages = ["README.md", "SECURITY.md", "loadtest/README.md"]
        .map(|name| root().join(name))
        .to_vec();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// All Rust of ours, as one text.
fn code() -> String {
    let mut folders = vec![root().join("src"), root().join("tests/it")];
    let mut code = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code += &read(&path);
            }
        }
    }
    code
}

/// What stands between single backquotes.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn each_page_links_only_to_what_is_there() {
    for page in pages() {
        let text = read(&page);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(target);
            assert!(path.exists(), "{}: {target}", page.display());
        }
    }
}

#[test]
fn the_map_names_only_files_and_tests_that_exist() {
    let map = read(&root().join("docs/ARCHITECTURE.md"));
    let code = code();
    let mut tests = 0;
    for word in quoted(&map) {
        let is_path = word.contains('/') && !word.contains(['<', ' ', '…']);
        if is_path && !word.starts_with('/') {
            assert!(root().join(word).exists(), "{word} is not there");
        }
        let is_test = word.matches('_').count() >= 4;
        if is_test {
            tests += 1;
            let function = format!("fn {word}(");
            assert!(code.contains(&function), "there is no test {word}");
        }
    }
    assert!(tests >= 10, "each invariant names its test: {tests}");
    // Not between backquotes: the drawing's.
    let drawn: BTreeSet<&str> = map
        .split(|c: char| c.is_whitespace() || "()|".contains(c))
        .filter(|word| word.starts_with("src/"))
        .map(|word| word.trim_end_matches([':', ',', '.', ';']))
        .collect();
    assert!(drawn.len() > 5, "{drawn:?}");
    for path in drawn {
        assert!(root().join(path).exists(), "{path} is not there");
    }
}

#[test]
fn the_readme_is_short() {
    let words = read(&root().join("README.md")).split_whitespace().count();
    assert!(words <= 1_200, "{words} words");
}
