//! A plugin that ends at a moment: usable before it, withdrawn from it on, without anybody doing anything.

use std::time::Duration;

use proto::{
    audit::v1::{ListAccessAsOfRequest, audit_service_client::AuditServiceClient},
    catalog::v1::{self as pb, Stage, catalog_service_client::CatalogServiceClient},
    decision::v1::{
        DecisionReason as Reason, ExplainRequest, decision_service_client::DecisionServiceClient,
    },
    entitlement::v1::{self as entitlement, Effect, entitlement_service_client::EntitlementServiceClient},
};
use tests::{both_engines, market, site::Caller, world};
use tonic::{Code, Status};

use super::{Bank, PLUGIN, check, rule};
use crate::errors::reason;

async fn deprecate(by: &Caller, sunset: prost_types::Timestamp) -> Result<pb::Plugin, Status> {
    stage(by, Stage::Deprecated, Some(sunset)).await
}

async fn stage(
    by: &Caller,
    stage: Stage,
    sunset: Option<prost_types::Timestamp>,
) -> Result<pb::Plugin, Status> {
    let request = pb::SetPluginStageRequest {
        name: PLUGIN.to_owned(),
        stage: stage.into(),
        sunset_time: sunset,
        ..Default::default()
    };
    Ok(CatalogServiceClient::new(by.channel.clone()).set_plugin_stage(by.ask(request)).await?.into_inner())
}

/// Whether Maria could use the plugin at a moment, as the record tells it.
async fn could(by: &Caller, time: prost_types::Timestamp) -> bool {
    let request = ListAccessAsOfRequest {
        parent: world::ACME.to_owned(),
        time: Some(time),
        plugin: PLUGIN.to_owned(),
        ..Default::default()
    };
    let answer =
        AuditServiceClient::new(by.channel.clone()).list_access_as_of(by.ask(request)).await.unwrap();
    !answer.into_inner().access.is_empty()
}

both_engines! {
    async fn a_deprecated_plugin_is_usable_until_its_sunset_and_withdrawn_from_that_instant_on(site: Site) {
        let bank = Bank::open(site).await;
        let (admin, owner, clock) = (&bank.world.admin, &bank.world.owner, &bank.world.site.kernel().clock);
        bank.rule("may", "banker", Effect::Default).await;
        assert_eq!(bank.why("maria").await, Reason::Allowed);
        let sunset = clock.now().plus(Duration::from_mins(1));
        let set = deprecate(admin, sunset.into()).await.unwrap();
        assert_eq!((set.stage(), set.sunset_time), (Stage::Deprecated, Some(sunset.into())));
        assert_eq!(bank.why("maria").await, Reason::Allowed);
        let ask = ExplainRequest { principal: world::child(world::ACME, "principals", "maria"), plugin: PLUGIN.to_owned(), ..Default::default() };
        let told = DecisionServiceClient::new(owner.channel.clone()).explain(owner.ask(ask)).await.unwrap().into_inner();
        assert_eq!(told.change_time, Some(sunset.into()), "{}", told.summary);
        // nothing is written from here on: the moment itself decides
        bank.world.site.advance(Duration::from_micros(sunset.micros().abs_diff(clock.now().micros()) - 1));
        assert_eq!(bank.why("maria").await, Reason::Allowed);
        let before = clock.now();
        bank.world.site.advance(Duration::from_micros(1));
        assert_eq!(clock.now(), sunset);
        assert_eq!(bank.why("maria").await, Reason::Withdrawn);
        bank.world.site.advance(Duration::from_secs(3));
        assert!(could(owner, before.into()).await);
        assert!(!could(owner, sunset.into()).await);
        // new content of a plugin that has ended does not bring it back, put off it comes back
        let mut files = market::small(&["kit", "other"]);
        files.insert("plugins/kit/new.md".to_owned(), b"new".to_vec());
        market::import(admin, &files).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::Withdrawn);
        deprecate(admin, clock.now().plus(Duration::from_mins(1)).into()).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::Allowed);
        let live = stage(admin, Stage::Live, None).await.unwrap();
        assert_eq!(live.sunset_time, None);
        bank.world.site.advance(Duration::from_hours(1));
        assert_eq!(bank.why("maria").await, Reason::Allowed);
        assert!(could(owner, clock.now().into()).await);
    }

    async fn a_sunset_is_of_what_is_deprecated_and_lies_ahead(site: Site) {
        let bank = Bank::open(site).await;
        let (admin, clock) = (&bank.world.admin, &bank.world.site.kernel().clock);
        let ahead = clock.now().plus(Duration::from_mins(1));
        let outside = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        for (to, sunset) in [
            (Stage::Live, ahead.into()),
            (Stage::Withdrawn, ahead.into()),
            (Stage::Deprecated, clock.now().into()),
            (Stage::Deprecated, outside),
        ] {
            let refused = stage(admin, to, Some(sunset)).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
            let details = tonic_types::StatusExt::get_error_details(&refused);
            assert_eq!(details.bad_request().unwrap().field_violations[0].field, "sunset_time");
        }
    }

    async fn a_withdrawal_is_effective_at_once_for_every_tenant(site: Site) {
        let bank = Bank::open(site).await;
        let (admin, world) = (&bank.world.admin, &bank.world);
        bank.rule("may", "*", Effect::Required).await;
        let rule = entitlement::CreateEntitlementRequest {
            parent: "tenants/globex".to_owned(),
            entitlement_id: "may".to_owned(),
            entitlement: Some(rule("*", PLUGIN, Effect::Available)),
            ..Default::default()
        };
        let by = &world.stranger;
        EntitlementServiceClient::new(by.channel.clone()).create_entitlement(by.ask(rule)).await.unwrap();
        let elsewhere = async || check(by, "tenants/globex/principals/owner", PLUGIN).await.unwrap().reason();
        let both = async || [bank.why("maria").await, elsewhere().await];
        assert_eq!(both().await, [Reason::Allowed; 2]);
        market::stage(admin, "kit", Stage::Withdrawn).await.unwrap();
        assert_eq!(both().await, [Reason::Withdrawn; 2]);
        market::stage(admin, "kit", Stage::Live).await.unwrap();
        assert_eq!(both().await, [Reason::Allowed; 2]);
    }
}
