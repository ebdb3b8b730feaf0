//! What a recorded act is.

use kernel::{clock::Time, ids::EventId};
use serde::Deserialize;
use serde_json::Value;

/// One recorded act, as stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AuditEvent {
    /// Identity.
    pub id: EventId,
    /// When.
    pub time: Time,
    /// `role.create`.
    pub action: String,
    /// `ok`, `denied` or `failed`.
    pub outcome: String,
    /// `admin_write`, ….
    pub event_class: String,
    /// Resource name of who acted.
    pub actor: String,
    /// `partners/…` when a partner's person acted in a client.
    pub partner: String,
    /// The caller's request_id, or the call's own id.
    pub request_id: String,
    /// W3C trace id.
    pub trace_id: String,
    /// The recorded bytes.
    pub entry: String,
}

/// The parts of an entry that have no column.
#[derive(Debug, Default, Deserialize)]
pub struct Entry {
    /// On what.
    #[serde(default)]
    pub tgt: Vec<Target>,
    /// What changed.
    #[serde(default)]
    pub chg: Vec<Change>,
}

/// One target.
#[derive(Debug, Deserialize)]
pub struct Target {
    /// Resource name.
    pub id: String,
}

/// One changed field: JSON pointer, old value, new value.
#[derive(Debug, Deserialize)]
pub struct Change {
    /// JSON pointer (RFC 6901).
    pub f: String,
    /// Old value.
    #[serde(default)]
    pub o: Value,
    /// New value.
    #[serde(default)]
    pub n: Value,
}

impl AuditEvent {
    /// Reads the entry; one that is not readable shows as empty, and its bytes are still there to look at.
    pub fn parsed(&self) -> Entry {
        serde_json::from_str(&self.entry).unwrap_or_default()
    }
}
