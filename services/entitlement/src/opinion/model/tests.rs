//! A table of cases for the rules, asked through casbin.

use uuid::Uuid;

use super::*;

const NOW: i64 = 1_795_000_000_000_000;

fn slug(text: &str) -> Slug {
    Slug::parse("id", text).unwrap()
}

/// A rule for `role` (`*` is everybody) on the plugin.
fn rule(id: &str, role: &str, effect: Effect) -> Rule {
    Rule {
        slug: slug(id),
        role_slug: (role != "*").then(|| slug(role)),
        plugin_id: Some(PluginId(Uuid::nil())),
        app: None,
        skill: None,
        plugin_group: None,
        effect,
        max_stage: MaxStage::Live,
        not_before: None,
        not_after: None,
        seat_pool: None,
    }
}

fn allow(id: &str) -> Rule {
    rule(id, "banker", Effect::Available)
}

fn deny(id: &str) -> Rule {
    rule(id, "banker", Effect::Denied)
}

impl Rule {
    fn on_app(self, app: &str) -> Self {
        Self { app: Some(app.to_owned()), ..self }
    }

    fn on_skill(self, skill: &str) -> Self {
        Self { skill: Some(skill.to_owned()), ..self }
    }

    fn on_group(self, group: &str) -> Self {
        Self { plugin_group: Some(slug(group)), plugin_id: None, ..self }
    }

    fn whole_marketplace(self) -> Self {
        Self { plugin_id: None, ..self }
    }

    fn up_to(self, max_stage: MaxStage) -> Self {
        Self { max_stage, ..self }
    }

    fn with_seat(self) -> Self {
        Self { seat_pool: Some(slug("standard")), ..self }
    }

    fn from(self, micros: i64) -> Self {
        Self { not_before: Some(Time::from_micros(micros)), ..self }
    }

    fn until(self, micros: i64) -> Self {
        Self { not_after: Some(Time::from_micros(micros)), ..self }
    }
}

/// The verdict for a banker on a plugin of `stage`.
async fn at(stage: Stage, rules: &[Rule]) -> Verdict {
    of(stage, &Part::Whole, &[], rules).await
}

/// The same for a part of it, and a banker with seats. The plugin is in the group `network`.
async fn of(stage: Stage, part: &Part, seats: &[Slug], rules: &[Rule]) -> Verdict {
    let [tenant, principal, role, marketplace, plugin] =
        ["acme", "maria", "banker", "codex", "factset"].map(slug);
    let question = Question {
        tenant: &tenant,
        principal: &principal,
        roles: &[role],
        seats,
        marketplace: &marketplace,
        plugin: &plugin,
        part,
        plugin_groups: &[slug("network")],
        stage,
        now: Time::from_micros(NOW),
    };
    decide(rules, &question).await.unwrap()
}

/// Reason and rules for a live plugin.
async fn live(rules: &[Rule]) -> (Reason, Vec<String>) {
    let verdict = at(Stage::Live, rules).await;
    (verdict.reason, verdict.rules)
}

fn because(reason: Reason, rules: &[&str]) -> (Reason, Vec<String>) {
    (reason, rules.iter().map(|r| (*r).to_owned()).collect())
}

#[tokio::test]
async fn nothing_is_allowed_that_no_rule_speaks_of() {
    assert_eq!(live(&[]).await, because(Reason::NoMatchingRule, &[]));
    assert_eq!(live(&[rule("a", "sales", Effect::Required)]).await, because(Reason::NoMatchingRule, &[]));
}

#[tokio::test]
async fn a_rule_allows_by_role_to_everybody_and_for_a_whole_marketplace() {
    assert_eq!(live(&[allow("a")]).await, because(Reason::Allowed, &["a"]));
    assert_eq!(live(&[rule("a", "*", Effect::Available)]).await, because(Reason::Allowed, &["a"]));
    assert_eq!(live(&[allow("a").whole_marketplace()]).await, because(Reason::Allowed, &["a"]));
    let everybody = rule("a", "*", Effect::Available).whole_marketplace();
    assert_eq!(live(&[everybody]).await, because(Reason::Allowed, &["a"]));
}

#[tokio::test]
async fn a_deny_beats_every_allow_at_whatever_level_it_stands() {
    let required = rule("a", "banker", Effect::Required);
    let denies = [
        deny("d"),
        rule("d", "*", Effect::Denied),
        deny("d").whole_marketplace(),
        rule("d", "*", Effect::Denied).whole_marketplace(),
    ];
    for d in denies {
        for rules in [[required.clone(), d.clone()], [d.clone(), required.clone()]] {
            let verdict = at(Stage::Live, &rules).await;
            assert_eq!((verdict.reason, verdict.rules), because(Reason::ExplicitDeny, &["d"]), "{d:?}");
            assert_eq!(verdict.effect, Some(Effect::Denied));
        }
    }
}

