//! Casbin's opinion of a question: what the rules mean, by `policies/entitlements.conf`.
//!
//! It is asked on the record of a past moment, and as a shadow of live decisions; those are made by [`crate::decision`].

pub mod model;
pub mod store;
pub mod tables;
pub mod verdict;
