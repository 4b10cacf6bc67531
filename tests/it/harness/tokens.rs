//! A tokens file, and the tokens that are in it.

use std::path::PathBuf;

use waybill::access::{Hash, Token};

use super::Bench;

pub struct TokensFile {
    pub path: PathBuf,
    entries: Vec<(String, String)>,
}

impl TokensFile {
    pub fn new(bench: &Bench) -> Self {
        let file = Self {
            path: bench.dir.join("tokens.toml"),
            entries: Vec::new(),
        };
        file.write();
        file
    }

    /// Gives somebody a token; `grant` as in `role = "reader"`, one line or more.
    pub fn give(&mut self, name: &str, grant: &str) -> String {
        let token = Token::new().unwrap();
        let hash = Hash::of(token.text());
        let entry = format!("[[token]]\nname = \"{name}\"\n{grant}\nsha256 = \"{hash}\"\n\n");
        self.entries.push((name.to_owned(), entry));
        self.write();
        token.text().to_owned()
    }

    /// Knows a certificate by its subject.
    pub fn know(&mut self, name: &str, subject: &str, grant: &str) {
        let entry =
            format!("[[certificate]]\nname = \"{name}\"\n{grant}\nsubject = \"{subject}\"\n\n");
        self.entries.push((name.to_owned(), entry));
        self.write();
    }

    /// Lets holders of an issuer's role do something.
    pub fn role(&mut self, value: &str, grant: &str) {
        let entry = format!("[[oidc]]\nvalue = \"{value}\"\n{grant}\n\n");
        self.entries.push((value.to_owned(), entry));
        self.write();
    }

    /// From somebody by that name, or from a role.
    pub fn take_from(&mut self, name: &str) {
        self.entries.retain(|(holder, _)| holder != name);
        self.write();
    }

    /// The same token with another grant.
    pub fn regrant(&mut self, name: &str, old: &str, new: &str) {
        for (_, entry) in self.entries.iter_mut().filter(|(holder, _)| holder == name) {
            *entry = entry.replace(old, new);
        }
        self.write();
    }

    pub fn write(&self) {
        let text: String = self
            .entries
            .iter()
            .map(|(_, entry)| entry.as_str())
            .collect();
        // In one step: a service that looks meanwhile sees the one or the other.
        let new = self.path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.path).unwrap();
    }

    pub fn flag(&self) -> [&str; 2] {
        ["--tokens", self.path.to_str().unwrap()]
    }
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
