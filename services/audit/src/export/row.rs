//! One stored event.

use std::sync::OnceLock;

use kernel::{clock::Time, ids::EventId};
use serde_json::Value;

/// What stands in the place of a person's data.
pub const SEALED: &str = "(sealed)";

/// One event, as stored.
#[derive(Debug, sqlx::FromRow)]
pub struct Row {
    /// Place in the log.
    pub idx: i64,
    /// Identity.
    pub id: EventId,
    /// When.
    pub time: Time,
    /// The recorded bytes.
    pub entry: String,
    #[sqlx(skip)]
    parsed: OnceLock<Value>,
}

impl Row {
    /// RFC 6962 leaf hash of the recorded bytes.
    pub fn leaf_hash(&self) -> tlog::Hash {
        tlog::leaf_hash(self.entry.as_bytes())
    }

    /// The entry, parsed at the first call. One that is not readable is null: it hides nothing of the rest of the log.
    pub fn value(&self) -> &Value {
        self.parsed.get_or_init(|| serde_json::from_str(&self.entry).unwrap_or_default())
    }

    /// Takes over the entry that somebody else has parsed.
    pub fn parsed(&self, entry: Value) {
        self.parsed.get_or_init(|| entry);
    }

    #[cfg(test)]
    pub fn new(idx: i64, id: u128, time: Time, entry: String) -> Self {
        Self { idx, id: EventId(uuid::Uuid::from_u128(id)), time, entry, parsed: OnceLock::new() }
    }
}

impl From<crate::event::model::Row> for Row {
    fn from(row: crate::event::model::Row) -> Self {
        let crate::event::model::Row { idx, id, time, entry } = row;
        Self { idx, id, time, entry, parsed: OnceLock::new() }
    }
}

/// A text of an entry; empty where there is none.
pub fn text<'v>(entry: &'v Value, pointer: &str) -> &'v str {
    entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A text that is a person's: [`SEALED`] where the entry has it sealed.
pub fn personal<'v>(entry: &'v Value, name: &str) -> &'v str {
    match entry.get(name) {
        Some(value) if is_sealed(value) => SEALED,
        Some(value) => value.as_str().unwrap_or_default(),
        None => "",
    }
}

/// Every target of an entry as (kind, name).
pub fn targets(entry: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = entry.get("tgt").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    all.iter().map(|target| (text(target, "/k"), text(target, "/id")))
}

/// The changes of an entry with [`SEALED`] in the place of every sealed value; none where there are none.
pub fn changes(entry: &Value) -> Option<Value> {
    let mut changes = entry.get("chg")?.clone();
    redact(&mut changes);
    changes.as_array().is_some_and(|all| !all.is_empty()).then_some(changes)
}

/// Puts [`SEALED`] in the place of every sealed value.
fn redact(value: &mut Value) {
    if is_sealed(value) {
        *value = Value::String(SEALED.to_owned());
        return;
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(redact),
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// Whether a value is a sealed one: `{"$s": …, "k": …}`.
fn is_sealed(value: &Value) -> bool {
    value.as_object().is_some_and(|o| o.len() == 2 && o.contains_key("$s") && o.contains_key("k"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sealed_values_are_named_wherever_they_are() {
        let sealed = json!({"$s": "AAAA", "k": "a.b"});
        let entry = json!({
            "ip": sealed, "ua": "(erased)",
            "chg": [{"f": "/a", "o": null, "n": sealed}, {"f": "/b", "o": {"deep": [sealed, 1]}, "n": {"k": "x"}}],
        });
        assert_eq!(personal(&entry, "ip"), SEALED);
        assert_eq!(personal(&entry, "ua"), "(erased)");
        assert_eq!(personal(&entry, "q"), "");
        let expected = json!([
            {"f": "/a", "o": null, "n": SEALED},
            {"f": "/b", "o": {"deep": [SEALED, 1]}, "n": {"k": "x"}},
        ]);
        assert_eq!(changes(&entry), Some(expected));
        assert_eq!(changes(&json!({"chg": []})), None);
        assert_eq!(changes(&json!({})), None);
    }

    #[test]
    fn an_entry_of_any_shape_is_read_without_trouble() {
        for entry in [
            json!(null),
            json!([]),
            json!({"tgt": 1, "chg": "x", "ip": []}),
            json!({"tgt": [null, {"k": 2}]}),
        ] {
            let _ = (targets(&entry).count(), changes(&entry));
            assert_eq!((text(&entry, "/actor/p"), personal(&entry, "ip")), ("", ""));
        }
    }
}
