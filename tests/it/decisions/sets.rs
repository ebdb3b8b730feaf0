//! Plugin groups that rules are about, and seats that they ask for.

use proto::{
    decision::v1::DecisionReason as Reason,
    entitlement::v1::{Effect, Entitlement},
};
use serde_json::{Value, json};
use tests::{both_engines, market, raw, sets, site::Caller, staff, world};
use tonic::{Code, Status};

use super::{Bank, PLUGIN, check, named, parts, rule};
use crate::errors::reason;

const RESEARCH: &str = "tenants/acme/pluginGroups/research";
const STANDARD: &str = "tenants/acme/seatPools/standard";

/// A rule that asks for a seat of `standard`.
fn seated(role: &str) -> Entitlement {
    Entitlement { seat_pool: STANDARD.to_owned(), ..rule(role, PLUGIN, Effect::Default) }
}

/// How a set is spoken of.
struct Noun {
    service: &'static str,
    title: &'static str,
    field: &'static str,
    collection: &'static str,
    request_id: &'static str,
}

const NOUNS: [Noun; 2] = [
    Noun {
        service: "provost.plugin_group.v1.PluginGroupService",
        title: "PluginGroup",
        field: "pluginGroup",
        collection: "pluginGroups",
        request_id: "0e8b7f1a-93a0-4f0e-8a54-6a1f5d3c2b12",
    },
    Noun {
        service: "provost.seat_pool.v1.SeatPoolService",
        title: "SeatPool",
        field: "seatPool",
        collection: "seatPools",
        request_id: "0e8b7f1a-93a0-4f0e-8a54-6a1f5d3c2b13",
    },
];

impl Noun {
    async fn call(&self, by: &Caller, verb: &str, request: Value) -> Result<Value, Status> {
        raw::json(by, &format!("{}/{verb}{}", self.service, self.title), request).await
    }

    async fn list(&self, by: &Caller, request: Value) -> Result<Value, Status> {
        raw::json(by, &format!("{}/List{}s", self.service, self.title), request).await
    }

    fn create(&self, id: &str, display_name: &str) -> Value {
        json!({"parent": world::ACME, format!("{}Id", self.field): id, self.field: {"displayName": display_name}})
    }

    fn name(&self, id: &str) -> String {
        world::child(world::ACME, self.collection, id)
    }

