//! What a comparison says is what asking every question twice says.

use std::collections::{BTreeMap, BTreeSet};

use super::random::{self, NOW};
use crate::{Decision, Shift, Snapshot};
use crate::{model::*, sample::Dice, snapshot::compile};

/// Every question of two snapshots that is answered differently, the parts that differ as their plugin does left out.
fn asked<'a>(
    before: &Snapshot,
    after: &Snapshot,
    who: impl Iterator<Item = (&'a str, Target<&'a str>)>,
) -> BTreeSet<(String, String, String)> {
    let both = |who: &str, what: Target<&str>| (before.decide(who, what, NOW), after.decide(who, what, NOW));
    let mut found = BTreeSet::new();
    for (who, what) in who {
        let answers = both(who, what);
        let (Target::Plugin(plugin) | Target::App { plugin, .. } | Target::Skill { plugin, .. }) = what
        else {
            panic!("nobody asks for {what:?}")
        };
        let as_plugin = what != Target::Plugin(plugin) && both(who, Target::Plugin(plugin)) == answers;
        if answers.0 != answers.1 && !as_plugin {
            found.insert((who.to_owned(), format!("{what:?}"), format!("{answers:?}")));
        }
    }
    found
}

#[test]
fn every_changed_answer_is_named_and_counted_and_no_other() {
    let (mut pairs, mut parts) = (0, 0);
    for seed in 0..600 {
        let mut dice = Dice::new(seed);
        let before = compile(&random::facts(&mut dice)).unwrap();
        let changes: Vec<_> = (0..=dice.roll(4)).map(|_| random::change(&mut dice)).collect();
        let Ok(after) = before.apply(&changes) else { continue };
        let found = before.compare(&after, NOW, usize::MAX);
        let mut named = BTreeSet::new();
        let mut counts: BTreeMap<Shift, u64> = BTreeMap::new();
        for moved in &found.moved {
            assert_eq!(moved.count, moved.principals.len() as u64, "seed {seed}");
            assert!(moved.principals.is_sorted());
            parts += usize::from(!matches!(moved.target, Target::Plugin(_)));
            *counts.entry(moved.shift()).or_default() += moved.count;
            for who in &moved.principals {
                let answers: (Decision, Decision) = (moved.before, moved.after);
                let line = ((*who).to_owned(), format!("{:?}", moved.target), format!("{answers:?}"));
                assert!(named.insert(line), "seed {seed}: twice: {moved:?}");
            }
        }
        assert_eq!(named, asked(&before, &after, random::questions()), "seed {seed}: {changes:#?}");
        assert_eq!(counts, found.counts, "seed {seed}");
        let people: BTreeSet<_> = named.iter().map(|(who, ..)| who).collect();
        assert_eq!(people.len() as u64, found.principals, "seed {seed}");
        pairs += named.len();
        // with fewer names, nothing else is different
        let few = before.compare(&after, NOW, 1);
        assert_eq!((&few.counts, few.principals), (&found.counts, found.principals));
        assert!(
            few.moved
                .iter()
                .zip(&found.moved)
                .all(|(few, all)| few.count == all.count && few.principals.len() == 1)
        );
    }
    assert!(pairs > 1_000 && parts > 100, "{pairs} pairs, {parts} of them about parts");
}

#[test]
fn nothing_differs_from_itself() {
    let snapshot = compile(&random::facts(&mut Dice::new(7))).unwrap();
    assert_eq!(snapshot.compare(&snapshot.clone(), NOW, 10), crate::Comparison::default());
}

#[test]
fn facts_come_out_of_a_snapshot_as_they_went_in() {
    for seed in 0..100 {
        let facts = random::facts(&mut Dice::new(seed));
        let snapshot = compile(&facts).unwrap();
        for principal in &facts.principals {
            assert_eq!(snapshot.principal(&principal.id).as_ref(), Some(principal));
        }
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        for group in facts.groups {
            let group = Group { principals: sorted(group.principals), groups: sorted(group.groups), ..group };
            assert_eq!(snapshot.group(&group.id), Some(group));
        }
        for role in facts.roles {
            let role = Role {
                principals: sorted(role.principals),
                groups: sorted(role.groups),
                includes: sorted(role.includes),
                ..role
            };
            assert_eq!(snapshot.role(&role.id), Some(role));
        }
        for plugin in facts.plugins {
            let plugin = Plugin { apps: sorted(plugin.apps), skills: sorted(plugin.skills), ..plugin };
            assert_eq!(snapshot.plugin(&plugin.id), Some(plugin));
        }
        assert_eq!([snapshot.role(""), snapshot.role("nobody")], [None, None]);
    }
}
