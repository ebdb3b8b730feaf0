//! A tenant that is stricter than the platform.

use proto::{
    catalog::v1::Stage,
    decision::v1::{DecisionReason as Reason, RemedyKind},
    entitlement::v1::{Effect, Entitlement},
    stage_override::v1::{
        self as pb, StageOverride, stage_override_service_client::StageOverrideServiceClient,
    },
};
use tests::{both_engines, market, own, site::Caller, staff, world};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    Bank, PLUGIN,
    bindings::{explain, refusal, tenant_plugin},
    check, rule,
};
use crate::audit::events;

/// From the loosest to the strictest.
const ORDER: [Stage; 5] = [Stage::Live, Stage::Deprecated, Stage::Preview, Stage::Alpha, Stage::Withdrawn];

/// Whether a rule with that ceiling lets a plugin of that stage through, written down once more.
fn admits(ceiling: Stage, stage: Stage) -> bool {
    match ceiling {
        Stage::Live => matches!(stage, Stage::Live | Stage::Deprecated),
        Stage::Preview => matches!(stage, Stage::Live | Stage::Deprecated | Stage::Preview),
        _ => stage != Stage::Withdrawn,
    }
}

async fn update(by: &Caller, new: StageOverride, paths: &[&str]) -> Result<StageOverride, Status> {
    let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = pb::UpdateStageOverrideRequest {
        stage_override: Some(new),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    };
    let mut client = StageOverrideServiceClient::new(by.channel.clone());
    Ok(client.update_stage_override(by.ask(request)).await?.into_inner())
}

async fn list(by: &Caller, filter: &str, order_by: &str) -> Result<Vec<String>, Status> {
    let request = pb::ListStageOverridesRequest {
        parent: world::ACME.to_owned(),
        filter: filter.to_owned(),
        order_by: order_by.to_owned(),
        ..Default::default()
    };
    let mut client = StageOverrideServiceClient::new(by.channel.clone());
    let found = client.list_stage_overrides(by.ask(request)).await?.into_inner().stage_overrides;
    Ok(found.into_iter().map(|o| o.name.rsplit('/').next().unwrap().to_owned()).collect())
}

