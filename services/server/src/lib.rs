//! The composition root: everything that `provostd` is made of, put together.

pub mod app;
pub mod doctor;
pub mod files;
pub mod gate;
pub mod health;
pub mod http;
pub mod listen;
pub mod quickstart;
pub mod reconcile;
pub mod signal;
pub mod verify;

/// The embedded defaults, which are documentation and example at once.
pub const DEFAULT_CONFIG: &str = include_str!("../config.default.toml");
