//! The record of every act.

mod access;
mod crash;
mod events;
mod history;
mod reconcile;
mod retention;
mod saved_search;
mod search;
mod sequencer;
mod storage;
mod witness;

pub use events::events;
