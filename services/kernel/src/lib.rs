//! What every slice leans on and that knows no slice.
//!
//! A request passes through here in this order: [`ctx::Kernel::serve`] authenticates ([`authn`]), the use case asks for a
//! permit ([`authz`]) and begins a transaction with it ([`db::tx`]), which ends with one commit that takes the audit
//! record ([`audit`]). Errors become statuses in one place ([`error`]).

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

pub mod audit;
pub mod authn;
pub mod authz;
pub mod check;
pub mod clock;
pub mod config;
pub mod ctx;
pub mod db;
pub mod error;
pub mod filter;
pub mod hash;
pub mod ids;
pub mod keyfile;
pub mod mask;
pub mod name;
pub mod page;
pub mod revision;
pub mod scope;
mod secret;
pub mod stamp;
pub mod storage;
pub mod telemetry;

pub use ctx::{Ctx, Kernel};
pub use error::{Error, Result};
