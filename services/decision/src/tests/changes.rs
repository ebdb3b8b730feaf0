//! A snapshot that was changed answers as one that was compiled from the changed facts.

use super::random::{self, NOW};
use crate::{model::*, sample::Dice, snapshot::compile};

/// The facts after a change, for the plainest meaning of it.
fn update(facts: &mut Facts, change: Change) {
    fn put<T>(list: &mut Vec<T>, fact: T, id: impl Fn(&T) -> &str) {
        match list.iter_mut().find(|old| id(old) == id(&fact)) {
            Some(old) => *old = fact,
            None => list.push(fact),
        }
    }
    match change {
        Change::Active(active) => facts.active = active,
        Change::PutPrincipal(principal) => put(&mut facts.principals, principal, |p| &p.id),
        Change::RemovePrincipal(id) => facts.principals.retain(|p| p.id != id),
        Change::PutGroup(group) => put(&mut facts.groups, group, |g| &g.id),
        Change::RemoveGroup(id) => facts.groups.retain(|g| g.id != id),
        Change::PutRole(role) => put(&mut facts.roles, role, |r| &r.id),
        Change::RemoveRole(id) => facts.roles.retain(|r| r.id != id),
        Change::PutPlugin(plugin) => put(&mut facts.plugins, plugin, |p| &p.id),
        Change::RemovePlugin(id) => facts.plugins.retain(|p| p.id != id),
        Change::PutPluginGroup(group) => put(&mut facts.plugin_groups, group, |g| &g.id),
        Change::RemovePluginGroup(id) => facts.plugin_groups.retain(|g| g.id != id),
        Change::PutSeatPool(pool) => put(&mut facts.seat_pools, pool, |p| &p.id),
        Change::RemoveSeatPool(id) => facts.seat_pools.retain(|p| p.id != id),
        Change::PutRule(rule) => put(&mut facts.rules, rule, |r| &r.id),
        Change::RemoveRule(id) => facts.rules.retain(|r| r.id != id),
    }
}

#[test]
fn applied_changes_and_compiled_facts_answer_alike() {
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let mut facts = random::facts(&mut dice);
        let mut snapshot = compile(&facts).unwrap();
        for _ in 0..12 {
            let batch: Vec<_> = (0..=dice.roll(3)).map(|_| random::change(&mut dice)).collect();
            let mut changed = facts.clone();
            for change in &batch {
                update(&mut changed, change.clone());
            }
            match (snapshot.apply(&batch), compile(&changed)) {
                (Ok(applied), Ok(compiled)) => {
                    for (who, what) in random::questions() {
                        let (left, right) =
                            (applied.explain(who, what, NOW), compiled.explain(who, what, NOW));
                        assert_eq!(left, right, "seed {seed}: {batch:#?}");
                    }
                    (snapshot, facts) = (applied, changed);
                    taken += 1;
                }
                (Err(_), Err(_)) => refused += 1,
                (applied, compiled) => {
                    let (applied, compiled) = (applied.map(drop), compiled.map(drop));
                    panic!("seed {seed}: apply {applied:?}, compile {compiled:?}: {batch:#?}")
                }
            }
        }
    }
    assert!(taken > 1_000 && refused > 100, "{taken} batches taken, {refused} refused");
}

#[test]
fn a_snapshot_goes_on_answering_when_the_next_is_made() {
    let mut dice = Dice::new(3);
    let facts = random::facts(&mut dice);
    let before = compile(&facts).unwrap();
    let answers = |snapshot: &crate::Snapshot| -> Vec<_> {
        random::questions().map(|(who, what)| snapshot.decide(who, what, NOW)).collect()
    };
    let first = answers(&before);
    let after = before.apply(&[Change::Active(false)]).unwrap();
    assert_eq!(answers(&before), first);
    assert!(answers(&after).iter().all(|decision| !decision.allowed));
}

#[test]
fn a_batch_is_checked_by_its_outcome_and_not_by_its_order() {
    let mut dice = Dice::new(1);
    let snapshot = compile(&random::facts(&mut dice)).unwrap();
    let plugin = Plugin { id: "own/new".to_owned(), ..random::plugin(&mut dice, 0) };
    let rule = Rule { target: Target::Plugin(plugin.id.clone()), ..random::rule(&mut dice, 50) };
    let rule = Rule { tenant: None, role: None, ..rule };
    let there = [Change::PutRule(rule.clone()), Change::PutPlugin(plugin)];
    let gone = [Change::RemovePlugin("own/new".to_owned()), Change::RemoveRule(rule.id.clone())];
    assert!(snapshot.apply(&there[..1]).is_err());
    let next = snapshot.apply(&there).unwrap();
    assert!(next.apply(&gone[..1]).is_err());
    assert!(next.apply(&gone).is_ok());
    // the last word on a rule counts
    let undone = snapshot.apply(&[there[0].clone(), Change::RemoveRule(rule.id)]).unwrap();
    assert_eq!(undone.footprint().rules, snapshot.footprint().rules);
}
