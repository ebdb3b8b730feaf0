//! Who administers what.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
