//! What events come to, in whatever order they stand.

use proptest::prelude::*;

use super::*;

const LOG: &str = "tenants/acme";

fn entry(act: &str, tgt: &[(&str, &str)], chg: Vec<(&str, Value, Value)>) -> Entry {
    let tgt: Vec<_> = tgt.iter().map(|(k, id)| json!({"k": k, "id": id})).collect();
    let chg: Vec<_> =
        chg.into_iter().map(|(f, o, n)| json!({"f": format!("/{f}"), "o": o, "n": n})).collect();
    let text = json!({"id": Uuid::from_u128(1), "t": "2026-11-23T12:00:00.000000Z", "log": LOG, "act": act, "out": "ok",
        "tgt": tgt, "chg": chg});
    Entry::parse(&text.to_string()).unwrap()
}

fn made(name: &str) -> Entry {
    let chg = vec![
        ("slug", json!(null), json!("banker")),
        ("display_name", json!(null), json!(name)),
        ("delete_time", json!(null), json!(null)),
        ("revision", json!(null), json!(1)),
    ];
    entry("role.create", &[("role", "tenants/acme/roles/banker")], chg)
}

fn renamed(from: i64, name: &str) -> Entry {
    let chg = vec![("display_name", json!("x"), json!(name)), ("revision", json!(from), json!(from + 1))];
    entry("role.update", &[("role", "tenants/acme/roles/banker")], chg)
}

fn member(id: u128, ended: bool) -> Entry {
    let sides = |value: Value| if ended { (value, json!(null)) } else { (json!(null), value) };
    let (id, holder) = (sides(json!(Uuid::from_u128(id))), sides(json!(Uuid::from_u128(77))));
    let chg = vec![("id", id.0, id.1), ("member_id", holder.0, holder.1)];
    let act = if ended { "role.remove_member" } else { "role.add_member" };
    entry(act, &[("role", "tenants/acme/roles/banker"), ("principal", "tenants/acme/principals/x")], chg)
}

fn folded(entries: &[Entry]) -> State {
    let mut state = State::default();
    for e in entries {
        state.apply(LOG, e);
    }
    state
}

fn banker(state: &State) -> &Chain {
    &state.roles["banker"]
}

#[test]
fn what_was_refused_or_is_of_another_scope_changes_nothing() {
    let denied = Entry { out: "denied".to_owned(), ..made("Banker") };
    let elsewhere = Entry { log: "tenants/other".to_owned(), ..made("Banker") };
    assert!(folded(&[denied, elsewhere]).is_empty());
    assert_eq!(folded(&[made("Banker")]).len(), 1);
}

#[test]
fn a_lost_change_is_told_by_the_revision_that_nothing_leads_from() {
    let mut state = folded(&[made("Banker"), renamed(2, "Third")]);
    assert_eq!((banker(&state).revision, banker(&state).early.len()), (1, 1));
    let chain = state.roles.get_mut("banker").unwrap();
    assert_eq!(chain.close(&row::ROLE), [1]);
    assert_eq!((chain.revision, chain.row.as_ref().unwrap().text(&row::ROLE, "display_name")), (3, "Third"));
    assert!(chain.close(&row::ROLE).is_empty());
    // the creation itself
    let mut state = folded(&[renamed(1, "Second")]);
    assert!(banker(&state).row.is_none());
    assert_eq!(state.roles.get_mut("banker").unwrap().close(&row::ROLE), [0]);
}

#[test]
fn inclusions_follow_the_revisions_too() {
    let pair = [("role", "tenants/acme/roles/banker"), ("role", "tenants/acme/roles/clerk")];
    let step = |act, from: i64| entry(act, &pair, vec![("revision", json!(from), json!(from + 1))]);
    let state = folded(&[made("Banker"), step("role.exclude", 2), step("role.include", 1)]);
    assert!(banker(&state).included.is_empty());
    let state = folded(&[made("Banker"), step("role.include", 1)]);
    assert_eq!(banker(&state).included, BTreeSet::from(["clerk".to_owned()]));
}

