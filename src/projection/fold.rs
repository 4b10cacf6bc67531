//! The fold: rows in the log's order, what was loaded about them, and a judge go in; what is to be written comes out. It does
//! no IO, so the live projection, a replay and a dry run all run this same code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::batch::{Known, Loaded};
use super::judge::{Accepted, Judge, Judged};
use super::reader::{Examined, ReadRow, examine};
use super::rules::Applied;
use crate::account::{EpochChanges, Epochs, Fate};
use crate::dead_letter::{GroupChanges, Letter, State, Verdict};
use crate::expression;
use crate::inbox::{Action, Decision, Position, SourceId};
use crate::order::store::NewOrder;

words! {
    /// What came of a decision.
    pub enum Outcome {
        Done = "done",
        /// The bytes were judged again, and are no order still.
        StillFailing = "still_failing",
        /// The letter was as the decision wants it.
        AlreadySo = "already_so",
        /// Another decision came first.
        TooLate = "too_late",
        NoSuchLetter = "no_such_letter",
    }
}

pub struct Decided {
    pub position: Position,
    pub letter: Option<i64>,
    pub action: Action,
    pub outcome: Outcome,
    pub fate: Fate,
    pub refers_to: Option<Position>,
}

/// All that a batch changes in the tables.
#[derive(Default)]
pub struct Writes {
    pub orders: Vec<NewOrder>,
    pub duplicates: Vec<(Position, Arc<str>)>,
    pub verdicts: Vec<Verdict>,
    pub letters: BTreeMap<i64, Letter>,
    pub new_letters: BTreeSet<i64>,
    pub changed_letters: BTreeSet<i64>,
    pub decisions: Vec<Decided>,
    pub rules: Vec<Applied>,
    pub groups: GroupChanges,
    pub fates: [i64; 5],
    pub epochs: EpochChanges,
}

pub struct Fold<'a> {
    judge: Judge<'a>,
    broker_sources: &'a [SourceId],
    epochs: &'a mut Epochs,
    loaded: Loaded,
    rules_hash: String,
    writes: Writes,
}

impl<'a> Fold<'a> {
    pub fn new(
        judge: Judge<'a>,
        broker_sources: &'a [SourceId],
        epochs: &'a mut Epochs,
        mut loaded: Loaded,
    ) -> Self {
        let letters = std::mem::take(&mut loaded.letters);
        let rules_hash = match &judge {
            Judge::Live { in_force, .. } => in_force.hash.clone(),
            Judge::Replay { rules_hash, .. } => rules_hash.clone(),
        };
        Self {
            judge,
            broker_sources,
            epochs,
            loaded,
            rules_hash,
            writes: Writes {
                letters,
                ..Writes::default()
            },
        }
    }

    pub fn run(mut self, rows: &[ReadRow]) -> Result<Writes, Error> {
        self.writes.orders.reserve(rows.len());
        for read in rows {
            let fate = match &read.row.decision {
                None => self.message(read)?,
                Some(decision) => self.decision(read, decision)?,
            };
            self.writes.fates[fate as usize] += 1;
        }
        Ok(self.writes)
    }

    fn message(&mut self, read: &ReadRow) -> Result<Fate, Error> {
        let row = &read.row;
        if self.broker_sources.contains(&row.source) {
            self.epochs.receive(
                &mut self.writes.epochs,
                row.source,
                row.sequence,
                row.broker_time_ns,
                row.received_at,
            );
        }
        let bytes = row.payload.clone().unwrap_or_default();
        let examined = read.examined.clone().unwrap_or_else(|| examine(&bytes));
        Ok(match self.judge(row.position, &bytes, examined)? {
            Judged::Rejected(verdict) => {
                self.new_letter(verdict, read, None);
                Fate::DeadLetter
            }
            Judged::Accepted(accepted) => self.accept(row.position, row.position, accepted),
        })
    }

    fn judge(
        &mut self,
        position: Position,
        bytes: &Bytes,
        examined: Examined,
    ) -> Result<Judged, Error> {
        let orders = &mut self.loaded.orders;
        self.judge.judge(orders, position, bytes, examined)
    }

    /// Writes an order or a duplicate at `position`. Its bytes are at `bytes_position`: a retried letter's are its own.
    fn accept(&mut self, position: Position, bytes_position: Position, accepted: Accepted) -> Fate {
        match accepted {
            Accepted::Order { key, data, stored } => {
                let known = match data.clone() {
                    Some(data) => Known::Brought { data },
                    None => Known::Taken,
                };
                self.loaded.orders.insert(key.clone(), known);
                self.writes.orders.push(NewOrder {
                    key,
                    data,
                    stored,
                    position,
                    bytes_position,
                });
                Fate::Document
            }
            Accepted::Duplicate { key } => {
                self.writes.duplicates.push((position, key));
                Fate::Duplicate
            }
        }
    }

    fn new_letter(&mut self, verdict: Verdict, read: &ReadRow, origin: Option<Position>) {
        self.writes.verdicts.push(verdict.clone());
        let letter = Letter::new(verdict, read.row.source, read.row.received_at, origin);
        self.writes.groups.add(&letter, 1);
        self.writes.new_letters.insert(letter.id.0);
        self.writes.letters.insert(letter.id.0, letter);
    }

    /// Changes a letter, and with it its group's counts.
    fn change_letter(&mut self, id: i64, change: impl FnOnce(&mut Letter)) {
        let Some(letter) = self.writes.letters.get_mut(&id) else {
            return;
        };
        self.writes.groups.add(letter, -1);
        change(letter);
        self.writes.groups.add(letter, 1);
        if !self.writes.new_letters.contains(&id) {
            self.writes.changed_letters.insert(id);
        }
    }

