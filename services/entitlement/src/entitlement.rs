//! Rules: what holders of a role may use.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
