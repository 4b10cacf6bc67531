//! Single flight: however many clients ask for one key, only one question about it is in flight. It runs in a task of its own, so
//! that it does not end with the client who asked first. Its answer goes to all who had asked before it was sent. Clients who
//! come later share the next question: what the first one does not find may have been appended, and acknowledged to that
//! very client, since it was sent.
//!
//! ```text
//! clients come    a b c    d e f             g
//! in flight           [── first ──][── second ──][── third ──]
//! answered                        a b c         d e f         g
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

type Waiting<T> = HashMap<Box<str>, Vec<oneshot::Sender<T>>>;

/// Who waits for which key. A key is in the map for as long as it has a flight.
pub struct SingleFlight<T>(Arc<Mutex<Waiting<T>>>);

/// The one task that asks about a key. It ends when nobody waits any more.
pub struct Flight<T> {
    waiting: Arc<Mutex<Waiting<T>>>,
    key: Box<str>,
    landed: bool,
}

impl<T> SingleFlight<T> {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits with the others for the answer. If the key has no flight yet, the caller gets it and must run it.
    pub fn join(&self, key: &str) -> (oneshot::Receiver<T>, Option<Flight<T>>) {
        let (answer, answered) = oneshot::channel();
        let mut waiting = lock(&self.0);
        if let Some(others) = waiting.get_mut(key) {
            others.push(answer);
            return (answered, None);
        }
        waiting.insert(key.into(), vec![answer]);
        let flight = Flight {
            waiting: self.0.clone(),
            key: key.into(),
            landed: false,
        };
        (answered, Some(flight))
    }
}

impl<T: Clone> Flight<T> {
    /// Asks until nobody waits. An answer for which `is_for_all` is true also goes to those who came while it was in flight.
    pub async fn run<F: Future<Output = T>>(
        mut self,
        ask: impl Fn() -> F,
        is_for_all: impl Fn(&T) -> bool,
    ) {
        while let Some(mut asked) = self.next() {
            let answer = ask().await;
            if is_for_all(&answer) {
                let mut waiting = lock(&self.waiting);
                asked.append(waiting.get_mut(&self.key).unwrap_or(&mut Vec::new()));
            }
            for one in asked {
                // An error means that this client has gone away.
                let _ = one.send(answer.clone());
            }
        }
    }

    /// All who wait now. If nobody does, the key is removed under the same lock, so the next to ask gets a new flight.
    fn next(&mut self) -> Option<Vec<oneshot::Sender<T>>> {
        let mut waiting = lock(&self.waiting);
        let asked = std::mem::take(waiting.get_mut(&self.key)?);
        if asked.is_empty() {
            waiting.remove(&self.key);
            self.landed = true;
            return None;
        }
        Some(asked)
    }
}

impl<T> Drop for Flight<T> {
    /// After a panic the waiting clients' channels close, and the next client to ask gets a new flight.
    fn drop(&mut self) {
        if !self.landed {
            lock(&self.waiting).remove(&self.key);
        }
    }
}

fn lock<T>(waiting: &Mutex<Waiting<T>>) -> std::sync::MutexGuard<'_, Waiting<T>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// A flight whose questions are answered by their number, each when it is let go.
    struct Bench {
        flights: SingleFlight<Result<u32, u32>>,
        asked: Arc<AtomicU32>,
        let_go: Arc<Semaphore>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                flights: SingleFlight::new(),
                asked: Arc::default(),
                let_go: Arc::new(Semaphore::new(0)),
            }
        }

        /// Odd questions fail.
        fn join(&self) -> oneshot::Receiver<Result<u32, u32>> {
            let (answered, flight) = self.flights.join("key");
            if let Some(flight) = flight {
                let (asked, let_go) = (self.asked.clone(), self.let_go.clone());
                let ask = move || {
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    let let_go = let_go.clone();
                    async move {
                        let_go.acquire().await.unwrap().forget();
                        if number % 2 == 0 {
                            Ok(number)
                        } else {
                            Err(number)
                        }
                    }
                };
                tokio::spawn(flight.run(ask, Result::is_err));
            }
            answered
        }

        async fn is_asked(&self, times: u32) {
            while self.asked.load(Ordering::Relaxed) < times {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn all_who_asked_before_have_one_answer_and_all_who_came_meanwhile_the_next() {
        let bench = Bench::new();
        let before: Vec<_> = (0..100).map(|_| bench.join()).collect();
        bench.is_asked(1).await;
        let meanwhile: Vec<_> = (0..100).map(|_| bench.join()).collect();
        bench.let_go.add_permits(1);
        for one in before {
            assert_eq!(one.await.unwrap(), Ok(0));
        }
        bench.is_asked(2).await;
        let later: Vec<_> = (0..100).map(|_| bench.join()).collect();
        // It fails: those who came meanwhile hear it, too.
        bench.let_go.add_permits(1);
        for one in meanwhile.into_iter().chain(later) {
            assert_eq!(one.await.unwrap(), Err(1));
        }
        assert_eq!(bench.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn it_flies_on_without_the_one_who_began_it_and_lands_when_nobody_waits() {
        let bench = Bench::new();
        drop(bench.join());
        bench.is_asked(1).await;
        let meanwhile = bench.join();
        bench.let_go.add_permits(2);
        assert_eq!(meanwhile.await.unwrap(), Err(1));
        while !lock(&bench.flights.0).is_empty() {
            tokio::task::yield_now().await;
        }
        let later = bench.join();
        bench.let_go.add_permits(1);
        assert_eq!(later.await.unwrap(), Ok(2));
    }

    #[tokio::test]
    async fn those_who_wait_for_one_that_panicked_hear_it_and_the_next_begins_anew() {
        let bench = Bench::new();
        let (answered, flight) = bench.flights.join("key");
        let panics = || -> std::future::Ready<Result<u32, u32>> { panic!("on purpose") };
        let ended = tokio::spawn(flight.unwrap().run(panics, Result::is_err)).await;
        assert!(ended.unwrap_err().is_panic());
        assert!(answered.await.is_err());
        let next = bench.join();
        bench.let_go.add_permits(1);
        assert_eq!(next.await.unwrap(), Ok(0));
    }
}
