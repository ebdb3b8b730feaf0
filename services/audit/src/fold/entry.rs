//! What of an event matters to the state.

use kernel::{Result, clock::Time, error::Error};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// A recorded act.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// Identity.
    pub id: Uuid,
    /// When.
    pub t: Time,
    /// The scope in which it was done, by name.
    pub log: String,
    /// What, as `noun.verb`.
    pub act: String,
    /// `ok`, `denied` or `failed`.
    pub out: String,
    /// On what.
    #[serde(default)]
    pub tgt: Vec<Target>,
    /// What changed.
    #[serde(default)]
    pub chg: Vec<Change>,
}

/// A thing that was acted on.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Its kind.
    pub k: String,
    /// Its name.
    pub id: String,
}

/// One changed field.
#[derive(Clone, Debug, Deserialize)]
pub struct Change {
    /// JSON pointer.
    pub f: String,
    /// Old value.
    #[serde(default)]
    pub o: Value,
    /// New value.
    #[serde(default)]
    pub n: Value,
}

impl Entry {
    /// Reads an entry of the log.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Error::internal(format!("an audit entry cannot be read: {e}")))
    }

    /// Last segment of the name of the target at `n`: the id that people chose, or a UUID.
    pub fn id_of(&self, n: usize) -> Option<&str> {
        self.tgt.get(n).and_then(|t| t.id.rsplit('/').next())
    }

    /// The old and the new value of a field, if it changed.
    pub fn change(&self, field: &str) -> Option<(&Value, &Value)> {
        let found = self.chg.iter().find(|c| c.f.strip_prefix('/') == Some(field));
        found.map(|c| (&c.o, &c.n))
    }

    /// The identity of what was acted on, where the record names it among the targets.
    pub fn uid(&self) -> Option<Uuid> {
        self.tgt.iter().find(|t| t.k == "uid")?.id.parse().ok()
    }

    /// The identity that the act gave, or took, if it is on the record.
    pub fn identity(&self) -> Option<Uuid> {
        let (old, new) = self.change("id")?;
        [new, old].into_iter().find_map(|v| v.as_str()?.parse().ok())
    }
}
