//! Rolling up: what an answer costs does not grow with the number of events.
//!
//! Events are summed in the order of their places. A watermark a tenant says up to which place; an answer is the rollups below it
//! and the events above it, read in one snapshot, so it is always exact.

pub mod book;
pub mod fold;
pub mod roller;
pub mod stale;
pub mod store;
pub mod verify;
