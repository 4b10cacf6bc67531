//! Files of one room import each other one way, as rooms do: two that import each other have one type in the wrong file.
//! A door (mod.rs, or room.rs beside room/) and what stands behind it are one, and may know each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{Source, sources};

/// The names of a file's module, from the room's on.
type Module = Vec<String>;

fn module(source: &Source) -> Module {
    let path = source.path.with_extension("");
    let names = path
        .components()
        .map(|name| name.as_os_str().to_str().unwrap().to_owned());
    let mut names: Module = names.collect();
    if names.last().is_some_and(|last| last == "mod") {
        names.pop();
    }
    names
}

fn code(source: &Source) -> String {
    let lines = source.text.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Of `a::{b, c::{d, e}}`: a::b, a::c::d, a::c::e. What a name is called here is left out.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, list)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        return vec![path.split_whitespace().collect()];
    };
    let list = &list[..list.rfind('}').unwrap_or(list.len())];
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, char) in list.char_indices().chain([(list.len(), ',')]) {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = list[start..at].trim();
                start = at + 1;
                if !part.is_empty() {
                    found.extend(paths(&format!("{}{part}", before.trim())));
                }
            }
            _ => {}
        }
    }
    found
}

/// What a file imports, and what of it it hands on (`pub use`); paths in its code beside the `use` lines count as imports.
#[derive(Default)]
struct Imports {
    own: Vec<String>,
    handed_on: Vec<String>,
}

fn imports(code: &str) -> Imports {
    let mut found = Imports::default();
    let mut rest = String::new();
    let mut statement: Option<(bool, String)> = None;
    for line in code.lines() {
        let trimmed = line.trim_start();
        if statement.is_none() {
            let public = trimmed
                .strip_prefix("pub")
                .map(|line| match line.split_once(") ") {
                    Some((_, line)) if trimmed.starts_with("pub(") => line,
                    _ => line.trim_start(),
                });
            if let Some(tree) = public.unwrap_or(trimmed).strip_prefix("use ") {
                statement = Some((public.is_some(), tree.to_owned()));
            } else {
                rest += line;
                rest.push('\n');
                continue;
            }
        } else if let Some((_, tree)) = &mut statement {
            tree.push_str(trimmed);
        }
        if let Some((public, tree)) = statement.take_if(|(_, tree)| tree.contains(';')) {
            let tree = tree.split(';').next().unwrap_or_default();
            let to = if public {
                &mut found.handed_on
            } else {
                &mut found.own
            };
            to.extend(paths(tree));
        }
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = rest
        .split(|c| !is_part(c))
        .filter(|word| word.contains("::"));
    found
        .own
        .extend(words.map(|word| word.trim_matches(':').to_owned()));
    found
}

struct House {
    imports: BTreeMap<Module, Imports>,
}

impl House {
    /// From `crate` on; none if the path leads out of the house, or is of a type here.
    fn absolute(&self, from: &Module, path: &str) -> Option<Module> {
        let mut names: Vec<&str> = path.split("::").collect();
        let mut base = from.clone();
        match names[0] {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                while names.first() == Some(&"super") {
                    base.pop();
                    names.remove(0);
                }
                names.insert(0, "super");
            }
            name => {
                let mut child = from.clone();
                child.push(name.to_owned());
                if !self.imports.contains_key(&child) {
                    return None;
                }
                names.insert(0, "self");
            }
        }
        base.extend(names[1..].iter().map(|name| (*name).to_owned()));
        Some(base)
    }

    /// The file that has it: a door that only hands it on is passed through.
    fn file_of(&self, path: &Module, depth: usize) -> Option<Module> {
        let length = (1..=path.len())
            .rev()
            .find(|length| self.imports.contains_key(&path[..*length]))?;
        let file = path[..length].to_vec();
        let (Some(name), 0..8) = (path.get(length), depth) else {
            return Some(file);
        };
        let handed_on = self.imports[&file].handed_on.iter();
        for one in handed_on.filter(|one| one.rsplit("::").next() == Some(name)) {
            if let Some(path) = self.absolute(&file, one) {
                return self.file_of(&path, depth + 1);
            }
        }
        Some(file)
    }

    fn edges(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let is_door_of = |a: &Module, b: &Module| a.len() <= b.len() && b[..a.len()] == a[..];
        let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (from, imports) in &self.imports {
            let to = imports.own.iter().filter_map(|path| {
                let to = self.file_of(&self.absolute(from, path)?, 0)?;
                let other = to[0] == from[0] && !is_door_of(&to, from) && !is_door_of(from, &to);
                other.then_some(to)
            });
            edges.insert(from.clone(), to.collect());
        }
        edges
    }
}

/// Each file that is on a way from itself to itself, with the next on that way.
fn circles(edges: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let reaches = |from: &Module, to: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            for one in &edges[file] {
                if one == to {
                    return true;
                }
                if seen.insert(one) {
                    next.push(one);
                }
            }
        }
        false
    };
    let mut found = Vec::new();
    for (from, to) in edges {
        for one in to.iter().filter(|one| reaches(one, from)) {
            found.push(format!(
                "{} imports {}, and comes back",
                from.join("/"),
                one.join("/")
            ));
        }
    }
    found
}

#[test]
fn files_of_a_room_import_each_other_one_way() {
    let imports = sources()
        .iter()
        .filter(|source| source.room().is_some())
        .map(|source| (module(source), imports(&code(source))))
        .collect();
    let edges = House { imports }.edges();
    let count: usize = edges.values().map(BTreeSet::len).sum();
    assert!(count > 300, "only {count} imports between files");
    let circles = circles(&edges);
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_circle_is_found_through_doors_braces_and_paths() {
    let house = |files: &[(&str, &str)]| House {
        imports: files
            .iter()
            .map(|(name, code)| (name.split('/').map(str::to_owned).collect(), imports(code)))
            .collect(),
    };
    let found = |files: &[(&str, &str)]| circles(&house(files).edges());
    let door = (
        "room",
        "mod a;\nmod b;\npub use a::{\n    A,\n    other::Name,\n};\nuse b::B;",
    );
    let one = ("room/a", "use super::b::{self, B};");
    assert_eq!(
        found(&[door, one, ("room/b", "use crate::other::C;")]),
        [""; 0]
    );
    let both = [
        "room/a imports room/b, and comes back",
        "room/b imports room/a, and comes back",
    ];
    assert_eq!(
        found(&[door, one, ("room/b", "use super::{\n    A, X};")]),
        both
    );
    assert_eq!(
        found(&[door, one, ("room/b", "fn b() { super::a::f(); }")]),
        both
    );
    assert_eq!(
        found(&[
            door,
            one,
            ("room/b", "use super::X;\nuse crate::room::A as Z;")
        ]),
        both
    );
}
