//! Decisions, lists and explanations against the plain reading of the rules.

use std::collections::BTreeSet;

use super::{
    random::{self, MOMENTS, NOW},
    reference,
};
use crate::{
    Remedy,
    decide::Reason,
    explain::{Explanation, Step},
    model::*,
    sample::Dice,
    snapshot::{Snapshot, compile},
};

const TENANTS: u64 = 1_500;

/// Random facts with everything that casbin's model does not know.
fn tenants() -> impl Iterator<Item = (u64, Facts, Snapshot)> {
    (0..TENANTS).map(|seed| {
        let mut dice = Dice::new(seed);
        let mut facts = random::facts(&mut dice);
        facts.active = !dice.once_in(50);
        let snapshot = compile(&facts).unwrap();
        (seed, facts, snapshot)
    })
}

#[test]
fn decisions_and_what_they_rest_on_are_those_of_the_plain_reading() {
    let mut reasons = BTreeSet::new();
    for (seed, facts, snapshot) in tenants() {
        for (at, (who, what)) in random::questions().enumerate() {
            let now = MOMENTS[at % MOMENTS.len()];
            let (decision, decided) = reference::answer(&facts, who, what, now);
            assert_eq!(
                snapshot.decide(who, what, now),
                decision,
                "seed {seed}: {who} {what:?} {now}\n{facts:#?}"
            );
            let explanation = snapshot.explain(who, what, now);
            let named: BTreeSet<_> = explanation.deciding().into_iter().collect();
            assert_eq!(
                (explanation.decision, named),
                (decision, decided),
                "seed {seed}: {who} {what:?} {now}"
            );
            let (by, named) = snapshot.decide_by(who, what, now);
            let decided: Vec<_> =
                explanation.deciding().into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            assert_eq!((by, named), (decision, decided), "seed {seed}: {who} {what:?} {now}");
            reasons.insert(decision.reason);
        }
    }
    // the others need facts that are not there
    let others = [Reason::PolicyUnavailable, Reason::UnknownPrincipal, Reason::UnknownPlugin];
    assert_eq!(reasons.len() + others.len(), Reason::ALL.len(), "{reasons:?}");
}

#[test]
fn lists_hold_exactly_what_is_allowed() {
    for (seed, facts, snapshot) in tenants().take(500) {
        for principal in &facts.principals {
            let mut usable: Vec<_> =
                snapshot.usable(&principal.id, NOW).into_iter().map(|u| (u.plugin, Some(u.effect))).collect();
            usable.sort_unstable();
            let one_by_one = facts.plugins.iter().filter_map(|plugin| {
                let decision = snapshot.decide(&principal.id, Target::Plugin(&plugin.id), NOW);
                decision.allowed.then_some((plugin.id.as_str(), decision.effect))
            });
            let mut one_by_one: Vec<_> = one_by_one.collect();
            one_by_one.sort_unstable();
            assert_eq!(usable, one_by_one, "seed {seed}: {}", principal.id);
        }
        for (_, what) in random::questions() {
            let listed: BTreeSet<_> = snapshot.principals(what, NOW).into_iter().collect();
            let may = |p: &&Principal| snapshot.decide(&p.id, what, NOW).allowed;
            let one_by_one = facts.principals.iter().filter(may).map(|p| p.id.as_str()).collect();
            assert_eq!(listed, one_by_one, "seed {seed}: {what:?}");
        }
        for (who, what) in random::questions() {
            let (Target::App { plugin, .. } | Target::Skill { plugin, .. }) = what else { continue };
            let listed = snapshot.usable_parts(who, plugin, NOW).contains(&what);
            assert_eq!(listed, snapshot.decide(who, what, NOW).allowed, "seed {seed}: {who} {what:?}");
        }
    }
}

