//! What a connection has delivered and not yet acknowledged: a broker's receipts, under the numbers by which the inbox speaks
//! of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub struct Unacked<R>(Mutex<Deliveries<R>>);

/// They are taken nearly in the order in which they came, so a queue with a few empty places is small and quick.
struct Deliveries<R> {
    /// The number of the first in the queue.
    first: u64,
    receipts: VecDeque<Option<R>>,
}

impl<R> Default for Unacked<R> {
    fn default() -> Self {
        Self(Mutex::new(Deliveries {
            first: 0,
            receipts: VecDeque::new(),
        }))
    }
}

impl<R> Unacked<R> {
    /// Answers with its number.
    pub fn add(&self, receipt: R) -> u64 {
        let mut deliveries = self.lock();
        deliveries.receipts.push_back(Some(receipt));
        deliveries.first + deliveries.receipts.len() as u64 - 1
    }

    /// Each once: what was taken before is not there.
    pub fn take(&self, numbers: impl Iterator<Item = u64>) -> Vec<R> {
        let mut deliveries = self.lock();
        let taken = numbers
            .filter_map(|number| deliveries.take(number))
            .collect();
        while let Some(None) = deliveries.receipts.front() {
            deliveries.receipts.pop_front();
            deliveries.first += 1;
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Deliveries<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Deliveries<R> {
    fn take(&mut self, number: u64) -> Option<R> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.receipts.get_mut(index)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_taken_once_in_whatever_order() {
        let unacked = Unacked::default();
        let numbers: Vec<u64> = ["a", "b", "c", "d"].map(|name| unacked.add(name)).into();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert_eq!(unacked.take([2, 1].into_iter()), ["c", "b"]);
        assert_eq!(unacked.take([1, 9, 0].into_iter()), ["a"]);
        assert_eq!(
            unacked.lock().receipts.len(),
            1,
            "the places before are gone"
        );
        assert_eq!(unacked.add("e"), 4);
        assert_eq!(unacked.take([0, 3, 4].into_iter()), ["d", "e"]);
        assert!(unacked.lock().receipts.is_empty());
    }
}
