//! Where messages come from. A source hands each message to the inbox, and acknowledges it in its broker's way once the inbox
//! says so on the connection's line; what comes by HTTP needs no stage and is submitted by the API. Called by `serve`.
//! Invariant: nothing is acknowledged that the inbox has not answered for. Absent on purpose: any look inside a payload.

mod broker;
mod unacked;

pub use broker::{Broker, Config, Draining, Status, run};
