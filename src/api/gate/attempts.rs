//! What proved nothing, counted by address and by name. Nobody guesses 256 bits, so a token that is right is taken however
//! many were wrong before, and nobody can lock another one out. What is bounded is what strangers write into the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many failures within `WINDOW` are told why, and logged; those beyond are told when to come again.
const FREE: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and names that are remembered: some 1 MB.
const REMEMBERED: usize = 10_000;

#[derive(Default)]
pub struct Attempts(Mutex<HashMap<String, (Instant, u32)>>);

impl Attempts {
    /// Counts a failure; beyond the free ones, how long to wait.
    pub fn failed(&self, address: IpAddr, name: Option<&str>) -> Result<(), Duration> {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        let name = name.map(|name| format!("name {}", name.chars().take(100).collect::<String>()));
        let mut outcome = Ok(());
        for key in std::iter::once(network(address)).chain(name) {
            let (since, count) = known.entry(key).or_insert((now, 0));
            if now.duration_since(*since) >= WINDOW {
                (*since, *count) = (now, 0);
            }
            *count = count.saturating_add(1);
            if *count > FREE {
                outcome = Err(WINDOW.saturating_sub(now.duration_since(*since)));
            }
        }
        outcome
    }
}

/// Of IPv6 the first 64 bits: one machine has all addresses below them.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("address {address}"),
        IpAddr::V6(address) => format!("network {:016x}", address.to_bits() >> 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_slowed_by_address_and_by_name() {
        let attempts = Attempts::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..FREE {
            assert!(attempts.failed(ip("10.0.0.1"), None).is_ok());
        }
        assert!(attempts.failed(ip("10.0.0.1"), None).is_err());
        assert!(attempts.failed(ip("::ffff:10.0.0.1"), None).is_err());
        assert!(attempts.failed(ip("10.0.0.2"), None).is_ok());
        // One name, from everywhere.
        for last in 0..FREE {
            assert!(
                attempts
                    .failed(ip(&format!("10.0.1.{last}")), Some("ada"))
                    .is_ok()
            );
        }
        assert!(attempts.failed(ip("10.0.2.1"), Some("ada")).is_err());
        assert!(attempts.failed(ip("10.0.2.2"), Some("bob")).is_ok());
        for last in 0..FREE {
            assert!(attempts.failed(ip(&format!("fd00::{last}")), None).is_ok());
        }
        assert!(
            attempts.failed(ip("fd00::ffff"), None).is_err(),
            "one network"
        );
        for n in 0..2 * REMEMBERED as u32 {
            let _ = attempts.failed(IpAddr::from(n.to_be_bytes()), None);
        }
        assert!(attempts.0.lock().unwrap().len() <= REMEMBERED);
    }
}
