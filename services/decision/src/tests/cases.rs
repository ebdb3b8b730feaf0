//! What the rules mean, one sentence each.

use super::random::NOW;
use crate::{Decision, Reason, compile, model::*};

/// A tenant with maria, who is a banker by the desk, and what she may use.
fn tenant(rules: &[Rule]) -> Facts {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let plugin = |id: &str, missing: &[&str]| Plugin {
        id: id.to_owned(),
        marketplace: "codex".to_owned(),
        stage: Stage::Live,
        sunset: None,
        missing: names(missing),
        apps: names(&["search", "files"]),
        skills: names(&["draft"]),
    };
    let user = |id: &str| Principal { id: id.to_owned(), kind: PrincipalKind::User, suspended: false };
    Facts {
        tenant: "acme".to_owned(),
        active: true,
        principals: vec![user("maria")],
        groups: vec![Group { id: "desk".to_owned(), principals: names(&["maria"]), groups: Vec::new() }],
        roles: vec![Role {
            id: "banker".to_owned(),
            principals: vec![],
            groups: names(&["desk"]),
            includes: vec![],
        }],
        plugins: vec![plugin("factset", &[]), plugin("pitchbook", &["search"])],
        plugin_groups: vec![],
        seat_pools: vec![],
        rules: rules.to_vec(),
    }
}

fn rule(id: &str, effect: Effect, target: Target<&str>) -> Rule {
    Rule {
        id: id.to_owned(),
        tenant: None,
        role: Some("banker".to_owned()),
        target: target.to_owned(),
        effect,
        max_stage: MaxStage::Live,
        seat_pool: None,
        not_before: None,
        not_after: None,
        level: Level::Ordinary,
        reason: String::new(),
    }
}

const FACTSET: Target<&str> = Target::Plugin("factset");
const SEARCH: Target<&str> = Target::App { plugin: "factset", app: "search" };
const FILES: Target<&str> = Target::App { plugin: "factset", app: "files" };
const DRAFT: Target<&str> = Target::Skill { plugin: "factset", skill: "draft" };

fn reasons<const N: usize>(rules: &[Rule], targets: [Target<&str>; N]) -> [Reason; N] {
    let snapshot = compile(&tenant(rules)).unwrap();
    targets.map(|target| snapshot.decide("maria", target, NOW).reason)
}

#[test]
fn nothing_is_allowed_that_no_rule_speaks_of() {
    assert_eq!(reasons(&[], [FACTSET, SEARCH]), [Reason::NoMatchingRule; 2]);
}

#[test]
fn a_deny_on_a_plugin_covers_its_apps_and_skills_even_where_a_rule_allows_one() {
    let rules = [rule("a", Effect::Required, SEARCH), rule("d", Effect::Denied, FACTSET)];
    assert_eq!(reasons(&rules, [FACTSET, SEARCH, FILES, DRAFT]), [Reason::ExplicitDeny; 4]);
}

#[test]
fn a_deny_on_an_app_leaves_the_rest_usable() {
    let rules = [rule("a", Effect::Available, FACTSET), rule("d", Effect::Denied, SEARCH)];
    let [yes, no] = [Reason::Allowed, Reason::ExplicitDeny];
    assert_eq!(reasons(&rules, [FACTSET, SEARCH, FILES, DRAFT]), [yes, no, yes, yes]);
}

#[test]
fn an_allow_on_an_app_does_not_allow_the_plugin() {
    let [yes, no] = [Reason::Allowed, Reason::NoMatchingRule];
    assert_eq!(reasons(&[rule("a", Effect::Available, SEARCH)], [FACTSET, SEARCH, FILES]), [no, yes, no]);
}

#[test]
fn a_deny_wins_at_every_level_over_every_level() {
    let levels = [Level::Ordinary, Level::Floor, Level::Platform];
    for (allow, deny) in levels.into_iter().flat_map(|allow| levels.map(|deny| (allow, deny))) {
        let allow = Rule { level: allow, ..rule("a", Effect::Required, FACTSET) };
        let deny =
            Rule { level: deny, role: None, ..rule("d", Effect::Denied, Target::Marketplace("codex")) };
        assert_eq!(reasons(&[allow, deny], [FACTSET]), [Reason::ExplicitDeny]);
    }
}

#[test]
fn a_plugin_that_is_not_ready_says_so_only_to_whom_it_is_allowed() {
    let pitchbook = Target::Plugin("pitchbook");
    assert_eq!(reasons(&[], [pitchbook]), [Reason::NoMatchingRule]);
    assert_eq!(reasons(&[rule("a", Effect::Default, pitchbook)], [pitchbook]), [Reason::NotReady]);
}

#[test]
fn what_is_withdrawn_is_so_at_once_and_for_everybody() {
    let facts = tenant(&[rule("a", Effect::Required, FACTSET)]);
    let snapshot = compile(&facts).unwrap();
    let withdrawn = Plugin { stage: Stage::Withdrawn, ..facts.plugins[0].clone() };
    let next = snapshot.apply(&[Change::PutPlugin(withdrawn)]).unwrap();
    assert!(snapshot.decide("maria", FACTSET, NOW).allowed);
    for target in [FACTSET, SEARCH, DRAFT] {
        assert_eq!(next.decide("maria", target, NOW), Decision::no(Reason::Withdrawn));
    }
}

