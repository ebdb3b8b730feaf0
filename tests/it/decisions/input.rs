//! Texts and circles that nobody should send: refused with the reason, or kept as they are, and never anything in between.

use proto::{
    decision::v1::DecisionReason as Reason,
    entitlement::v1::{
        self as entitlement, Effect, Entitlement, entitlement_service_client::EntitlementServiceClient,
        proposed_change::Change,
    },
};
use serde_json::{Value, json};
use tests::{both_engines, market, raw, sets, staff, world};
use tonic::Code;

use super::{Bank, PLUGIN, check, named, rule};
use crate::errors::reason;

/// Texts for every field.
const ODD: [&str; 14] = [
    "",
    " ",
    "*",
    "\0",
    "..",
    "../../etc/passwd",
    "Größe — ẞ",
    "e\u{301}",
    "🦀",
    "a\nb",
    "'; DROP TABLE entitlement; --",
    "\u{202e}kcab",
    "p, *, allow",
    "tenants/acme/roles/banker/../../globex",
];

/// Every text field of what creates something that decisions rest on.
const FIELDS: [(&str, &str, &[&str]); 5] = [
    (
        "provost.entitlement.v1.EntitlementService/CreateEntitlement",
        r#"{"parent": "tenants/acme", "entitlementId": "", "entitlement": {"role": "*", "target": "marketplaces/vendor/plugins/kit", "effect": "EFFECT_AVAILABLE", "reason": "", "seatPool": ""}}"#,
        &[
            "/parent",
            "/entitlementId",
            "/entitlement/role",
            "/entitlement/target",
            "/entitlement/reason",
            "/entitlement/seatPool",
        ],
    ),
    (
        "provost.plugin_group.v1.PluginGroupService/CreatePluginGroup",
        r#"{"parent": "tenants/acme", "pluginGroupId": "odd", "pluginGroup": {"displayName": "Odd", "description": ""}}"#,
        &["/parent", "/pluginGroupId", "/pluginGroup/displayName", "/pluginGroup/description"],
    ),
    (
        "provost.seat_pool.v1.SeatPoolService/CreateSeatPool",
        r#"{"parent": "tenants/acme", "seatPoolId": "odd", "seatPool": {"displayName": "Odd", "description": ""}}"#,
        &["/parent", "/seatPoolId", "/seatPool/displayName", "/seatPool/description"],
    ),
    (
        "provost.plugin_group.v1.PluginGroupService/AddPluginGroupMember",
        r#"{"name": "tenants/acme/pluginGroups/research", "member": "marketplaces/vendor/plugins/kit"}"#,
        &["/name", "/member"],
    ),
    (
        "provost.seat_pool.v1.SeatPoolService/AddSeatHolder",
        r#"{"name": "tenants/acme/seatPools/standard", "holder": "tenants/acme/principals/maria"}"#,
        &["/name", "/holder"],
    ),
];

