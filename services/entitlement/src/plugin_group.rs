//! Plugins that a tenant speaks of together.

pub mod member;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