#[test]
fn a_person_erased_loses_the_data_and_gains_a_revision() {
    let person = [("principal", "tenants/acme/principals/x")];
    let sealed = json!({"$s": "AA==", "k": "a.b"});
    let chg = vec![("email", json!(null), sealed), ("revision", json!(null), json!(1))];
    let made = entry("principal.create", &person, chg);
    let deleted = entry("principal.delete", &person, vec![("revision", json!(1), json!(2))]);
    let time = "2026-11-24T12:00:00.000000Z";
    let erased = |chg: Vec<(&str, Value, Value)>| {
        entry("privacy.erased", &person, [chg, vec![("erase_time", json!(null), json!(time))]].concat())
    };
    let with = erased(vec![("revision", json!(null), json!(3))]);
    for events in
        [[made.clone(), deleted.clone(), erased(vec![])], [made.clone(), with.clone(), deleted.clone()]]
    {
        let chain = &folded(&events).principals["x"];
        let row = chain.row.as_ref().unwrap();
        let data = ["display_name", "email", "update_time"].map(|field| row.text(&row::PRINCIPAL, field));
        assert_eq!((chain.revision, data), (3, ["(erased)", "", time]));
    }
}

#[test]
fn of_a_plugin_the_newest_change_counts() {
    let listed = |stage: &str, at: &str| {
        let plugin = json!({"a": {"listed": true, "stage": stage, "update_time": at}});
        let target = [("marketplace", "marketplaces/m")];
        Entry {
            log: "platform".to_owned(),
            ..entry("plugin.import", &target, vec![("plugins", json!(null), plugin)])
        }
    };
    let set = |stage: &str, at: &str| {
        let chg = vec![("stage", json!("live"), json!(stage)), ("update_time", json!(null), json!(at))];
        Entry {
            log: "platform".to_owned(),
            ..entry("plugin.set_stage", &[("plugin", "marketplaces/m/plugins/a")], chg)
        }
    };
    let (first, second, third) =
        ("2026-11-23T12:00:00.000001Z", "2026-11-23T12:00:00.000002Z", "2026-11-23T12:00:00.000003Z");
    let events = [listed("alpha", first), set("withdrawn", third), listed("live", second)];
    let mut state = State::default();
    for e in &events {
        state.apply("platform", e);
    }
    assert_eq!(state.plugins["marketplaces/m/plugins/a"].stage.as_str(), "withdrawn");
}

/// Events of three bindings under one name: two that came and went, and one that is there.
fn bindings() -> Vec<Entry> {
    let event = |id: u128, verb: &str, from: Option<i64>, to: Option<i64>, connector: &str| {
        let uid = Uuid::from_u128(id).to_string();
        let target = [("connector_binding", "tenants/acme/connectorBindings/crm"), ("uid", uid.as_str())];
        let (old, new) =
            if to.is_some() { (json!("x"), json!(connector)) } else { (json!(connector), json!(null)) };
        let chg = vec![
            ("slug", json!(from.map(|_| "crm")), json!(to.map(|_| "crm"))),
            ("connector_id", old, new),
            ("revision", json!(from), json!(to)),
        ];
        entry(&format!("connector_binding.{verb}"), &target, chg)
    };
    let mut events = Vec::new();
    for id in 1..=3 {
        events.push(event(id, "create", None, Some(1), "a"));
        events.push(event(id, "update", Some(1), Some(2), "b"));
        events.push(event(id, "update", Some(2), Some(3), "c"));
        events.push(event(id, "delete", Some(3), None, "c"));
    }
    events.pop();
    events
}

#[test]
fn a_row_that_ended_leaves_nothing_and_its_lost_beginning_is_told() {
    let all = bindings();
    let state = folded(&all);
    let kept: Vec<_> = state.bindings.keys().copied().collect();
    assert_eq!((kept, state.len()), (vec![Uuid::from_u128(3)], 1));
    let row = state.bindings[&Uuid::from_u128(3)].row.as_ref().unwrap();
    assert_eq!(row.text(&row::CONNECTOR_BINDING, "connector_id"), "c");
    let mut state = folded(&all[1..4]);
    let chain = state.bindings.get_mut(&Uuid::from_u128(1)).unwrap();
    assert_eq!((chain.close(&row::CONNECTOR_BINDING), chain.row.is_none()), (vec![0], true));
}

