//! Adoption: who is active, period by period; how far those have come who may use plugins; and how a partner's clients stand.
//!
//! All of it is answered from the rollups of `active_principals` and the events above their watermark, so what it costs grows with
//! days and series and not with events.

pub mod activation;
pub mod dormant;
pub mod model;
pub mod ops;
pub mod portfolio;
pub mod rpc;
pub mod since;
pub mod store;
