//! Previews on the wire.

use ::catalog::model::Stage;
use ::decision::Shift;
use kernel::{Error, Result, clock::Time};
use proto::{catalog::v1 as catalog, entitlement::v1 as pb};

use super::{
    model::{Difference, Line, Link, Outcome, Proposal, RuleChange},
    ops::{Diff, Foreseen},
};
use crate::{
    decision::rpc::{effect, reason},
    entitlement::{
        model::NewEntitlement,
        rpc::{new, time},
    },
};

/// Rules that a diff lists.
const RULES: usize = 1_000;

/// The changes of a request.
pub fn proposals(changes: Vec<pb::ProposedChange>) -> Result<Vec<Proposal>> {
    changes.into_iter().map(|change| proposal(change.change)).collect()
}

fn proposal(change: Option<pb::proposed_change::Change>) -> Result<Proposal> {
    use pb::proposed_change::Change;
    let link = |member: pb::ProposedMember, there| Link { name: member.name, member: member.member, there };
    Ok(match change {
        None => return Err(Error::invalid("changes", "has an empty change; say what would be changed")),
        Some(Change::CreateEntitlement(proposed)) => {
            Proposal::CreateRule(Box::new(new(proposed.entitlement_id, proposed.entitlement)?))
        }
        Some(Change::DeleteEntitlement(name)) => Proposal::DeleteRule(name),
        Some(Change::AddRoleMember(member)) => Proposal::RoleMember(link(member, true)),
        Some(Change::RemoveRoleMember(member)) => Proposal::RoleMember(link(member, false)),
        Some(Change::AddGroupMember(member)) => Proposal::GroupMember(link(member, true)),
        Some(Change::RemoveGroupMember(member)) => Proposal::GroupMember(link(member, false)),
        Some(Change::IncludeRole(member)) => Proposal::Inclusion(link(member, true)),
        Some(Change::ExcludeRole(member)) => Proposal::Inclusion(link(member, false)),
        Some(Change::SuspendPrincipal(principal)) => Proposal::Suspended { principal, suspended: true },
        Some(Change::ResumePrincipal(principal)) => Proposal::Suspended { principal, suspended: false },
        Some(Change::SetPluginStage(proposed)) => {
            let stage = stage(proposed.stage)?;
            Proposal::Stage { plugin: proposed.plugin, stage }
        }
        Some(Change::AddSeatHolder(member)) => Proposal::SeatHolder(link(member, true)),
        Some(Change::RemoveSeatHolder(member)) => Proposal::SeatHolder(link(member, false)),
        Some(Change::AddPluginGroupMember(member)) => Proposal::PluginGroupMember(link(member, true)),
        Some(Change::RemovePluginGroupMember(member)) => Proposal::PluginGroupMember(link(member, false)),
        Some(Change::BindConnector(pb::ProposedBinding { plugin, app })) => {
            Proposal::Binding { plugin, app, bound: true }
        }
        Some(Change::UnbindConnector(pb::ProposedBinding { plugin, app })) => {
            Proposal::Binding { plugin, app, bound: false }
        }
    })
}

fn stage(number: i32) -> Result<Stage> {
    Ok(match catalog::Stage::try_from(number) {
        Ok(catalog::Stage::Alpha) => Stage::Alpha,
        Ok(catalog::Stage::Preview) => Stage::Preview,
        Ok(catalog::Stage::Live) => Stage::Live,
        Ok(catalog::Stage::Deprecated) => Stage::Deprecated,
        Ok(catalog::Stage::Withdrawn) => Stage::Withdrawn,
        Ok(catalog::Stage::Unspecified) | Err(_) => {
            let all = "use one of ALPHA, PREVIEW, LIVE, DEPRECATED, WITHDRAWN";
            return Err(Error::invalid("changes.set_plugin_stage.stage", all));
        }
    })
}

/// Another set of rules; ids are still whole names.
pub fn rules(entitlements: Vec<pb::Entitlement>) -> Result<Vec<NewEntitlement>> {
    entitlements.into_iter().map(|entitlement| new(entitlement.name.clone(), Some(entitlement))).collect()
}