    /// Last segments of the names of a page.
    fn ids(&self, page: &Value) -> Vec<String> {
        let items = page[format!("{}s", self.field)].as_array().cloned().unwrap_or_default();
        items.iter().map(|i| i["name"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
    }
}

fn told(refused: &Status) -> (Code, String) {
    (refused.code(), reason(refused))
}

both_engines! {
    async fn a_rule_about_a_group_is_about_what_is_in_it_at_the_time(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        sets::plugin_group(owner, "research", &["kit"]).await.unwrap();
        bank.add("may", rule("banker", RESEARCH, Effect::Default)).await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        sets::pull(owner, "research", "kit").await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
        sets::put(owner, "research", "kit").await.unwrap();
        sets::put(owner, "research", "other").await.unwrap();
        let other = "marketplaces/vendor/plugins/other";
        assert!(check(owner, "maria", other).await.unwrap().allowed);
        // a deny on the group takes the parts of its plugins along
        parts::with_parts(&bank).await;
        let skill = format!("{PLUGIN}/skills/read");
        assert!(check(owner, "maria", &skill).await.unwrap().allowed);
        bank.add("not", rule("*", RESEARCH, Effect::Denied)).await.unwrap();
        for what in [PLUGIN, other, &skill] {
            let decision = check(owner, "maria", what).await.unwrap();
            assert_eq!((decision.reason(), decision.entitlements), (Reason::ExplicitDeny, named(&["not"])), "{what}");
        }
        bank.drop_rule("not").await;
        // not listed any more, and listed again
        market::import(&bank.world.admin, &market::small(&["other"])).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::UnknownPlugin);
        let list = json!({"parent": RESEARCH});
        let rpc = "provost.plugin_group.v1.PluginGroupService/ListPluginGroupMembers";
        let members = raw::json(owner, rpc, list.clone()).await.unwrap();
        assert_eq!(members["members"].as_array().unwrap().len(), 1, "{members}");
        market::import(&bank.world.admin, &market::small(&["kit", "other"])).await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        let members = raw::json(owner, rpc, list).await.unwrap();
        assert_eq!(members["members"].as_array().unwrap().len(), 2, "{members}");
    }

    async fn a_rule_with_a_seat_allows_holders_of_a_seat_alone(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        sets::seat_pool(owner, "standard", &[]).await.unwrap();
        sets::seat_pool(owner, "premium", &["maria"]).await.unwrap();
        bank.add("may", seated("banker")).await.unwrap();
        let decision = bank.ask("maria").await;
        assert_eq!((decision.reason(), decision.entitlements), (Reason::SeatRequired, named(&["may"])), "a seat of another pool");
        sets::seat(owner, "standard", "maria").await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        assert_eq!(told(&sets::seat(owner, "standard", "maria").await.unwrap_err()), (Code::AlreadyExists, "RESOURCE_EXISTS".to_owned()));
        // an agent needs a seat of its own, and its owner one too
        staff::agent(owner, "bot", "maria").await;
        staff::give(owner, "banker", "principals/bot").await;
        assert_eq!(bank.why("bot").await, Reason::SeatRequired);
        sets::seat(owner, "standard", "bot").await.unwrap();
        assert!(bank.ask("bot").await.allowed);
        sets::unseat(owner, "standard", "maria").await.unwrap();
        assert_eq!([bank.why("maria").await, bank.why("bot").await], [Reason::SeatRequired, Reason::OwnerNotEntitled]);
        assert_eq!(told(&sets::unseat(owner, "standard", "maria").await.unwrap_err()), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
        // who is deleted holds no seat, and has it again when undeleted
        sets::seat(owner, "standard", "maria").await.unwrap();
        raw::json(owner, "provost.principal.v1.PrincipalService/DeletePrincipal", json!({"name": "tenants/acme/principals/bot"})).await.unwrap();
        let rpc = "provost.seat_pool.v1.SeatPoolService/ListSeatHolders";
        let holders = async || raw::json(owner, rpc, json!({"parent": STANDARD})).await.unwrap()["holders"].as_array().unwrap().len();
        assert_eq!((bank.why("bot").await, holders().await), (Reason::UnknownPrincipal, 1));
        raw::json(owner, "provost.principal.v1.PrincipalService/UndeletePrincipal", json!({"name": "tenants/acme/principals/bot"})).await.unwrap();
        assert!(bank.ask("bot").await.allowed);
        assert_eq!(holders().await, 2);
        // a deny holds with and without a seat
        let refused = bank.add("not", Entitlement { seat_pool: STANDARD.to_owned(), ..rule("*", PLUGIN, Effect::Denied) }).await.unwrap_err();
        assert_eq!(told(&refused), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
        bank.rule("not", "*", Effect::Denied).await;
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
    }

    async fn what_a_rule_names_is_not_deleted_and_the_refusal_names_the_rules(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        sets::plugin_group(owner, "research", &["kit"]).await.unwrap();
        sets::seat_pool(owner, "standard", &["maria"]).await.unwrap();
        for n in 0..7 {
            let about_group = Entitlement { seat_pool: STANDARD.to_owned(), ..rule("banker", RESEARCH, Effect::Default) };
            bank.add(&format!("r{n}"), about_group).await.unwrap();
        }
        for refused in [sets::delete_plugin_group(owner, "research").await, sets::delete_seat_pool(owner, "standard").await] {
            let refused = refused.unwrap_err();
            assert_eq!(told(&refused), (Code::FailedPrecondition, "STILL_IN_USE".to_owned()));
            assert!(refused.message().contains("`tenants/acme/entitlements/r0`") && refused.message().contains("and others"), "{}", refused.message());
        }
        assert!(bank.ask("maria").await.allowed);
        for n in 0..7 {
            bank.drop_rule(&format!("r{n}")).await;
        }
        sets::delete_plugin_group(owner, "research").await.unwrap();
        sets::delete_seat_pool(owner, "standard").await.unwrap();
        // what is deleted is named by no new rule
        for new in [rule("banker", RESEARCH, Effect::Default), seated("banker")] {
            assert_eq!(told(&bank.add("x", new).await.unwrap_err()), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
        }
        assert_eq!(told(&sets::put(owner, "research", "other").await.unwrap_err()), (Code::FailedPrecondition, "ILLEGAL_STATE".to_owned()));
        assert_eq!(told(&sets::seat(owner, "standard", "owner").await.unwrap_err()), (Code::FailedPrecondition, "ILLEGAL_STATE".to_owned()));
        for noun in &NOUNS {
            let id = if noun.title == "SeatPool" { "standard" } else { "research" };
            noun.call(owner, "Undelete", json!({"name": noun.name(id)})).await.unwrap();
        }
        bank.add("again", Entitlement { seat_pool: STANDARD.to_owned(), ..rule("banker", RESEARCH, Effect::Default) }).await.unwrap();
        assert!(bank.ask("maria").await.allowed, "what was in the group and who had a seat is back");
    }

    async fn sets_of_another_tenant_are_not_found(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, stranger) = (&bank.world.owner, &bank.world.stranger);
        for noun in &NOUNS {
            let mut create = noun.create("theirs", "Theirs");
            create["parent"] = json!("tenants/globex");
            noun.call(stranger, "Create", create).await.unwrap();
        }
        for new in [
            rule("banker", "tenants/globex/pluginGroups/theirs", Effect::Default),
            Entitlement { seat_pool: "tenants/globex/seatPools/theirs".to_owned(), ..rule("banker", PLUGIN, Effect::Default) },
            rule("banker", "tenants/acme/pluginGroups/theirs", Effect::Default),
            Entitlement { seat_pool: "tenants/acme/seatPools/theirs".to_owned(), ..rule("banker", PLUGIN, Effect::Default) },
        ] {
            assert_eq!(told(&bank.add("x", new).await.unwrap_err()), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
        }
        sets::seat_pool(owner, "standard", &[]).await.unwrap();
        let holder = json!({"name": STANDARD, "holder": "tenants/globex/principals/owner"});
        let refused = raw::json(owner, "provost.seat_pool.v1.SeatPoolService/AddSeatHolder", holder).await.unwrap_err();
        assert_eq!(told(&refused), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
        for outsider in [stranger, &bank.world.rival] {
            assert_eq!(sets::seat(outsider, "standard", "maria").await.unwrap_err().code(), Code::NotFound);
            assert_eq!(sets::plugin_group(outsider, "x", &[]).await.unwrap_err().code(), Code::NotFound);
        }
        for duty in ["member", "finance", "approver", "compliance"] {
            let refused = sets::plugin_group(&bank.world.holders[duty], "x", &[]).await.unwrap_err();
            assert_eq!(told(&refused), (Code::PermissionDenied, "DUTY_MISSING".to_owned()), "{duty}");
        }
        sets::plugin_group(&bank.world.consultant, "x", &["kit"]).await.unwrap();
    }

    async fn a_group_has_a_thousand_plugins_and_no_more(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let names: Vec<_> = (0..999).map(|n| format!("x{n}")).chain(["kit".to_owned(), "other".to_owned()]).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        market::import(&bank.world.admin, &market::small(&names)).await.unwrap();
        sets::plugin_group(owner, "research", &[]).await.unwrap();
        let mut tx = bank.world.site.kernel().db.begin_derived();
        let query = "INSERT INTO plugin_group_member (tenant_id, plugin_group_id, plugin_id, id, marketplace_id, create_time) \
             SELECT g.tenant_id, g.id, p.id, p.id, p.marketplace_id, 5 FROM plugin_group g CROSS JOIN plugin p WHERE p.slug >= 'x'";
        assert_eq!(kernel::execute!(&mut tx, sqlx::query(query)).unwrap(), 999);
        tx.finish().await.unwrap();
        sets::put(owner, "research", "kit").await.unwrap();
        let full = sets::put(owner, "research", "other").await.unwrap_err();
        assert_eq!(told(&full), (Code::ResourceExhausted, "LIMIT_EXCEEDED".to_owned()));
        sets::pull(owner, "research", "x0").await.unwrap();
        sets::put(owner, "research", "other").await.unwrap();
        bank.add("may", rule("banker", RESEARCH, Effect::Default)).await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        // page by page, each once
        let (mut seen, mut token) = (std::collections::BTreeSet::new(), String::new());
        loop {
            let request = json!({"parent": RESEARCH, "pageSize": 300, "pageToken": token});
            let page = raw::json(owner, "provost.plugin_group.v1.PluginGroupService/ListPluginGroupMembers", request).await.unwrap();
            for member in page["members"].as_array().unwrap() {
                assert!(seen.insert(member["member"].as_str().unwrap().to_owned()));
            }
            page["nextPageToken"].as_str().unwrap_or_default().clone_into(&mut token);
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), 1_000);
    }

    async fn sets_have_the_standard_methods(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        for noun in &NOUNS {
            for (id, display_name) in [("c", "Gamma"), ("a", "Alpha"), ("b", "Beta")] {
                let made = noun.call(owner, "Create", noun.create(id, display_name)).await.unwrap();
                assert_eq!((made["name"].as_str().unwrap(), made["displayName"].as_str().unwrap()), (noun.name(id).as_str(), display_name));
                assert_eq!(noun.call(owner, "Get", json!({"name": noun.name(id)})).await.unwrap(), made);
                bank.world.site.advance(std::time::Duration::from_secs(1));
            }
            assert_eq!(told(&noun.call(owner, "Create", noun.create("a", "Again")).await.unwrap_err()).1, "RESOURCE_EXISTS");
            // lists
            let id = if noun.title == "SeatPool" { "seat_pool_id" } else { "plugin_group_id" };
            for (filter, order, expected) in [
                (String::new(), "", vec!["c", "a", "b"]),
                (String::new(), "display_name desc", vec!["c", "b", "a"]),
                (format!("{id} >= b"), id, vec!["b", "c"]),
                ("display_name = \"Al*\"".to_owned(), "", vec!["a"]),
            ] {
                let page = noun.list(owner, json!({"parent": world::ACME, "filter": filter, "orderBy": order})).await.unwrap();
                assert_eq!(noun.ids(&page), expected, "{filter} {order}");
            }
            let first = noun.list(owner, json!({"parent": world::ACME, "pageSize": 2})).await.unwrap();
            let next = json!({"parent": world::ACME, "pageSize": 2, "pageToken": first["nextPageToken"]});
            let rest = noun.list(owner, next).await.unwrap();
            assert_eq!((noun.ids(&first), noun.ids(&rest)), (vec!["c".to_owned(), "a".to_owned()], vec!["b".to_owned()]));
            for bad in [json!({"parent": world::ACME, "filter": "colour = red"}), json!({"parent": world::ACME, "orderBy": "colour"}), json!({"parent": world::ACME, "pageToken": "x"}), json!({"parent": world::ACME, "pageSize": -1})] {
                assert_eq!(noun.list(owner, bad.clone()).await.unwrap_err().code(), Code::InvalidArgument, "{bad}");
            }
            // update, with an etag and a mask
            let name = noun.name("a");
            let before = noun.call(owner, "Get", json!({"name": name})).await.unwrap();
            let update = json!({noun.field: {"name": name, "description": "words", "etag": before["etag"]}, "updateMask": "description"});
            let after = noun.call(owner, "Update", update.clone()).await.unwrap();
            assert_eq!((&after["description"], &after["displayName"]), (&json!("words"), &before["displayName"]));
            assert_eq!(told(&noun.call(owner, "Update", update).await.unwrap_err()), (Code::Aborted, "ETAG_STALE".to_owned()));
            let immutable = json!({noun.field: {"name": name}, "updateMask": "uid"});
            assert_eq!(told(&noun.call(owner, "Update", immutable).await.unwrap_err()).1, "INVALID_FIELD");
            // dry runs and repeated requests
            let mut dry = noun.create("dry", "Dry");
            dry["validateOnly"] = json!(true);
            noun.call(owner, "Create", dry).await.unwrap();
            assert_eq!(noun.call(owner, "Get", json!({"name": noun.name("dry")})).await.unwrap_err().code(), Code::NotFound);
            let mut once = noun.create("once", "Once");
once["requestId"] = json!(noun.request_id);
            let made = noun.call(owner, "Create", once.clone()).await.unwrap();
            assert_eq!(noun.call(owner, "Create", once.clone()).await.unwrap(), made);
            once[noun.field]["displayName"] = json!("Other");
            assert_eq!(told(&noun.call(owner, "Create", once).await.unwrap_err()).1, "REQUEST_ID_REUSED");
            // deletion is soft
            let gone = noun.call(owner, "Delete", json!({"name": name})).await.unwrap();
            assert!(gone["deleteTime"].is_string(), "{gone}");
            assert_eq!(told(&noun.call(owner, "Delete", json!({"name": name})).await.unwrap_err()).1, "ILLEGAL_STATE");
            assert_eq!(told(&noun.call(owner, "Create", noun.create("a", "Again")).await.unwrap_err()).1, "RESOURCE_EXISTS", "its id stays taken");
            let shown = noun.list(owner, json!({"parent": world::ACME, "showDeleted": true})).await.unwrap();
            let hidden = noun.list(owner, json!({"parent": world::ACME})).await.unwrap();
            assert_eq!((noun.ids(&shown).len(), noun.ids(&hidden).len()), (4, 3));
            noun.call(owner, "Undelete", json!({"name": name})).await.unwrap();
            assert_eq!(told(&noun.call(owner, "Undelete", json!({"name": name})).await.unwrap_err()).1, "ILLEGAL_STATE");
        }
    }
}
