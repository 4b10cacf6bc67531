//! The tokens file: who has a token, or a certificate, and what it lets one do. TOML, so that people can keep it; `waybill
//! token new` writes an entry, and docs/access.md shows one. Certificates stand beside tokens, for both say the same of
//! people: whoever is to be kept out is taken out of one file.
//!
//! It is read again when it changes. A file that cannot be read, or is broken, takes nobody's token away and gives nobody
//! one: what was read last counts until it is mended.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::certificate::Certificate;
use super::grant::Grant;
use super::principal::{Principal, Proof, check_name};
use super::right::{Right, Role};
use super::roles::Roles;
use super::token::{Hash, Mistyped, Token};

/// The largest file that is read: some 5,000 tokens.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{path} cannot be read: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is larger than {MAX_BYTES} bytes", path = path.display())]
    TooLarge { path: PathBuf },
    #[error("{path}, line {line}: {problem}", path = path.display())]
    Wrong {
        path: PathBuf,
        line: usize,
        problem: String,
    },
}

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKnown {
    #[error("{0}")]
    Mistyped(Mistyped),
    #[error("the token is not known here: it was taken away, or belongs to another service")]
    Unknown,
    #[error("what {name} shows has expired, at {at}")]
    Expired { name: String, at: Timestamp },
    #[error("no [[certificate]] in the tokens file names the subject {0:?}")]
    Certificate(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    token: Vec<Spanned<Entry>>,
    #[serde(default)]
    certificate: Vec<Spanned<CertificateEntry>>,
    #[serde(default)]
    oidc: Vec<Spanned<RoleEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: Option<Role>,
    rights: Option<Vec<Right>>,
    /// All, if they are not given.
    collections: Option<Vec<String>>,
    sha256: String,
    /// Never, if it is not given.
    expires: Option<Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateEntry {
    name: String,
    role: Option<Role>,
    rights: Option<Vec<Right>>,
    /// All, if they are not given.
    collections: Option<Vec<String>>,
    /// As RFC 4514 writes it: CN=ada,O=Acme.
    subject: String,
    /// With the certificate, if it is not given.
    expires: Option<Datetime>,
}

/// What one of the issuer's roles lets its holders do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleEntry {
    /// As the issuer's claim has it.
    value: String,
    role: Option<Role>,
    rights: Option<Vec<Right>>,
    /// All, if they are not given.
    collections: Option<Vec<String>>,
}

impl RoleEntry {
    fn grant(self) -> Result<(String, Grant), String> {
        let (rights, collections) = (self.rights.as_deref(), self.collections.as_deref());
        let grant = Grant::written(self.role, rights, collections)?;
        Ok((self.value, grant))
    }
}

impl Entry {
    fn known(self) -> Result<Known, String> {
        let hash = self.sha256.parse::<Hash>()?;
        let (rights, collections) = (self.rights.as_deref(), self.collections.as_deref());
        let grant = Grant::written(self.role, rights, collections)?;
        Known::new(hash, &self.name, grant, Proof::Token, self.expires)
    }
}

impl CertificateEntry {
    fn known(self) -> Result<Known, String> {
        let hash = Certificate::hash_of(&self.subject)?;
        let (rights, collections) = (self.rights.as_deref(), self.collections.as_deref());
        let grant = Grant::written(self.role, rights, collections)?;
        Known::new(hash, &self.name, grant, Proof::Certificate, self.expires)
    }
}

/// A day begins at midnight, UTC.
fn instant(at: &Datetime) -> Result<Timestamp, String> {
    let text = match (at.time, at.offset) {
        (None, None) => format!("{at}T00:00:00Z"),
        _ => at.to_string(),
    };
    text.parse().map_err(|_| {
        format!("expires is {at}: write a day (2027-01-31), or a time with its offset (2027-01-31T12:00:00Z)")
    })
}

struct Known {
    hash: Hash,
    principal: Principal,
}

impl Known {
    fn new(
        hash: Hash,
        name: &str,
        grant: Grant,
        proof: Proof,
        expires: Option<Datetime>,
    ) -> Result<Self, String> {
        check_name(name)?;
        let expires = expires.as_ref().map(instant).transpose()?;
        let principal = Principal::new(name, grant, proof, expires);
        Ok(Self { hash, principal })
    }
}

/// Those who are known by one kind of proof, by the beginning of its hash.
#[derive(Default)]
struct Holders(HashMap<u64, Known, RandomState>);

impl Holders {
    fn add(&mut self, known: Known, what: &str) -> Result<(), String> {
        let name = known.principal.name().to_owned();
        match self.0.insert(known.hash.start(), known) {
            None => Ok(()),
            Some(other) => {
                let other = other.principal.name();
                Err(format!("{other} and {name} have the same {what}"))
            }
        }
    }

    /// If it is nobody's, `or` says why not.
    fn find(&self, hash: &Hash, or: impl FnOnce() -> NotKnown) -> Result<Principal, NotKnown> {
        let known = self.0.get(&hash.start());
        match known.filter(|known| known.hash.is(hash)) {
            Some(known) if !known.principal.is_over() => Ok(known.principal.clone()),
            Some(known) => Err(NotKnown::Expired {
                name: known.principal.name().to_owned(),
                at: known.principal.expires().unwrap_or_default(),
            }),
            None => Err(or()),
        }
    }

    /// What is as it was before stays the same principal; all others of before are over, whatever they are in the middle of.
    fn replace(&mut self, mut with: Self) {
        for (start, before) in self.0.drain() {
            match with.0.get_mut(&start) {
                Some(now)
                    if now.principal.is_as(&before.principal) && now.hash.is(&before.hash) =>
                {
                    now.principal = before.principal;
                }
                _ => before.principal.end(),
            }
        }
        *self = with;
    }
}

/// All that the file holds.
#[derive(Default)]
pub struct Tokens {
    tokens: Holders,
    certificates: Holders,
    roles: Arc<Roles>,
}

impl Tokens {
    pub fn parse(path: &Path, text: &str) -> Result<Self, Unusable> {
        let wrong = |at: usize, problem: String| Unusable::Wrong {
            path: path.to_owned(),
            line: 1 + text[..at.min(text.len())].matches('\n').count(),
            problem,
        };
        let written: Written = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            wrong(at, error.message().to_owned())
        })?;
        let mut all = Self::default();
        for entry in written.token {
            let at = entry.span().start;
            let known = entry.into_inner().known();
            known
                .and_then(|known| all.tokens.add(known, "token"))
                .map_err(|problem| wrong(at, problem))?;
        }
        for entry in written.certificate {
            let at = entry.span().start;
            let known = entry.into_inner().known();
            known
                .and_then(|known| all.certificates.add(known, "certificate"))
                .map_err(|problem| wrong(at, problem))?;
        }
        let mut roles = Roles::default();
        for entry in written.oidc {
            let at = entry.span().start;
            let grant = entry.into_inner().grant();
            grant
                .and_then(|(value, grant)| roles.add(value, grant))
                .map_err(|problem| wrong(at, problem))?;
        }
        all.roles = Arc::new(roles);
        Ok(all)
    }

    pub fn find(&self, token: &str) -> Result<Principal, NotKnown> {
        self.tokens.find(&Hash::of(token), || {
            Token::check(token).map_or_else(NotKnown::Mistyped, |()| NotKnown::Unknown)
        })
    }

    /// By name.
    pub fn list(&self) -> Vec<(&Principal, Hash)> {
        let mut list: Vec<_> = self
            .tokens
            .0
            .values()
            .map(|known| (&known.principal, known.hash))
            .collect();
        list.sort_by_key(|(principal, hash)| (principal.name().to_owned(), hash.start()));
        list
    }

    fn counted(&self) -> String {
        let (tokens, certificates) = (self.tokens.0.len(), self.certificates.0.len());
        let roles = self.roles.len();
        format!("tokens: {tokens}, certificates: {certificates}, roles of the issuer: {roles}")
    }

    /// As `Holders::replace`, of each kind.
    fn replace(&mut self, with: Self) {
        self.tokens.replace(with.tokens);
        self.certificates.replace(with.certificates);
        if !with.roles.is_as(&self.roles) {
            self.roles.end();
            self.roles = with.roles;
        }
    }
}