    fn decision(&mut self, read: &ReadRow, decision: &Decision) -> Result<Fate, Error> {
        let position = read.row.position;
        let known = decision
            .letter
            .and_then(|id| self.writes.letters.get(&id))
            .map(|letter| {
                (
                    letter.id.0,
                    letter.state,
                    letter.decided_by,
                    letter.decided_action,
                )
            });
        let (outcome, fate, refers_to) = match (decision.action, known) {
            (Action::Rules, _) => (self.apply_rules(position, decision), Fate::Decision, None),
            (_, None) => (Outcome::NoSuchLetter, Fate::Decision, None),
            (Action::Note, Some(_)) => (Outcome::Done, Fate::Decision, None),
            (Action::Retry, Some((id, State::Open, ..)))
            | (Action::Reopen, Some((id, State::Discarded, ..))) => {
                let (outcome, fate) = self.judge_letter(read, id, decision.action)?;
                (outcome, fate, None)
            }
            (Action::Resubmit, Some((id, State::Open, ..))) => {
                (Outcome::Done, self.resubmit(read, id)?, None)
            }
            (Action::Discard, Some((id, State::Open, ..))) => {
                self.change_letter(id, |letter| {
                    letter.close(State::Discarded, position, Action::Discard)
                });
                (Outcome::Done, Fate::Decision, None)
            }
            (Action::Reopen, Some((_, State::Open, ..))) => {
                (Outcome::AlreadySo, Fate::Decision, None)
            }
            (action, Some((_, state, by, how))) => {
                let same = match action {
                    Action::Retry => {
                        state == State::Replaced
                            && matches!(how, Some(Action::Retry | Action::Reopen))
                    }
                    Action::Discard => state == State::Discarded,
                    Action::Resubmit => {
                        state == State::Replaced
                            && how == Some(Action::Resubmit)
                            && self.same_bytes(read, by)
                    }
                    Action::Reopen | Action::Note | Action::Rules => false,
                };
                let outcome = if same {
                    Outcome::AlreadySo
                } else {
                    Outcome::TooLate
                };
                (outcome, Fate::Decision, by)
            }
        };
        self.writes.decisions.push(Decided {
            position,
            letter: decision.letter,
            action: decision.action,
            outcome,
            fate,
            refers_to,
        });
        Ok(fate)
    }

    /// Applies rules if those that they replace are in force: of two operators who replace the same rules, the first wins.
    fn apply_rules(&mut self, position: Position, decision: &Decision) -> Outcome {
        let text = decision.text.clone().unwrap_or_default();
        let hash = expression::hash(&text);
        let outcome = if hash == self.rules_hash {
            Outcome::AlreadySo
        } else if decision.replaces.as_deref().unwrap_or_default() == self.rules_hash {
            self.rules_hash.clone_from(&hash);
            Outcome::Done
        } else {
            Outcome::TooLate
        };
        self.writes.rules.push(Applied {
            position,
            hash,
            text,
            result: outcome.as_str(),
        });
        outcome
    }

    fn same_bytes(&self, read: &ReadRow, by: Option<Position>) -> bool {
        by.and_then(|position| self.loaded.replacing.get(&position.0)) == read.row.payload.as_ref()
    }

    /// Judges the letter's own bytes again. If they pass, the decision's row becomes the order or the duplicate, and the letter
    /// is replaced by it.
    fn judge_letter(
        &mut self,
        read: &ReadRow,
        id: i64,
        action: Action,
    ) -> Result<(Outcome, Fate), Error> {
        let position = read.row.position;
        // Loaded from the inbox, so they are there even if the letter itself is new in this batch.
        let (bytes, examined) = self
            .loaded
            .letter_bytes
            .get(&id)
            .cloned()
            .unwrap_or_else(|| {
                let bytes = Bytes::new();
                (bytes.clone(), examine(&bytes))
            });
        Ok(match self.judge(position, &bytes, examined)? {
            Judged::Rejected(verdict) => {
                self.writes.verdicts.push(verdict.clone());
                let at = read.row.received_at;
                self.change_letter(id, |letter| {
                    if action == Action::Reopen {
                        letter.reopen();
                    }
                    letter.fail_again(verdict, at);
                });
                let outcome = match action {
                    Action::Reopen => Outcome::Done,
                    _ => Outcome::StillFailing,
                };
                (outcome, Fate::Decision)
            }
            Judged::Accepted(accepted) => {
                let fate = self.accept(position, Position(id), accepted);
                self.change_letter(id, |letter| letter.close(State::Replaced, position, action));
                (Outcome::Done, fate)
            }
        })
    }

    /// Judges edited bytes. Their row gets a fate of its own, perhaps as a new letter; the old letter is replaced either way.
    fn resubmit(&mut self, read: &ReadRow, id: i64) -> Result<Fate, Error> {
        let position = read.row.position;
        let bytes = read.row.payload.clone().unwrap_or_default();
        let examined = read.examined.clone().unwrap_or_else(|| examine(&bytes));
        self.loaded.replacing.insert(position.0, bytes.clone());
        let fate = match self.judge(position, &bytes, examined)? {
            Judged::Rejected(verdict) => {
                self.new_letter(verdict, read, Some(Position(id)));
                Fate::DeadLetter
            }
            Judged::Accepted(accepted) => self.accept(position, position, accepted),
        };
        self.change_letter(id, |letter| {
            letter.close(State::Replaced, position, Action::Resubmit)
        });
        Ok(fate)
    }
}
