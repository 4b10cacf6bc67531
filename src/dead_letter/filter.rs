//! Which letters a list, an export or a bulk operation is about: one filter for all three.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::letter::State;
use super::store::LETTER;
use crate::postgres::Sql;
use crate::record::{Code, Reason};
use crate::words::UnknownWord;

/// Every field that is set narrows the set. A filter without any means every letter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// As the API writes it: 16 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A source's name, or its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The name of the collection that it was sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// What of all letters may be found at all. The API says it, never a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// Received at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Received before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Positions, both included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Found in message or key, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Only these letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<i64>>,
    /// Last judged by older code or under older rules than these. The service itself asks for it, to heal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged_before: Option<(i32, i64)>,
}

/// Which collections' letters: those of dropped ones are closed, and a principal may be narrowed to some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    pub ids: Vec<i64>,
    /// None for all names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field}: {problem}")]
pub struct InvalidFilter {
    pub field: &'static str,
    pub problem: String,
}

/// The groups and sources that a filter's names stand for. They are looked up first, so that the statement can go by index. None
/// if the filter names none.
#[derive(Default)]
pub struct Named {
    pub groups: Option<Vec<i64>>,
    pub sources: Option<Vec<i32>>,
}

impl Named {
    /// True if a name stands for nothing: then no letter can match.
    pub fn is_nothing(&self) -> bool {
        self.groups.as_ref().is_some_and(Vec::is_empty)
            || self.sources.as_ref().is_some_and(Vec::is_empty)
    }

    fn narrows(&self) -> bool {
        self.groups.is_some() || self.sources.is_some()
    }

