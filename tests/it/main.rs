//! End to end, on both engines, over the real wire.

mod audit;
mod authz;
mod catalog;
mod coverage;
mod errors;
mod idempotency;
mod lists;
mod process;
mod quickstart;
mod schema;
mod server;
mod tenancy;
mod tokens;
mod usage;
