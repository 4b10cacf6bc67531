//! How many connections one address may have, so that a single client cannot take the room of all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Of the room that there is. Behind one address there may be an office; a trusted proxy is not counted.
const SHARE: usize = 4;

pub struct Crowd {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl Crowd {
    pub fn new(room: usize) -> Arc<Self> {
        Arc::new(Self {
            most: (room / SHARE).max(1),
            counts: Mutex::default(),
        })
    }

    /// None if this address has its share.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        let crowd = self.clone();
        Some(Seat { crowd, address })
    }
}

/// Of IPv6 the first 64 bits: one machine has all addresses below them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((address.to_bits() >> 64 << 64).to_be_bytes()),
        address => address,
    }
}

/// A connection's; given back when it is dropped.
pub struct Seat {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self
            .crowd
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_gives_it_back() {
        let crowd = Crowd::new(8);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = crowd.enter(ip("10.0.0.1")).unwrap();
        let second = crowd.enter(ip("::ffff:10.0.0.1")).unwrap();
        assert!(crowd.enter(ip("10.0.0.1")).is_none());
        assert!(crowd.enter(ip("10.0.0.2")).is_some());
        drop(first);
        assert!(crowd.enter(ip("10.0.0.1")).is_some());
        let sixth = crowd.enter(ip("fd00::1")).unwrap();
        let _seventh = crowd.enter(ip("fd00::2")).unwrap();
        assert!(crowd.enter(ip("fd00::3")).is_none(), "one network");
        drop((second, sixth));
        assert_eq!(crowd.counts.lock().unwrap().len(), 1);
    }
}
