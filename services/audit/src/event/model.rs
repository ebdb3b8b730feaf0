//! What a recorded act is, without any I/O.

use std::{collections::HashSet, net::IpAddr};

use kernel::{
    audit::{sealed::ERASED, subject::KeyId},
    clock::Time,
    ids::EventId,
    scope::Scope,
};
use proto::audit::v1 as pb;
use serde_json::Value;

/// One event, as stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    /// Place in the log.
    pub idx: i64,
    /// Identity.
    pub id: EventId,
    /// When.
    pub time: Time,
    /// The recorded bytes.
    pub entry: String,
}

/// An event with its sealed values opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// As stored.
    pub row: Row,
    /// The entry, as far as it can be opened.
    pub entry: Value,
}

/// The parts of an entry; what is missing or of another shape is empty.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'v>(pub &'v Value);

impl<'v> Entry<'v> {
    fn text(self, pointer: &str) -> &'v str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(self, name: &str) -> &'v [Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Resource name of who acted.
    pub fn actor(self) -> &'v str {
        self.text("/actor/p")
    }

    /// Resource name of the person for whom an agent acted.
    pub fn owner(self) -> &'v str {
        self.text("/actor/o")
    }

    /// `role.create`.
    pub fn action(self) -> &'v str {
        self.text("/act")
    }

    /// `ok`, `denied` or `failed`.
    pub fn outcome(self) -> &'v str {
        self.text("/out")
    }

    /// `admin_write`, ….
    pub fn class(self) -> &'v str {
        self.text("/cls")
    }

    /// Resource names of what was acted on.
    pub fn targets(self) -> impl Iterator<Item = &'v str> {
        self.list("tgt").iter().map(|target| Entry(target).text("/id"))
    }

    /// The partner on whose mandate.
    pub fn partner(self) -> &'v str {
        self.text("/via/partner")
    }

    /// The delegation under which.
    pub fn delegation(self) -> &'v str {
        self.text("/via/delegation")
    }

    /// The caller's request_id, or the call's own id.
    pub fn request_id(self) -> &'v str {
        self.text("/req")
    }

    /// W3C trace id.
    pub fn trace_id(self) -> &'v str {
        self.text("/trace")
    }

    /// The caller's address, if it can be read.
    pub fn ip(self) -> Option<IpAddr> {
        self.text("/ip").parse().ok()
    }

    /// Old and new values of what changed.
    pub fn values(self) -> impl Iterator<Item = &'v Value> {
        self.list("chg").iter().flat_map(|change| [change.get("o"), change.get("n")]).flatten()
    }

    fn changes(self) -> Vec<pb::FieldChange> {
        let json = |value: Option<&Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(value) => value.to_string(),
        };
        let change = |c: &Value| pb::FieldChange {
            field: Entry(c).text("/f").to_owned(),
            old_value: json(c.get("o")),
            new_value: json(c.get("n")),
        };
        self.list("chg").iter().map(change).collect()
    }

    fn count(self) -> i64 {
        self.0.get("n").and_then(Value::as_i64).unwrap_or(1)
    }
}

impl Opened {
    /// On the wire.
    pub fn into_message(self, scope: &Scope) -> pb::AuditEvent {
        let entry = Entry(&self.entry);
        pb::AuditEvent {
            name: scope.child("auditEvents", self.row.id),
            time: Some(self.row.time.into()),
            action: entry.action().to_owned(),
            outcome: outcome(entry.outcome()).into(),
            event_class: entry.class().to_owned(),
            actor: entry.actor().to_owned(),
            partner: entry.partner().to_owned(),
            targets: entry.targets().map(str::to_owned).collect(),
            request_id: entry.request_id().to_owned(),
            trace_id: entry.trace_id().to_owned(),
            changes: entry.changes(),
            index: self.row.idx,
            leaf_hash: tlog::leaf_hash(self.row.entry.as_bytes()).as_bytes().to_vec(),
            ip: entry.text("/ip").to_owned(),
            user_agent: entry.text("/ua").to_owned(),
            count: entry.count(),
            entry: self.row.entry,
        }
    }
}

fn outcome(text: &str) -> pb::Outcome {
    match text {
        "ok" => pb::Outcome::Ok,
        "denied" => pb::Outcome::Denied,
        "failed" => pb::Outcome::Failed,
        _ => pb::Outcome::Unspecified,
    }
}

/// The key of a sealed value; none for any other.
pub(super) fn seal_of(value: &Value) -> Option<KeyId> {
    let object = value.as_object().filter(|o| o.len() == 2 && o.contains_key("$s"))?;
    object.get("k")?.as_str()?.parse().ok()
}

/// The keys with which something in the entry is sealed.
pub(super) fn keys(entry: &Value) -> HashSet<KeyId> {
    fn collect(value: &Value, found: &mut HashSet<KeyId>) {
        if let Some(key) = seal_of(value) {
            found.insert(key);
            return;
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|v| collect(v, found)),
            Value::Array(items) => items.iter().for_each(|v| collect(v, found)),
            _ => {}
        }
    }
    let mut found = HashSet::new();
    collect(entry, &mut found);
    found
}

/// Treats what is sealed with one of the keys as erased, whoever still knows the key.
pub(super) fn erase(entry: &mut Value, keys: &HashSet<KeyId>) {
    if let Some(key) = seal_of(entry) {
        if keys.contains(&key) {
            *entry = Value::String(ERASED.to_owned());
        }
        return;
    }
    match entry {
        Value::Object(fields) => fields.values_mut().for_each(|v| erase(v, keys)),
        Value::Array(items) => items.iter_mut().for_each(|v| erase(v, keys)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_entry_of_any_shape_is_read_without_trouble() {
        for value in [json!(null), json!([1]), json!({"tgt": 1, "chg": [null, 3], "actor": [], "n": "x"})] {
            let entry = Entry(&value);
            assert_eq!((entry.actor(), entry.targets().count(), entry.values().count()), ("", 0, 0));
            assert_eq!((entry.ip(), entry.count()), (None, 1));
        }
    }

    #[test]
    fn keys_are_found_wherever_they_are_and_erased_one_by_one() {
        let id = |n| KeyId { scope: Uuid::from_u128(1), key: Uuid::from_u128(n) };
        let sealed = |n| json!({"$s": "AAAA", "k": id(n).to_string()});
        let mut entry = json!({"ip": sealed(1), "chg": [{"n": {"deep": [sealed(2)]}, "o": {"k": "x"}}]});
        assert_eq!(keys(&entry), HashSet::from([id(1), id(2)]));
        erase(&mut entry, &HashSet::from([id(2)]));
        assert_eq!(keys(&entry), HashSet::from([id(1)]));
        assert_eq!(entry.pointer("/chg/0/n/deep/0"), Some(&json!(ERASED)));
    }
}
