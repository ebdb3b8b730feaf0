//! Why, in words and exactly.

use proto::{
    catalog::v1::Stage,
    decision::v1::{
        self as pb, DecisionReason as Reason, RemedyKind, decision_service_client::DecisionServiceClient,
    },
    entitlement::v1::{Effect, Entitlement},
};
use tests::{both_engines, market, sets, site::Caller, staff, world};

use super::{Bank, PLUGIN, check, named, rule};

async fn explain(by: &Caller, who: &str) -> pb::Explanation {
    let request = pb::ExplainRequest {
        principal: world::child(world::ACME, "principals", who),
        plugin: PLUGIN.to_owned(),
        ..Default::default()
    };
    let told =
        DecisionServiceClient::new(by.channel.clone()).explain(by.ask(request)).await.unwrap().into_inner();
    let alone = check(by, who, PLUGIN).await.unwrap();
    assert_eq!(told.decision.as_ref(), Some(&alone), "an explanation decides as a check does");
    told
}

fn remedies(told: &pb::Explanation) -> Vec<(RemedyKind, &str)> {
    told.remedies.iter().map(|r| (r.kind(), r.resource.as_str())).collect()
}

both_engines! {
    async fn a_no_says_which_rule_by_which_way_it_came_and_what_would_change_it(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        bank.world.role("staff").await;
        staff::include(owner, "banker", "staff").await;
        staff::group(owner, "desk", &["maria"]).await;
        staff::take(owner, "banker", "principals/maria").await;
        staff::give(owner, "banker", "groups/desk").await;
        bank.rule("may", "banker", Effect::Default).await;
        let barrier = Entitlement { reason: "information barrier".to_owned(), ..rule("staff", PLUGIN, Effect::Denied) };
        bank.add("barrier", barrier).await.unwrap();
        let told = explain(owner, "maria").await;
        assert_eq!(
            told.summary,
            "No: maria may not use vendor/kit; a rule forbids it. Rule barrier forbids it for role staff, which maria holds \
             through group desk, then role banker (\"information barrier\"). To allow it: delete or narrow rule barrier."
        );
        let [barrier, may] = told.rules.as_slice() else { panic!("{told:?}") };
        assert_eq!((barrier.entitlement.clone(), barrier.effect(), barrier.decided), (named(&["barrier"])[0].clone(), Effect::Denied, true));
        assert_eq!(barrier.path, ["tenants/acme/groups/desk", "tenants/acme/roles/banker", "tenants/acme/roles/staff"]);
        assert_eq!((barrier.target.as_str(), barrier.reason.as_str(), barrier.max_stage()), (PLUGIN, "information barrier", Stage::Unspecified));
        assert!(!may.decided && may.obstacles.is_empty() && may.max_stage() == Stage::Live);
        assert_eq!(remedies(&told), [(RemedyKind::LiftDeny, named(&["barrier"])[0].as_str())]);
        bank.drop_rule("barrier").await;
        let told = explain(owner, "maria").await;
        assert_eq!(
            told.summary,
            "Yes: maria may use vendor/kit; it is installed unless removed. Rule may installs it by default for role banker, \
             which maria holds through group desk (\"tests\")."
        );
        assert!(told.remedies.is_empty());
    }

    async fn every_advice_taken_together_makes_it_a_yes(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        let told = explain(owner, "maria").await;
        assert!(told.summary.starts_with("No: maria may not use vendor/kit; no rule allows it, and what no rule allows is denied."), "{}", told.summary);
        assert_eq!(remedies(&told), [(RemedyKind::AllowByRule, "tenants/acme/principals/maria")]);
        market::stage(&bank.world.admin, "kit", Stage::Alpha).await.unwrap();
        let end = bank.world.site.kernel().clock.now();
        bank.add("late", Entitlement { not_after: Some(end.into()), ..rule("*", PLUGIN, Effect::Available) }).await.unwrap();
        let told = explain(owner, "maria").await;
        let late = named(&["late"])[0].clone();
        assert_eq!(remedies(&told), [(RemedyKind::RaiseCeiling, late.as_str()), (RemedyKind::ExtendWindow, late.as_str())]);
        assert_eq!(told.rules[0].obstacles().collect::<Vec<_>>(), [Reason::StageGate, Reason::WindowClosed]);
        assert!(told.summary.contains("but only while it is live and only until 2026-11-23T12:00:00.000000Z"), "{}", told.summary);
        bank.drop_rule("late").await;
        let until = bank.world.site.kernel().clock.now().plus(std::time::Duration::from_mins(9));
        let enough = Entitlement { not_after: Some(until.into()), max_stage: Stage::Alpha.into(), ..rule("*", PLUGIN, Effect::Available) };
        bank.add("late", enough).await.unwrap();
        let told = explain(owner, "maria").await;
        assert!(told.decision.as_ref().unwrap().allowed);
        assert_eq!(told.change_time, Some(until.into()));
        assert!(told.summary.contains("for everybody") && told.summary.ends_with("changes by itself at 2026-11-23T12:09:00.000000Z."), "{}", told.summary);
    }

    async fn an_agents_no_tells_of_its_owner(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        bank.world.role("bots").await;
        staff::agent(owner, "helper", "maria").await;
        staff::give(owner, "bots", "principals/helper").await;
        bank.rule("bots-may", "bots", Effect::Available).await;
        let told = explain(owner, "helper").await;
        assert_eq!(told.decision.as_ref().unwrap().reason(), Reason::OwnerNotEntitled);
        assert_eq!(told.owner.as_ref().unwrap().decision.as_ref().unwrap().reason(), Reason::NoMatchingRule);
        assert_eq!(remedies(&told), [(RemedyKind::AllowByRule, "tenants/acme/principals/maria")]);
        assert!(told.summary.contains("an agent may use only what its owner may. No: its owner may not use vendor/kit"), "{}", told.summary);
        bank.rule("may", "banker", Effect::Default).await;
        let told = explain(owner, "helper").await;
        assert_eq!(told.decision.unwrap().entitlements, named(&["bots-may", "may"]));
        for (who, kind) in [("nobody", RemedyKind::AddPrincipal)] {
            assert_eq!(explain(owner, who).await.remedies[0].kind(), kind);
        }
    }

    async fn a_plugin_group_and_a_seat_are_named(site: Site) {
        let bank = Bank::open(site).await;
        let owner = &bank.world.owner;
        sets::plugin_group(owner, "research", &["kit"]).await.unwrap();
        sets::seat_pool(owner, "standard", &[]).await.unwrap();
        let group = "tenants/acme/pluginGroups/research";
        let seat_pool = "tenants/acme/seatPools/standard".to_owned();
        let new = Entitlement { seat_pool, reason: String::new(), ..rule("banker", group, Effect::Default) };
        bank.add("may", new).await.unwrap();
        let told = explain(owner, "maria").await;
        assert_eq!(
            told.summary,
            "No: maria may not use vendor/kit; the rules allow it to holders of a seat only. Rule may installs all of plugin group \
             research by default for role banker, which maria holds, but only with a seat of standard. To allow it: give maria a \
             seat of standard."
        );
        assert_eq!(told.rules[0].target, group);
        assert_eq!(remedies(&told), [(RemedyKind::GiveSeat, "tenants/acme/principals/maria")]);
        sets::seat(owner, "standard", "maria").await.unwrap();
        assert!(explain(owner, "maria").await.decision.unwrap().allowed);
    }
}
