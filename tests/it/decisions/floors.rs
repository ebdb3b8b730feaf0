//! Floors, and what they stand on: what the tenant's officers forbid, no delegate of the partner loosens.

use proto::{
    decision::v1::DecisionReason as Reason,
    entitlement::v1::{
        DeleteEntitlementRequest, Effect, Entitlement, entitlement_service_client::EntitlementServiceClient,
    },
};
use serde_json::{Value, json};
use tests::{both_engines, raw, sets, site::Caller, staff, world};

use super::{Bank, PLUGIN, create, rule};
use crate::errors::reason;

/// A floor about the plugin for a role or everybody.
fn floor(role: &str, target: &str) -> Entitlement {
    Entitlement { floor: true, ..rule(role, target, Effect::Denied) }
}

/// Why a call is refused; empty when it is not.
async fn refusal(by: &Caller, rpc: &str, request: Value) -> String {
    let outcome = raw::json(by, &format!("provost.{rpc}"), request).await;
    outcome.map_or_else(|refused| reason(&refused), |_| String::new())
}

fn named(collection: &str, id: &str) -> String {
    world::child(world::ACME, collection, id)
}

both_engines! {
    async fn a_floor_is_set_and_taken_away_by_the_tenants_own_officers_alone(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Required).await;
        let floor = || floor("*", PLUGIN);
        let delete = async |by: &Caller, id: &str| {
            let name = world::child(world::ACME, "entitlements", id);
            let request = DeleteEntitlementRequest { name, ..Default::default() };
            EntitlementServiceClient::new(by.channel.clone()).delete_entitlement(by.ask(request)).await.map(|_| ())
        };
        let outsiders = ["consultant", "partner_admin", "admin"].map(|duty| &bank.world.holders[duty]);
        for by in outsiders {
            assert_eq!(reason(&create(by, "floor", floor()).await.unwrap_err()), "DUTY_MISSING");
        }
        for officer in ["owner", "compliance"].map(|duty| &bank.world.holders[duty]) {
            let made = create(officer, "floor", floor()).await.unwrap();
            assert!(made.floor);
            assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
            for by in outsiders {
                assert_eq!(reason(&delete(by, "floor").await.unwrap_err()), "DUTY_MISSING");
                assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
            }
            delete(officer, "floor").await.unwrap();
            assert!(bank.ask("maria").await.allowed);
        }
        let loose = Entitlement { floor: true, ..rule("*", PLUGIN, Effect::Required) };
        assert_eq!(reason(&bank.add("loose", loose).await.unwrap_err()), "INVALID_FIELD");
        assert_eq!(reason(&delete(&bank.world.holders["compliance"], "may").await.unwrap_err()), "DUTY_MISSING", "an ordinary rule");
    }

    async fn nobody_is_taken_out_from_under_a_floor_by_a_delegate(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, consultant) = (&bank.world.owner, &bank.world.consultant);
        bank.rule("may", "*", Effect::Default).await;
        // maria is a banker herself, by the desk, and because who leads includes bankers
        staff::group(owner, "desk", &["maria"]).await;
        staff::give(owner, "banker", "groups/desk").await;
        for role in ["lead", "chief", "clerk"] {
            bank.world.role(role).await;
        }
        staff::include(owner, "lead", "banker").await;
        staff::include(owner, "chief", "lead").await;
        staff::give(owner, "chief", "principals/maria").await;
        let maria = named("principals", "maria");
        let acts = [
            ("role.v1.RoleService/RemoveRoleMember", json!({"name": named("roles", "banker"), "member": maria})),
            ("role.v1.RoleService/RemoveRoleMember", json!({"name": named("roles", "banker"), "member": named("groups", "desk")})),
            ("role.v1.RoleService/RemoveRoleMember", json!({"name": named("roles", "chief"), "member": maria})),
            ("role.v1.RoleService/DeleteRole", json!({"name": named("roles", "banker")})),
            ("role.v1.RoleService/DeleteRole", json!({"name": named("roles", "lead")})),
            ("role.v1.RoleService/ExcludeRole", json!({"name": named("roles", "chief"), "includedRole": named("roles", "lead")})),
            ("group.v1.GroupService/RemoveGroupMember", json!({"name": named("groups", "desk"), "member": maria})),
            ("group.v1.GroupService/DeleteGroup", json!({"name": named("groups", "desk")})),
        ];
        bank.add("floor", floor("banker", PLUGIN)).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
        for by in [consultant, &bank.world.holders["partner_admin"]] {
            for (rpc, request) in &acts {
                assert_eq!(refusal(by, rpc, request.clone()).await, "DUTY_MISSING", "{rpc} {request}");
            }
        }
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
        // what tightens, and what no floor stands on, is provisioned as ever
        world::user(consultant, world::ACME, "ben").await;
        staff::give(consultant, "banker", "principals/ben").await;
        staff::give(consultant, "clerk", "principals/ben").await;
        staff::take(consultant, "clerk", "principals/ben").await;
        staff::include(consultant, "clerk", "banker").await;
        assert_eq!(bank.why("ben").await, Reason::ExplicitDeny);
    }

    async fn the_clients_own_people_move_freely_and_a_lifted_floor_binds_nobody(site: Site) {
        let bank = Bank::open(site).await;
        let (admin, consultant) = (&bank.world.holders["admin"], &bank.world.consultant);
        bank.rule("may", "*", Effect::Default).await;
        bank.add("floor", floor("banker", PLUGIN)).await.unwrap();
        staff::take(admin, "banker", "principals/maria").await;
        assert!(bank.ask("maria").await.allowed);
        staff::give(admin, "banker", "principals/maria").await;
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
        bank.drop_rule("floor").await;
        staff::take(consultant, "banker", "principals/maria").await;
        assert!(bank.ask("maria").await.allowed);
    }

    async fn a_plugin_group_that_a_floor_names_is_made_smaller_by_the_officers_alone(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let outsiders = ["consultant", "partner_admin", "admin"].map(|duty| &bank.world.holders[duty]);
        sets::plugin_group(&bank.world.consultant, "banned", &["kit"]).await.unwrap();
        bank.rule("may", "*", Effect::Default).await;
        let group = named("pluginGroups", "banned");
        let compliance = &bank.world.holders["compliance"];
        create(compliance, "floor", floor("*", &group)).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
        for by in outsiders {
            assert_eq!(reason(&sets::pull(by, "banned", "kit").await.unwrap_err()), "DUTY_MISSING");
            assert_eq!(reason(&sets::delete_plugin_group(by, "banned").await.unwrap_err()), "STILL_IN_USE");
            assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
        }
        // it may be made larger
        sets::put(&bank.world.consultant, "banned", "other").await.unwrap();
        sets::pull(owner, "banned", "kit").await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        bank.drop_rule("floor").await;
        sets::pull(&bank.world.consultant, "banned", "other").await.unwrap();
        sets::delete_plugin_group(&bank.world.consultant, "banned").await.unwrap();
    }

    async fn the_terms_of_a_floor_are_changed_by_the_officers_alone(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "*", Effect::Default).await;
        bank.add("floor", floor("*", PLUGIN)).await.unwrap();
        let name = named("entitlements", "floor");
        let now = bank.world.site.kernel().clock.now();
        let ended = json!({"entitlement": {"name": name, "notAfter": now.to_string()}});
        let update = "entitlement.v1.EntitlementService/UpdateEntitlement";
        for by in ["consultant", "partner_admin", "admin"].map(|duty| &bank.world.holders[duty]) {
            assert_eq!(refusal(by, update, ended.clone()).await, "DUTY_MISSING");
            assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
        }
        let compliance = &bank.world.holders["compliance"];
        assert_eq!(refusal(compliance, update, json!({"entitlement": {"name": named("entitlements", "may"), "reason": "x"}})).await, "DUTY_MISSING", "an ordinary rule");
        assert_eq!(refusal(compliance, update, ended).await, "");
        assert!(bank.ask("maria").await.allowed);
    }
}
