//! What rules, stages and windows make of a question.

use std::time::Duration;

use kernel::clock::Time;
use proto::{
    catalog::v1::Stage,
    decision::v1::DecisionReason as Reason,
    entitlement::v1::{Effect, Entitlement},
};
use tests::{both_engines, market, site::START, staff};

use super::{Bank, PLUGIN, check, named, rule};

fn start() -> Time {
    Time::parse("start", START).unwrap()
}

both_engines! {
    async fn without_a_rule_the_answer_is_no_and_with_one_it_is_yes_and_names_it(site: Site) {
        let bank = Bank::open(site).await;
        let no = bank.ask("maria").await;
        assert_eq!((no.reason(), no.effect(), no.entitlements.len()), (Reason::NoMatchingRule, Effect::Unspecified, 0));
        for (id, effect) in [("a", Effect::Available), ("b", Effect::Default), ("c", Effect::Required)] {
            bank.rule(id, "banker", effect).await;
            let yes = bank.ask("maria").await;
            assert_eq!((yes.reason(), yes.effect()), (Reason::Allowed, effect), "the strongest effect counts");
            assert!(yes.entitlements.contains(&named(&[id])[0]));
        }
        assert_eq!(bank.ask("maria").await.entitlements, named(&["a", "b", "c"]));
        let other = check(&bank.world.owner, "maria", "marketplaces/vendor/plugins/other").await.unwrap();
        assert_eq!(other.reason(), Reason::NoMatchingRule, "a rule about one plugin says nothing of another");
    }

    async fn a_rule_about_a_marketplace_is_about_each_of_its_plugins(site: Site) {
        let bank = Bank::open(site).await;
        bank.add("all", rule("banker", "marketplaces/vendor", Effect::Default)).await.unwrap();
        for plugin in [PLUGIN, "marketplaces/vendor/plugins/other"] {
            assert!(check(&bank.world.owner, "maria", plugin).await.unwrap().allowed);
        }
        bank.rule("not-this", "banker", Effect::Denied).await;
        assert_eq!(bank.why("maria").await, Reason::ExplicitDeny);
        assert!(check(&bank.world.owner, "maria", "marketplaces/vendor/plugins/other").await.unwrap().allowed);
    }

    async fn a_denial_wins_wherever_it_stands_and_only_its_own_rules_are_named(site: Site) {
        let bank = Bank::open(site).await;
        bank.world.role("trader").await;
        staff::give(&bank.world.owner, "trader", "principals/maria").await;
        bank.rule("must", "banker", Effect::Required).await;
        bank.rule("may", "*", Effect::Available).await;
        assert!(bank.ask("maria").await.allowed);
        let denials = [
            ("by-role", rule("banker", PLUGIN, Effect::Denied)),
            ("by-other-role", rule("trader", PLUGIN, Effect::Denied)),
            ("for-all", rule("*", PLUGIN, Effect::Denied)),
            ("of-all", rule("*", "marketplaces/vendor", Effect::Denied)),
            // a denial is about every stage, whatever stage it names
            ("of-stage", Entitlement { max_stage: Stage::Alpha.into(), ..rule("banker", PLUGIN, Effect::Denied) }),
        ];
        for (id, denial) in denials {
            bank.add(id, denial).await.unwrap();
            let no = bank.ask("maria").await;
            assert_eq!((no.reason(), no.effect()), (Reason::ExplicitDeny, Effect::Denied), "{id}");
            assert_eq!(no.entitlements, named(&[id]));
            bank.drop_rule(id).await;
            assert!(bank.ask("maria").await.allowed, "a deleted rule is gone at once: {id}");
        }
        bank.drop_rule("must").await;
        bank.drop_rule("may").await;
        assert_eq!(bank.why("maria").await, Reason::NoMatchingRule);
    }

    async fn a_rule_reaches_as_far_as_its_stage(site: Site) {
        let bank = Bank::open(site).await;
        let allows = [
            (Stage::Live, [false, false, true, true]),
            (Stage::Preview, [false, true, true, true]),
            (Stage::Alpha, [true, true, true, true]),
            (Stage::Unspecified, [false, false, true, true]),
        ];
        for (ceiling, expected) in allows {
            let new = Entitlement { max_stage: ceiling.into(), ..rule("banker", PLUGIN, Effect::Default) };
            bank.add("gate", new).await.unwrap();
            for (stage, allowed) in [Stage::Alpha, Stage::Preview, Stage::Live, Stage::Deprecated].into_iter().zip(expected) {
                market::stage(&bank.world.admin, "kit", stage).await.unwrap();
                let reason = if allowed { Reason::Allowed } else { Reason::StageGate };
                let decision = bank.ask("maria").await;
                assert_eq!(decision.reason(), reason, "{stage:?} under a rule up to {ceiling:?}");
                assert_eq!(decision.entitlements, named(&["gate"]), "also the rule that falls short is named");
            }
            bank.drop_rule("gate").await;
        }
    }

    async fn a_withdrawn_plugin_is_for_nobody_and_back_at_once(site: Site) {
        let bank = Bank::open(site).await;
        bank.add("all", Entitlement { max_stage: Stage::Alpha.into(), ..rule("*", PLUGIN, Effect::Required) }).await.unwrap();
        market::stage(&bank.world.admin, "kit", Stage::Withdrawn).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::Withdrawn);
        market::stage(&bank.world.admin, "kit", Stage::Live).await.unwrap();
        assert_eq!(bank.why("maria").await, Reason::Allowed);
    }

    async fn windows_hold_their_start_and_not_their_end_to_the_microsecond(site: Site) {
        let bank = Bank::open(site).await;
        let (hour, micro) = (Duration::from_hours(1), Duration::from_micros(1));
        let almost = Duration::from_micros(3_599_999_999);
        let window = Entitlement {
            not_before: Some(start().plus(hour).into()),
            not_after: Some(start().plus(2 * hour).into()),
            ..rule("banker", PLUGIN, Effect::Default)
        };
        bank.add("shift", window).await.unwrap();
        let steps = [
            (Duration::ZERO, Reason::WindowNotOpen),
            (almost, Reason::WindowNotOpen),
            (micro, Reason::Allowed),
            (almost, Reason::Allowed),
            (micro, Reason::WindowClosed),
            (hour, Reason::WindowClosed),
        ];
        for (step, reason) in steps {
            bank.world.site.advance(step);
            let decision = bank.ask("maria").await;
            assert_eq!(decision.reason(), reason, "at {}", bank.world.site.kernel().clock.now());
            assert_eq!(decision.entitlements, named(&["shift"]));
        }
    }

    async fn a_denial_with_a_window_forbids_in_it_only(site: Site) {
        let bank = Bank::open(site).await;
        let hour = Duration::from_hours(1);
        bank.rule("may", "banker", Effect::Available).await;
        let freeze = Entitlement {
            not_before: Some(start().plus(hour).into()),
            not_after: Some(start().plus(2 * hour).into()),
            ..rule("*", PLUGIN, Effect::Denied)
        };
        bank.add("freeze", freeze).await.unwrap();
        for reason in [Reason::Allowed, Reason::ExplicitDeny, Reason::Allowed] {
            assert_eq!(bank.why("maria").await, reason, "at {}", bank.world.site.kernel().clock.now());
            bank.world.site.advance(hour);
        }
    }
}
