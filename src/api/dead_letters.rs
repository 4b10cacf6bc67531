//! Dead letters: find them, one by one and in groups. A letter's own story is in `story`, what may be decided about it in
//! `decisions`.

mod decisions;
mod letter;
mod story;

use std::collections::BTreeMap;
use std::sync::Arc;

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Attachment, AttachmentType, Json};
use tokio::sync::watch;

use self::letter::DeadLetterGroup;
use super::principal::{narrowed, seen};
use super::problem::Problem;
use super::{Dependencies, times};
use crate::access::Principal;
use crate::dead_letter::{self, Filter};
use crate::inbox::{self, Position};
use crate::postgres::Database;
use crate::projection::InForce;

pub use decisions::{DecisionRequest, Decisions};
pub use letter::{DeadLetter, DeadLetterGroups, DeadLetterPage};
pub use story::DeadLetterStory;

/// There are as many groups as kinds of mistakes: mostly one page has all.
const MOST_GROUPS: i64 = 1_000;

pub struct DeadLetters {
    database: Database,
    in_force: watch::Receiver<Arc<InForce>>,
}

impl DeadLetters {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
            in_force: deps.in_force.clone(),
        }
    }

    /// The collections whose groups are asked for and seen.
    fn ids(&self, principal: &Principal, collection: Option<&str>) -> Vec<i64> {
        let in_force = self.in_force.borrow();
        let mut ids = seen(principal, &in_force);
        if let Some(name) = collection {
            let id = in_force.get(name).map(|defined| defined.id.0);
            ids.retain(|one| Some(*one) == id);
        }
        ids
    }

    fn names(&self) -> BTreeMap<i64, String> {
        let in_force = self.in_force.borrow();
        let named = in_force.iter().map(|one| (one.id.0, one.name.to_string()));
        named.collect()
    }

    fn narrowed(&self, filter: Filter, principal: &Principal) -> Filter {
        narrowed(filter, principal, &self.in_force.borrow())
    }
}

