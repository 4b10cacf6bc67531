//! What became of each dead letter, told again from the log: an independent reading of DESIGN.md's lifecycle, for the oracle.

use std::collections::{BTreeMap, HashMap};

use super::Sql;
use super::oracle::{Fate, Row};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Discarded,
    Retried,
    Resubmitted { by: i64 },
}

/// Every decision has the result that its letter's state gives it, and every letter ends in its last state.
pub async fn holds(sql: &Sql, rows: &[Row], fates: &BTreeMap<i64, Fate>) {
    let mut letters: HashMap<i64, State> = HashMap::new();
    let mut results: HashMap<i64, &str> = HashMap::new();
    for row in rows {
        let fate = &fates[&row.position];
        let is_letter = matches!(fate, Fate::Letter { .. });
        let Some(action) = row.action.as_deref() else {
            if is_letter {
                letters.insert(row.position, State::Open);
            }
            continue;
        };
        let passes = matches!(fate, Fate::Order { .. } | Fate::Duplicate { .. });
        let id = row.letter.unwrap_or_default();
        let same_bytes = |by: i64| {
            let index = usize::try_from(by).unwrap() - 1;
            rows[index].payload == row.payload
        };
        let (result, next) = match (action, letters.get(&id).copied()) {
            ("rules" | "define" | "drop", _) => continue,
            (_, None) => ("no_such_letter", None),
            ("note", _) => ("done", None),
            ("retry", Some(State::Open)) | ("reopen", Some(State::Discarded)) if passes => {
                ("done", Some(State::Retried))
            }
            ("retry", Some(State::Open)) => ("still_failing", None),
            ("reopen", Some(State::Discarded)) => ("done", Some(State::Open)),
            ("resubmit", Some(State::Open)) => {
                if is_letter {
                    letters.insert(row.position, State::Open);
                }
                ("done", Some(State::Resubmitted { by: row.position }))
            }
            ("discard", Some(State::Open)) => ("done", Some(State::Discarded)),
            ("reopen", Some(State::Open))
            | ("retry", Some(State::Retried))
            | ("discard", Some(State::Discarded)) => ("already_so", None),
            ("resubmit", Some(State::Resubmitted { by })) if same_bytes(by) => ("already_so", None),
            _ => ("too_late", None),
        };
        letters.extend(next.map(|state| (id, state)));
        results.insert(row.position, result);
    }
    let said = sql.rows(
        "select position, result from decisions where action not in ('rules', 'define', 'drop')",
    );
    let said = said.await;
    assert_eq!(said.len(), results.len());
    for row in said {
        let (position, result): (i64, &str) = (row.get(0), row.get(1));
        assert_eq!(results[&position], result, "the decision at {position}");
    }
    let states = sql.rows("select id, state from dead_letters").await;
    assert_eq!(states.len(), letters.len());
    for row in states {
        let (id, state): (i64, &str) = (row.get(0), row.get(1));
        let wanted = match letters[&id] {
            State::Open => "open",
            State::Discarded => "discarded",
            State::Retried | State::Resubmitted { .. } => "replaced",
        };
        assert_eq!(state, wanted, "letter {id}");
    }
}