#[tokio::test]
async fn a_deny_covers_every_stage_whatever_ceiling_was_stored_with_it() {
    for stage in [Stage::Alpha, Stage::Preview, Stage::Live, Stage::Deprecated] {
        let verdict = at(stage, &[allow("a").up_to(MaxStage::Alpha), deny("d")]).await;
        assert_eq!(verdict.reason, Reason::ExplicitDeny, "{stage:?}");
    }
}

#[tokio::test]
async fn the_strongest_effect_among_those_that_allow_counts() {
    let rules = [
        rule("a", "banker", Effect::Available),
        rule("b", "*", Effect::Required),
        rule("c", "banker", Effect::Default).whole_marketplace(),
        rule("d", "sales", Effect::Required),
    ];
    let verdict = at(Stage::Live, &rules).await;
    assert_eq!(verdict.effect, Some(Effect::Required));
    assert_eq!(verdict.rules, ["a", "b", "c"]);
    let [a, _, c, d] = rules;
    assert_eq!(at(Stage::Live, &[a, c, d]).await.effect, Some(Effect::Default));
}

#[tokio::test]
async fn a_stage_ceiling_gates_and_says_so() {
    let gated = Reason::StageGate;
    let yes = Reason::Allowed;
    let table = [
        (MaxStage::Live, [gated, gated, yes, yes, Reason::Withdrawn]),
        (MaxStage::Preview, [gated, yes, yes, yes, Reason::Withdrawn]),
        (MaxStage::Alpha, [yes, yes, yes, yes, Reason::Withdrawn]),
    ];
    for (ceiling, expected) in table {
        for (stage, reason) in Stage::ALL.into_iter().zip(expected) {
            let verdict = at(stage, &[allow("a").up_to(ceiling)]).await;
            assert_eq!(verdict.reason, reason, "{ceiling:?} {stage:?}");
        }
    }
    assert_eq!(at(Stage::Preview, &[allow("a")]).await.rules, ["a"]);
}

#[tokio::test]
async fn a_window_opens_at_its_first_instant_and_is_closed_at_its_last() {
    let table = [
        (allow("a").from(NOW), Reason::Allowed),
        (allow("a").from(NOW + 1), Reason::WindowNotOpen),
        (allow("a").until(NOW + 1), Reason::Allowed),
        (allow("a").until(NOW), Reason::WindowClosed),
        (allow("a").from(NOW).until(NOW + 1), Reason::Allowed),
    ];
    for (rule, reason) in table {
        assert_eq!(live(std::slice::from_ref(&rule)).await, because(reason, &["a"]), "{rule:?}");
    }
}

#[tokio::test]
async fn a_deny_has_a_window_too() {
    assert_eq!(live(&[allow("a"), deny("d").from(NOW)]).await, because(Reason::ExplicitDeny, &["d"]));
    assert_eq!(live(&[allow("a"), deny("d").from(NOW + 1)]).await, because(Reason::Allowed, &["a"]));
    assert_eq!(live(&[allow("a"), deny("d").until(NOW)]).await, because(Reason::Allowed, &["a"]));
    assert_eq!(live(&[deny("d").until(NOW)]).await, because(Reason::NoMatchingRule, &[]));
}

#[tokio::test]
async fn a_rule_that_needs_a_seat_says_so() {
    assert_eq!(live(&[allow("a").with_seat()]).await, because(Reason::SeatRequired, &["a"]));
    assert_eq!(live(&[allow("a").with_seat(), allow("b")]).await, because(Reason::Allowed, &["b"]));
}

#[tokio::test]
async fn the_nearest_obstacle_is_named_and_only_the_rules_behind_it() {
    let preview = |rules: Vec<Rule>| async move {
        let verdict = at(Stage::Preview, &rules).await;
        (verdict.reason, verdict.rules)
    };
    // one rule is a stage away, the other a stage and a window
    let near = vec![allow("far").from(NOW + 1), allow("near")];
    assert_eq!(preview(near).await, because(Reason::StageGate, &["near"]));
    // one thing in the way is nearer than two, whatever they are
    let single = vec![allow("far").from(NOW + 1), allow("near").up_to(MaxStage::Preview).until(NOW)];
    assert_eq!(preview(single).await, because(Reason::WindowClosed, &["near"]));
    // two in the way of the only rule: it does speak of the plugin
    assert_eq!(preview(vec![allow("a").until(NOW)]).await, because(Reason::StageGate, &["a"]));
    assert_eq!(preview(vec![allow("a").with_seat().from(NOW + 1)]).await, because(Reason::StageGate, &["a"]));
    assert_eq!(live(&[allow("a").with_seat().from(NOW + 1)]).await, because(Reason::SeatRequired, &["a"]));
}

#[tokio::test]
async fn what_cannot_be_asked_is_an_error_and_no_answer() {
    let [tenant, principal, marketplace, plugin] = ["acme", "maria", "codex", "factset"].map(slug);
    let question = Question {
        tenant: &tenant,
        principal: &principal,
        roles: &[],
        seats: &[],
        marketplace: &marketplace,
        plugin: &plugin,
        part: &Part::Whole,
        plugin_groups: &[],
        stage: Stage::Live,
        now: Time::from_micros(NOW),
    };
    let everybody = rule("a", "*", Effect::Available);
    let twice = [everybody.clone(), everybody.clone()];
    assert!(decide(&twice, &question).await.is_err());
    let never = Question { now: Time::from_micros(i64::MAX), ..question };
    assert!(decide(&[everybody], &never).await.is_err());
}

