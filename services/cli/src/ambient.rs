//! What the program takes from the machine it runs on: time and randomness, each in one place.

use jiff::Timestamp;
use uuid::Uuid;

/// The time of day, for deadlines that are given as a length (`--expires-in 90d`).
#[expect(
    clippy::disallowed_methods,
    reason = "a command line lives for one call and has no clock of its own"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A fresh id for one intended change: every automatic retry sends the same one.
#[expect(
    clippy::disallowed_methods,
    reason = "the caller of the API chooses the request id, and nothing is replayed here"
)]
pub fn request_id() -> Uuid {
    Uuid::now_v7()
}
