//! Tests held against a snapshot, and which rules they reach.

use std::collections::BTreeMap;

use super::{
    suite::{Check, Expected, Suite, Test},
    text::What,
};
use crate::{
    decide::Reason,
    explain::Explanation,
    model::{Facts, Target},
    snapshot::Snapshot,
};

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The test.
    pub test: String,
    /// What was answered otherwise than expected, in sentences; empty for a test that passed.
    pub failures: Vec<String>,
}

/// Which rules of some facts were reached by tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    rules: BTreeMap<String, RuleCoverage>,
}

/// How far tests came with one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCoverage {
    /// Questions to which it spoke.
    pub spoke: u64,
    /// Questions whose answer rested on it.
    pub decided: u64,
}

impl Coverage {
    /// Nothing reached yet.
    pub fn of(facts: &Facts) -> Self {
        Self { rules: facts.rules.iter().map(|rule| (rule.id.clone(), RuleCoverage::default())).collect() }
    }

    /// Every rule, by id.
    pub fn rules(&self) -> impl Iterator<Item = (&str, RuleCoverage)> {
        self.rules.iter().map(|(id, coverage)| (id.as_str(), *coverage))
    }

    /// The rules that no question reached.
    pub fn unreached(&self) -> Vec<&str> {
        self.rules().filter(|(_, coverage)| coverage.spoke == 0).map(|(id, _)| id).collect()
    }

    fn note(&mut self, explanation: &Explanation<'_>) {
        let owners = explanation.owner.iter().flat_map(|owner| &owner.told);
        for told in explanation.told.iter().chain(owners) {
            if let Some(coverage) = self.rules.get_mut(told.rule) {
                coverage.spoke += 1;
            }
        }
        for rule in explanation.deciding() {
            if let Some(coverage) = self.rules.get_mut(rule) {
                coverage.decided += 1;
            }
        }
    }
}

impl Suite {
    /// Asks everything of `snapshot`, and notes in `coverage` what the answers rested on.
    pub fn run(&self, snapshot: &Snapshot, coverage: &mut Coverage) -> Vec<Outcome> {
        self.tests.iter().map(|test| test.run(snapshot, coverage)).collect()
    }
}

impl Test {
    fn run(&self, snapshot: &Snapshot, coverage: &mut Coverage) -> Outcome {
        let failures =
            self.checks.iter().filter_map(|check| check.run(snapshot, self.now, coverage)).collect();
        Outcome { test: self.name.clone(), failures }
    }
}

impl Check {
    fn run(&self, snapshot: &Snapshot, now: i64, coverage: &mut Coverage) -> Option<String> {
        let who = self.principal.as_str();
        match &self.expected {
            Expected::Reason(target, expected) => {
                let explanation = snapshot.explain(who, target.as_ref(), now);
                coverage.note(&explanation);
                let found = explanation.decision.reason;
                (found != *expected).then(|| {
                    let rules = explanation.deciding();
                    let by =
                        if rules.is_empty() { String::new() } else { format!(" by {}", rules.join(", ")) };
                    let (expected, found) = (expected.as_str(), found.as_str());
                    format!("{who} and {}: expected {expected}, got {found}{by}", What(target.clone()))
                })
            }
            Expected::Exactly(expected) => {
                for plugin in snapshot.plugin_ids() {
                    coverage.note(&snapshot.explain(who, Target::Plugin(plugin), now));
                }
                let mut usable: Vec<_> =
                    snapshot.usable(who, now).into_iter().map(|usable| usable.plugin).collect();
                usable.sort_unstable();
                let more: Vec<_> = usable.iter().filter(|id| !expected.iter().any(|e| e == **id)).collect();
                let fewer: Vec<_> = expected.iter().filter(|id| !usable.contains(&id.as_str())).collect();
                (!more.is_empty() || !fewer.is_empty()).then(|| {
                    let more = more.into_iter().map(|id| format!("{id} too"));
                    let why = |id: &str| snapshot.decide(who, Target::Plugin(id), now).reason;
                    let fewer = fewer.into_iter().map(|id| format!("not {id} ({})", Reason::as_str(why(id))));
                    format!("{who} may use {}", more.chain(fewer).collect::<Vec<_>>().join(", "))
                })
            }
        }
    }
}