    fn conditions(&self, sql: &mut Sql) {
        sql.and("l.fingerprint = any($)", self.groups.clone())
            .and("l.source_id = any($)", self.sources.clone());
    }
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses what can never match, before Postgres is asked.
    pub fn check(&self) -> Result<(), InvalidFilter> {
        let invalid = |field, problem: String| Err(InvalidFilter { field, problem });
        if let Some(state) = &self.state
            && let Err(error) = state.parse::<State>()
        {
            return invalid("state", error.to_string());
        }
        if let Some(reason) = &self.reason
            && let Err(error) = reason.parse::<Reason>()
        {
            return invalid("reason", error.to_string());
        }
        if let Some(fingerprint) = &self.fingerprint
            && parse_fingerprint(fingerprint).is_none()
        {
            return invalid(
                "fingerprint",
                format!("{fingerprint:?} is not 16 hexadecimal digits"),
            );
        }
        if let Some(code) = &self.code
            && !Code::ALL.iter().any(|known| known.as_str() == code)
        {
            let known = Code::ALL.iter().map(|known| known.as_str());
            return invalid("code", UnknownWord::new(code, known).to_string());
        }
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            let problem = format!("no time is at or after {since} and before {until}");
            return invalid("until", problem);
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return invalid("to", format!("no position is from {from} to {to}"));
        }
        for (field, text) in [
            ("key", &self.key),
            ("collection", &self.collection),
            ("source", &self.source),
            ("text", &self.text),
        ] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return invalid(field, "it holds a NUL".to_owned());
            }
        }
        Ok(())
    }

    fn states(&self) -> Vec<String> {
        match &self.state {
            Some(state) => vec![state.clone()],
            None => State::ALL
                .iter()
                .map(|state| state.as_str().to_owned())
                .collect(),
        }
    }

    pub fn asks_for_a_group(&self) -> bool {
        self.reason.is_some() || self.code.is_some() || self.fingerprint.is_some()
    }

    /// The conditions on `l` besides state, group, source and ids.
    fn rest(&self, sql: &mut Sql) {
        let pattern = |text: &String| format!("%{}%", escape_like(text));
        sql.and("l.key = $", self.key.clone())
            .and("l.name = $", self.collection.clone())
            .and("l.received_at >= $", self.since)
            .and("l.received_at < $", self.until)
            .and("l.id >= $", self.from)
            .and("l.id <= $", self.to)
            .and(
                "(l.message ilike $ or l.key ilike $)",
                self.text.as_ref().map(pattern),
            );
        if let Some(names) = self.within.as_ref().and_then(|within| within.names.clone()) {
            sql.bind(" and l.name = any($)", names);
        }
        if let Some((code_version, definition)) = self.judged_before {
            stale(sql, code_version, definition);
        }
    }

    /// The ids of the collections, if they narrow.
    fn ids(&self) -> Option<Vec<i64>> {
        self.within.as_ref().map(|within| within.ids.clone())
    }

    /// The statement that finds the filter's groups.
    pub fn groups(&self, sql: &mut Sql) {
        let fingerprint = self.fingerprint.as_deref().map(parse_fingerprint);
        sql.push("select fingerprint from dead_letter_groups where true")
            .and("reason = $", self.reason.clone())
            .and("code = $", self.code.clone())
            .and(
                "fingerprint = $",
                fingerprint.map(Option::unwrap_or_default),
            );
    }

    /// The statement that finds its sources.
    pub fn sources(&self, sql: &mut Sql) {
        sql.bind(
            "select id from source where name = $ or kind = $",
            self.source.clone().unwrap_or_default(),
        );
    }

    /// The matching letters below `before`, newest first. For each group (or source) and state an index gives the newest few ids,
    /// and the newest of those are the answer. So none of these filters reads a million letters, except text, and `until` in the
    /// past, for which there is no index. If several conditions narrow at once, Postgres chooses the plan by its statistics.
    pub fn page(&self, named: &Named, before: i64, limit: i64) -> Sql {
        let mut sql = Sql::new(LETTER);
        // Before some day in the past: the newer letters are passed over once, and not once for each state.
        let past = self.until.is_some() && self.since.is_none();
        let times = self.since.is_some() || self.until.is_some();
        let several = [times, named.groups.is_some(), named.sources.is_some()];
        let several = several.iter().filter(|narrows| **narrows).count() > 1;
        if several || past || self.key.is_some() || self.ids.is_some() {
            sql.bind(" from dead_letters l where l.id < $", before)
                .bind(" and l.state = any($)", self.states());
            named.conditions(&mut sql);
            self.rest(&mut sql);
            sql.and("l.id = any($)", self.ids.clone())
                .and("l.collection = any($)", self.ids());
        } else {
            sql.bind(" from (select n.id from unnest($) s(state)", self.states());
            if let Some(groups) = &named.groups {
                sql.bind(" cross join unnest($) g(fingerprint)", groups.clone());
            }
            if let Some(sources) = &named.sources {
                sql.bind(" cross join unnest($) o(source_id)", sources.clone());
            }
            // Of a group or a source most letters are of one collection anyway.
            let by_collection = self.ids().filter(|_| !named.narrows());
            if let Some(ids) = &by_collection {
                sql.bind(" cross join unnest($) c(collection)", ids.clone());
            }
            sql.bind(
                " cross join lateral (
                    select l.id from dead_letters l where l.state = s.state and l.id < $",
                before,
            );
            match by_collection {
                Some(_) => sql.push(" and l.collection = c.collection"),
                None => sql.and("l.collection = any($)", self.ids()),
            };
            if named.groups.is_some() {
                sql.push(" and l.fingerprint = g.fingerprint");
            }
            if named.sources.is_some() {
                sql.push(" and l.source_id = o.source_id");
            }
            self.rest(&mut sql);
            sql.bind(
                " order by l.id desc limit $) n order by n.id desc limit $
                ) newest join dead_letters l on l.id = newest.id",
                limit,
            );
        }
        sql.bind(" order by l.id desc limit $", limit);
        sql
    }

    /// The ids of the matching letters above `above`, up to `to`: of a set that is read in parts.
    pub fn ids_between(&self, above: i64, to: i64, limit: i64) -> Sql {
        let mut sql = Sql::new("select l.id from dead_letters l");
        sql.bind(" where l.id > $", above)
            .bind(" and l.id <= $", to)
            .and("l.state = $", self.state.clone());
        if self.asks_for_a_group() {
            sql.push(" and l.fingerprint in (");
            self.groups(&mut sql);
            sql.push(")");
        }
        if self.source.is_some() {
            sql.push(" and l.source_id in (");
            self.sources(&mut sql);
            sql.push(")");
        }
        self.rest(&mut sql);
        // A long list of ids is sent in parts, too.
        let part = |id: &i64| *id > above && *id <= to;
        let asked = self.ids.as_ref();
        let asked = asked.map(|ids| ids.iter().copied().filter(part).collect::<Vec<_>>());
        sql.and("l.id = any($)", asked)
            .and("l.collection = any($)", self.ids())
            .bind(" limit $", limit);
        sql
    }
}

/// By definitions_collection, whose rows are few. A letter is stale if older code judged it, or not the definition in force for
/// its collection at a position; one of no collection if its name was defined since.
fn stale(sql: &mut Sql, code_version: i32, position: i64) {
    sql.bind(" and (l.code_version < $", code_version)
        .bind(
            " or l.definition < coalesce((
                select max(d.position) from definitions d
                where d.result = 'done' and d.position <= $",
            position,
        )
        .push(
            " and case l.collection when -1 then d.name = l.name else d.collection = l.collection end), 0))",
        );
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

pub fn parse_fingerprint(text: &str) -> Option<i64> {
    (text.len() == 16)
        .then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
        .map(u64::cast_signed)
}

pub fn format_fingerprint(fingerprint: i64) -> String {
    format!("{:016x}", fingerprint.cast_unsigned())
}
