//! Job roles, who holds them, and which roles they take in.

pub mod inclusion;
pub mod member;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
