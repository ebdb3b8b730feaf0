//! The rules themselves.

use kernel::clock::Time;
use proto::{
    catalog::v1::Stage,
    entitlement::v1::{
        self as pb, Effect, Entitlement, entitlement_service_client::EntitlementServiceClient,
    },
};
use tests::{
    both_engines,
    site::{Caller, START},
    staff, world,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Bank, PLUGIN, create, rule};
use crate::errors::reason;

async fn get(by: &Caller, id: &str) -> Result<Entitlement, Status> {
    let name = world::child(world::ACME, "entitlements", id);
    let request = pb::GetEntitlementRequest { name };
    Ok(EntitlementServiceClient::new(by.channel.clone()).get_entitlement(by.ask(request)).await?.into_inner())
}

async fn list(by: &Caller, filter: &str, order_by: &str) -> Result<Vec<String>, Status> {
    let request = pb::ListEntitlementsRequest {
        parent: world::ACME.to_owned(),
        filter: filter.to_owned(),
        order_by: order_by.to_owned(),
        ..Default::default()
    };
    let page = EntitlementServiceClient::new(by.channel.clone())
        .list_entitlements(by.ask(request))
        .await?
        .into_inner();
    Ok(page.entitlements.iter().map(|e| e.name.rsplit('/').next().unwrap().to_owned()).collect())
}

async fn delete(by: &Caller, request: pb::DeleteEntitlementRequest) -> Result<Entitlement, Status> {
    Ok(EntitlementServiceClient::new(by.channel.clone())
        .delete_entitlement(by.ask(request))
        .await?
        .into_inner())
}

