//! A tenant's decisions, made where they are needed: what a control plane signs, how an edge checks it, and how long it
//! may be decided by. Nothing here knows a network, a clock or a database; time is a parameter.
//!
//! # From a message to an answer
//!
//! 1. The control plane keeps a [`State`] of every tenant that is watched, and signs [`Statement`]s about it: here is all
//!    of it, here is what leads from that revision to this one, or nothing has changed.
//! 2. What arrives is a [`Signed`], of which nothing can be read. [`Signed::verify`] makes a [`Verified`] of it, or says in
//!    [`Refused`] what is wrong; there is no other way to one.
//! 3. A [`Replica`] takes only what is verified, in order, and compares the digest of its own state with the signed one.
//! 4. [`Replica::policy`] is what may be decided by at that time: none past the bound of staleness, and then the only
//!    answer is POLICY_UNAVAILABLE.
//! 5. A [`Disk`] keeps what was taken, signed as it came, and verifies it again when it is read.

#![deny(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test may fail"
    )
)]

mod disk;
mod message;
mod refused;
mod replica;
mod state;
#[cfg(test)]
mod tests;

pub use disk::{Disk, DiskError};
pub use message::{
    Content, DEFAULT_STALENESS, MAX_MESSAGE_BYTES, Revision, SKEW, Signed, Statement, Verified, sign,
};
pub use refused::Refused;
pub use replica::{Policy, Replica};
pub use state::State;
