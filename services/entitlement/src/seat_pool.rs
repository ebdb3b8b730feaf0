//! Pools of seats and who holds one.

pub mod holder;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
