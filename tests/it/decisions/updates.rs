//! The terms of a rule change.

use std::time::Duration;

use prost_types::FieldMask;
use proto::{
    catalog::v1::Stage,
    decision::v1::DecisionReason as Reason,
    entitlement::v1::{
        Effect, Entitlement, UpdateEntitlementRequest, entitlement_service_client::EntitlementServiceClient,
    },
};
use tests::{both_engines, market, sets, site::Caller, world};
use tonic::{Code, Status};

use super::{Bank, PLUGIN, rule};
use crate::errors::reason;

const STANDARD: &str = "tenants/acme/seatPools/standard";

fn request(id: &str, fields: &[&str], new: Entitlement) -> UpdateEntitlementRequest {
    let mask = FieldMask { paths: fields.iter().map(|field| (*field).to_owned()).collect() };
    UpdateEntitlementRequest {
        entitlement: Some(Entitlement { name: world::child(world::ACME, "entitlements", id), ..new }),
        update_mask: (!fields.is_empty()).then_some(mask),
        ..Default::default()
    }
}

async fn send(by: &Caller, request: UpdateEntitlementRequest) -> Result<Entitlement, Status> {
    let mut client = EntitlementServiceClient::new(by.channel.clone());
    Ok(client.update_entitlement(by.ask(request)).await?.into_inner())
}

fn told(refused: &Status) -> (Code, String) {
    (refused.code(), reason(refused))
}