both_engines! {
    async fn a_rule_reads_back_as_it_was_made(site: Site) {
        let bank = Bank::open(site).await;
        let start = Time::parse("start", START).unwrap();
        let new = Entitlement {
            max_stage: Stage::Preview.into(),
            not_before: Some(start.into()),
            not_after: Some(start.plus(std::time::Duration::from_micros(1)).into()),
            reason: "pilot — phase 1".to_owned(),
            ..rule("banker", PLUGIN, Effect::Required)
        };
        let made = bank.add("pilot", new.clone()).await.unwrap();
        assert_eq!(made.name, "tenants/acme/entitlements/pilot");
        assert!(!made.etag.is_empty() && !made.uid.is_empty() && made.create_time == Some(start.into()));
        let Entitlement { name, uid, create_time, update_time, etag, .. } = made.clone();
        assert_eq!(update_time, create_time);
        assert_eq!(made, Entitlement { name, uid, create_time, update_time, etag, ..new });
        assert_eq!(get(&bank.world.owner, "pilot").await.unwrap(), made);
        let chosen = bank.add("", rule("*", "marketplaces/vendor", Effect::Available)).await.unwrap();
        assert!(chosen.name.starts_with("tenants/acme/entitlements/e-"), "{}", chosen.name);
        assert_eq!((chosen.role.as_str(), chosen.max_stage()), ("*", Stage::Live));
        let acts = crate::audit::events(&bank.world.owner, world::ACME, "action = \"entitlement.create\"").await;
        let targets: Vec<_> = acts.iter().flat_map(|e| e.targets.clone()).collect();
        assert_eq!(targets, [chosen.name, made.name]);
    }

    async fn what_is_wrong_with_a_rule_is_named_by_field(site: Site) {
        let bank = Bank::open(site).await;
        let good = rule("banker", PLUGIN, Effect::Default);
        let now = Some(Time::parse("start", START).unwrap().into());
        for (id, bad, field) in [
            ("Bad Id", good.clone(), "entitlement_id"),
            ("x", Entitlement { role: "banker".to_owned(), ..good.clone() }, "entitlement.role"),
            ("x", Entitlement { role: String::new(), ..good.clone() }, "entitlement.role"),
            ("x", Entitlement { target: "kit".to_owned(), ..good.clone() }, "entitlement.target"),
            ("x", Entitlement { target: String::new(), ..good.clone() }, "entitlement.target"),
            ("x", Entitlement { effect: 0, ..good.clone() }, "entitlement.effect"),
            ("x", Entitlement { effect: 9, ..good.clone() }, "entitlement.effect"),
            ("x", Entitlement { max_stage: Stage::Withdrawn.into(), ..good.clone() }, "entitlement.max_stage"),
            ("x", Entitlement { max_stage: 77, ..good.clone() }, "entitlement.max_stage"),
            ("x", Entitlement { not_before: now, not_after: now, ..good.clone() }, "entitlement.not_after"),
            ("x", Entitlement { reason: "r".repeat(513), ..good.clone() }, "entitlement.reason"),
        ] {
            let refused = bank.add(id, bad).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{field}");
            let details = refused.get_error_details();
            assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
        }
        for (bad, what) in [
            (rule("nobody", PLUGIN, Effect::Default), "roles/nobody"),
            (Entitlement { role: "tenants/globex/roles/banker".to_owned(), ..good.clone() }, "globex"),
            (rule("banker", "marketplaces/vendor/plugins/none", Effect::Default), "plugins/none"),
            (rule("banker", "marketplaces/none", Effect::Default), "marketplaces/none"),
        ] {
            let refused = bank.add("x", bad).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"), "{what}");
            assert!(refused.message().contains(what), "{}", refused.message());
        }
        staff::delete_role(&bank.world.owner, "banker").await;
        assert_eq!(bank.add("x", good).await.unwrap_err().code(), Code::NotFound, "a deleted role gets no rules");
        assert_eq!(list(&bank.world.owner, "", "").await.unwrap(), [""; 0]);
    }

    async fn a_taken_id_is_refused_and_free_again_after_deletion(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        let refused = bank.add("may", rule("*", PLUGIN, Effect::Denied)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "RESOURCE_EXISTS"));
        assert_eq!(get(&bank.world.owner, "may").await.unwrap().effect(), Effect::Default);
        bank.drop_rule("may").await;
        bank.rule("may", "*", Effect::Denied).await;
    }

    async fn deletion_needs_the_etag_that_was_read_and_returns_what_was_deleted(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, made) = (&bank.world.owner, bank.add("may", rule("banker", PLUGIN, Effect::Default)).await.unwrap());
        let request = pb::DeleteEntitlementRequest { name: made.name.clone(), ..Default::default() };
        let stale = pb::DeleteEntitlementRequest { etag: "\"9\"".to_owned(), ..request.clone() };
        let refused = delete(owner, stale).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "ETAG_STALE"));
        let dry = pb::DeleteEntitlementRequest { validate_only: true, ..request.clone() };
        assert_eq!(delete(owner, dry).await.unwrap(), made);
        assert_eq!(get(owner, "may").await.unwrap(), made);
        let exact = pb::DeleteEntitlementRequest { etag: made.etag.clone(), ..request.clone() };
        assert_eq!(delete(owner, exact).await.unwrap(), made);
        for gone in [get(owner, "may").await, delete(owner, request).await] {
            let refused = gone.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
        }
    }

    async fn a_repeated_request_returns_the_first_result_and_another_payload_is_refused(site: Site) {
        let bank = Bank::open(site).await;
        let by = &bank.world.owner;
        let mut client = EntitlementServiceClient::new(by.channel.clone());
        let request = pb::CreateEntitlementRequest {
            parent: world::ACME.to_owned(),
            entitlement: Some(rule("banker", PLUGIN, Effect::Default)),
            request_id: "0e8b7f1a-93a0-4f0e-8a54-6a1f5d3c2b10".to_owned(),
            ..Default::default()
        };
        let first = client.create_entitlement(by.ask(request.clone())).await.unwrap().into_inner();
        let again = client.create_entitlement(by.ask(request.clone())).await.unwrap().into_inner();
        assert_eq!(first, again);
        assert_eq!(list(by, "", "").await.unwrap().len(), 1);
        let other = pb::CreateEntitlementRequest { entitlement: Some(rule("*", PLUGIN, Effect::Denied)), ..request.clone() };
        let refused = client.create_entitlement(by.ask(other)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
        let dry = pb::CreateEntitlementRequest { request_id: String::new(), entitlement_id: "dry".to_owned(), validate_only: true, ..request };
        client.create_entitlement(by.ask(dry)).await.unwrap();
        assert_eq!(get(by, "dry").await.unwrap_err().code(), Code::NotFound);
    }

    async fn rules_are_listed_by_filter_and_order(site: Site) {
        let bank = Bank::open(site).await;
        for (id, role, target, effect) in [
            ("c", "banker", PLUGIN, Effect::Default),
            ("a", "*", "marketplaces/vendor", Effect::Denied),
            ("b", "banker", "marketplaces/vendor/plugins/other", Effect::Required),
        ] {
            bank.add(id, rule(role, target, effect)).await.unwrap();
            bank.world.site.advance(std::time::Duration::from_secs(1));
        }
        let owner = &bank.world.owner;
        for (filter, order, expected) in [
            ("", "", vec!["c", "a", "b"]),
            ("", "entitlement_id", vec!["a", "b", "c"]),
            ("", "create_time desc", vec!["b", "a", "c"]),
            ("role_id = banker", "", vec!["c", "b"]),
            ("effect = DENIED", "", vec!["a"]),
            ("target = \"marketplaces/vendor/plugins/*\"", "", vec!["c", "b"]),
            ("entitlement_id >= b effect != REQUIRED", "", vec!["c"]),
        ] {
            assert_eq!(list(owner, filter, order).await.unwrap(), expected, "{filter} {order}");
        }
        for (filter, order, why) in [("colour = red", "", "INVALID_FILTER"), ("", "reason", "INVALID_FIELD")] {
            let refused = list(owner, filter, order).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, why));
        }
    }

    async fn who_has_no_duty_for_rules_changes_none_and_another_tenants_are_not_found(site: Site) {
        let bank = Bank::open(site).await;
        bank.rule("may", "banker", Effect::Default).await;
        for duty in ["member", "finance"] {
            let refused = create(&bank.world.holders[duty], "x", rule("*", PLUGIN, Effect::Default)).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"), "{duty}");
        }
        for outsider in [&bank.world.stranger, &bank.world.rival] {
            let refused = create(outsider, "x", rule("*", PLUGIN, Effect::Default)).await.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound);
            assert_eq!(get(outsider, "may").await.unwrap_err().code(), Code::NotFound);
        }
        assert_eq!(list(&bank.world.owner, "", "").await.unwrap(), ["may"]);
    }
}
