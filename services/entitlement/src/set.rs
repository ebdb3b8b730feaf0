//! A set that a tenant names and its rules speak of: what plugin groups and seat pools have in common. What is in one is for
//! its own noun to say.

pub mod model;
pub mod ops;
pub mod store;
