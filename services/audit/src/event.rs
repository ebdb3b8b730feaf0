//! Reading the log: search, single events, tail, head, receipt.
//!
//! A search is a `filter` that becomes a `plan`, which is looked up in the search index (`index` for what is old,
//! `tail` for what is new) under keyed digests (`term`); what may match is read, opened and checked (`search`).
//! Reading is itself recorded, bursts of it once (`reads`).

use kernel::authz::Action;
use tokio_util::sync::CancellationToken;

mod bucket;
mod codec;
pub mod erasure;
pub mod filter;
mod follow;
pub mod index;
pub mod model;
mod network;
pub mod open;
mod ops;
mod plan;
mod postings;
mod reads;
pub mod search;
pub mod store;
mod tail;
mod term;
#[cfg(test)]
mod tests;
mod tree;
pub mod words;

pub use filter::Filter;
pub use follow::event_tail;
pub use ops::{event_get, event_list, log_get, receipt_get};
pub use reads::Reads;
pub use search::{Searcher, Window};
pub use tail::Tails;

/// What the log can be asked for.
pub const ACTIONS: &[Action] = &[ops::LIST, ops::GET, follow::TAIL, ops::GET_LOG, ops::RECEIPT];

/// What a process remembers of the reading of its logs.
#[derive(Default)]
pub struct Reading {
    /// Reads that are counted before they are recorded.
    pub reads: Reads,
    /// The newest events.
    pub tails: Tails,
    /// What could be used when.
    pub pasts: crate::access::Pasts,
    /// Ends the streams of new events: the server stops.
    pub hang_up: CancellationToken,
}
