//! The fold: rows in the log's order, what was loaded about them, and a judge go in; what is to be written comes out. It does
//! no IO, so the live projection, a replay and a dry run all run this same code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::batch::{Loaded, defined};
use super::definitions::{Applied, Change, InForce};
use super::examine::Examined;
use super::judge::{Amount, Judge, Judged, New, Subject};
use super::outcome::Outcome;
use super::reader::ReadRow;
use super::sources::Sources;
use super::state::{Known, Standing, States};
use crate::account::{Counts, EpochChanges, Epochs, Fate};
use crate::collection::{Id, Keep};
use crate::dead_letter::{GroupChanges, Letter, State, Verdict};
use crate::document::{Brought, Current, Entry, NewDocument, NewVersion, SumChange};
use crate::inbox::{Action, Decision, Position};

pub struct Decided {
    pub position: Position,
    /// Of its letter; NONE if it is about none.
    pub collection: Id,
    pub letter: Option<i64>,
    pub action: Action,
    pub outcome: Outcome,
    pub fate: Fate,
    pub refers_to: Option<Position>,
}

/// All that a batch changes in the tables.
#[derive(Default)]
pub struct Writes {
    /// By collection.
    pub brought: BTreeMap<Id, Brought>,
    pub duplicates: Vec<(Position, Id, Arc<str>)>,
    pub amounts: Vec<(Position, Amount)>,
    pub verdicts: Vec<Verdict>,
    pub letters: BTreeMap<i64, Letter>,
    pub new_letters: BTreeSet<i64>,
    pub changed_letters: BTreeSet<i64>,
    pub decisions: Vec<Decided>,
    pub definitions: Vec<Applied>,
    pub groups: GroupChanges,
    pub fates: Counts,
    pub epochs: EpochChanges,
}

/// What a fold leaves behind for the next.
pub struct Folded {
    pub writes: Writes,
    pub states: States,
    pub in_force: Arc<InForce>,
}

pub struct Fold<'a> {
    judge: Judge<'a>,
    sources: &'a Sources,
    epochs: &'a mut Epochs,
    loaded: Loaded,
    in_force: Arc<InForce>,
    writes: Writes,
}

impl<'a> Fold<'a> {
    pub fn new(
        judge: Judge<'a>,
        in_force: Arc<InForce>,
        sources: &'a Sources,
        epochs: &'a mut Epochs,
        mut loaded: Loaded,
    ) -> Self {
        let letters = std::mem::take(&mut loaded.letters);
        Self {
            judge,
            sources,
            epochs,
            loaded,
            in_force,
            writes: Writes {
                letters,
                ..Writes::default()
            },
        }
    }

    pub fn run(mut self, rows: &[ReadRow]) -> Result<Folded, Error> {
        for read in rows {
            let (id, fate) = match &read.row.decision {
                None => self.message(read)?,
                Some(decision) => self.decision(read, decision)?,
            };
            self.writes.fates.add(id, fate);
        }
        Ok(Folded {
            writes: self.writes,
            states: self.loaded.states,
            in_force: self.in_force,
        })
    }

    fn message(&mut self, read: &ReadRow) -> Result<(Id, Fate), Error> {
        let row = &read.row;
        if self.sources.is_broker(row.source) {
            self.epochs.receive(
                &mut self.writes.epochs,
                row.source,
                row.sequence,
                row.broker_time_ns,
                row.received_at,
            );
        }
        let name = read.to.clone().unwrap_or_default();
        let bytes = row.payload.clone().unwrap_or_default();
        let position = row.position;
        let Some((defined, examined)) =
            self.in_force.get(&name).cloned().zip(read.examined.clone())
        else {
            let verdict = self.undefined(position, &name)?;
            self.new_letter(verdict, (Id::NONE, name), read, None);
            return Ok((Id::NONE, Fate::DeadLetter));
        };
        let subject = Subject {
            position,
            age: position,
            bytes: &bytes,
            examined,
            defined: &defined,
        };
        let fate = match self.judge.judge(&mut self.loaded.states, subject)? {
            Judged::Rejected(verdict) => {
                self.new_letter(verdict, (defined.id, name), read, None);
                Fate::DeadLetter
            }
            accepted => self.accept(
                defined.id,
                defined.place().keep,
                (position, position, position),
                accepted,
            ),
        };
        Ok((defined.id, fate))
    }

