//! End to end, on both engines, over the real wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test may fail"
)]

mod audit;
mod authz;
mod catalog;
mod cli;
mod coverage;
mod decisions;
mod deployment;
mod errors;
mod gone;
mod idempotency;
mod limits;
mod lists;
mod nodes;
#[path = "../conformance/peers.rs"]
mod peers;
mod process;
mod quickstart;
mod schema;
mod server;
mod sink;
mod telemetry;
mod tenancy;
mod tokens;
mod usage;
