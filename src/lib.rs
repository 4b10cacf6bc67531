//! Waybill: a durable inbox, and documents and dead letters that follow from it. The map of the house, in reading order:
//!
//! ```text
//! broker, HTTP ──► inbox ──► projector ──┬─► documents ──► cache ──► api, page, CLI
//! operators' decisions ─┘    (one fold,  ├─► duplicates
//!                             one tx)    └─► dead_letters, groups, account
//! ```

#[macro_use]
mod words;

pub mod access;
pub mod account;
pub mod api;
pub mod audit;
pub mod cache;
pub mod cli;
pub mod collection;
pub mod config;
pub mod dead_letter;
pub mod document;
pub mod expression;
pub mod inbox;
pub mod operation;
pub mod postgres;
pub mod projection;
pub mod record;
pub mod sandbox;
pub mod serve;
pub mod source;
pub mod stan;
pub mod telemetry;
mod ui;
