//! Departments and cost centres: a tree.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
