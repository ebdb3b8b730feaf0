//! Events to try the mapping with: what the schema's own software should accept.

use kernel::{audit::class_of, authz::Action};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Place, event};

/// OCSF events of every action: done, refused, and done by the process itself, with each kind of target that it has.
pub fn sample_events<'a>(actions: impl IntoIterator<Item = &'a Action>) -> Vec<Value> {
    let mut events = Vec::new();
    for action in actions {
        let done = typical(action).into_iter().map(|targets| ("ok", targets));
        for (outcome, targets) in done.chain([("denied", vec![("scope", "tenants/acme")])]) {
            let entry = entry(action, outcome, &targets);
            let index = i64::try_from(events.len()).unwrap_or(i64::MAX);
            let leaf_hash = tlog::leaf_hash(entry.to_string().as_bytes());
            events.push(event(&entry, Place { log: Uuid::from_u128(1), index, leaf_hash }));
        }
    }
    events
}

/// The targets that records of an action have.
fn typical(action: &Action) -> Vec<Vec<(&'static str, &'static str)>> {
    let (role, group, principal) = (
        ("role", "tenants/acme/roles/banker"),
        ("group", "tenants/acme/groups/desk"),
        ("principal", "tenants/acme/principals/maria"),
    );
    match (action.noun, action.verb) {
        ("role", "add_member" | "remove_member") => vec![vec![role, principal], vec![role, group]],
        ("group", "add_member" | "remove_member") => vec![vec![group, principal]],
        ("duty", _) => vec![vec![("duty_grant", "tenants/acme/dutyGrants/1"), principal]],
        ("audit", "gap") => vec![vec![("sink", "tenants/acme/sinks/siem")]],
        ("checkpoint", "publish") => vec![vec![("log", "1d6c1cf6")]],
        ("bootstrap", _) => vec![vec![principal, ("token", "tokens/1")]],
        ("group", _) => vec![vec![group]],
        ("principal", _) => vec![vec![principal]],
        (noun, _) => {
            vec![vec![(noun.split('/').next().unwrap_or(noun), "tenants/acme/things/one")], Vec::new()]
        }
    }
}

/// An entry as the kernel writes it.
fn entry(action: &Action, outcome: &str, targets: &[(&str, &str)]) -> Value {
    let sealed = json!({"$s": "AAAA", "k": "1.2"});
    let targets: Vec<_> = targets.iter().map(|(kind, name)| json!({"k": kind, "id": name})).collect();
    let id = Uuid::from_u128(2);
    let mut entry = json!({
        "v": 1, "id": id, "t": "2026-11-23T12:00:00.000000Z", "log": "tenants/acme", "act": action.name(),
        "out": outcome, "cls": class_of(action),
        "actor": {"k": "user", "id": id, "p": "partners/northwind/principals/paul"},
        "via": {"partner": "partners/northwind"}, "tgt": targets, "req": id, "trace": "", "pol": "1",
        "chg": [{"f": "/duty", "o": null, "n": "owner"}, {"f": "/display_name", "o": null, "n": sealed}],
        "ip": sealed, "ua": sealed,
    });
    if targets.is_empty()
        && let Some(fields) = entry.as_object_mut()
    {
        // what the process does by itself has no caller
        fields.retain(|name, _| !matches!(name.as_str(), "ip" | "ua" | "via" | "chg"));
        fields.insert("actor".to_owned(), json!({"k": "system", "id": Uuid::nil(), "p": "system"}));
    }
    entry
}
