//! Which room reads and writes which table. A statement about another room's table is an edge that no `use` line shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tidy::{Source, sources};

/// A table, the room that owns it and alone writes it, and who else reads it. Most who do join what must be of one moment; a
/// room that could ask the owner does so.
const TABLES: &[(&str, &str, &str)] = &[
    // Payloads are joined to what refers to them; a replay reads the log with its verdicts.
    (
        "inbox",
        "inbox",
        "account cache dead_letter document projection",
    ),
    ("inbox_head", "inbox", "account"),
    ("source", "inbox", "account cache dead_letter projection"),
    // As every collection's documents: their tables are called by data, and `document` alone says how.
    ("orders", "document", ""),
    ("duplicates", "document", "account"),
    ("verdict", "dead_letter", "account projection"),
    // A miss says in one statement what is known of a key.
    ("dead_letters", "dead_letter", "account cache projection"),
    ("dead_letter_groups", "dead_letter", "account"),
    // The account counts all fates, and reads every table that gives one.
    ("fates", "account", "projection"),
    ("source_account", "account", ""),
    ("checkpoint", "projection", "account cache operation"),
    ("decisions", "projection", "account dead_letter"),
    // A letter is stale if another definition is in force for its collection.
    ("definitions", "projection", "dead_letter"),
    ("amount", "projection", ""),
    ("collection", "projection", "account"),
    ("audit", "audit", ""),
    ("operation", "operation", ""),
    ("operation_item", "operation", ""),
    ("healed", "operation", ""),
];

/// Who writes a table that is not its own, and where.
const GUESTS: &[(&str, &str)] = &[];

/// Who may put statements together: the names in them are those of the database's own catalogue.
const BUILDERS: &[&str] = &[
    // A replay's shadow tables are made like the live ones, whatever migrations have made of those.
    "projection/replay/shadow.rs",
    // The tables of the collections, which are called by their ids.
    "document/rebuild.rs",
    "document/table.rs",
    "document/write.rs",
    // Roles and their rights.
    "postgres/grant.rs",
    // `begin` and a constant, sent as one.
    "postgres/session.rs",
];

const READS: &[&str] = &["from", "join", "using", "lock table"];
const WRITES: &[&str] = &[
    "insert into",
    "update",
    "delete from",
    "copy",
    "truncate",
    "truncate table",
];

/// What a statement begins with, in lower case as everywhere in the house; sentences seldom do.
const STATEMENTS: &[&str] = &[
    "select ",
    "insert into ",
    "update ",
    "delete from ",
    "copy ",
    "with ",
    "begin;",
    "set local ",
    "lock table ",
    "truncate ",
    "comment on ",
    "grant ",
    "revoke ",
    "create table ",
    "create schema ",
    "create index ",
    "create view ",
    "create publication ",
    "alter table ",
    "alter schema ",
    "alter database ",
    "alter publication ",
    "drop table ",
    "drop schema ",
    "drop view ",
];

/// Without comments, which may speak of tables.
fn code(source: &Source) -> String {
    let lines = source.text.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether one of the words stands before the table's name, with or without a schema.
fn speaks_of(code: &str, words: &[&str], table: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    words.iter().any(|word| {
        code.match_indices(word).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            let rest = &code[at + word.len()..];
            if !rest.starts_with([' ', '\n', '"']) {
                return false;
            }
            let rest = rest.trim_start();
            // In pieces: `"from ").name("orders")`.
            let piece = rest
                .strip_prefix('"')
                .map(|rest| rest.trim_start_matches(')').trim_start());
            let rest = piece
                .and_then(|piece| piece.strip_prefix(".name(\""))
                .unwrap_or(rest);
            let rest = ["only ", "live.", "next.", "public."]
                .iter()
                .fold(rest, |rest, prefix| {
                    rest.strip_prefix(prefix).unwrap_or(rest)
                });
            !before.is_some_and(is_name)
                && rest
                    .strip_prefix(table)
                    .is_some_and(|rest| !rest.starts_with(|c| is_name(c) || c == '.' || c == ':'))
        })
    })
}

#[test]
fn each_table_is_in_the_list() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut made = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for (at, word) in text.match_indices("create table ") {
            let name = text[at + word.len()..].split([' ', '\n', '(']).next();
            made.insert(name.unwrap().trim_start_matches("live.").to_owned());
        }
    }
    // V11 has put them in the place of others.
    for gone in ["rules", "counts"] {
        assert!(made.remove(gone), "{gone}");
    }
    let listed: BTreeSet<String> = TABLES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(made, listed);
}