both_engines! {
    async fn odd_texts_in_every_field_are_refused_with_a_reason_or_read_back_as_they_are(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        sets::plugin_group(owner, "research", &[]).await.unwrap();
        sets::seat_pool(owner, "standard", &[]).await.unwrap();
        let (mut taken, mut refused) = (0, 0);
        let long = "x".repeat(5_000);
        for (rpc, good, fields) in FIELDS {
            for field in fields {
                for text in ODD.into_iter().chain([long.as_str()]) {
                    let mut request: Value = serde_json::from_str(good).unwrap();
                    *request.pointer_mut(field).unwrap() = json!(text);
                    request["validateOnly"] = json!(true);
                    match raw::json(owner, rpc, request).await {
                        Ok(answer) => {
                            taken += 1;
                            let last = field.rsplit('/').next().unwrap();
                            let kept = answer.get(last).and_then(Value::as_str).unwrap_or_default();
                            let chosen = matches!(last, "entitlementId" | "target" | "role");
                            assert!(kept == text || chosen, "{rpc} {field}: {text:?} became {kept:?}");
                        }
                        Err(status) => {
                            refused += 1;
                            let known = matches!(status.code(), Code::InvalidArgument | Code::NotFound);
                            assert!(known && !reason(&status).is_empty(), "{rpc} {field} {text:?}: {status:?}");
                        }
                    }
                }
            }
        }
        assert!(taken > 30 && refused > 150, "{taken} taken, {refused} refused");
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
    }

    async fn odd_questions_are_refused_or_denied(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        bank.add("may", rule("*", "marketplaces/vendor", Effect::Required)).await.unwrap();
        assert!(bank.ask("maria").await.allowed);
        for text in ODD {
            for (who, what) in [
                (world::child(world::ACME, "principals", text), PLUGIN.to_owned()),
                ("maria".to_owned(), format!("marketplaces/vendor/plugins/{text}")),
                ("maria".to_owned(), format!("{PLUGIN}/apps/{text}")),
                ("maria".to_owned(), format!("{PLUGIN}/skills/{text}")),
                ("maria".to_owned(), text.to_owned()),
            ] {
                match check(owner, &who, &what).await {
                    Ok(decision) => {
                        let unknown = [Reason::UnknownPrincipal, Reason::UnknownPlugin];
                        assert!(!decision.allowed && unknown.contains(&decision.reason()), "{who} {what}: {decision:?}");
                    }
                    Err(status) => assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{who} {what}"),
                }
            }
        }
    }

    /// On the wire an effect is a number: one that is none of the words, and none at all, are refused when a rule is made,
    /// changed, thought of or compared.
    async fn an_effect_that_is_none_is_refused_over_the_wire(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        bank.rule("not", "banker", Effect::Denied).await;
        for number in [0, 5, 99, -1, i32::MAX, i32::MIN] {
            let new = Entitlement { effect: number, ..rule("banker", PLUGIN, Effect::Denied) };
            let created = bank.add("odd", new.clone()).await.map(drop);
            let (named, kept) = (named(&["not"]).remove(0), named(&["kept"]).remove(0));
            let changed = Entitlement { name: named, ..new.clone() };
            let update_mask = Some(prost_types::FieldMask { paths: vec!["effect".to_owned()] });
            let request = entitlement::UpdateEntitlementRequest { entitlement: Some(changed), update_mask, ..Default::default() };
            let mut client = EntitlementServiceClient::new(owner.channel.clone());
            let updated = client.update_entitlement(owner.ask(request)).await.map(drop);
            let proposed = entitlement::ProposedEntitlement { entitlement_id: String::new(), entitlement: Some(new.clone()) };
            let change = entitlement::ProposedChange { change: Some(Change::CreateEntitlement(proposed)) };
            let request = entitlement::PreviewChangeRequest { parent: world::ACME.to_owned(), changes: vec![change], ..Default::default() };
            let previewed = client.preview_change(owner.ask(request)).await.map(drop);
            let request = entitlement::DiffPoliciesRequest { parent: world::ACME.to_owned(), entitlements: vec![Entitlement { name: kept, ..new }], ..Default::default() };
            let compared = client.diff_policies(owner.ask(request)).await.map(drop);
            for (what, outcome) in [("created", created), ("updated", updated), ("previewed", previewed), ("compared", compared)] {
                let refused = outcome.unwrap_err();
                assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{what} {number}: {refused:?}");
                assert!(refused.message().contains("effect"), "{what} {number}: {}", refused.message());
            }
        }
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny, "the rule is as it was");
    }

    async fn an_unknown_plugin_has_no_rules_and_is_denied_to_everybody(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        bank.add("all", rule("*", "marketplaces/vendor", Effect::Required)).await.unwrap();
        let known = ["marketplaces/vendor/plugins/none", "marketplaces/none/plugins/kit", &format!("{PLUGIN}/apps/none"), &format!("{PLUGIN}/skills/none")].map(str::to_owned);
        for unknown in known {
            let refused = bank.add("odd", rule("*", &unknown, Effect::Denied)).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"), "{unknown}");
            let decision = check(owner, "maria", &unknown).await.unwrap();
            assert_eq!((decision.allowed, decision.reason()), (false, Reason::UnknownPlugin), "{unknown}");
        }
    }

    /// What vendors say of who has a plugin installed is no rule here, however they spell it.
    async fn an_installation_policy_of_a_vendor_grants_nothing_however_it_is_spelt(site: Site) {
        let bank = Bank::open(site).await;
        for word in ["Deny", "NOT_AVAILABLE", "INSTALLED_BY_DEFAULT", "AVAILABLE", "available", ""] {
            let mut files = market::small(&["kit", "other"]);
            market::put(&mut files, market::LISTING, &json!({"name": "vendor", "plugins": [
                {"name": "kit", "source": "./plugins/kit", "policy": {"installation": word}},
                {"name": "other", "source": "./plugins/other"},
            ]}));
            market::import(&bank.world.admin, &files).await.unwrap();
            assert_eq!(bank.why("maria").await, Reason::NoMatchingRule, "{word}");
        }
    }

    async fn a_window_that_ends_before_it_begins_is_refused(site: Site) {
        let bank = Bank::open(site).await;
        for (from, until) in [("2026-12-02T00:00:00Z", "2026-12-01T00:00:00Z"), ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z")] {
            let new = json!({"role": "*", "target": PLUGIN, "effect": "EFFECT_AVAILABLE", "notBefore": from, "notAfter": until});
            let request = json!({"parent": world::ACME, "entitlement": new});
            let refused = raw::json(&bank.world.owner, "provost.entitlement.v1.EntitlementService/CreateEntitlement", request).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
            assert!(refused.message().contains("not_before") || refused.message().contains("not_after"), "{}", refused.message());
        }
    }

    async fn roles_in_a_circle_and_a_ninth_below_another_are_refused_and_eight_decide(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        for n in 1..=9 {
            bank.world.role(&format!("r{n}")).await;
        }
        for n in 1..8 {
            staff::include(owner, &format!("r{n}"), &format!("r{}", n + 1)).await;
        }
        let include = async |role: &str, included: &str| {
            let request = json!({"name": world::child(world::ACME, "roles", role), "includedRole": world::child(world::ACME, "roles", included)});
            raw::json(owner, "provost.role.v1.RoleService/IncludeRole", request).await.unwrap_err()
        };
        for (role, included) in [("r8", "r1"), ("r1", "r1"), ("r2", "r1"), ("r8", "r9"), ("r9", "r1")] {
            let refused = include(role, included).await;
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "CYCLE_OR_DEPTH"), "{role} {included}");
        }
        staff::give(owner, "r1", "principals/maria").await;
        bank.rule("deep", "r8", Effect::Default).await;
        assert!(bank.ask("maria").await.allowed, "eight roles down");
        staff::include(owner, "r7", "banker").await;
        bank.rule("not", "banker", Effect::Denied).await;
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
    }
}

/// The words for effects are exact: JSON that misspells one never becomes a rule.
#[test]
fn a_misspelt_effect_is_no_effect() {
    let message = raw::pool().get_message_by_name("provost.entitlement.v1.Entitlement").unwrap();
    for word in ["Deny", "DENIED", "denied", "EFFECT_DENY", "effect_denied", "EFFECT_DENIED ", ""] {
        let text = json!({"effect": word}).to_string();
        let read = prost_reflect::DynamicMessage::deserialize(
            message.clone(),
            &mut serde_json::Deserializer::from_str(&text),
        );
        assert!(read.is_err(), "{word}");
    }
    let exact = json!({"effect": "EFFECT_DENIED"}).to_string();
    prost_reflect::DynamicMessage::deserialize(message, &mut serde_json::Deserializer::from_str(&exact))
        .unwrap();
}