/// What looking at files again found.
#[derive(Debug)]
pub enum Looked<E> {
    Unchanged,
    /// What is in them now.
    Read(String),
    /// Why they cannot be used; what was read last goes on.
    Broken(E),
}

pub struct TokenFile {
    path: PathBuf,
    /// As it was when it was last looked at, so that a change is seen and a broken file is told once. None: unreadable.
    seen: RwLock<Option<String>>,
    tokens: RwLock<Tokens>,
}

impl TokenFile {
    /// At a start it must be whole.
    pub fn open(path: PathBuf) -> Result<Self, Unusable> {
        let text = read(&path)?;
        let tokens = Tokens::parse(&path, &text)?;
        Ok(Self {
            path,
            seen: RwLock::new(Some(text)),
            tokens: RwLock::new(tokens),
        })
    }

    pub fn find(&self, token: &str) -> Result<Principal, NotKnown> {
        self.tokens
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .find(token)
    }

    pub fn find_certificate(&self, shown: &Certificate) -> Result<Principal, NotKnown> {
        let all = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let found = all.certificates.find(shown.hash(), || {
            NotKnown::Certificate(shown.subject().to_owned())
        })?;
        // It was good when the connection began.
        match shown.ends() <= Timestamp::now() {
            false => Ok(found),
            true => Err(NotKnown::Expired {
                name: found.name().to_owned(),
                at: shown.ends(),
            }),
        }
    }

    /// Whether nobody is known but by a certificate.
    pub fn is_of_certificates_alone(&self) -> bool {
        let all = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        all.tokens.0.is_empty() && all.roles.is_empty() && !all.certificates.0.is_empty()
    }

    /// What the issuer's roles let one do.
    pub fn roles(&self) -> Arc<Roles> {
        let all = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        all.roles.clone()
    }

    /// Whether anybody can show a token.
    pub fn has_tokens(&self) -> bool {
        let all = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        !all.tokens.0.is_empty()
    }

    /// Reads it again if it has changed. Not by its time: editors and Kubernetes put another file in its place, which may
    /// have any.
    pub fn look(&self) -> Looked<Unusable> {
        let now = read(&self.path);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let text = match now {
            Ok(text) if seen.as_ref() == Some(&text) => return Looked::Unchanged,
            Err(_) if seen.is_none() => return Looked::Unchanged,
            Ok(text) => text,
            Err(error) => {
                *seen = None;
                return Looked::Broken(error);
            }
        };
        let tokens = Tokens::parse(&self.path, &text);
        *seen = Some(text);
        match tokens {
            Ok(tokens) => {
                let now = tokens.counted();
                let mut current = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
                current.replace(tokens);
                Looked::Read(now)
            }
            Err(error) => Looked::Broken(error),
        }
    }
}

pub fn read(path: &Path) -> Result<String, Unusable> {
    let unreadable = |source| Unusable::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    if read.map_err(unreadable)? as u64 > MAX_BYTES {
        return Err(Unusable::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