both_engines! {
    async fn changed_terms_are_decided_by_at_once(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, admin) = (&bank.world.owner, &bank.world.admin);
        sets::seat_pool(owner, "standard", &[]).await.unwrap();
        let made = bank.add("may", rule("banker", PLUGIN, Effect::Default)).await.unwrap();
        assert_eq!(made.update_time, made.create_time);
        assert!(bank.ask("maria").await.allowed);
        bank.world.site.advance(Duration::from_mins(1));
        let now = bank.world.site.kernel().clock.now();
        let change = async |fields: &[&str], new: Entitlement| send(owner, request("may", fields, new)).await.unwrap();
        // a seat, and none again
        let after = change(&[], Entitlement { seat_pool: STANDARD.to_owned(), ..Default::default() }).await;
        assert_eq!((after.seat_pool.as_str(), after.update_time), (STANDARD, Some(now.into())));
        assert_eq!((&after.reason, after.effect(), &after.uid), (&made.reason, Effect::Default, &made.uid));
        assert_ne!(after.etag, made.etag);
        assert_eq!(bank.why("maria").await, Reason::SeatRequired);
        change(&["seat_pool"], Entitlement::default()).await;
        assert!(bank.ask("maria").await.allowed);
        // a window that is over, one that is to come, and none
        change(&["not_after"], Entitlement { not_after: Some(now.into()), ..Default::default() }).await;
        assert_eq!(bank.why("maria").await, Reason::WindowClosed);
        let later = now.plus(Duration::from_secs(1));
        change(&["not_before", "not_after"], Entitlement { not_before: Some(later.into()), ..Default::default() }).await;
        assert_eq!(bank.why("maria").await, Reason::WindowNotOpen);
        let open = change(&["not_before"], Entitlement::default()).await;
        assert_eq!((open.not_before, open.not_after), (None, None));
        assert!(bank.ask("maria").await.allowed);
        // a ceiling
        market::stage(admin, "kit", Stage::Preview).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::StageGate);
        change(&["max_stage"], Entitlement { max_stage: Stage::Preview.into(), ..Default::default() }).await;
        assert!(bank.ask("maria").await.allowed);
        let strict = change(&["max_stage"], Entitlement::default()).await;
        assert_eq!(strict.max_stage(), Stage::Live, "named and not set: the default");
        assert_eq!(bank.why("maria").await, Reason::StageGate);
    }

    async fn an_update_is_checked_whole_and_refused_whole(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let now = bank.world.site.kernel().clock.now();
        sets::seat_pool(owner, "standard", &[]).await.unwrap();
        let bounded = Entitlement { not_before: Some(now.into()), ..rule("banker", PLUGIN, Effect::Default) };
        let made = bank.add("may", bounded).await.unwrap();
        bank.rule("not", "*", Effect::Denied).await;
        let seat = || Entitlement { seat_pool: STANDARD.to_owned(), ..Default::default() };
        let ends = |at| Entitlement { not_after: Some(kernel::clock::Time::into(at)), ..Default::default() };
        for (id, fields, new, why) in [
            ("may", &["not_after"][..], ends(now), "INVALID_FIELD"),
            ("may", &["not_after"], ends(now.minus(Duration::from_secs(1))), "INVALID_FIELD"),
            ("may", &["reason"], Entitlement { reason: "r".repeat(513), ..Default::default() }, "INVALID_FIELD"),
            ("may", &["reason"], Entitlement { reason: "\u{0}".to_owned(), ..Default::default() }, "INVALID_FIELD"),
            ("may", &["max_stage"], Entitlement { max_stage: Stage::Withdrawn.into(), ..Default::default() }, "INVALID_FIELD"),
            ("may", &["seat_pool"], Entitlement { seat_pool: "standard".to_owned(), ..Default::default() }, "INVALID_FIELD"),
            ("may", &["seat_pool"], Entitlement { seat_pool: format!("{STANDARD}-2"), ..Default::default() }, "RESOURCE_NOT_FOUND"),
            ("not", &["seat_pool"], seat(), "INVALID_FIELD"),
            ("may", &["role"], Entitlement { role: "*".to_owned(), ..Default::default() }, "INVALID_FIELD"),
            ("may", &["target"], Entitlement { target: "marketplaces/vendor".to_owned(), ..Default::default() }, "INVALID_FIELD"),
            ("may", &["effect"], Entitlement { effect: Effect::Denied.into(), ..Default::default() }, "INVALID_FIELD"),
            ("not", &["floor"], Entitlement { floor: true, ..Default::default() }, "INVALID_FIELD"),
            ("may", &["reason", "floor"], Entitlement { reason: "x".to_owned(), ..Default::default() }, "INVALID_FIELD"),
            ("none", &["reason"], Entitlement { reason: "x".to_owned(), ..Default::default() }, "RESOURCE_NOT_FOUND"),
        ] {
            let refused = send(owner, request(id, fields, new)).await.unwrap_err();
            assert_eq!(reason(&refused), why, "{id} {fields:?}: {}", refused.message());
        }
        let again = send(owner, request("may", &["reason"], Entitlement { reason: made.reason.clone(), ..Default::default() })).await.unwrap();
        assert_eq!(again.etag, "r2", "nothing was changed before");
    }

    async fn etags_repeats_and_dry_runs_are_those_of_every_update(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let made = bank.add("may", rule("banker", PLUGIN, Effect::Default)).await.unwrap();
        let words = |reason: &str, etag: &str| request("may", &["reason"], Entitlement { reason: reason.to_owned(), etag: etag.to_owned(), ..Default::default() });
        let dry = UpdateEntitlementRequest { validate_only: true, ..words("dry", &made.etag) };
        assert_eq!(send(owner, dry).await.unwrap().reason, "dry");
        let once = UpdateEntitlementRequest { request_id: "0e8b7f1a-93a0-4f0e-8a54-6a1f5d3c2b11".to_owned(), ..words("one", &made.etag) };
        let first = send(owner, once.clone()).await.unwrap();
        assert_eq!((first.reason.as_str(), first.etag.as_str()), ("one", "r2"));
        assert_eq!(send(owner, once.clone()).await.unwrap(), first);
        let other = UpdateEntitlementRequest { request_id: once.request_id.clone(), ..words("two", "") };
        assert_eq!(told(&send(owner, other).await.unwrap_err()), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
        assert_eq!(told(&send(owner, words("two", &made.etag)).await.unwrap_err()), (Code::Aborted, "ETAG_STALE".to_owned()));
        assert_eq!(send(owner, words("two", &first.etag)).await.unwrap().etag, "r3");
        let acts = crate::audit::events(owner, world::ACME, "action = \"entitlement.update\"").await;
        assert_eq!(acts.len(), 2);
        assert_eq!(acts[0].targets[0], "tenants/acme/entitlements/may");
    }
}
