//! Waybill: an event-sourced order service. The map of the house, in reading order:
//!
//! ```text
//! broker, HTTP ──► inbox ──► projector ──┬─► orders ──► cache ──► api, page, CLI
//! operators' decisions ─┘    (one fold,  ├─► duplicates
//!                             one tx)    └─► dead_letters, groups, account
//! ```

pub mod postgres;
pub mod sandbox;
pub mod stan;
pub mod order;
