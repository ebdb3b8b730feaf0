//! An event as it is sent: opened as far as its keys are there, with its place in the log.

use audit::event::model::{Entry, Opened};
use kernel::{
    clock::Time,
    error::{Error, Result},
};
use serde_json::{Value, json};
use uuid::Uuid;

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The event's identity, the same each time that it is sent.
    pub id: Uuid,
    /// Its index in the log; -1 for what is no event.
    pub sequence: i64,
    /// When it happened.
    pub time: Time,
    /// `role.create`; `sink.test` for what is no event.
    pub action: String,
    /// `ok`, `denied` or `failed`.
    pub outcome: String,
    /// Origin of the log.
    pub log: String,
    /// Leaf hash of the recorded bytes, base64.
    pub leaf_hash: String,
    /// The entry; a person's values opened, or `(erased)`.
    pub event: Value,
}

impl Message {
    /// An event of the log with that origin.
    pub fn of(log: &str, opened: Opened) -> Self {
        let entry = Entry(&opened.entry);
        Self {
            id: opened.row.id.0,
            sequence: opened.row.idx,
            time: opened.row.time,
            action: entry.action().to_owned(),
            outcome: entry.outcome().to_owned(),
            log: log.to_owned(),
            leaf_hash: tlog::leaf_hash(opened.row.entry.as_bytes()).to_string(),
            event: opened.entry,
        }
    }

    /// What is sent to try a sink out.
    pub fn test(id: Uuid, log: &str, now: Time) -> Self {
        Self {
            id,
            sequence: -1,
            time: now,
            action: "sink.test".to_owned(),
            outcome: "ok".to_owned(),
            log: log.to_owned(),
            leaf_hash: String::new(),
            event: json!({"id": id, "t": now, "act": "sink.test"}),
        }
    }

    /// `{event, sequence, log, leaf_hash}`.
    pub fn data(&self) -> Value {
        json!({"event": self.event, "sequence": self.sequence, "log": self.log, "leaf_hash": self.leaf_hash})
    }

    /// `{type, timestamp, data}` on one line (RFC 8785).
    pub fn payload(&self) -> Result<String> {
        let whole = json!({"type": self.action, "timestamp": self.time, "data": self.data()});
        serde_json_canonicalizer::to_string(&whole).map_err(Error::internal)
    }
}
