//! Stages that a tenant holds plugins to.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
