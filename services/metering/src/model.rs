//! What a request becomes on its way into the store, and what can be asked: without any I/O.

use kernel::uuid_id;

mod batch;
mod query;

pub use batch::{Batch, IngestReport, Row, Stored, sort_out};
pub use query::{Dimension, Figure, MAX_METERS, UsageQuery};

pub use crate::event::model::{Holder, Window, counted_role};

uuid_id! {
    /// Identity of a stored usage event.
    UsageEventId;
}

#[cfg(test)]
mod tests;