both_engines! {
    async fn of_every_platform_stage_and_every_override_the_stricter_counts_and_a_looser_one_is_refused(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, admin) = (&bank.world.owner, &bank.world.admin);
        let ceilings = [Stage::Live, Stage::Preview, Stage::Alpha];
        for (ceiling, id) in ceilings.into_iter().zip(["live", "preview", "alpha"]) {
            bank.world.role(id).await;
            world::user(owner, world::ACME, &format!("{id}-user")).await;
            staff::give(owner, id, &format!("principals/{id}-user")).await;
            bank.add(id, Entitlement { max_stage: ceiling.into(), ..rule(id, PLUGIN, Effect::Default) }).await.unwrap();
        }
        let agrees = async |counts: Stage, what: &str| {
            for (ceiling, id) in ceilings.into_iter().zip(["live", "preview", "alpha"]) {
                let expected = match counts {
                    Stage::Withdrawn => Reason::Withdrawn,
                    stage if admits(ceiling, stage) => Reason::Allowed,
                    _ => Reason::StageGate,
                };
                assert_eq!(bank.why(&format!("{id}-user")).await, expected, "{what} for {id}");
            }
        };
        for (at, platform) in ORDER.into_iter().enumerate() {
            market::stage(admin, "kit", platform).await.unwrap();
            for (own_at, stage) in ORDER.into_iter().enumerate() {
                let what = format!("{stage:?} on {platform:?}");
                let made = own::hold(owner, "s", "kit", stage).await;
                if stage == Stage::Live {
                    assert_eq!(refusal(made), (Code::InvalidArgument, "INVALID_FIELD".to_owned()), "{what}");
                } else if own_at < at {
                    let refused = made.unwrap_err();
                    assert!(refused.message().contains("a tenant can only be stricter"), "{}", refused.message());
                    assert_eq!(refusal(Err::<(), _>(refused)), (Code::FailedPrecondition, "ILLEGAL_STATE".to_owned()), "{what}");
                } else {
                    let made = made.unwrap();
                    assert_eq!((made.stage(), made.platform_stage(), made.effective_stage()), (stage, platform, stage), "{what}");
                    agrees(stage, &what).await;
                    let seen = tenant_plugin(owner, "kit").await.unwrap();
                    assert_eq!((seen.stage(), seen.platform_stage(), seen.stage_override), (stage, platform, made.name), "{what}");
                    own::let_go(owner, "s", "").await.unwrap();
                }
                agrees(platform, &what).await;
            }
        }
    }

    async fn an_override_outlives_versions_and_yields_to_a_stricter_platform(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, admin) = (&bank.world.owner, &bank.world.admin);
        bank.rule("may", "banker", Effect::Default).await;
        own::hold(owner, "s", "kit", Stage::Preview).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::StageGate);
        let told = explain(owner, "maria").await;
        let because = "acme holds it to a stage that is less mature than the rules allow (stage override s)";
        assert!(told.summary.contains(because) && told.summary.contains("or loosen stage override s"), "{}", told.summary);
        // a new version keeps it
        let mut files = market::small(&["kit", "other"]);
        own::apps(&mut files, "kit", &["crm"], &[]);
        market::import(admin, &files).await.unwrap();
        own::bind(owner, "crm", "kit", "crm", "acme").await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::StageGate);
        own::apps(&mut files, "kit", &["crm"], &["docs"]);
        market::import(admin, &files).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::StageGate);
        assert_eq!(own::held(owner, "s").await.unwrap().effective_stage(), Stage::Preview);
        // the platform overtakes it, and comes back
        market::stage(admin, "kit", Stage::Withdrawn).await.unwrap();
        let held = own::held(owner, "s").await.unwrap();
        assert_eq!((held.stage(), held.effective_stage()), (Stage::Preview, Stage::Withdrawn));
        assert!(explain(owner, "maria").await.summary.contains("it is withdrawn, for everybody"));
        let kept = update(owner, StageOverride { name: held.name.clone(), stage: Stage::Preview.into(), reason: "still".to_owned(), ..Default::default() }, &["*"]).await.unwrap();
        assert_eq!((kept.stage(), kept.reason.as_str()), (Stage::Preview, "still"), "it may keep its stage");
        assert_eq!(refusal(own::move_to(owner, "s", Stage::Alpha, "").await).0, Code::FailedPrecondition);
        market::stage(admin, "kit", Stage::Live).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::StageGate);
        own::let_go(owner, "s", "").await.unwrap();
        assert!(bank.ask("maria").await.allowed);
    }

    async fn a_tenants_withdrawal_is_its_own_kill_switch(site: Site) {
        let bank = Bank::open(site).await;
        let (owner, stranger) = (&bank.world.owner, &bank.world.stranger);
        bank.rule("may", "*", Effect::Required).await;
        assert!(bank.ask("maria").await.allowed);
        own::hold(owner, "stop", "kit", Stage::Withdrawn).await.unwrap();
        for who in ["maria", "owner", "member"] {
            assert_eq!(bank.why(who).await, Reason::Withdrawn);
        }
        let told = explain(owner, "maria").await;
        assert!(told.summary.starts_with("No: maria may not use vendor/kit; acme has withdrawn it (stage override stop)."), "{}", told.summary);
        assert_eq!((told.remedies[0].kind(), told.remedies[0].resource.as_str()), (RemedyKind::RestorePlugin, "tenants/acme/stageOverrides/stop"));
        // elsewhere nothing changed
        let theirs = check(stranger, "tenants/globex/principals/owner", PLUGIN).await.unwrap();
        assert_eq!(theirs.reason(), Reason::NoMatchingRule);
        // also what is not listed can be withdrawn, and stays so when it is listed again
        market::import(&bank.world.admin, &market::small(&["kit"])).await.unwrap();
        own::hold(owner, "other", "other", Stage::Withdrawn).await.unwrap();
        market::import(&bank.world.admin, &market::small(&["kit", "other"])).await.unwrap();
        let other = check(owner, "maria", &own::plugin("other")).await.unwrap();
        assert_eq!(other.reason(), Reason::Withdrawn);
        own::move_to(owner, "stop", Stage::Deprecated, "").await.unwrap();
        assert!(bank.ask("maria").await.allowed);
    }

    async fn an_override_is_changed_by_those_who_know_it_and_once_a_request(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let new = StageOverride { plugin: PLUGIN.to_owned(), stage: Stage::Alpha.into(), reason: "prüfen — 検証".to_owned(), ..Default::default() };
        let request = || own::override_of("s", new.clone());
        let dry = own::hold_by(owner, pb::CreateStageOverrideRequest { validate_only: true, ..request() }).await.unwrap();
        assert_eq!((dry.name.as_str(), dry.effective_stage()), ("tenants/acme/stageOverrides/s", Stage::Alpha));
        assert_eq!(refusal(own::held(owner, "s").await), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
        let once = pb::CreateStageOverrideRequest { request_id: Uuid::from_u128(7).to_string(), ..request() };
        let made = own::hold_by(owner, once.clone()).await.unwrap();
        assert_eq!(own::hold_by(owner, once.clone()).await.unwrap(), made, "a retry");
        assert_eq!((own::held(owner, "s").await.unwrap(), made.reason.as_str()), (made.clone(), "prüfen — 検証"));
        let other = pb::CreateStageOverrideRequest { stage_override_id: "other".to_owned(), ..once };
        assert_eq!(refusal(own::hold_by(owner, other).await), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
        assert_eq!(refusal(own::move_to(owner, "s", Stage::Preview, "r9").await), (Code::Aborted, "ETAG_STALE".to_owned()));
        let words = |reason: &str| StageOverride { name: made.name.clone(), reason: reason.to_owned(), ..Default::default() };
        for (new, paths) in [(words("x"), ["plugin"]), (words(&"x".repeat(513)), ["reason"]), (words(""), ["stage"]), (words("\u{7}"), ["reason"])] {
            assert_eq!(refusal(update(owner, new, &paths).await), (Code::InvalidArgument, "INVALID_FIELD".to_owned()), "{paths:?}");
        }
        let next = update(owner, words(""), &["reason"]).await.unwrap();
        assert_eq!((next.reason.as_str(), next.stage(), next.etag.as_str(), &next.uid), ("", Stage::Alpha, "r2", &made.uid));
        assert_eq!(refusal(own::let_go(owner, "s", "r1").await), (Code::Aborted, "ETAG_STALE".to_owned()));
        own::hold(owner, "t", "other", Stage::Withdrawn).await.unwrap();
        for (filter, order, expected) in [("", "stage_override_id desc", vec!["t", "s"]), ("stage = WITHDRAWN", "", vec!["t"]), ("plugin = \"*/kit\"", "", vec!["s"])] {
            assert_eq!(list(owner, filter, order).await.unwrap(), expected, "{filter}");
        }
        assert_eq!(refusal(list(owner, "platform_stage = LIVE", "").await), (Code::InvalidArgument, "INVALID_FILTER".to_owned()));
        let taken = own::hold(owner, "x", "kit", Stage::Alpha).await.unwrap_err();
        assert!(taken.code() == Code::AlreadyExists && taken.message().contains("stageOverrides/s"), "{}", taken.message());
        for (id, of, stage, why) in [
            ("x", "none", Stage::Alpha, Code::NotFound),
            ("x", "größe", Stage::Alpha, Code::InvalidArgument),
            ("x", "", Stage::Alpha, Code::InvalidArgument),
            ("ß", "kit", Stage::Alpha, Code::InvalidArgument),
            ("x", "kit", Stage::Unspecified, Code::InvalidArgument),
        ] {
            assert_eq!(refusal(own::hold(owner, id, of, stage).await).0, why, "{id} {of} {stage:?}");
        }
        assert_eq!(own::let_go(owner, "s", "r2").await.unwrap(), next);
        assert_eq!(refusal(own::let_go(owner, "s", "").await).0, Code::NotFound);
        let acts: Vec<_> = events(owner, world::ACME, "action = \"stage_override.*\" AND outcome = ok").await.into_iter().rev().map(|e| e.action).collect();
        assert_eq!(acts, ["create", "update", "create", "delete"].map(|verb| format!("stage_override.{verb}")));
    }

    async fn whoever_provisions_makes_it_stricter_and_only_the_tenants_own_people_looser(site: Site) {
        let bank = Bank::open(site).await;
        let denied = (Code::PermissionDenied, "DUTY_MISSING".to_owned());
        for duty in ["consultant", "partner_admin"] {
            let by = &bank.world.holders[duty];
            own::hold(by, "s", "kit", Stage::Preview).await.unwrap();
            own::move_to(by, "s", Stage::Withdrawn, "").await.unwrap();
            // the same stage, and another word for it, are not looser
            update(by, StageOverride { name: "tenants/acme/stageOverrides/s".to_owned(), reason: "incident".to_owned(), ..Default::default() }, &["reason"]).await.unwrap();
            own::move_to(by, "s", Stage::Withdrawn, "").await.unwrap();
            assert_eq!(refusal(own::move_to(by, "s", Stage::Alpha, "").await), denied, "{duty}");
            assert_eq!(refusal(own::let_go(by, "s", "").await), denied, "{duty}");
            let officer = &bank.world.holders[if duty == "consultant" { "owner" } else { "admin" }];
            own::move_to(officer, "s", Stage::Deprecated, "").await.unwrap();
            own::let_go(officer, "s", "").await.unwrap();
        }
        own::hold(&bank.world.owner, "s", "kit", Stage::Alpha).await.unwrap();
        for duty in ["compliance", "approver", "finance", "member", "platform_auditor"] {
            let by = &bank.world.holders[duty];
            assert_eq!(refusal(own::hold(by, "t", "other", Stage::Alpha).await), denied, "{duty}");
            assert_eq!(refusal(own::move_to(by, "s", Stage::Withdrawn, "").await), denied, "{duty}");
            assert_eq!(refusal(own::let_go(by, "s", "").await), denied, "{duty}");
            assert_eq!(own::held(by, "s").await.is_ok(), !matches!(duty, "finance" | "member"), "{duty}");
        }
        for by in [&bank.world.stranger, &bank.world.rival] {
            let hidden = (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned());
            assert_eq!(refusal(own::hold(by, "t", "other", Stage::Alpha).await), hidden);
            assert_eq!(refusal(own::held(by, "s").await), hidden);
            assert_eq!(refusal(own::move_to(by, "s", Stage::Withdrawn, "").await), hidden);
            assert_eq!(refusal(own::let_go(by, "s", "").await), hidden);
            assert_eq!(refusal(list(by, "", "").await), hidden);
        }
    }
}
