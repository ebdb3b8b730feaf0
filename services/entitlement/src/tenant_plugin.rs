//! The catalogue as one tenant has it.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
