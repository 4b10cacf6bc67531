use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::collection::Id;
use crate::inbox::{Action, Position, SourceId};
use crate::record::{CODE_VERSION, Code, Rejection};

words! {
    pub enum State {
        Open = "open",
        /// An order, a duplicate or another letter has taken its place.
        Replaced = "replaced",
        Discarded = "discarded",
    }
}

/// A rejection as it is stored: with the version of the code and the position of the definition that judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub position: Position,
    pub definition: i64,
    pub code_version: i32,
    pub fingerprint: i64,
    pub reason: String,
    pub code: String,
    pub message: String,
    pub pointer: String,
    pub key: Option<String>,
    /// JSON: all of them, as the rejection lists them.
    pub violations: String,
}

impl Verdict {
    /// Of a message to a collection, or to a name that is none.
    pub fn new(
        position: Position,
        rejection: &Rejection,
        definition: Position,
        (id, name): (Id, &str),
    ) -> Self {
        let first = rejection.first();
        Self {
            position,
            definition: definition.0,
            code_version: CODE_VERSION,
            fingerprint: fingerprint(rejection, id, name),
            reason: rejection.reason().as_str().to_owned(),
            code: first.code.as_str().to_owned(),
            message: first.message.clone(),
            pointer: first.pointer.clone(),
            key: rejection.key().map(str::to_owned),
            violations: serde_json::to_string(rejection.violations())
                .expect("a list of strings and numbers is always JSON"),
        }
    }
}

/// What letters of one group have in common. Alike rejections of two collections are two groups.
fn fingerprint(rejection: &Rejection, id: Id, name: &str) -> i64 {
    let own = rejection.fingerprint();
    if id == Id::ORDERS {
        // As it was before there were others.
        return own;
    }
    let mut hasher = Sha256::new();
    hasher.update(own.to_be_bytes());
    hasher.update(id.0.to_be_bytes());
    if id == Id::NONE {
        hasher.update(name);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize()[..8]);
    i64::from_be_bytes(first)
}

/// One dead letter as the projection keeps it.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its inbox position.
    pub id: Position,
    /// NONE if nothing is defined by the name that it was sent to.
    pub collection: Id,
    pub name: Arc<str>,
    /// The first letter of a chain of resubmissions: as old as that is what comes of it.
    pub age: Position,
    pub state: State,
    /// The latest verdict.
    pub verdict: Verdict,
    pub attempts: i32,
    pub source: SourceId,
    pub received_at: Timestamp,
    pub first_failed_at: Timestamp,
    pub last_failed_at: Timestamp,
    pub next_attempt_at: Option<Timestamp>,
    /// The decision that closed it. If the letter is replaced, this is also the position of what replaced it.
    pub decided_by: Option<Position>,
    /// What that decision did. Not a column of the letter's table.
    pub decided_action: Option<Action>,
    /// The letter whose resubmission this is.
    pub origin: Option<Position>,
}

impl Letter {
    pub fn new(
        verdict: Verdict,
        (collection, name): (Id, Arc<str>),
        source: SourceId,
        at: Timestamp,
        origin: Option<&Letter>,
    ) -> Self {
        let mut letter = Self {
            id: verdict.position,
            collection,
            name,
            age: origin.map_or(verdict.position, |origin| origin.age),
            state: State::Open,
            verdict,
            attempts: 1,
            source,
            received_at: at,
            first_failed_at: at,
            last_failed_at: at,
            next_attempt_at: None,
            decided_by: None,
            decided_action: None,
            origin: origin.map(|origin| origin.id),
        };
        letter.next_attempt_at = next_attempt(&letter);
        letter
    }

    /// Judged again, and still no document. What belonged to no collection may belong to one by now.
    pub fn fail_again(&mut self, verdict: Verdict, collection: Id, at: Timestamp) {
        self.verdict = verdict;
        self.collection = collection;
        self.attempts += 1;
        self.last_failed_at = at;
        self.next_attempt_at = next_attempt(self);
    }

    pub fn close(&mut self, state: State, by: Position, action: Action) {
        self.state = state;
        self.decided_by = Some(by);
        self.decided_action = Some(action);
        self.next_attempt_at = None;
    }

    pub fn reopen(&mut self) {
        self.state = State::Open;
        self.decided_by = None;
        self.decided_action = None;
        self.next_attempt_at = next_attempt(self);
    }
}

const BY_THE_CLOCK: [&str; 2] = [Code::RefusedByPostgres.as_str(), Code::SumTooLow.as_str()];
/// After so many attempts by the clock only a person retries.
const MAX_ATTEMPTS: i32 = 12;

const FIRST_PAUSE_MS: u64 = 1000;
/// The pause doubles so many times, and then stays.
const DOUBLINGS: u32 = 9;

/// The longest pause between two attempts by the clock: the last doubling with all of its jitter.
pub const fn longest_pause() -> Duration {
    let base_ms = FIRST_PAUSE_MS << DOUBLINGS;
    Duration::from_millis(base_ms + base_ms / 2)
}

/// When the clock retries. Only what waits for something else than a definition is worth it: what Postgres refused, and what would
/// leave a sum too low. For all else the same bytes under the same definition and code get the same verdict. The back-off is exponential. Its jitter is a hash of letter and attempt, so that a replay computes the same.
pub fn next_attempt(letter: &Letter) -> Option<Timestamp> {
    if letter.state != State::Open
        || !BY_THE_CLOCK.contains(&letter.verdict.code.as_str())
        || letter.attempts > MAX_ATTEMPTS
    {
        return None;
    }
    let doublings = u32::try_from(letter.attempts - 1).unwrap_or(0);
    let base_ms = FIRST_PAUSE_MS << doublings.min(DOUBLINGS);
    let mut hasher = Sha256::new();
    hasher.update(letter.id.0.to_be_bytes());
    hasher.update(letter.attempts.to_be_bytes());
    let jitter = u64::from(hasher.finalize()[0]) * base_ms / 512;
    letter
        .last_failed_at
        .checked_add(Duration::from_millis(base_ms + jitter))
        .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::{Reason, Violation};

    #[test]
    fn no_pause_between_two_attempts_is_longer_than_the_longest() {
        let violation = Violation::new(Code::RefusedByPostgres, "", "Postgres refused it.");
        let rejection = Rejection::new(Reason::Unstorable, violation);
        let mut longest = Duration::ZERO;
        for id in 1..=500 {
            let orders = (Id::ORDERS, "orders");
            let verdict = Verdict::new(Position(id), &rejection, Position(0), orders);
            let at = Timestamp::UNIX_EPOCH;
            let orders = (Id::ORDERS, "orders".into());
            let mut letter = Letter::new(verdict.clone(), orders, SourceId(1), at, None);
            while let Some(due) = letter.next_attempt_at {
                let pause = Duration::try_from(due.duration_since(at)).unwrap();
                longest = longest.max(pause);
                letter.fail_again(verdict.clone(), Id::ORDERS, at);
            }
            assert_eq!(letter.attempts, MAX_ATTEMPTS + 1);
        }
        assert!(longest <= longest_pause(), "{longest:?}");
        assert!(longest > longest_pause().mul_f64(0.95), "{longest:?}");
    }
}
