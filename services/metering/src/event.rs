//! Usage events: what they are, what makes one the same, and exact quantities.

pub mod decimal;
pub mod key;
pub mod model;
