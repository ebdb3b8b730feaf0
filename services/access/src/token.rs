//! API tokens.

pub mod bootstrap;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
