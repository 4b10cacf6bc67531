//! `GET /audit`, and which requests are on record.

use hyper::Request;
use poem::http::Method;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::problem::Problem;
use super::{Dependencies, times};
use crate::access::Principal;
use crate::audit::{self, Entry, Filter, Recorded, What};
use crate::postgres::Database;

/// What a request is on record as, if it is let through; and what it asks for.
pub fn on_record<B>(request: &Request<B>) -> Option<(What, String)> {
    let path = request.uri().path().strip_prefix("/api/v1/")?;
    let what = match (request.method(), path) {
        (&Method::GET, "dead-letters/export") => What::Exported,
        (&Method::GET, path) if path.starts_with("collections/") && path.ends_with("/export") => {
            What::Exported
        }
        (&Method::POST, "replays") => What::Replay,
        (&Method::POST, path) if path.starts_with("operations/") => What::Steered,
        _ => return None,
    };
    let asked = request.uri().path_and_query()?.as_str();
    let asked = asked.strip_prefix("/api/v1").unwrap_or(asked);
    Some((what, asked.to_owned()))
}

/// An entry about somebody whom the gate has let through.
pub fn entry(what: What, principal: &Principal, address: &str, detail: &str) -> Entry {
    Entry::new(
        what,
        principal.name(),
        principal.proof().as_str(),
        address,
        detail,
    )
}

/// Of an export whose entry could not be stored.
pub fn not_on_record() -> Problem {
    Problem::unavailable(
        "It cannot be put on record who takes this out, so nothing is: Postgres takes no entry of the audit. Try again in a moment.",
    )
}

pub struct AuditApi {
    database: Database,
}

impl AuditApi {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
        }
    }
}

/// One entry of the audit.
#[derive(Object)]
#[oai(example)]
pub struct AuditEntry {
    pub id: i64,
    pub at: String,
    /// signed_in, sign_in_failed, signed_out, refused, exported, replay, steered, new_address
    pub what: String,
    pub who: String,
    /// How it was proven who; of a sign-in that failed, the name is what was typed.
    pub proof: String,
    pub address: String,
    /// What was asked for, or why it was refused.
    pub detail: String,
    /// How often within a minute.
    pub times: i32,
}

impl From<Recorded> for AuditEntry {
    fn from(recorded: Recorded) -> Self {
        Self {
            id: recorded.id,
            at: recorded.at.to_string(),
            what: recorded.what,
            who: recorded.who,
            proof: recorded.proof,
            address: recorded.address,
            detail: recorded.detail,
            times: recorded.times,
        }
    }
}

/// Entries, the newest first.
#[derive(Object)]
#[oai(example)]
pub struct AuditPage {
    pub items: Vec<AuditEntry>,
    /// Pass it as `after` for the page that follows.
    pub next: Option<String>,
}

#[OpenApi]
impl AuditApi {
    /// Who was let in, who was turned away, who took data out
    ///
    /// Newest first. Decisions about messages are not here: each letter's story has them.
    #[oai(path = "/audit", method = "get", operation_id = "listAudit")]
    #[allow(
        clippy::too_many_arguments,
        reason = "each is a parameter of the route"
    )]
    async fn list(
        &self,
        _principal: Principal,
        /// As in exported.
        what: Query<Option<String>>,
        /// A name, exactly.
        who: Query<Option<String>>,
        /// At or after: RFC 3339, or how long ago, as in 2h.
        since: Query<Option<String>>,
        /// Before.
        until: Query<Option<String>>,
        /// What `next` was on the page before.
        after: Query<Option<String>>,
        /// 1 to 500; 50 where not given.
        limit: Query<Option<i64>>,
    ) -> Result<Json<AuditPage>, Problem> {
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let what = what.0.map(|word| word.parse()).transpose();
        let what = what.map_err(|error| Problem::bad_request(format!("what: {error}.")))?;
        let filter = Filter {
            what,
            who: who.0,
            since: times::parse_time("since", since.0)?,
            until: times::parse_time("until", until.0)?,
        };
        let reader = self.database.reader().await?;
        let mut entries = audit::list(&reader, &filter, before, limit + 1).await?;
        let next = times::next_page(&mut entries, limit, |last| last.id.to_string());
        Ok(Json(AuditPage {
            next,
            items: entries.into_iter().map(AuditEntry::from).collect(),
        }))
    }
}