proptest! {
    /// The same for rows that end for good under a name that is given again.
    #[test]
    fn the_order_of_lives_under_one_name_does_not_matter(seed in proptest::collection::vec(any::<u32>(), 11), cut in 0_usize..11) {
        let events = bindings();
        let expected = folded(&events);
        let mut shuffled: Vec<_> = seed.into_iter().zip(events).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(_, event)| event).collect();
        let kept = serde_json::to_string(&folded(&shuffled[..cut])).unwrap();
        let mut state: State = serde_json::from_str(&kept).unwrap();
        for e in &shuffled[cut..] {
            state.apply(LOG, e);
        }
        prop_assert_eq!(state, expected);
    }

    /// Changes of one row and comings and goings of others, in any order, come to the same.
    #[test]
    fn the_order_of_concurrent_events_does_not_matter(seed in proptest::collection::vec(any::<u32>(), 11)) {
        let mut events = vec![made("1")];
        events.extend((1..5).map(|n| renamed(n, &format!("{}", n + 1))));
        events.extend((1..=3).flat_map(|id| [member(id, false), member(id, true)]).take(6));
        let expected = folded(&events);
        prop_assert_eq!((banker(&expected).revision, expected.role_members.rows.len()), (5, 0));
        let mut shuffled: Vec<_> = seed.into_iter().zip(events).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(_, event)| event).collect();
        prop_assert_eq!(folded(&shuffled), expected);
    }

    /// What was folded is kept and taken up again as if nothing had happened.
    #[test]
    fn a_fold_goes_on_where_it_was_kept(cut in 0_usize..8) {
        let events =
            [made("1"), renamed(2, "3"), member(1, true), renamed(1, "2"), member(2, false), member(1, false), renamed(3, "4")];
        let (before, after) = events.split_at(cut.min(events.len()));
        let kept = serde_json::to_string(&folded(before)).unwrap();
        let mut state: State = serde_json::from_str(&kept).unwrap();
        for e in after {
            state.apply(LOG, e);
        }
        prop_assert_eq!(state, folded(&events));
    }
}

fn rule(id: u128, ended: bool, revision: i64) -> Entry {
    let sides = |value: Value| if ended { (value, json!(null)) } else { (json!(null), value) };
    let (id, slug, revision) =
        (sides(json!(Uuid::from_u128(id))), sides(json!("may")), sides(json!(revision)));
    let chg = vec![("id", id.0, id.1), ("slug", slug.0, slug.1), ("revision", revision.0, revision.1)];
    let act = if ended { "entitlement.delete" } else { "entitlement.create" };
    entry(act, &[("entitlement", "tenants/acme/entitlements/may")], chg)
}

fn reworded(id: u128, from: i64, reason: &str) -> Entry {
    let uid = Uuid::from_u128(id).to_string();
    let chg = vec![("reason", json!("x"), json!(reason)), ("revision", json!(from), json!(from + 1))];
    entry("entitlement.update", &[("entitlement", "tenants/acme/entitlements/may"), ("uid", &uid)], chg)
}

/// Reasons and revisions of the rules that are there.
fn rules(state: &State) -> Vec<(String, i64)> {
    let spec = &row::ENTITLEMENT;
    let rows = state.entitlements.rows.values();
    rows.map(|r| (r.text(spec, "reason").to_owned(), r.get(spec, "revision").as_i64().unwrap())).collect()
}

#[test]
fn the_terms_of_a_rule_are_folded_along_its_revisions_and_not_into_the_next_rule_of_that_name() {
    let changes = [rule(1, false, 1), reworded(1, 1, "one"), reworded(1, 2, "two")];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
        let state = folded(&order.map(|at: usize| changes[at].clone()));
        assert_eq!(rules(&state), [("two".to_owned(), 3)], "{order:?}");
        assert!(state.entitlements.early.is_empty());
    }
    let again = [
        rule(1, false, 1),
        rule(1, true, 2),
        rule(2, false, 1),
        reworded(1, 1, "late"),
        reworded(2, 1, "new"),
    ];
    let mut state = folded(&again);
    assert_eq!(rules(&state), [("new".to_owned(), 2)]);
    assert!(state.entitlements.close(&row::ENTITLEMENT).is_empty(), "what has ended misses nothing");
    assert_eq!(rules(&state), [("new".to_owned(), 2)]);
}

#[test]
fn a_lost_change_of_a_rule_is_told_by_the_revision_that_nothing_leads_from() {
    let mut state = folded(&[rule(1, false, 1), reworded(1, 2, "third")]);
    assert_eq!(rules(&state), [(String::new(), 1)]);
    assert_eq!(state.entitlements.close(&row::ENTITLEMENT), [(Uuid::from_u128(1), 1)]);
    assert_eq!(rules(&state), [("third".to_owned(), 3)]);
}

#[test]
fn a_row_that_was_kept_before_there_were_so_many_columns_takes_them() {
    let spec = &row::ENTITLEMENT;
    let mut old: Row =
        serde_json::from_value(json!(vec![json!("x"); spec.columns.len() + spec.beside.len()])).unwrap();
    assert_eq!((old.get(spec, "floor"), old.text(spec, "role_slug")), (&Value::Null, "x"));
    old.put(spec, "update_time", json!("now"));
    assert_eq!((old.get(spec, "floor"), old.text(spec, "update_time")), (&Value::Null, "now"));
}
