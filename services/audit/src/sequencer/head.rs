//! The head of a log and the lease on it.

use kernel::clock::Time;
use uuid::Uuid;

/// How far a log is.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LogHead {
    /// Whose log.
    pub scope_id: Uuid,
    /// First line of its checkpoints and name of its keys.
    pub origin: String,
    /// Events sequenced.
    pub size: i64,
    /// Merkle root over them, 32 bytes.
    pub root: Vec<u8>,
    /// Events under the newest checkpoint.
    pub signed_size: i64,
    /// The newest checkpoint; empty before the first.
    pub checkpoint: String,
    /// When it was signed.
    pub sign_time: Time,
    /// Events below this index were pruned.
    pub minimum_index: i64,
    /// Search segments that are built: events below `segments * 4096` are in the search index.
    pub segments: i64,
}

/// Who may move the head, until when. The fence grows with every holder, so that a late one cannot move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Lease {
    /// The process.
    pub holder: Uuid,
    /// Grows by one with every change of holder.
    pub fence: i64,
    /// Microseconds since the epoch.
    #[sqlx(rename = "lease_until")]
    pub until: Time,
}
