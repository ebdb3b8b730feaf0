use kernel::authz::{self, Action};
use serde_json::json;

use super::*;

/// What OCSF 1.8.0 requires of every event.
const BASE: [&str; 7] =
    ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];
/// What each class requires beside that, and which activities it has.
const CLASSES: [(i64, &[&str], std::ops::RangeInclusive<i64>); 5] = [
    (6003, &["actor", "api", "src_endpoint"], 0..=4),
    (3001, &["user"], 0..=12),
    (3004, &["entity"], 0..=13),
    (3005, &["privileges", "user"], 0..=2),
    (3006, &["group"], 0..=8),
];

fn entry(act: &str, targets: &Value) -> Value {
    json!({
        "v": 1, "id": "00000000-0000-0000-0000-000000000009", "t": "2026-11-23T12:00:00.000000Z", "log": "tenants/acme",
        "act": act, "out": "ok", "cls": "admin_write", "actor": {"k": "agent", "id": "a", "p": "tenants/acme/principals/bot"},
        "tgt": targets, "req": "r", "trace": "", "pol": "p",
    })
}

fn mapped(entry: &Value) -> Value {
    event(entry, Place { log: Uuid::from_u128(1), index: 42, leaf_hash: tlog::leaf_hash(b"x") })
}

fn all_actions() -> impl Iterator<Item = Action> {
    let nouns = [
        "partner",
        "tenant",
        "unit",
        "principal",
        "group",
        "role",
        "entitlement",
        "connector_binding",
        "stage_override",
        "marketplace",
        "plugin",
        "duty",
        "token/personal",
        "bootstrap",
        "usage",
        "meter",
        "decision",
        "audit",
        "retention",
        "legal_hold",
        "rocket",
    ];
    let verbs = [
        "create",
        "get",
        "list",
        "update",
        "delete",
        "undelete",
        "suspend",
        "resume",
        "add_member",
        "remove_member",
        "grant",
        "revoke",
        "import",
        "set_stage",
        "include",
        "exclude",
        "go_live",
        "start_pilot",
        "close",
        "check",
        "logs",
        "bootstrap",
        "export",
        "release",
        "launch",
    ];
    nouns.into_iter().flat_map(move |noun| {
        verbs.into_iter().flat_map(move |verb| {
            [authz::Class::Write, authz::Class::Read, authz::Class::Decide, authz::Class::Ingest]
                .map(|class| Action { rpc: "", noun, verb, class, scopes: &[] })
        })
    })
}

#[test]
fn every_event_has_what_its_class_requires() {
    let actions: Vec<_> = all_actions().collect();
    let mut seen = std::collections::BTreeSet::new();
    for event in sample_events(&actions) {
        let class = event["class_uid"].as_i64().unwrap();
        let (_, required, activities) = CLASSES.iter().find(|(uid, ..)| *uid == class).unwrap();
        for field in BASE.iter().chain(*required) {
            assert!(!event[field].is_null(), "{field} is missing: {event}");
        }
        let activity = event["activity_id"].as_i64().unwrap();
        assert!(activities.contains(&activity) || activity == 99, "{event}");
        assert_eq!(event["type_uid"], class * 100 + activity);
        assert_eq!(event["category_uid"], class / 1_000);
        assert_eq!(event["metadata"]["version"], VERSION);
        assert!(
            event["metadata"].get("profiles").is_none(),
            "the cloud profile would make cloud.provider required"
        );
        assert!(event["src_endpoint"].as_object().is_some_and(|o| o.values().all(|v| v != "")), "{event}");
        assert!(event.get("resources").is_none() || matches!(class, 6003 | 3005), "{event}");
        assert!(event.get("api").is_none() || class == 6003, "{event}");
        seen.insert(class);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3001, 3004, 3005, 3006, 6003]);
}

