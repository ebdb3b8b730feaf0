//! The record of every act.

mod access;
mod closing;
mod crash;
mod disk;
mod events;
mod evidence;
mod export;
mod history;
mod mirror;
mod peers;
mod query;
mod reconcile;
mod retention;
mod saved_search;
mod search;
mod sequencer;
mod storage;
mod witness;

pub use events::events;
