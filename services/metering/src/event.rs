//! Usage events on their way in: from any surface to a place in the tenant's sequence.

pub mod decimal;
mod group;
pub mod http;
pub mod key;
pub mod list;
pub mod model;
pub mod ops;
pub mod report;
pub mod rpc;
pub mod store;
pub mod writer;
