use std::time::Instant;

use crate::postgres::{Identity, Session};

/// A session as evidence that its server has not crashed since it was opened: a crash ends all sessions. What others committed
/// meanwhile without waiting for the disk is then not lost, as long as the session still answers.
#[derive(Clone, Debug)]
pub struct Witness {
    server: Identity,
    since: Instant,
}

impl Witness {
    pub fn of(session: &Session) -> Self {
        Self::since(session.identity().clone(), session.since())
    }

    pub(super) fn since(server: Identity, since: Instant) -> Self {
        Self { server, since }
    }

    /// Whether it was there before a commit was begun, on the same server.
    pub fn saw(&self, server: &Identity, begun: Instant) -> bool {
        self.since <= begun && self.server == *server
    }
}
