//! The layout of the house as a test: which room may know which, and what is not to be found in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Whom each room may know. Edges go one way; a room that is not listed fails, so that whoever adds one says here what it
/// stands on.
const ROOMS: &[(&str, &str)] = &[
    // Nothing of ours: the first could be crates of their own.
    ("stan", ""),
    ("postgres", ""),
    ("sandbox", ""),
    ("telemetry", ""),
    ("words", ""),
    // Knows who may do what, and nothing of what is done.
    ("access", ""),
    ("inbox", "postgres telemetry"),
    ("audit", "postgres telemetry words"),
    ("source", "inbox stan telemetry"),
    // What a message is, and what is asked of it. The first two judge (see PURE).
    ("record", ""),
    ("expression", "record"),
    ("collection", "expression record"),
    ("document", "collection expression inbox postgres record"),
    ("dead_letter", "collection inbox postgres record words"),
    ("account", "collection document inbox postgres"),
    ("cache", "account collection document inbox postgres"),
    (
        "projection",
        "account cache collection dead_letter document expression inbox postgres record telemetry",
    ),
    // Works for the holder of the lease.
    (
        "operation",
        "account collection dead_letter document inbox postgres projection record telemetry",
    ),
    (
        "api",
        "access account audit cache collection dead_letter document expression inbox operation postgres projection record source stan telemetry ui",
    ),
    ("ui", ""),
    (
        "config",
        "access api inbox operation postgres projection source stan telemetry",
    ),
    (
        "serve",
        "account api audit cache config inbox operation postgres projection source telemetry",
    ),
    (
        "cli",
        "access api collection config expression postgres record sandbox serve stan telemetry",
    ),
];

/// The judge gives the same verdict everywhere and for ever: it may know nothing but bytes, schema and rules.
const PURE: [&str; 2] = ["record", "expression"];

/// What would make two judgements of the same bytes differ: a clock, the disk, the network, the environment, chance, and what
/// one judgement could leave for the next.
const IMPURE: &[&str] = &[
    "std::env",
    "env::var",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::time",
    "Instant::",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "tokio",
    "tracing",
    "println!",
    "fastrand::Rng::new",
    "Rng::new(",
    "fastrand::u",
    "fastrand::i",
    "fastrand::bool",
    "LazyLock",
    "OnceLock",
    "thread_local!",
    "static mut",
    "Mutex",
    "RwLock",
    "Atomic",
];

/// Only the projection calls these, in its own transaction.
const WRITES: &[&str] = &[
    "dead_letter::insert",
    "dead_letter::change",
    "write_verdicts",
    "write_groups",
    "write_epochs",
    "add_fates",
    "store::insert",
];

/// Names that say nothing of what is inside.
const NAMELESS: &str =
    "util utils helper helpers common types constants prelude misc models services repositories";

pub struct Source {
    pub path: PathBuf,
    /// Without what is only for its tests.
    pub text: String,
}

impl Source {
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The room that it is in; none for the doors, main.rs and lib.rs.
    pub fn room(&self) -> Option<&str> {
        let first = self.path.components().next()?.as_os_str().to_str()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(room, "main" | "lib")).then_some(room)
    }

    fn is_door(&self) -> bool {
        let file = self.path.file_name().unwrap();
        file == "mod.rs" || (self.path.components().count() == 1 && file != "main.rs")
    }

    /// The rooms that follow each `crate::`, also in braces.
    fn knows(&self) -> BTreeSet<&str> {
        let mut rooms = BTreeSet::new();
        for (at, _) in self.text.match_indices("crate::") {
            let rest = &self.text[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                None => rooms.extend(word(rest)),
                Some(list) => rooms.extend(first_words(list)),
            }
        }
        rooms.retain(|room| self.room() != Some(room));
        rooms
    }
}

fn word(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    Some(&text[..end.unwrap_or(text.len())]).filter(|word| !word.is_empty())
}

/// Of `a::{x, y}, b, c::z}`: a, b and c.
fn first_words(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut start = 0;
    let mut words = Vec::new();
    for (at, char) in list.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                words.extend(word(list[start..at].trim_start()));
                start = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    words
}

pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut dirs = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                found.push(Source {
                    path: path.strip_prefix(&root).unwrap().to_owned(),
                    text: text.to_owned(),
                });
            }
        }
    }
    assert!(found.len() > 50, "only {} files", found.len());
    found
}

