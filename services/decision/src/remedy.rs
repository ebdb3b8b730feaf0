//! What would turn a no into a yes.

use crate::{
    explain::{Explanation, Obstacle, Told, Ways},
    model::{Effect, Stage, Target},
    people::PersonKind,
    snapshot::Snapshot,
};

/// One thing that would have to change. All those of an explanation together turn its no into a yes, and none of them
/// is needless, but where one rule stands in the way of an agent and of its owner. After a principal, a plugin or an
/// owner was added it must be asked again: nothing is known of it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy<'s> {
    /// Let the tenant be used again.
    ResumeTenant,
    /// Create the principal; what it may use then, its roles say.
    AddPrincipal(String),
    /// Let the principal act again.
    ResumePrincipal(&'s str),
    /// Import the plugin, or a version of it with that app or skill.
    AddPlugin(Target<String>),
    /// Release the plugin again, or put off its sunset.
    RestorePlugin(&'s str),
    /// Take away or narrow a rule that forbids.
    LiftDeny {
        /// The rule.
        rule: &'s str,
    },
    /// Let a rule allow what is less mature, or mature the plugin.
    RaiseCeiling {
        /// The rule.
        rule: &'s str,
        /// The stage that it would have to allow.
        to: Stage,
    },
    /// Give the principal a seat.
    GiveSeat {
        /// Of this pool.
        pool: &'s str,
        /// Who needs it.
        principal: &'s str,
    },
    /// Wait, or let a rule begin earlier.
    OpenWindow {
        /// The rule.
        rule: &'s str,
        /// When it begins, in microseconds since 1970.
        begins: i64,
    },
    /// Let a rule end later.
    ExtendWindow {
        /// The rule.
        rule: &'s str,
        /// When it ended, in microseconds since 1970.
        ended: i64,
    },
    /// Write a rule that allows it to a role of this principal, or give it a role that such a rule is for.
    AllowByRule {
        /// Whom nothing allows it to.
        principal: &'s str,
    },
    /// Bind the connectors that the plugin needs.
    BindConnectors(&'s [String]),
    /// Give the agent an owner that is a user of this tenant.
    NameOwner {
        /// The agent.
        agent: &'s str,
    },
}

impl Snapshot {
    /// What would turn the no of `explanation` into a yes.
    pub(crate) fn remedies<'s>(
        &'s self,
        principal: &str,
        target: Target<&str>,
        now: i64,
        explanation: &Explanation<'s>,
    ) -> Vec<Remedy<'s>> {
        let mut remedies = Vec::new();
        if !self.active {
            remedies.push(Remedy::ResumeTenant);
        }
        let person = self.people.principals.find(principal);
        let entry = self.catalogue.entry(target);
        if person.is_none() {
            remedies.push(Remedy::AddPrincipal(principal.to_owned()));
        }
        if entry.is_none() {
            remedies.push(Remedy::AddPlugin(target.to_owned()));
        }
        let (Some((at, person)), Some(mut entry)) = (person, entry) else { return remedies };
        let name = self.people.principals.name(at);
        if person.suspended {
            remedies.push(Remedy::ResumePrincipal(name));
        }
        let restored;
        if entry.fact.stage(now) == Stage::Withdrawn {
            remedies.push(Remedy::RestorePlugin(self.catalogue.plugins.name(entry.plugin)));
            restored = entry.fact.restored();
            entry.fact = &restored;
        }
        remedies.extend(by_rules(
            name,
            entry.fact.stage(now),
            &self.told(at, person, &entry, now, Ways::Skip),
        ));
        if !explanation.missing.is_empty() {
            remedies.push(Remedy::BindConnectors(explanation.missing));
        }
        match &explanation.owner {
            Some(owner) => {
                let more: Vec<_> = owner.remedies.iter().filter(|r| !remedies.contains(r)).cloned().collect();
                remedies.extend(more);
            }
            None if matches!(person.kind, PersonKind::Agent(_)) => {
                remedies.push(Remedy::NameOwner { agent: name });
            }
            None => (),
        }
        remedies
    }
}

/// What would make `told` allow: no deny that holds, and the nearest of the others without anything in its way.
fn by_rules<'s>(principal: &'s str, stage: Stage, told: &[Told<'s>]) -> Vec<Remedy<'s>> {
    let (denies, allows): (Vec<_>, Vec<_>) = told.iter().partition(|t| t.effect == Effect::Denied);
    let denies = denies.into_iter().filter(|t| t.obstacles.is_empty());
    let mut remedies: Vec<_> = denies.map(|t| Remedy::LiftDeny { rule: t.rule }).collect();
    match allows.into_iter().min_by_key(|t| (t.distance(), t.rule)) {
        None => remedies.push(Remedy::AllowByRule { principal }),
        Some(nearest) => {
            let stands = nearest.obstacles.iter();
            remedies.extend(stands.filter_map(|&obstacle| nearest.remedy(obstacle, principal, stage)));
        }
    }
    remedies
}

impl<'s> Told<'s> {
    fn remedy(&self, obstacle: Obstacle, principal: &'s str, stage: Stage) -> Option<Remedy<'s>> {
        let rule = self.rule;
        match obstacle {
            Obstacle::Stage => Some(Remedy::RaiseCeiling { rule, to: stage }),
            Obstacle::Seat => self.seat_pool.map(|pool| Remedy::GiveSeat { pool, principal }),
            Obstacle::NotOpen => self.not_before.map(|begins| Remedy::OpenWindow { rule, begins }),
            Obstacle::Closed => self.not_after.map(|ended| Remedy::ExtendWindow { rule, ended }),
        }
    }
}
