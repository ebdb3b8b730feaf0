//! Consulting firms that run rollouts, and their portfolios.

pub mod activity;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
