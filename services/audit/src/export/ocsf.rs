//! OCSF 1.8.0 (Open Cybersecurity Schema Framework): what a SIEM reads without being taught our words.
//!
//! `table` says which class and activity an action is. An act whose record lacks what its class requires, such as a refused
//! one that never reached its object, is API Activity (6003), which every act is. A person's data is `(sealed)`; an entry whose
//! data was opened, as a sink may send it, shows it.

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kernel::{Result, error::Error};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Encoder,
    columns::count,
    row::{Row, changes, personal, targets, text},
};

mod sample;
mod table;

pub use sample::sample_events;
use table::{Class, Mapping};

/// Version of the schema.
pub const VERSION: &str = "1.8.0";

/// One JSON object a line.
pub struct Ocsf {
    log: Uuid,
}

impl Ocsf {
    /// For events of the log of the scope with this identity.
    pub fn new(log: Uuid) -> Self {
        Self { log }
    }
}

impl Encoder for Ocsf {
    fn event(&mut self, row: &Row, out: &mut Vec<u8>) -> Result<()> {
        let event = event(row.value(), Place { log: self.log, index: row.idx, leaf_hash: row.leaf_hash() });
        serde_json::to_writer(&mut *out, &event).map_err(Error::internal)?;
        out.push(b'\n');
        Ok(())
    }
}

/// Where an entry is in its log.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Identity of the scope whose log it is.
    pub log: Uuid,
    /// Index.
    pub index: i64,
    /// RFC 6962 leaf hash of the recorded bytes.
    pub leaf_hash: tlog::Hash,
}

/// The OCSF event of an entry.
pub fn event(entry: &Value, place: Place) -> Value {
    let (action, event_class) = (text(entry, "/act"), text(entry, "/cls"));
    let (mapping, own) = table::mappings(action, event_class)
        .find_map(|mapping| specific(mapping, entry).map(|own| (mapping, own)))
        .unwrap_or_else(|| (table::call(action, event_class), general(entry)));
    let Mapping { class, activity, activity_name } = mapping;
    let (class_uid, time) = (class.uid(), millis(text(entry, "/t")));
    let (severity_id, severity, status_id, status) = match text(entry, "/out") {
        "ok" => (1, "Informational", 1, "Success"),
        _ => (2, "Low", 2, "Failure"),
    };
    let agent = personal(entry, "ua");
    let agent = (!agent.is_empty()).then(|| json!({"user_agent": agent}));
    let unmapped = unmapped(entry, place, own.get("resources").is_none());
    let common = json!({
        "activity_id": activity, "activity_name": activity_name,
        "category_uid": class_uid / 1_000, "class_uid": class_uid, "class_name": class.name(),
        "type_uid": class_uid * 100 + i64::from(activity),
        "time": time, "count": count(entry),
        "severity_id": severity_id, "severity": severity,
        "status_id": status_id, "status": status, "status_code": text(entry, "/out"),
        "metadata": metadata(entry, place, time), "actor": {"user": actor(entry)},
        "src_endpoint": endpoint(entry), "http_request": agent, "unmapped": unmapped,
    });
    present([common, own])
}

/// What API Activity has beside the common fields.
fn general(entry: &Value) -> Value {
    let request = json!({"uid": text(entry, "/req")});
    json!({
        "api": {"operation": text(entry, "/act"), "service": {"name": "provostd"}, "request": request},
        "resources": resources(entry),
    })
}

