//! Where messages come from. A source yields a message together with its ack, and hands both to the inbox; what comes by
//! HTTP needs no stage and is submitted by the API. Called by `serve`. Invariant: nothing is acknowledged here. Absent on
//! purpose: any look inside a payload.

mod broker;

pub use broker::{Broker, Config, Draining, Status, run};
