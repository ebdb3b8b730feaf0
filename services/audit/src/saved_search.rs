//! Filters kept under a name.

pub mod model;
pub mod ops;
pub mod store;

pub use ops::{ACTIONS, create, delete, list};