/// What another class has beside the common fields; none when the entry lacks what it requires: a refused act names but the
/// scope that it was refused in.
fn specific(mapping: Mapping, entry: &Value) -> Option<Value> {
    if text(entry, "/out") == "denied" {
        return None;
    }
    let named = |kind: &str| targets(entry).find(|(k, _)| *k == kind).map(|(_, name)| name);
    let user = || named("principal").map(|name| json!({"name": name}));
    Some(match (mapping.class, mapping.activity) {
        (Class::ApiActivity, _) => general(entry),
        (Class::AccountChange, _) => json!({"user": user()?}),
        (Class::EntityManagement, _) => {
            let (kind, name) = targets(entry).next()?;
            let (type_id, caption) = table::entity(kind);
            json!({"entity": {"name": name, "type_id": type_id, "type": caption}})
        }
        (Class::UserAccess, _) => {
            json!({"user": user()?, "privileges": [privilege(entry)?], "resources": resources(entry)})
        }
        (Class::GroupManagement, activity) => {
            let group = json!({"name": named("group")?, "type": "group"});
            match activity {
                table::GRANT | table::REVOKE => json!({"group": group, "privileges": [privilege(entry)?]}),
                table::ADD_USER | table::REMOVE_USER => json!({"group": group, "user": user()?}),
                _ => json!({"group": group}),
            }
        }
    })
}

fn resources(entry: &Value) -> Value {
    targets(entry).map(|(kind, name)| json!({"type": kind, "name": name})).collect()
}

/// What was given or taken: the duty of a grant, or the role.
fn privilege(entry: &Value) -> Option<&str> {
    let changes = entry.get("chg").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let duty = changes.iter().find(|change| text(change, "/f") == "/duty");
    let duty = duty
        .and_then(|change| ["/n", "/o"].map(|side| text(change, side)).into_iter().find(|w| !w.is_empty()));
    let role = || targets(entry).find(|(kind, _)| *kind == "role").map(|(_, name)| name);
    duty.or_else(role)
}

fn metadata(entry: &Value, place: Place, time: i64) -> Value {
    json!({
        "version": VERSION,
        "product": {"name": "Provost", "vendor_name": "Provost", "version": env!("CARGO_PKG_VERSION")},
        "uid": text(entry, "/id"), "tenant_uid": place.log.to_string(), "sequence": place.index,
        "log_name": text(entry, "/log"), "logged_time": time, "event_code": text(entry, "/act"),
        "correlation_uid": text(entry, "/req"),
    })
}

/// Who acted. OCSF knows users, services and the system; agents, tokens and links are told by `type`.
fn actor(entry: &Value) -> Value {
    let (type_id, caption) = match text(entry, "/actor/k") {
        "user" => (1, "User"),
        "service" => (4, "Service"),
        "system" => (3, "System"),
        other => (99, other),
    };
    let partner = text(entry, "/via/partner");
    let org = (!partner.is_empty()).then(|| json!({"name": partner}));
    let (name, uid) = (text(entry, "/actor/p"), text(entry, "/actor/id"));
    present([json!({"name": name, "uid": uid, "type_id": type_id, "type": caption, "org": org})])
}

/// Where the call came from; the process itself for its own acts. Only what is an address may stand in `ip`.
fn endpoint(entry: &Value) -> Value {
    match personal(entry, "ip") {
        "" => json!({"svc_name": "provostd"}),
        other => match other.parse::<IpAddr>() {
            Ok(ip) => json!({"ip": ip.to_canonical().to_string()}),
            Err(_) => json!({"name": other}),
        },
    }
}

/// What OCSF has no place for.
fn unmapped(entry: &Value, place: Place, with_targets: bool) -> Value {
    present([json!({
        "leaf_hash": BASE64_STANDARD.encode(place.leaf_hash.as_bytes()),
        "event_class": text(entry, "/cls"), "policy_revision": entry.get("pol"), "trace_id": text(entry, "/trace"),
        "changes": changes(entry), "targets": with_targets.then(|| resources(entry)),
    })])
}

/// One object with the members of all `objects` that are not null.
fn present<const N: usize>(objects: [Value; N]) -> Value {
    let members = objects.into_iter().filter_map(|object| match object {
        Value::Object(members) => Some(members),
        _ => None,
    });
    Value::Object(members.flatten().filter(|(_, value)| !value.is_null()).collect())
}

/// Milliseconds since the epoch.
fn millis(time: &str) -> i64 {
    kernel::clock::Time::parse("t", time).map_or(0, |t| t.micros().div_euclid(1_000))
}

#[cfg(test)]
mod tests;