#[OpenApi]
impl DeadLetters {
    /// Dead letters, newest first
    #[oai(
        path = "/dead-letters",
        method = "get",
        operation_id = "listDeadLetters"
    )]
    #[allow(clippy::too_many_arguments)]
    async fn list(
        &self,
        principal: Principal,
        /// open, replaced, discarded
        state: Query<Option<String>>,
        reason: Query<Option<String>>,
        code: Query<Option<String>>,
        fingerprint: Query<Option<String>>,
        key: Query<Option<String>>,
        /// A source's name, or its kind: stan, http.
        source: Query<Option<String>>,
        /// Only of this collection.
        collection: Query<Option<String>>,
        /// Received at or after: RFC 3339, or how long ago, as in 15m, 2h, 7d.
        since: Query<Option<String>>,
        /// Received before.
        until: Query<Option<String>>,
        /// The lowest position.
        from: Query<Option<i64>>,
        /// The highest position.
        to: Query<Option<i64>>,
        /// Found in message or key, in any case.
        text: Query<Option<String>>,
        /// What `next` was on the page before.
        after: Query<Option<String>>,
        /// 1 to 500; 50 where not given.
        limit: Query<Option<i64>>,
    ) -> Result<Json<DeadLetterPage>, Problem> {
        let limit = times::limit(limit.0)?;
        let before = times::below(after.0)?;
        let filter = Filter {
            state: state.0,
            reason: reason.0,
            code: code.0,
            fingerprint: fingerprint.0,
            key: key.0,
            source: source.0,
            collection: collection.0,
            since: times::parse_time("since", since.0)?,
            until: times::parse_time("until", until.0)?,
            from: from.0,
            to: to.0,
            text: text.0,
            ..Filter::default()
        };
        filter
            .check()
            .map_err(|error| Problem::bad_request(format!("{error}.")))?;
        let reader = self.database.reader().await?;
        let filter = self.narrowed(filter, &principal);
        let mut letters = dead_letter::list(&reader, &filter, before, limit + 1).await?;
        let next = times::next_page(&mut letters, limit, |last| last.id.to_string());
        Ok(Json(DeadLetterPage {
            next,
            items: letters.iter().map(DeadLetter::from).collect(),
        }))
    }

    /// Groups: like with like
    ///
    /// Counts by state, first and last seen, one sample; the largest open ones first.
    #[oai(
        path = "/dead-letter-groups",
        method = "get",
        operation_id = "listDeadLetterGroups"
    )]
    async fn groups(
        &self,
        principal: Principal,
        /// Only groups that have letters of this state.
        state: Query<Option<String>>,
        reason: Query<Option<String>>,
        /// Only of this collection.
        collection: Query<Option<String>>,
        /// What `next` was on the page before.
        after: Query<Option<String>>,
        /// 1 to 1,000; 1,000 where not given.
        limit: Query<Option<i64>>,
    ) -> Result<Json<DeadLetterGroups>, Problem> {
        let limit = limit.0.unwrap_or(MOST_GROUPS);
        if !(1..=MOST_GROUPS).contains(&limit) {
            return Err(Problem::bad_request(format!(
                "limit={limit} is not between 1 and {MOST_GROUPS}."
            )));
        }
        let after = match after.0.map(|after| after.parse().map_err(|()| after)) {
            None => None,
            Some(Ok(place)) => Some(place),
            Some(Err(after)) => return Err(times::no_cursor(&after)),
        };
        let filter = Filter {
            state: state.0,
            reason: reason.0,
            collection: collection.0,
            ..Filter::default()
        };
        filter
            .check()
            .map_err(|error| Problem::bad_request(format!("{error}.")))?;
        let ids = self.ids(&principal, filter.collection.as_deref());
        let names = self.names();
        let reader = self.database.reader().await?;
        let (state, reason) = (filter.state.as_deref(), filter.reason.as_deref());
        let mut groups =
            dead_letter::groups(&reader, state, reason, after, limit + 1, &ids).await?;
        let next = times::next_page(&mut groups, limit, |last| last.place().to_string());
        Ok(Json(DeadLetterGroups {
            next,
            items: groups
                .into_iter()
                .map(|group| DeadLetterGroup::of(group, &names))
                .collect(),
        }))
    }

    /// One dead letter, with its story
    #[oai(
        path = "/dead-letters/:id",
        method = "get",
        operation_id = "getDeadLetter"
    )]
    async fn one(
        &self,
        principal: Principal,
        id: Path<i64>,
    ) -> Result<Json<DeadLetterStory>, Problem> {
        let reader = self.database.reader().await?;
        let in_force = self.in_force.borrow().clone();
        let story = story::read(&reader, &in_force, Position(id.0)).await?;
        let seen = story.filter(|story| principal.sees(story.collection()));
        seen.map(Json).ok_or_else(|| not_here(id.0))
    }

    /// Its exact payload
    #[oai(
        path = "/dead-letters/:id/payload",
        method = "get",
        operation_id = "getDeadLetterPayload"
    )]
    async fn payload(
        &self,
        principal: Principal,
        id: Path<i64>,
    ) -> Result<Attachment<Vec<u8>>, Problem> {
        let reader = self.database.reader().await?;
        let known = dead_letter::load(&reader, &[id.0]).await?;
        let seen = known.iter().any(|letter| principal.sees(&letter.name));
        if !seen {
            return Err(not_here(id.0));
        }
        let payload = inbox::payload(&reader, Position(id.0))
            .await?
            .unwrap_or_default();
        Ok(Attachment::new(payload.to_vec())
            .attachment_type(AttachmentType::Attachment)
            .filename(format!("dead-letter-{}", id.0)))
    }
}

fn not_here(id: i64) -> Problem {
    Problem::not_found(format!("There is no dead letter {id}. GET /api/v1/inbox/{id} says what became of the row at this position."))
        .link("inbox", format!("/api/v1/inbox/{id}"))
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