#[test]
fn an_event_says_where_in_the_log_it_is() {
    let event = mapped(&entry("role.create", &json!([{"k": "role", "id": "tenants/acme/roles/banker"}])));
    let expected = json!({
        "version": "1.8.0", "product": {"name": "Provost", "vendor_name": "Provost", "version": env!("CARGO_PKG_VERSION")},
        "uid": "00000000-0000-0000-0000-000000000009", "tenant_uid": "00000000-0000-0000-0000-000000000001",
        "sequence": 42, "log_name": "tenants/acme", "logged_time": 1_795_435_200_000_i64, "event_code": "role.create",
        "correlation_uid": "r",
    });
    assert_eq!(event["metadata"], expected);
    assert_eq!(event["time"], 1_795_435_200_000_i64);
    assert_eq!(event["unmapped"]["leaf_hash"], tlog::leaf_hash(b"x").to_string());
    assert_eq!(event["entity"], json!({"name": "tenants/acme/roles/banker", "type_id": 99, "type": "role"}));
    assert_eq!(event["actor"]["user"]["type"], "agent");
}

#[test]
fn a_member_is_a_user_of_a_role_or_a_group_with_a_right() {
    let role = json!({"k": "role", "id": "tenants/acme/roles/banker"});
    let user = mapped(&entry(
        "role.add_member",
        &json!([role, {"k": "principal", "id": "tenants/acme/principals/maria"}]),
    ));
    assert_eq!((&user["class_uid"], &user["activity_id"]), (&json!(3005), &json!(1)));
    assert_eq!(user["user"]["name"], "tenants/acme/principals/maria");
    assert_eq!(user["privileges"], json!(["tenants/acme/roles/banker"]));
    let group = mapped(&entry(
        "role.remove_member",
        &json!([role, {"k": "group", "id": "tenants/acme/groups/desk"}]),
    ));
    assert_eq!((&group["class_uid"], &group["activity_id"]), (&json!(3006), &json!(2)));
    assert_eq!(group["group"]["name"], "tenants/acme/groups/desk");
}

#[test]
fn a_duty_is_the_privilege_that_was_given_or_taken() {
    let targets = json!([{"k": "duty_grant", "id": "d"}, {"k": "principal", "id": "m"}]);
    for (act, change) in [
        ("duty.grant", json!({"f": "/duty", "o": null, "n": "owner"})),
        ("duty.revoke", json!({"f": "/duty", "o": "owner", "n": null})),
    ] {
        let mut entry = entry(act, &targets);
        entry["chg"] = json!([change]);
        let event = mapped(&entry);
        assert_eq!((&event["class_uid"], &event["privileges"]), (&json!(3005), &json!(["owner"])), "{act}");
    }
    // a record whose changes were too long to keep says less, and is still an event
    assert_eq!(mapped(&entry("duty.grant", &targets))["class_uid"], 6003);
}

#[test]
fn a_refused_act_is_a_failed_call_on_its_scope() {
    let mut refused = entry("role.create", &json!([{"k": "scope", "id": "tenants/acme"}]));
    refused["out"] = json!("denied");
    let event = mapped(&refused);
    assert_eq!(
        (&event["class_uid"], &event["activity_id"], &event["status_id"]),
        (&json!(6003), &json!(1), &json!(2))
    );
    assert_eq!((&event["severity_id"], &event["status_code"]), (&json!(2), &json!("denied")));
    assert_eq!(event["resources"], json!([{"type": "scope", "name": "tenants/acme"}]));
}

#[test]
fn only_an_address_stands_in_ip() {
    let sealed = json!({"$s": "AAAA", "k": "1.2"});
    for (ip, expected) in [
        (json!("10.0.0.7"), json!({"ip": "10.0.0.7"})),
        (json!("::ffff:10.0.0.7"), json!({"ip": "10.0.0.7"})),
        (json!("2001:db8::1"), json!({"ip": "2001:db8::1"})),
        (json!("(erased)"), json!({"name": "(erased)"})),
        (sealed, json!({"name": "(sealed)"})),
        (json!(null), json!({"svc_name": "provostd"})),
    ] {
        let mut entry = entry("role.create", &json!([]));
        entry["ip"] = ip;
        assert_eq!(mapped(&entry)["src_endpoint"], expected);
    }
}

#[test]
fn an_entry_of_any_shape_is_an_event() {
    for odd in
        [json!(null), json!([]), json!({"act": 1, "tgt": {}, "actor": [], "chg": "x", "t": "yesterday"})]
    {
        assert_eq!(mapped(&odd)["class_uid"], 6003, "{odd}");
    }
}
