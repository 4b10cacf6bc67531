//! Every test against real servers, in one binary: `harness` brings a private Postgres, a private broker and the service
//! itself, the other files are stories. Those of `sandbox` and `stan` are about one room each.
#![allow(clippy::unwrap_used)]

mod account;
mod acks;
mod broker;
mod broker_secured;
mod cli;
mod clients;
mod clock;
mod compare_and_set;
mod containers;
mod crowd;
mod decide;
mod dev;
mod disk_full;
mod export;
mod flood;
mod harness;
mod history;
mod hot_read;
mod http;
mod junk;
mod kill;
mod model_grows;
mod network;
mod operations;
mod operator;
mod page;
mod postgres;
mod publish;
mod refusal;
mod replay;
mod replicas;
mod restore;
mod rules_harm;
mod sandbox;
mod settings;
mod snapshot;
mod stan;
mod stan_broker;
mod standby;
mod stop;
mod tidy;
mod tidy_map;
mod tls;
mod versions;
