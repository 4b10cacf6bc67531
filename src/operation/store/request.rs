//! What is asked of a bulk operation, as it is kept with it.

use serde::{Deserialize, Serialize};

use crate::dead_letter::{Filter, State};
use crate::inbox::Action;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BulkRequest {
    /// What is decided about each letter: retry, discard, reopen or note.
    pub action: Action,
    pub filter: Filter,
    /// Needed where the filter is empty.
    #[serde(default)]
    pub all: bool,
    /// Judges, and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Letters a second; none for as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Stops when more than this share of those judged fails again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_share: Option<f64>,
    /// The service's own: decides only about letters that would pass or change their group.
    #[serde(default)]
    pub only_changed: bool,
    /// The service's own: once it is done, letters judged up to this position need not be looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed_to: Option<i64>,
}

impl BulkRequest {
    /// The letters that it is about.
    pub fn letters(&self) -> Filter {
        let mut filter = self.filter.clone();
        if self.only_changed {
            filter.state = Some(State::Open.as_str().to_owned());
        }
        filter
    }
}
