//! The answer to "may this principal use this now", with its reason: made from memory, by snapshots that are kept up with
//! the tables.

mod account;
mod asked;
pub mod authzen;
pub mod facts;
pub mod live;
pub mod log;
pub mod model;
pub mod ops;
pub mod rpc;
mod shadow;
pub mod watch;