#[test]
fn what_is_deprecated_works_until_its_sunset_and_is_withdrawn_from_that_instant_on() {
    let mut facts = tenant(&[rule("a", Effect::Required, FACTSET)]);
    let reasons = |facts: &Facts| {
        let snapshot = compile(facts).unwrap();
        [NOW - 1, NOW, NOW + 1].map(|now| {
            let usable = snapshot.usable("maria", now).iter().any(|u| u.plugin == "factset");
            let decision = snapshot.decide("maria", FACTSET, now);
            let who = snapshot.principals(FACTSET, now).len();
            assert_eq!((usable, who == 1), (decision.allowed, decision.allowed));
            assert_eq!(snapshot.decide("maria", DRAFT, now), decision);
            decision.reason
        })
    };
    let (yes, no) = (Reason::Allowed, Reason::Withdrawn);
    facts.plugins[0].stage = Stage::Deprecated;
    assert_eq!(reasons(&facts), [yes; 3]);
    facts.plugins[0].sunset = Some(NOW);
    assert_eq!(reasons(&facts), [yes, no, no]);
    let snapshot = compile(&facts).unwrap();
    assert_eq!(snapshot.explain("maria", FACTSET, NOW - 1).changes_at, Some(NOW));
    let after = snapshot.explain("maria", FACTSET, NOW);
    assert_eq!((after.changes_at, after.remedies), (None, vec![crate::Remedy::RestorePlugin("factset")]));
    // a tenant that holds it to another stage meanwhile is not spared
    for stage in [Stage::Alpha, Stage::Preview, Stage::Live] {
        facts.plugins[0].stage = stage;
        assert_eq!(reasons(&facts)[1..], [no, no], "{stage:?}");
    }
}

#[test]
fn a_snapshot_can_be_asked_by_many_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&compile(&tenant(&[])).unwrap());
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::as_str).into_iter().collect();
    assert_eq!(words.len(), Reason::ALL.len());
    assert!(Reason::ALL.is_sorted(), "the order of the list is the order of precedence");
}

#[test]
fn without_a_snapshot_the_answer_is_no() {
    let decision = Decision::unavailable();
    assert_eq!(
        (decision.allowed, decision.effect, decision.reason),
        (false, None, Reason::PolicyUnavailable)
    );
}

#[test]
fn who_or_what_is_unknown_is_a_no_that_says_so() {
    let snapshot = compile(&tenant(&[rule("a", Effect::Required, FACTSET)])).unwrap();
    assert_eq!(snapshot.decide("ann", FACTSET, NOW).reason, Reason::UnknownPrincipal);
    for target in [
        Target::Plugin("lseg"),
        Target::App { plugin: "factset", app: "draft" },
        Target::Marketplace("codex"),
    ] {
        assert_eq!(snapshot.decide("maria", target, NOW).reason, Reason::UnknownPlugin);
    }
}

#[test]
fn a_seat_and_a_window_are_looked_at_when_the_question_is_asked() {
    let mut facts = tenant(&[Rule {
        seat_pool: Some("seats".to_owned()),
        not_before: Some(NOW),
        not_after: Some(NOW + 10),
        ..rule("a", Effect::Default, FACTSET)
    }]);
    facts.seat_pools.push(SeatPool { id: "seats".to_owned(), holders: vec![] });
    let snapshot = compile(&facts).unwrap();
    let seat = Change::PutSeatPool(SeatPool { id: "seats".to_owned(), holders: vec!["maria".to_owned()] });
    let seated = snapshot.apply(&[seat]).unwrap();
    let at = [NOW - 1, NOW, NOW + 9, NOW + 10];
    let (seat, no) = (Reason::SeatRequired, Reason::WindowNotOpen);
    assert_eq!(at.map(|now| snapshot.decide("maria", FACTSET, now).reason), [seat; 4]);
    let reasons = at.map(|now| seated.decide("maria", FACTSET, now).reason);
    assert_eq!(reasons, [no, Reason::Allowed, Reason::Allowed, Reason::WindowClosed]);
    assert_eq!(seated.explain("maria", FACTSET, NOW).changes_at, Some(NOW + 10));
}

#[test]
fn what_is_barred_or_closed_is_decided_with_no_for_that_reason() {
    let mut facts = tenant(&[rule("all", Effect::Default, Target::Marketplace("codex"))]);
    facts.principals.push(Principal { id: "paul".to_owned(), kind: PrincipalKind::User, suspended: true });
    facts.plugins[1].stage = Stage::Withdrawn;
    for active in [true, false] {
        facts.active = active;
        let snapshot = compile(&facts).unwrap();
        for who in ["maria", "paul", "nobody"] {
            for what in ["factset", "pitchbook", "none"] {
                let decided = snapshot.decide(who, Target::Plugin(what), NOW).reason;
                let (barred, closed) = (snapshot.barred(who), snapshot.closed(Target::Plugin(what), NOW));
                assert_eq!(barred.or(closed).unwrap_or(Reason::Allowed), decided, "{who} {what} {active}");
            }
        }
        let mut ids: Vec<_> = snapshot.principal_ids().collect();
        ids.sort_unstable();
        assert_eq!(ids, ["maria", "paul"]);
    }
}
