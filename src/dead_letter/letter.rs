use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::inbox::{Action, Position, SourceId};
use crate::record::{Code, Rejection};

words! {
    pub enum State {
        Open = "open",
        /// An order, a duplicate or another letter has taken its place.
        Replaced = "replaced",
        Discarded = "discarded",
    }
}

/// A rejection as it is stored: with the version of the code and the position of the rules that judged.
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
    pub fn new(
        position: Position,
        rejection: &Rejection,
        code_version: i32,
        definition: i64,
    ) -> Self {
        let first = rejection.first();
        Self {
            position,
            definition,
            code_version,
            fingerprint: rejection.fingerprint(),
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

/// One dead letter as the projection keeps it.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its inbox position.
    pub id: Position,
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
        source: SourceId,
        at: Timestamp,
        origin: Option<Position>,
    ) -> Self {
        let mut letter = Self {
            id: verdict.position,
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
            origin,
        };
        letter.next_attempt_at = next_attempt(&letter);
        letter
    }

    /// Judged again, and still no order.
    pub fn fail_again(&mut self, verdict: Verdict, at: Timestamp) {
        self.verdict = verdict;
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

/// When the clock retries. Only what Postgres refused is worth it: for all else the same bytes under the same rules and code get
/// the same verdict. The back-off is exponential. Its jitter is a hash of letter and attempt, so that a replay computes the same.
pub fn next_attempt(letter: &Letter) -> Option<Timestamp> {
    if letter.state != State::Open
        || letter.verdict.code != Code::RefusedByPostgres.as_str()
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
            let verdict = Verdict::new(Position(id), &rejection, 1, 0);
            let at = Timestamp::UNIX_EPOCH;
            let mut letter = Letter::new(verdict.clone(), SourceId(1), at, None);
            while let Some(due) = letter.next_attempt_at {
                let pause = Duration::try_from(due.duration_since(at)).unwrap();
                longest = longest.max(pause);
                letter.fail_again(verdict.clone(), at);
            }
            assert_eq!(letter.attempts, MAX_ATTEMPTS + 1);
        }
        assert!(longest <= longest_pause(), "{longest:?}");
        assert!(longest > longest_pause().mul_f64(0.95), "{longest:?}");
    }
}