/// The moment that is asked about.
pub fn at(at: Option<prost_types::Timestamp>) -> Result<Option<Time>> {
    time("at_time", at)
}

fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

impl From<Foreseen> for pb::PreviewChangeResponse {
    fn from(foreseen: Foreseen) -> Self {
        Self {
            difference: Some(foreseen.difference.into()),
            decide_time: Some(foreseen.at.into()),
            revision_token: foreseen.token,
        }
    }
}

impl From<Difference> for pb::AccessDifference {
    fn from(difference: Difference) -> Self {
        let count = |shift| number(difference.count(shift));
        Self {
            gained_count: count(Shift::Gained),
            lost_count: count(Shift::Lost),
            effect_changed_count: count(Shift::Effect),
            reason_changed_count: count(Shift::Reason),
            principal_count: number(difference.principals),
            truncated: difference.truncated,
            changes: difference.lines.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Line> for pb::AccessChange {
    fn from(line: Line) -> Self {
        let kind = match line.shift {
            Shift::Gained => pb::AccessChangeKind::Gained,
            Shift::Lost => pb::AccessChangeKind::Lost,
            Shift::Effect => pb::AccessChangeKind::Effect,
            Shift::Reason => pb::AccessChangeKind::Reason,
        };
        Self {
            target: line.target,
            kind: kind.into(),
            before: Some(line.before.into()),
            after: Some(line.after.into()),
            principal_count: number(line.count),
            principals: line.principals,
        }
    }
}

impl From<Outcome> for pb::AccessOutcome {
    fn from(outcome: Outcome) -> Self {
        Self {
            allowed: outcome.decision.allowed,
            reason: reason(outcome.decision.reason).into(),
            effect: outcome.decision.effect.map_or(pb::Effect::Unspecified, effect).into(),
            entitlements: outcome.entitlements,
        }
    }
}

impl From<Diff> for pb::DiffPoliciesResponse {
    fn from(diff: Diff) -> Self {
        let Diff { rules, same, foreseen, tenant } = diff;
        let mut counts = [0_usize; 3];
        let [added, removed, changed] = &mut counts;
        let mut listed = Vec::new();
        for rule in rules {
            let (name, fields) = (rule.name(&tenant), rule.fields());
            let (kind, before, after) = match rule {
                RuleChange::Added(new) => {
                    *added += 1;
                    (pb::RuleChangeKind::Added, None, Some(proposed(&name, new)))
                }
                RuleChange::Removed(old) => {
                    *removed += 1;
                    (pb::RuleChangeKind::Removed, Some(old.into()), None)
                }
                RuleChange::Changed(old, new) => {
                    *changed += 1;
                    (pb::RuleChangeKind::Changed, Some(old.into()), Some(proposed(&name, new)))
                }
            };
            if listed.len() < RULES {
                let fields = fields.into_iter().map(str::to_owned).collect();
                listed.push(pb::RuleChange { name, kind: kind.into(), before, after, fields });
            }
        }
        let [added, removed, changed] = counts;
        Self {
            rules: listed,
            added_count: number(added),
            removed_count: number(removed),
            changed_count: number(changed),
            unchanged_count: number(same),
            difference: Some(foreseen.difference.into()),
            decide_time: Some(foreseen.at.into()),
            revision_token: foreseen.token,
        }
    }
}

/// A rule that is not there, as the wire has it.
fn proposed(name: &str, new: NewEntitlement) -> pb::Entitlement {
    pb::Entitlement {
        name: name.to_owned(),
        role: new.role,
        target: new.target,
        effect: pb::Effect::from(new.effect).into(),
        max_stage: catalog::Stage::from(new.max_stage).into(),
        not_before: new.not_before.map(Into::into),
        not_after: new.not_after.map(Into::into),
        reason: new.reason,
        floor: new.floor,
        ..pb::Entitlement::default()
    }
}