    fn undefined(&mut self, position: Position, name: &str) -> Result<Verdict, Error> {
        let dropped = self.in_force.stands_at(name);
        let verdict = self.judge.undefined(position, name, dropped);
        verdict.ok_or(Error::Unbuildable(position.0))
    }

    /// Writes what was accepted at a position. Its bytes are at another if they are a letter's, and its age may be that of an
    /// older letter.
    fn accept(
        &mut self,
        id: Id,
        keep: Keep,
        (position, bytes_position, age): (Position, Position, Position),
        accepted: Judged,
    ) -> Fate {
        let place = Place {
            id,
            keep,
            position,
            bytes_position,
            age,
        };
        match accepted {
            Judged::Document(new) => {
                self.take(place, new, false);
                Fate::Document
            }
            Judged::Superseded(new) => {
                self.take(place, new, true);
                Fate::Superseded
            }
            Judged::Duplicate { key, version } => {
                if keep == Keep::Latest {
                    self.came_again(place, &key, version.map(|version| version.to_string()));
                }
                self.writes.duplicates.push((position, id, key));
                Fate::Duplicate
            }
            // It was asked for before.
            Judged::Rejected(_) => Fate::DeadLetter,
        }
    }

    fn take(&mut self, place: Place, new: New, superseded: bool) {
        let Place { id, position, .. } = place;
        let state = self.loaded.states.of(id);
        let brought = self.writes.brought.entry(id).or_default();
        if new.amount != Amount::default() {
            self.writes.amounts.push((position, new.amount));
        }
        if let (Some(account), Some(value)) = (new.account, new.amount.value) {
            let sum = state.sums.entry(account.clone()).or_default();
            // It was looked at before, or by who accepted it first.
            *sum = sum.wrapping_add(value);
            let change = brought.sums.entry(account.clone()).or_insert(SumChange {
                add: 0,
                entries: 0,
                last: position,
            });
            change.add = change.add.wrapping_add(value);
            change.entries += 1;
            change.last = position;
            brought.entries.push(Entry {
                position,
                account,
                value,
            });
        }
        if place.keep == Keep::First {
            let known = Known::brought(new.data.as_ref());
            state.documents.insert(new.key.clone(), known);
            brought.documents.push(NewDocument {
                key: new.key,
                data: new.data,
                stored: new.stored,
                position,
                bytes_position: place.bytes_position,
            });
            return;
        }
        let gone = new.amount.gone.unwrap_or(false);
        if let Some(version) = &new.version {
            let known = Known::brought(new.data.as_ref());
            state
                .versions
                .insert((new.key.clone(), version.clone()), known);
        }
        let version = new.version.as_ref().map(ToString::to_string);
        brought.versions.push(NewVersion {
            key: new.key.clone(),
            position,
            bytes_position: place.bytes_position,
            age: place.age,
            version: version.clone(),
            what: if superseded { "superseded" } else { "document" },
            gone,
        });
        if superseded {
            return;
        }
        state.standing.insert(
            new.key.clone(),
            Standing {
                digest: new.digest.unwrap_or_default(),
                age: place.age,
                version: new.version,
            },
        );
        brought.ages.remove(&new.key);
        brought.current.insert(
            new.key,
            Current {
                data: new.data,
                stored: new.stored,
                position,
                bytes_position: place.bytes_position,
                age: place.age,
                version,
                gone,
            },
        );
    }