#[test]
fn rooms_know_only_whom_they_may() {
    let rooms: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .iter()
        .map(|(room, known)| (*room, known.split_whitespace().collect()))
        .collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(room) = source.room() else {
            continue;
        };
        let Some(allowed) = rooms.get(room) else {
            wrong.push(format!(
                "{}: the room {room} is not in the list",
                source.name()
            ));
            continue;
        };
        for known in source.knows() {
            if !rooms.contains_key(known) {
                wrong.push(format!("{}: crate::{known} is no room", source.name()));
            } else if !allowed.contains(known) {
                wrong.push(format!("{} may not know {known}", source.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The list above has no way round: what a room stands on does not stand on it.
#[test]
fn edges_go_one_way() {
    fn below<'a>(room: &'a str, seen: &mut BTreeSet<&'a str>) {
        let known = ROOMS.iter().find(|(name, _)| *name == room);
        let (_, known) = known.unwrap_or_else(|| panic!("{room} is no room"));
        for next in known.split_whitespace() {
            if seen.insert(next) {
                below(next, seen);
            }
        }
    }
    for (room, _) in ROOMS {
        let mut seen = BTreeSet::new();
        below(room, &mut seen);
        assert!(!seen.contains(room), "{room} stands on itself");
    }
}

#[test]
fn only_the_projection_calls_what_writes_tables_of_state() {
    let mut wrong = Vec::new();
    for source in sources() {
        let room = source.room().unwrap_or_default();
        if room != "projection" {
            let called = WRITES.iter().filter(|name| {
                let call = format!("{name}(");
                source.text.contains(&call) && !source.text.contains(&format!("fn {call}"))
            });
            wrong.extend(called.map(|name| format!("{} calls {name}", source.name())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The files that are for tests alone, as whoever declares them says.
fn only_for_tests(sources: &[Source]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for source in sources {
        let file = source.path.file_name().unwrap();
        let dir = if file == "mod.rs" || file == "lib.rs" {
            source.path.parent().unwrap().to_owned()
        } else {
            source.path.with_extension("")
        };
        for (at, opening) in source.text.match_indices("#[cfg(test)]\nmod ") {
            let name = word(&source.text[at + opening.len()..]).unwrap();
            found.insert(dir.join(name).with_extension("rs"));
        }
    }
    found
}

#[test]
fn the_judge_knows_no_clock_no_disk_and_no_chance() {
    let sources = sources();
    let tests = only_for_tests(&sources);
    assert!(tests.contains(Path::new("expression/harm.rs")), "{tests:?}");
    let pure = sources.iter().filter(|source| {
        source.room().is_some_and(|room| PURE.contains(&room)) && !tests.contains(&source.path)
    });
    let mut wrong = Vec::new();
    let mut files = 0;
    for source in pure {
        files += 1;
        let found = IMPURE.iter().filter(|name| source.text.contains(**name));
        wrong.extend(found.map(|name| format!("{} knows {name}", source.name())));
    }
    assert!(files > 20, "only {files} files");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_room_says_what_it_is() {
    for source in sources() {
        assert!(
            !source.is_door() || source.text.starts_with("//! "),
            "{} begins without //!",
            source.name()
        );
    }
}

#[test]
fn names_say_what_is_inside() {
    for source in sources() {
        for part in source.path.with_extension("").components() {
            let part = part.as_os_str().to_str().unwrap();
            assert!(
                !NAMELESS.split(' ').any(|name| name == part),
                "{}",
                source.name()
            );
        }
    }
}

/// A secret is compared by its hash, in one place, in constant time. Whatever else is done with a token's text: it is hashed,
/// shown once to whoever made it, or sent.
#[test]
fn only_hashes_of_tokens_are_compared() {
    let sources = sources();
    let constant: Vec<String> = sources
        .iter()
        .filter(|source| source.text.contains("ct_eq"))
        .map(Source::name)
        .collect();
    assert_eq!(constant, ["access/token.rs"]);
    let mut wrong = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.room() == Some("access"))
    {
        for (number, line) in source.text.lines().enumerate() {
            let compares = line.contains("==") || line.contains("!=");
            // Also by way of a set, a match or a sort: none of those takes a hash either.
            let secret = [
                "token.text",
                "token.0",
                "secret ==",
                "== secret",
                "token ==",
                "== token",
                "hash ==",
                "== hash",
            ];
            if compares && secret.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {}", source.name(), number + 1, line.trim()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let token = &sources
        .iter()
        .find(|source| source.name() == "access/token.rs")
        .unwrap()
        .text;
    for kind in ["pub struct Token(String);", "pub struct Hash([u8; 32]);"] {
        let (before, _) = token.split_once(kind).unwrap();
        let derived = before.rsplit("\n\n").next().unwrap();
        for what in ["PartialEq", "Eq", "Ord", "Hash,", "Debug"] {
            assert!(
                !derived.contains(&format!("derive({what}"))
                    && !derived.contains(&format!(", {what}")),
                "{kind} can be compared or printed: {derived}"
            );
        }
    }
    assert!(
        !token.contains("impl PartialEq"),
        "a token or its hash can be compared"
    );
}
