//! Versions of plugins: every content that a plugin has or had, by its digest.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
