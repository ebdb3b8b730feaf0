//! What telemetry says besides what is counted: which plugins people have, and which managed settings their assistants follow.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;

pub use model::{Observation, PluginSeen, Seen, SettingsSeen};
pub use ops::observations_store;
