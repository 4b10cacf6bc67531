//! What decisions would come to: the fold itself, over rows that no log has, and none of it written. What operators see before
//! they decide about thousands of letters is therefore said by the same code that decides.

use std::sync::Arc;

use jiff::Timestamp;

use super::Error;
use super::batch;
use super::definitions::InForce;
use super::examine::{Examined, Examiner};
use super::fold::{Decided, Fold};
use super::judge::Judge;
use super::outcome::Outcome;
use super::reader::ReadRow;
use super::sources::Sources;
use super::state::States;
use crate::account::{Epochs, Fate};
use crate::dead_letter::{Letter, Verdict};
use crate::inbox::{Action, Decision, Position, Row, SourceId};
use crate::postgres::Client;

/// One set of letters, asked about in parts.
pub struct DryRun {
    in_force: Arc<InForce>,
    /// As letters of earlier parts would have left the documents.
    left: States,
}

/// What a decision about a letter would come to.
#[derive(Debug)]
pub enum Would {
    Pass,
    /// The order is there already, or an earlier letter of the set would bring it.
    BeDuplicate,
    Fail {
        verdict: Verdict,
        /// Whether it fails as it did before.
        in_same_group: bool,
    },
    /// Open again, whatever its bytes are judged to be.
    Reopen,
    Do,
    BeAlreadySo,
    BeTooLate,
}

impl Would {
    pub fn as_str(&self) -> &'static str {
        match self {
            Would::Pass => "would_pass",
            Would::BeDuplicate => "would_be_duplicate",
            Would::Fail { .. } => "would_fail",
            Would::Reopen => "would_reopen",
            Would::Do => "would_do",
            Would::BeAlreadySo => "would_be_already_so",
            Would::BeTooLate => "would_be_too_late",
        }
    }
}

impl DryRun {
    /// As if these definitions were in force.
    pub fn new(in_force: Arc<InForce>) -> Self {
        Self {
            in_force,
            left: States::default(),
        }
    }

    /// What retrying, discarding, reopening, or a note would come to for each of these letters, in their order.
    pub async fn ask(
        &mut self,
        client: &Client,
        action: Action,
        letters: &[i64],
    ) -> Result<Vec<(i64, Would)>, Error> {
        let rows: Vec<ReadRow> = (1..)
            .zip(letters)
            .map(|(n, id)| row(n, *id, action))
            .collect();
        let in_force = &self.in_force;
        let mut examiner = Examiner::default();
        let mut loaded = batch::load_letters(client, in_force, &rows, &mut examiner).await?;
        batch::load_documents(client, in_force, &rows, &mut loaded).await?;
        let mut states = std::mem::take(&mut loaded.states);
        for question in loaded.questions(&rows).filter_map(Examined::question) {
            states.overlay(&self.left, &question);
        }
        loaded.states = states;
        let groups: foldhash::HashMap<i64, i64> = loaded
            .letters
            .values()
            .map(|letter| (letter.id.0, letter.verdict.fingerprint))
            .collect();
        let judge = Judge::Live {
            refused: &Default::default(),
        };
        let mut epochs = Epochs::default();
        let sources = Sources::default();
        let fold = Fold::new(judge, in_force.clone(), &sources, &mut epochs, loaded);
        let folded = fold.run(&rows)?;
        let writes = folded.writes;
        self.left.keep(folded.states);
        Ok(letters
            .iter()
            .zip(&writes.decisions)
            .map(|(id, decided)| {
                let would = would(decided, writes.letters.get(id), groups.get(id));
                (*id, would)
            })
            .collect())
    }
}

/// A decision at a position that no row will ever have.
fn row(number: i64, letter: i64, action: Action) -> ReadRow {
    ReadRow {
        row: Row {
            position: Position(i64::MAX / 2 + number),
            source: SourceId(0),
            sequence: number,
            broker_time_ns: 0,
            received_at: Timestamp::UNIX_EPOCH,
            payload: None,
            decision: Some(Decision::about(letter, action, "", "")),
        },
        to: None,
        examined: None,
    }
}

fn would(decided: &Decided, letter: Option<&Letter>, group: Option<&i64>) -> Would {
    match (decided.outcome, decided.fate, letter) {
        (Outcome::StillFailing, _, Some(letter)) => Would::Fail {
            verdict: letter.verdict.clone(),
            in_same_group: group == Some(&letter.verdict.fingerprint),
        },
        (Outcome::AlreadySo, ..) => Would::BeAlreadySo,
        (
            Outcome::TooLate | Outcome::NoSuchLetter | Outcome::StillFailing | Outcome::Refused,
            ..,
        ) => Would::BeTooLate,
        (Outcome::Done, Fate::Document | Fate::Superseded, _) => Would::Pass,
        (Outcome::Done, Fate::Duplicate, _) => Would::BeDuplicate,
        (Outcome::Done, ..) if decided.action == Action::Reopen => Would::Reopen,
        (Outcome::Done, ..) => Would::Do,
    }
}
