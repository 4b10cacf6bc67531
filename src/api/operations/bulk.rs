//! What a client says of a decision about a whole set, checked.

use poem_openapi::{Enum, Object};
use serde::Deserialize;

use crate::access::Principal;
use crate::api::asker::Asker;
use crate::api::body::{given, given_object};
use crate::api::problem::Problem;
use crate::api::times;
use crate::dead_letter::Filter;
use crate::inbox::Action;
use crate::operation::BulkRequest;

#[derive(Enum, Clone, Copy, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    Retry,
    Discard,
    Reopen,
    Note,
}

/// Which letters: the list's filters, all of them.
#[derive(Object, Default, Deserialize)]
#[oai(default, deny_unknown_fields)]
#[serde(default, deny_unknown_fields)]
pub struct FilterBody {
    state: Option<String>,
    reason: Option<String>,
    code: Option<String>,
    fingerprint: Option<String>,
    key: Option<String>,
    source: Option<String>,
    /// The name of the collection that they were sent to.
    collection: Option<String>,
    since: Option<String>,
    until: Option<String>,
    from: Option<i64>,
    to: Option<i64>,
    text: Option<String>,
    /// These letters alone.
    ids: Option<Vec<i64>>,
}

impl FilterBody {
    fn filter(self) -> Result<Filter, Problem> {
        let filter = Filter {
            state: self.state,
            reason: self.reason,
            code: self.code,
            fingerprint: self.fingerprint,
            key: self.key,
            source: self.source,
            collection: self.collection,
            since: times::parse_time("since", self.since)?,
            until: times::parse_time("until", self.until)?,
            from: self.from,
            to: self.to,
            text: self.text,
            ids: self.ids,
            ..Filter::default()
        };
        filter
            .check()
            .map_err(|error| Problem::bad_request(format!("{error}.")))?;
        Ok(filter)
    }
}

/// A decision about a whole set.
#[derive(Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct BulkBody {
    action: BulkAction,
    #[oai(default)]
    #[serde(default, deserialize_with = "given_object")]
    filter: FilterBody,
    /// Needed where the filter is empty: every letter.
    #[oai(default)]
    #[serde(default, deserialize_with = "given")]
    all: bool,
    /// Judges again, says what would pass, and decides nothing.
    #[oai(default)]
    #[serde(default, deserialize_with = "given")]
    dry_run: bool,
    /// Letters a second.
    rate: Option<u32>,
    /// Stops when more than this share (0 to 1) of those judged fails again, once 20 were judged.
    stop_share: Option<f64>,
    /// Who decides, where the service does not know it. Refused where it does.
    #[oai(rename = "as", default)]
    #[serde(rename = "as", default, deserialize_with = "given")]
    who: String,
    /// Why. A discard and a note need it.
    #[oai(default)]
    #[serde(default, deserialize_with = "given")]
    reason: String,
}

impl BulkBody {
    pub(super) fn request(
        self,
        principal: &Principal,
        key: Option<String>,
    ) -> Result<(BulkRequest, Asker), Problem> {
        let action = match self.action {
            BulkAction::Retry => Action::Retry,
            BulkAction::Discard => Action::Discard,
            BulkAction::Reopen => Action::Reopen,
            BulkAction::Note => Action::Note,
        };
        if matches!(action, Action::Discard | Action::Note)
            && self.reason.trim().is_empty()
            && !self.dry_run
        {
            return Err(Problem::bad_request("A discard and a note need a reason."));
        }
        if self.rate == Some(0) {
            return Err(Problem::bad_request(
                "rate=0 would never end: leave it out, or give letters a second.",
            ));
        }
        if self
            .stop_share
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return Err(Problem::bad_request("stop_share is not between 0 and 1."));
        }
        let filter = self.filter.filter()?;
        if filter.is_empty() && !self.all {
            return Err(Problem::bad_request(
                "The filter is empty, which means every letter: say \"all\": true if you mean it.",
            ));
        }
        let asker = Asker::new(principal, Some(self.who), Some(self.reason), key)?;
        let request = BulkRequest {
            action,
            filter,
            all: self.all,
            dry_run: self.dry_run,
            rate: self.rate,
            stop_share: self.stop_share,
            only_changed: false,
            healed_to: None,
        };
        Ok((request, asker))
    }
}
