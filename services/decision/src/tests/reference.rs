//! The rules, read as plainly as they can be: slow, and nothing is prepared.

use std::collections::BTreeSet;

use crate::{
    decide::{Decision, Reason},
    model::*,
};

/// The decision, and the rules that it rests on.
pub type Answer<'f> = (Decision, BTreeSet<&'f str>);

pub fn answer<'f>(facts: &'f Facts, who: &str, what: Target<&str>, now: i64) -> Answer<'f> {
    let no = |reason| (Decision::no(reason), BTreeSet::new());
    if !facts.active {
        return no(Reason::TenantSuspended);
    }
    let Some(principal) = facts.principals.iter().find(|p| p.id == who) else {
        return no(Reason::UnknownPrincipal);
    };
    if principal.suspended {
        return no(Reason::PrincipalSuspended);
    }
    let Some(plugin) = plugin(facts, what) else { return no(Reason::UnknownPlugin) };
    let own = by_rules(facts, who, plugin, what, now);
    let PrincipalKind::Agent { owner } = &principal.kind else { return own };
    if !own.0.allowed {
        return own;
    }
    let owner =
        facts.principals.iter().find(|p| p.id == *owner && p.kind == PrincipalKind::User && !p.suspended);
    let Some(owner) = owner else { return no(Reason::OwnerNotEntitled) };
    let (decision, rules) = by_rules(facts, &owner.id, plugin, what, now);
    if decision.allowed { (own.0, &own.1 | &rules) } else { (Decision::no(Reason::OwnerNotEntitled), rules) }
}

fn plugin<'f>(facts: &'f Facts, what: Target<&str>) -> Option<&'f Plugin> {
    let find = |id: &str| facts.plugins.iter().find(|p| p.id == id);
    match what {
        Target::Plugin(id) => find(id),
        Target::App { plugin, app } => find(plugin).filter(|p| p.apps.iter().any(|a| a == app)),
        Target::Skill { plugin, skill } => find(plugin).filter(|p| p.skills.iter().any(|s| s == skill)),
        Target::Marketplace(_) | Target::PluginGroup(_) => None,
    }
}

fn by_rules<'f>(facts: &'f Facts, who: &str, plugin: &Plugin, what: Target<&str>, now: i64) -> Answer<'f> {
    let over = plugin.sunset.is_some_and(|sunset| now >= sunset);
    if over || plugin.stage == Stage::Withdrawn {
        return (Decision::no(Reason::Withdrawn), BTreeSet::new());
    }
    let roles = roles(facts, who);
    let speaks = |rule: &&Rule| {
        let here = rule.tenant.as_ref().is_none_or(|tenant| *tenant == facts.tenant);
        here && rule.role.as_ref().is_none_or(|role| roles.contains(role.as_str()))
            && covers(facts, rule, plugin, what)
    };
    let (denies, allows): (Vec<_>, Vec<_>) =
        facts.rules.iter().filter(speaks).partition(|rule| rule.effect == Effect::Denied);
    let names = |rules: &[&'f Rule]| rules.iter().map(|rule| rule.id.as_str()).collect();
    let denies: Vec<_> = denies.into_iter().filter(|rule| window(rule, now).is_none()).collect();
    if !denies.is_empty() {
        return (Decision::no(Reason::ExplicitDeny), names(&denies));
    }
    let (holding, others): (Vec<_>, Vec<_>) =
        allows.into_iter().partition(|rule| in_the_way(facts, rule, who, plugin, now).is_empty());
    if let Some(effect) = holding.iter().map(|rule| rule.effect).max() {
        let ready = Decision { allowed: true, effect: Some(effect), reason: Reason::Allowed };
        let decision = if plugin.missing.is_empty() { ready } else { Decision::no(Reason::NotReady) };
        return (decision, names(&holding));
    }
    for relaxed in RELAXED {
        let as_near = |rule: &&Rule| in_the_way(facts, rule, who, plugin, now) == *relaxed;
        let near: Vec<_> = others.iter().copied().filter(as_near).collect();
        if !near.is_empty() {
            return (Decision::no(relaxed[0]), names(&near));
        }
    }
    (Decision::no(Reason::NoMatchingRule), BTreeSet::new())
}

use Reason::{SeatRequired as Seat, StageGate as Immature, WindowClosed as Closed, WindowNotOpen as NotOpen};

/// What can be in the way, the nearest first.
const RELAXED: &[&[Reason]] = &[
    &[Immature],
    &[Seat],
    &[NotOpen],
    &[Closed],
    &[Immature, Seat],
    &[Immature, NotOpen],
    &[Immature, Closed],
    &[Seat, NotOpen],
    &[Seat, Closed],
    &[Immature, Seat, NotOpen],
    &[Immature, Seat, Closed],
];

fn in_the_way(facts: &Facts, rule: &Rule, who: &str, plugin: &Plugin, now: i64) -> Vec<Reason> {
    let mut found = Vec::new();
    let mature = match rule.max_stage {
        MaxStage::Live => matches!(plugin.stage, Stage::Live | Stage::Deprecated),
        MaxStage::Preview => matches!(plugin.stage, Stage::Preview | Stage::Live | Stage::Deprecated),
        MaxStage::Alpha => true,
    };
    if !mature {
        found.push(Immature);
    }
    if let Some(pool) = &rule.seat_pool {
        let pool = facts.seat_pools.iter().find(|p| p.id == *pool).unwrap();
        if !pool.holders.iter().any(|holder| holder == who) {
            found.push(Seat);
        }
    }
    found.extend(window(rule, now));
    found
}

fn window(rule: &Rule, now: i64) -> Option<Reason> {
    if rule.not_before.is_some_and(|from| now < from) {
        return Some(NotOpen);
    }
    rule.not_after.is_some_and(|until| now >= until).then_some(Closed)
}

fn covers(facts: &Facts, rule: &Rule, plugin: &Plugin, what: Target<&str>) -> bool {
    match &rule.target {
        Target::Marketplace(id) => plugin.marketplace == *id,
        Target::PluginGroup(id) => {
            facts.plugin_groups.iter().any(|g| g.id == *id && g.plugins.contains(&plugin.id))
        }
        Target::Plugin(id) => plugin.id == *id,
        part => part.as_ref() == what,
    }
}

/// The roles that a principal holds, by whatever way.
fn roles<'f>(facts: &'f Facts, who: &str) -> BTreeSet<&'f str> {
    let (mut groups, mut roles) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let before = groups.len() + roles.len();
        for group in &facts.groups {
            let inside = |id: &String| groups.contains(id.as_str());
            if group.principals.iter().any(|p| p == who) || group.groups.iter().any(inside) {
                groups.insert(group.id.as_str());
            }
        }
        for role in &facts.roles {
            let held = role.principals.iter().any(|p| p == who);
            if held || role.groups.iter().any(|g| groups.contains(g.as_str())) {
                roles.insert(role.id.as_str());
            }
            if roles.contains(role.id.as_str()) {
                roles.extend(role.includes.iter().map(String::as_str));
            }
        }
        if groups.len() + roles.len() == before {
            return roles;
        }
    }
}
