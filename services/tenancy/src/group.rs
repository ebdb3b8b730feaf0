//! Directory groups and who is in them.

pub mod member;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
