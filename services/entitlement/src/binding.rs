//! The client's own connectors, in the places that plugins keep for them.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
