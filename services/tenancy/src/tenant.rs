//! Client organisations and their lifecycle.

pub mod contract;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
