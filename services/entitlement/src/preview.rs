//! What changes would do, worked out in memory: nothing is written.

pub mod model;
pub mod ops;
pub mod rpc;