    /// A duplicate in `latest` makes its document as old as the later of the two, never older. If versions are told by a field,
    /// ages mean nothing.
    fn came_again(&mut self, place: Place, key: &Arc<str>, version: Option<String>) {
        let state = self.loaded.states.of(place.id);
        let brought = self.writes.brought.entry(place.id).or_default();
        if version.is_none()
            && let Some(standing) = state.standing.get_mut(key)
            && standing.version.is_none()
            && standing.age < place.age
        {
            standing.age = place.age;
            match brought.current.get_mut(key) {
                Some(current) => current.age = place.age,
                None => {
                    brought.ages.insert(key.clone(), place.age);
                }
            }
        }
        brought.versions.push(NewVersion {
            key: key.clone(),
            position: place.position,
            bytes_position: place.bytes_position,
            age: place.age,
            version,
            what: "duplicate",
            gone: false,
        });
    }

    fn new_letter(
        &mut self,
        verdict: Verdict,
        to: (Id, Arc<str>),
        read: &ReadRow,
        origin: Option<i64>,
    ) {
        self.writes.verdicts.push(verdict.clone());
        let origin = origin.and_then(|id| self.writes.letters.get(&id));
        let row = &read.row;
        let letter = Letter::new(verdict, to, row.source, row.received_at, origin);
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

    /// True if the letter's collection was dropped: then nothing is decided about it any more.
    fn is_closed(&self, letter: &Letter) -> bool {
        letter.collection != Id::NONE && self.in_force.by_id(letter.collection).is_none()
    }

    fn decision(&mut self, read: &ReadRow, decision: &Decision) -> Result<(Id, Fate), Error> {
        let position = read.row.position;
        let letter = decision.letter.and_then(|id| self.writes.letters.get(&id));
        let mut collection = letter.map_or(Id::NONE, |letter| letter.collection);
        let known = letter.map(|letter| {
            (
                letter.id.0,
                letter.state,
                letter.decided_by,
                letter.decided_action,
            )
        });
        let closed = letter.is_some_and(|letter| self.is_closed(letter));
        let (outcome, fate, refers_to) = match (decision.action, known) {
            (action, _) if action.is_about_definitions() => {
                let outcome = self.change_definition(position, decision)?;
                (outcome, Fate::Decision, None)
            }
            (_, None) => (Outcome::NoSuchLetter, Fate::Decision, None),
            (Action::Note, Some(_)) => (Outcome::Done, Fate::Decision, None),
            (Action::Retry | Action::Reopen | Action::Resubmit, Some((_, _, by, _))) if closed => {
                (Outcome::TooLate, Fate::Decision, by)
            }
            (Action::Retry, Some((id, State::Open, ..)))
            | (Action::Reopen, Some((id, State::Discarded, ..))) => {
                let (outcome, id, fate) = self.judge_letter(read, id, decision.action)?;
                collection = id;
                (outcome, fate, None)
            }
            (Action::Resubmit, Some((id, State::Open, ..))) => {
                let (id, fate) = self.resubmit(read, id)?;
                collection = id;
                (Outcome::Done, fate, None)
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
                    _ => false,
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
            collection,
            letter: decision.letter,
            action: decision.action,
            outcome,
            fate,
            refers_to,
        });
        Ok((collection, fate))
    }

    /// Puts a definition in force, or takes one away. Of two that replace the same, the first in the log wins.
    fn change_definition(
        &mut self,
        position: Position,
        decision: &Decision,
    ) -> Result<Outcome, Error> {
        let name = decision.collection.as_deref().unwrap_or("orders");
        let text = decision.text.as_deref().unwrap_or_default();
        let replaces = Position(decision.replaces_position.unwrap_or(0));
        let change = match decision.action {
            Action::Define => Change::Define { text, replaces },
            Action::Drop => Change::Drop { replaces },
            _ => Change::Rules {
                text,
                replaces: decision.replaces.as_deref().unwrap_or_default(),
            },
        };
        let mut in_force = InForce::clone(&self.in_force);
        let (outcome, id) = in_force.change(name, position, &change);
        if outcome == Outcome::Done {
            self.in_force = Arc::new(in_force);
        }
        self.writes.definitions.push(Applied {
            position,
            id,
            name: name.to_owned(),
            action: change.word(),
            text: text.to_owned(),
            result: outcome,
        });
        Ok(outcome)
    }

    fn same_bytes(&self, read: &ReadRow, by: Option<Position>) -> bool {
        by.and_then(|position| self.loaded.replacing.get(&position.0)) == read.row.payload.as_ref()
    }

    /// Judges bytes in a letter's place. Answers with its collection; the verdict of one that belongs to none says so.
    fn judge_for(
        &mut self,
        position: Position,
        id: i64,
        bytes: &Bytes,
        examined: Option<Examined>,
    ) -> Result<(Id, Keep, Judged), Error> {
        let Some(letter) = self.writes.letters.get(&id) else {
            return Err(Error::Unbuildable(position.0));
        };
        let (name, age) = (letter.name.clone(), letter.age);
        let found = defined(&self.in_force, letter.collection, &name);
        let found = found.cloned().zip(examined);
        let Some((defined, examined)) = found else {
            let verdict = self.undefined(position, &name)?;
            return Ok((Id::NONE, Keep::First, Judged::Rejected(verdict)));
        };
        let subject = Subject {
            position,
            age,
            bytes,
            examined,
            defined: &defined,
        };
        let judged = self.judge.judge(&mut self.loaded.states, subject)?;
        Ok((defined.id, defined.place().keep, judged))
    }

    /// Judges the letter's own bytes again. If they pass, the decision's row becomes the document or the duplicate, and the letter
    /// is replaced by it.
    fn judge_letter(
        &mut self,
        read: &ReadRow,
        id: i64,
        action: Action,
    ) -> Result<(Outcome, Id, Fate), Error> {
        let position = read.row.position;
        let (bytes, examined) = match self.loaded.letter_bytes.get(&id).cloned() {
            Some((bytes, examined)) => (bytes, Some(examined)),
            None => (Bytes::new(), None),
        };
        let age = self.age(id);
        let (collection, keep, judged) = self.judge_for(position, id, &bytes, examined)?;
        Ok(match judged {
            Judged::Rejected(verdict) => {
                self.writes.verdicts.push(verdict.clone());
                let at = read.row.received_at;
                self.change_letter(id, |letter| {
                    if action == Action::Reopen {
                        letter.reopen();
                    }
                    letter.fail_again(verdict, collection, at);
                });
                let outcome = match action {
                    Action::Reopen => Outcome::Done,
                    _ => Outcome::StillFailing,
                };
                (outcome, collection, Fate::Decision)
            }
            accepted => {
                let at = (position, Position(id), age);
                let fate = self.accept(collection, keep, at, accepted);
                self.change_letter(id, |letter| letter.close(State::Replaced, position, action));
                (Outcome::Done, collection, fate)
            }
        })
    }

    fn age(&self, id: i64) -> Position {
        let letter = self.writes.letters.get(&id);
        letter.map_or(Position(id), |letter| letter.age)
    }

    /// Judges edited bytes. Their row gets a fate of its own, perhaps as a new letter; the old letter is replaced either way.
    fn resubmit(&mut self, read: &ReadRow, id: i64) -> Result<(Id, Fate), Error> {
        let position = read.row.position;
        let bytes = read.row.payload.clone().unwrap_or_default();
        let examined = self.loaded.edited.remove(&position.0);
        self.loaded.replacing.insert(position.0, bytes.clone());
        let age = self.age(id);
        let (collection, keep, judged) = self.judge_for(position, id, &bytes, examined)?;
        let fate = match judged {
            Judged::Rejected(verdict) => {
                let name = self
                    .writes
                    .letters
                    .get(&id)
                    .map(|letter| letter.name.clone());
                let to = (collection, name.unwrap_or_default());
                self.new_letter(verdict, to, read, Some(id));
                Fate::DeadLetter
            }
            accepted => self.accept(collection, keep, (position, position, age), accepted),
        };
        self.change_letter(id, |letter| {
            letter.close(State::Replaced, position, Action::Resubmit)
        });
        Ok((collection, fate))
    }
}

/// Where in the log something was accepted, and of which collection.
#[derive(Clone, Copy)]
struct Place {
    id: Id,
    keep: Keep,
    position: Position,
    bytes_position: Position,
    age: Position,
}