#[test]
fn a_table_is_written_by_its_owner_and_read_by_whom_the_list_names() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources() {
        let (name, room, code) = (
            source.name(),
            source.room().unwrap_or_default(),
            code(&source),
        );
        for (table, owner, readers) in TABLES {
            if room == *owner {
                continue;
            }
            let guest = GUESTS.contains(&(name.as_str(), table));
            if speaks_of(&code, WRITES, table) {
                seen.insert(("guest", name.clone(), *table));
                if !guest {
                    wrong.push(format!("{name} writes {table}"));
                }
            }
            if speaks_of(&code, READS, table) {
                seen.insert(("reader", room.to_owned(), *table));
                if !guest && !readers.split(' ').any(|reader| reader == room) {
                    wrong.push(format!("{name} reads {table}"));
                }
            }
        }
    }
    for (table, _, readers) in TABLES {
        for room in readers.split_whitespace() {
            if !seen.contains(&("reader", room.to_owned(), table)) {
                wrong.push(format!("{room} no longer reads {table}"));
            }
        }
    }
    for (name, table) in GUESTS {
        if !seen.contains(&("guest", (*name).to_owned(), table)) {
            wrong.push(format!("{name} no longer writes {table}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Pieces of a statement that end where a table's name is to follow: the test above would not see which. The name is given
/// by `.name("…")`, which it sees, or it stands in the same piece; or it is data, and a collection's table (`document::table`).
fn cut_off(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for opening in ["Sql::new(", ".push(", ".bind(", "&str ="] {
        for (at, _) in code.match_indices(opening) {
            let Some(rest) = code[at + opening.len()..].trim_start().strip_prefix('"') else {
                continue;
            };
            let (piece, rest) = rest.split_once('"').unwrap_or((rest, ""));
            let piece_ends = |word: &&'static str| {
                let before = piece.trim_end().strip_suffix(*word);
                // `for update` says how a row is read.
                before.is_some_and(|before| {
                    before.is_empty()
                        || before.ends_with([' ', '\n', '(']) && !before.ends_with(" for ")
                })
            };
            let named = rest.trim_start_matches([')', ';', ',', ' ', '\n']);
            let named = named.strip_prefix("sql").unwrap_or(named);
            if READS.iter().chain(WRITES).any(piece_ends) && !named.starts_with(".name(") {
                found.push(piece);
            }
        }
    }
    found
}

#[test]
fn a_statement_in_pieces_names_its_tables_where_they_are_seen() {
    let mut wrong = Vec::new();
    for source in sources() {
        let (name, code) = (source.name(), code(&source));
        wrong.extend(
            cut_off(&code)
                .iter()
                .map(|piece| format!("{name}: {piece}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where the text of a statement is put together at run time: in a format, or by adding to one.
fn built(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for opening in ["format!(", "write!(", "writeln!(", "push_str(", "+= "] {
        for (at, _) in code.match_indices(opening) {
            let rest = code[at + opening.len()..].trim_start();
            let literal = match rest.find('"') {
                // Behind a `write!(to, `, an `&` or a `&format!(`.
                Some(quote) if !rest[..quote].contains([';', '\n']) => &rest[quote + 1..],
                _ => continue,
            };
            let literal = &literal[..literal.find('"').unwrap_or(literal.len())];
            let begins = |part: &&str| {
                let part = part.trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
                STATEMENTS
                    .iter()
                    .any(|statement| part.starts_with(statement))
            };
            found.extend(literal.split_inclusive(';').find(begins));
        }
    }
    found
}

/// SQL is a constant above its only user, or made of constants: nothing is spliced into it at run time.
#[test]
fn sql_is_constant_but_where_names_are_the_catalogues() {
    let mut wrong = Vec::new();
    let mut builders = BTreeSet::new();
    for source in sources() {
        // A private cluster's roles and passwords cannot be parameters; the command line speaks to people.
        if matches!(source.room(), Some("sandbox" | "cli")) {
            continue;
        }
        let (name, code) = (source.name(), code(&source));
        for statement in built(&code) {
            if BUILDERS.contains(&name.as_str()) {
                builders.insert(name.clone());
            } else {
                wrong.push(format!("{name} builds SQL: {statement}"));
            }
        }
    }
    let idle = BUILDERS.iter().filter(|name| !builders.contains(**name));
    wrong.extend(idle.map(|name| format!("{name} no longer builds any")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_the_tests_above_look_for_is_found() {
    let code = "select a from x.orders\n join live.inbox i; update orders\n set b; delete from ordersx; a copy orders (";
    assert!(speaks_of(code, READS, "inbox") && !speaks_of(code, READS, "orders"));
    assert!(speaks_of(code, WRITES, "orders") && !speaks_of(code, WRITES, "inbox"));
    assert!(!speaks_of(
        "select a from orders_x, b from orders::text",
        READS,
        "orders"
    ));
    for pieces in [
        r#"sql.push("select a from ").name("orders")"#,
        "sql.bind(\" where b = $ and exists (select from\")\n    .name(\"orders\")",
    ] {
        assert!(speaks_of(pieces, READS, "orders"), "{pieces}");
        assert!(cut_off(pieces).is_empty(), "{pieces}");
    }
    let code = r#"Sql::new("select a from ").push(table); sql.push(" from orders o join").push(" inbox"); a.push("from x")"#;
    assert_eq!(cut_off(code), ["select a from ", " from orders o join"]);
    let code = r#"let a = format!("drop {x}; alter table next.{name} set"); s += "drop schema next"; s += &format!("lock table {t}");"#;
    let expected = [
        " alter table next.{name} set",
        "lock table {t}",
        "drop schema next",
        "lock table {t}",
    ];
    assert_eq!(built(code), expected);
}