#[test]
fn an_agent_may_what_it_and_its_owner_may() {
    let yes = |rules: &[&str]| Verdict {
        reason: Reason::Allowed,
        effect: Some(Effect::Default),
        rules: because(Reason::Allowed, rules).1,
    };
    let no = Verdict { rules: vec!["d".to_owned()], ..Verdict::no(Reason::ExplicitDeny) };
    assert_eq!(yes(&["a", "b"]).and_owner(yes(&["b", "c"])), yes(&["a", "b", "c"]));
    assert_eq!(no.clone().and_owner(yes(&["a"])), no);
    let owner_not = Verdict { rules: vec!["d".to_owned()], ..Verdict::no(Reason::OwnerNotEntitled) };
    assert_eq!(yes(&["a"]).and_owner(no.clone()), owner_not);
    assert_eq!(no.clone().and_owner(Verdict::no(Reason::NoMatchingRule)), no);
    let suspended = Verdict::no(Reason::PrincipalSuspended);
    assert_eq!(yes(&["a"]).and_owner(suspended).reason, Reason::OwnerNotEntitled);
}

#[tokio::test]
async fn a_deny_on_a_plugin_covers_its_parts_and_a_deny_on_a_part_leaves_the_rest() {
    let (search, files, draft) =
        (Part::App("search".to_owned()), Part::App("files".to_owned()), Part::Skill("draft".to_owned()));
    let why = async |part: &Part, rules: &[Rule]| of(Stage::Live, part, &[], rules).await.reason;
    let denied = [allow("a"), deny("d").on_app("search")];
    assert_eq!(why(&search, &denied).await, Reason::ExplicitDeny);
    for part in [&Part::Whole, &files, &draft, &Part::Skill("search".to_owned())] {
        assert_eq!(why(part, &denied).await, Reason::Allowed, "{part:?}");
    }
    for rule in [deny("d"), deny("d").whole_marketplace(), deny("d").on_group("network")] {
        for part in [&Part::Whole, &search, &draft] {
            let rules = [allow("a").on_app("search"), allow("b"), rule.clone()];
            assert_eq!(why(part, &rules).await, Reason::ExplicitDeny, "{part:?}");
        }
    }
    let only = [allow("a").on_skill("draft")];
    assert_eq!(why(&draft, &only).await, Reason::Allowed);
    for part in [&Part::Whole, &search, &Part::App("draft".to_owned())] {
        assert_eq!(why(part, &only).await, Reason::NoMatchingRule, "{part:?}");
    }
    // vendors choose the keys of parts
    for key in ["*", "Fact Set.v2", "größe, x", "a\"b", "plugin:codex", " "] {
        let part = Part::App(key.to_owned());
        assert_eq!(why(&part, &[allow("a"), deny("d").on_app(key)]).await, Reason::ExplicitDeny, "{key}");
        assert_eq!(why(&search, &[allow("a"), deny("d").on_app(key)]).await, Reason::Allowed, "{key}");
    }
}

#[tokio::test]
async fn a_rule_about_a_group_is_about_the_plugins_in_it() {
    assert_eq!(live(&[allow("a").on_group("network")]).await, because(Reason::Allowed, &["a"]));
    assert_eq!(live(&[allow("a").on_group("other")]).await, because(Reason::NoMatchingRule, &[]));
    assert_eq!(
        live(&[allow("a"), deny("d").on_group("network")]).await,
        because(Reason::ExplicitDeny, &["d"])
    );
    assert_eq!(live(&[allow("a"), deny("d").on_group("other")]).await, because(Reason::Allowed, &["a"]));
}

#[tokio::test]
async fn a_seat_of_the_rules_own_pool_is_needed_and_several_can_be_held() {
    let rules = [allow("a").with_seat()];
    let seats = |pools: &[&str]| pools.iter().map(|pool| slug(pool)).collect::<Vec<_>>();
    for (held, reason) in [
        (seats(&[]), Reason::SeatRequired),
        (seats(&["other"]), Reason::SeatRequired),
        (seats(&["standard-2", "stand", "any", "none"]), Reason::SeatRequired),
        (seats(&["standard"]), Reason::Allowed),
        (seats(&["other", "standard"]), Reason::Allowed),
    ] {
        assert_eq!(of(Stage::Live, &Part::Whole, &held, &rules).await.reason, reason, "{held:?}");
    }
    // a pool may be called what stands for "no seat needed"
    let any = Rule { seat_pool: Some(slug("any")), ..allow("a") };
    assert_eq!(of(Stage::Live, &Part::Whole, &[], &[any]).await.reason, Reason::SeatRequired);
}