/// Whether each step of a path is a fact.
fn walks(facts: &Facts, who: &str, path: &[Step<'_>]) -> bool {
    let mut at = None;
    path.iter().all(|&step| {
        let from = at.replace(step);
        match (from, step) {
            (None, Step::Group(id)) => {
                facts.groups.iter().any(|g| g.id == id && g.principals.contains(&who.to_owned()))
            }
            (None, Step::Role(id)) => {
                facts.roles.iter().any(|r| r.id == id && r.principals.contains(&who.to_owned()))
            }
            (Some(Step::Group(from)), Step::Group(id)) => {
                facts.groups.iter().any(|g| g.id == id && g.groups.contains(&from.to_owned()))
            }
            (Some(Step::Group(from)), Step::Role(id)) => {
                facts.roles.iter().any(|r| r.id == id && r.groups.contains(&from.to_owned()))
            }
            (Some(Step::Role(from)), Step::Role(id)) => {
                facts.roles.iter().any(|r| r.id == from && r.includes.contains(&id.to_owned()))
            }
            (Some(Step::Role(_)), Step::Group(_)) => false,
        }
    })
}

#[test]
fn every_rule_comes_with_a_way_that_the_facts_have() {
    for (seed, facts, snapshot) in tenants().take(500) {
        for (who, what) in random::questions() {
            for told in snapshot.explain(who, what, NOW).told {
                let rule = facts.rules.iter().find(|r| r.id == told.rule).unwrap();
                assert_eq!(rule.target.as_ref(), told.target);
                assert_eq!(rule.reason, told.reason);
                let last = told.path.last().map(|step| match step {
                    Step::Role(id) => *id,
                    Step::Group(id) => panic!("seed {seed}: a path ends at group {id}"),
                });
                assert_eq!(rule.role.as_deref(), last, "seed {seed}: {told:?}");
                assert!(walks(&facts, who, &told.path), "seed {seed}: {who} {told:?}");
            }
        }
    }
}

/// Does what a remedy says.
fn mend(facts: &mut Facts, remedy: &Remedy<'_>, what: Target<&str>) {
    let change = |facts: &mut Facts, id: &str, change: &dyn Fn(&mut Rule)| {
        facts.rules.iter_mut().filter(|rule| rule.id == id).for_each(change);
    };
    let (Target::Plugin(plugin) | Target::App { plugin, .. } | Target::Skill { plugin, .. }) = what else {
        return;
    };
    let plugins = facts.plugins.iter_mut().filter(|p| p.id == plugin);
    match remedy {
        Remedy::ResumeTenant => facts.active = true,
        Remedy::ResumePrincipal(id) => {
            facts.principals.iter_mut().filter(|p| p.id == *id).for_each(|p| p.suspended = false);
        }
        Remedy::RestorePlugin(_) => plugins.for_each(|p| (p.stage, p.sunset) = (Stage::Live, None)),
        Remedy::BindConnectors(_) => plugins.for_each(|p| p.missing.clear()),
        Remedy::LiftDeny { rule } => facts.rules.retain(|r| r.id != *rule),
        Remedy::RaiseCeiling { rule, .. } => change(facts, rule, &|rule| rule.max_stage = MaxStage::Alpha),
        Remedy::OpenWindow { rule, .. } => change(facts, rule, &|rule| rule.not_before = None),
        Remedy::ExtendWindow { rule, .. } => change(facts, rule, &|rule| rule.not_after = None),
        Remedy::GiveSeat { pool, principal } => {
            let pools = facts.seat_pools.iter_mut().filter(|p| p.id == *pool);
            pools.for_each(|p| p.holders.push((*principal).to_owned()));
        }
        Remedy::AllowByRule { principal } => {
            let role = format!("new role of {principal}");
            let rule = Rule {
                id: format!("new rule for {principal}"),
                tenant: None,
                role: Some(role.clone()),
                target: what.to_owned(),
                effect: Effect::Available,
                max_stage: MaxStage::Alpha,
                seat_pool: None,
                not_before: None,
                not_after: None,
                level: Level::Ordinary,
                reason: String::new(),
            };
            let principals = vec![(*principal).to_owned()];
            facts.roles.push(Role { id: role, principals, groups: Vec::new(), includes: Vec::new() });
            facts.rules.push(rule);
        }
        Remedy::NameOwner { .. } | Remedy::AddPrincipal(_) | Remedy::AddPlugin(_) => {
            panic!("asks for something that cannot be made out of the question")
        }
    }
}

#[test]
fn the_remedies_of_a_no_make_it_a_yes_and_none_is_needless() {
    let mut mended = 0;
    for (seed, facts, snapshot) in tenants().take(700) {
        for (who, what) in random::questions().step_by(11) {
            let Explanation { decision, remedies, .. } = snapshot.explain(who, what, NOW);
            assert_eq!(decision.allowed, remedies.is_empty(), "seed {seed}: {who} {what:?}");
            if remedies.iter().any(|remedy| matches!(remedy, Remedy::NameOwner { .. })) {
                continue;
            }
            let agent =
                facts.principals.iter().any(|p| p.id == who && matches!(p.kind, PrincipalKind::Agent { .. }));
            let first = if agent { remedies.len() } else { 0 };
            for left_out in first..=remedies.len() {
                let mut better = facts.clone();
                let chosen = remedies.iter().enumerate().filter(|(at, _)| *at != left_out);
                chosen.for_each(|(_, remedy)| mend(&mut better, remedy, what));
                let allowed = compile(&better).unwrap().decide(who, what, NOW).allowed;
                let all = left_out == remedies.len();
                assert_eq!(allowed, all, "seed {seed}: {who} {what:?}: {remedies:?} without {left_out}");
            }
            mended += remedies.len();
        }
    }
    assert!(mended > 1_000, "{mended} remedies were tried");
}

#[test]
fn a_decision_holds_until_the_moment_that_its_explanation_says() {
    for (seed, facts, snapshot) in tenants().take(500) {
        let windows = facts.rules.iter().flat_map(|rule| [rule.not_before, rule.not_after]);
        let edges = windows.chain(facts.plugins.iter().map(|plugin| plugin.sunset)).flatten();
        let edges: BTreeSet<_> = edges.filter(|&edge| edge > MOMENTS[3]).collect();
        for (who, what) in random::questions() {
            let explanation = snapshot.explain(who, what, MOMENTS[3]);
            let differs = |at: &&i64| reference::answer(&facts, who, what, **at).0 != explanation.decision;
            assert_eq!(
                explanation.changes_at,
                edges.iter().find(differs).copied(),
                "seed {seed}: {who} {what:?}"
            );
        }
    }
}
