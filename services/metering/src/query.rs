//! Figures out: what was used, by whom, when.

pub mod filter;
pub mod model;
pub mod ops;
pub mod store;
pub mod window;

pub mod collect;
