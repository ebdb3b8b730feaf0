//! Facts and tests of them as files that people write: YAML, checked whole, errors with their line.
//!
//! A [`Suite`] asks questions of the [`Facts`](crate::Facts) in its fixtures file at a moment and says what the answers must be; the
//! forms are described in `policies/README.md`. Nothing here opens a file.

mod fixtures;
mod run;
mod suite;
mod text;

pub use fixtures::fixtures;
pub use run::{Coverage, Outcome, RuleCoverage};
pub use suite::{Check, Expected, Suite, Test};
pub use text::{FileError, target};

use serde::de::DeserializeOwned;

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 16 << 20;

/// Reads one document.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, FileError> {
    if text.len() > MAX_BYTES {
        return Err(FileError("is larger than 16 MiB; split it".to_owned()));
    }
    // its own errors say the place: `tests[0].principals[1]: … at line 7 column 15`
    serde_norway::from_str(text).map_err(|error| FileError(error.to_string()))
}
