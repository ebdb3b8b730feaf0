//! The answer to "may this principal use this plugin now", with its reason.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
pub mod verdict;
