//! Changes that somebody thinks of, what they come to, and what differs; without any I/O.

use std::collections::BTreeMap;

use ::decision::{
    Change, Comparison, Decision, Group, Level, Moved, PluginGroup, Principal, Role, Rule, SeatPool, Shift,
    Snapshot, Target,
};
use catalog::model::Stage as Released;
use kernel::{
    Error, Result,
    audit::Resource as _,
    clock::Time,
    ids::{Slug, clip},
};

use crate::{
    decision::model::{Wanted, target_name},
    entitlement::model::{self as entitlement, EVERYBODY, Entitlement, NewEntitlement},
};

/// Most changes that are thought of together.
pub const MOST: usize = 100;
/// Most rules of another set.
pub const MOST_RULES: usize = 5_000;
/// Principals that a line names where the caller does not say.
pub const NAMES: usize = 20;
/// Most principals that a line names.
pub const MOST_NAMES: usize = 1_000;
/// Lines that are told.
const LINES: usize = 1_000;
/// Principals that all lines name together.
const ALL_NAMES: usize = 10_000;

/// One change, in names.
#[derive(Clone, Debug)]
pub enum Proposal {
    /// A rule is created.
    CreateRule(Box<NewEntitlement>),
    /// A rule is deleted.
    DeleteRule(String),
    /// A role is given to, or taken from, a principal or a group.
    RoleMember(Link),
    /// A principal is put into a group, or taken out.
    GroupMember(Link),
    /// A role includes another, or does not any more.
    Inclusion(Link),
    /// A principal is suspended, or resumed.
    Suspended { principal: String, suspended: bool },
    /// A plugin is of another stage.
    Stage { plugin: String, stage: Released },
    /// A principal is given a seat, or has it taken away.
    SeatHolder(Link),
    /// A plugin is put into a plugin group, or taken out.
    PluginGroupMember(Link),
    /// An app has a connector of the tenant's own, or has not.
    Binding { plugin: String, app: String, bound: bool },
}

/// Something in something else.
#[derive(Clone, Debug)]
pub struct Link {
    /// The role or group.
    pub name: String,
    /// What would be in it, or not.
    pub member: String,
    /// Whether it would.
    pub there: bool,
}

/// Facts that change, each as it will be.
#[derive(Default)]
pub struct Draft {
    roles: BTreeMap<String, Role>,
    groups: BTreeMap<String, Group>,
    principals: BTreeMap<String, Principal>,
    plugins: BTreeMap<String, ::decision::Plugin>,
    pools: BTreeMap<String, SeatPool>,
    plugin_groups: BTreeMap<String, PluginGroup>,
    rules: Vec<Change>,
}

impl Draft {
    /// A rule is there.
    pub fn put_rule(&mut self, rule: Rule) {
        self.rules.push(Change::PutRule(rule));
    }

    /// A rule is not there any more.
    pub fn remove_rule(&mut self, slug: &str) {
        self.rules.push(Change::RemoveRule(slug.to_owned()));
    }

    /// A role, to be changed; none if there is none.
    pub fn role(&mut self, now: &Snapshot, id: &str) -> Option<&mut Role> {
        if !self.roles.contains_key(id) {
            self.roles.insert(id.to_owned(), now.role(id)?);
        }
        self.roles.get_mut(id)
    }

    /// A group.
    pub fn group(&mut self, now: &Snapshot, id: &str) -> Option<&mut Group> {
        if !self.groups.contains_key(id) {
            self.groups.insert(id.to_owned(), now.group(id)?);
        }
        self.groups.get_mut(id)
    }

    /// A principal.
    pub fn principal(&mut self, now: &Snapshot, id: &str) -> Option<&mut Principal> {
        if !self.principals.contains_key(id) {
            self.principals.insert(id.to_owned(), now.principal(id)?);
        }
        self.principals.get_mut(id)
    }

    /// A plugin.
    pub fn plugin(&mut self, now: &Snapshot, id: &str) -> Option<&mut ::decision::Plugin> {
        if !self.plugins.contains_key(id) {
            self.plugins.insert(id.to_owned(), now.plugin(id)?);
        }
        self.plugins.get_mut(id)
    }

    /// A seat pool.
    pub fn pool(&mut self, now: &Snapshot, id: &str) -> Option<&mut SeatPool> {
        if !self.pools.contains_key(id) {
            self.pools.insert(id.to_owned(), now.seat_pool(id)?);
        }
        self.pools.get_mut(id)
    }

    /// A plugin group.
    pub fn plugin_group(&mut self, now: &Snapshot, id: &str) -> Option<&mut PluginGroup> {
        if !self.plugin_groups.contains_key(id) {
            self.plugin_groups.insert(id.to_owned(), now.plugin_group(id)?);
        }
        self.plugin_groups.get_mut(id)
    }

    /// All of it.
    pub fn changes(self) -> Vec<Change> {
        let roles = self.roles.into_values().map(Change::PutRole);
        let groups = self.groups.into_values().map(Change::PutGroup);
        let principals = self.principals.into_values().map(Change::PutPrincipal);
        let plugins = self.plugins.into_values().map(Change::PutPlugin);
        let pools = self.pools.into_values().map(Change::PutSeatPool);
        let plugin_groups = self.plugin_groups.into_values().map(Change::PutPluginGroup);
        let people = roles.chain(groups).chain(principals).chain(pools);
        people.chain(plugins).chain(plugin_groups).chain(self.rules).collect()
    }
}

/// Puts `id` into a set, or takes it out.
pub fn put(list: &mut Vec<String>, id: &str, there: bool) {
    list.retain(|one| one != id);
    if there {
        list.push(id.to_owned());
    }
}

/// The rule that an entitlement is to the engine.
pub fn rule(slug: &str, new: &NewEntitlement) -> Result<Rule> {
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let role = match new.role.as_str() {
        EVERYBODY => None,
        name => Some(last(name)),
    };
    let target = match new.target.strip_prefix("marketplaces/") {
        Some(id) if !id.contains('/') => Target::Marketplace(id.to_owned()),
        None if new.target.contains("/pluginGroups/") => Target::PluginGroup(last(&new.target)),
        _ => Wanted::parse("entitlement.target", &new.target)?.into_target(),
    };
    Ok(Rule {
        id: slug.to_owned(),
        tenant: None,
        role,
        target,
        effect: new.effect.into(),
        max_stage: new.max_stage.into(),
        seat_pool: Some(new.seat_pool.as_str()).filter(|pool| !pool.is_empty()).map(last),
        not_before: new.not_before.map(Time::micros),
        not_after: new.not_after.map(Time::micros),
        level: if new.floor { Level::Floor } else { Level::Ordinary },
        reason: new.reason.clone(),
    })
}

/// What a caller would have said to create it.
pub fn as_new(entitlement: &Entitlement) -> NewEntitlement {
    NewEntitlement {
        id: entitlement.slug.to_string(),
        role: entitlement.role(),
        target: entitlement.target.clone(),
        effect: entitlement.effect,
        max_stage: entitlement.max_stage,
        seat_pool: entitlement.seat_pool(),
        not_before: entitlement.not_before,
        not_after: entitlement.not_after,
        reason: entitlement.reason.clone(),
        floor: entitlement.floor,
    }
}

/// How a rule differs from the tenant's.
#[derive(Clone, Debug)]
pub enum RuleChange {
    /// Only the other set has it.
    Added(NewEntitlement),
    /// Only the tenant has it.
    Removed(Entitlement),
    /// Both have it, otherwise.
    Changed(Entitlement, NewEntitlement),
}

impl RuleChange {
    /// The rule's name.
    pub fn name(&self, tenant: &Slug) -> String {
        match self {
            Self::Added(new) => entitlement::name(tenant, &new.id),
            Self::Removed(old) | Self::Changed(old, _) => old.name(),
        }
    }

    /// The fields that differ.
    pub fn fields(&self) -> Vec<&'static str> {
        match self {
            Self::Added(_) | Self::Removed(_) => Vec::new(),
            Self::Changed(old, new) => fields(&as_new(old), new),
        }
    }
}

fn fields(old: &NewEntitlement, new: &NewEntitlement) -> Vec<&'static str> {
    let differ = [
        ("role", old.role != new.role),
        ("target", old.target != new.target),
        ("effect", old.effect != new.effect),
        ("max_stage", old.max_stage != new.max_stage),
        ("seat_pool", old.seat_pool != new.seat_pool),
        ("not_before", old.not_before != new.not_before),
        ("not_after", old.not_after != new.not_after),
        ("reason", old.reason != new.reason),
        ("floor", old.floor != new.floor),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// What differs between a tenant's rules and another set, by name, and how many are the same.
///
/// # Errors
///
/// Two rules of one id.
pub fn diff(current: Vec<Entitlement>, other: Vec<NewEntitlement>) -> Result<(Vec<RuleChange>, usize)> {
    let mut others = BTreeMap::new();
    for new in other {
        if let Some(twice) = others.insert(new.id.clone(), new) {
            return Err(Error::invalid(
                "entitlements",
                format!("has `{}` twice; ids are unique", clip(&twice.id)),
            ));
        }
    }
    let (mut found, mut same) = (BTreeMap::new(), 0);
    for old in current {
        let slug = old.slug.to_string();
        match others.remove(&slug) {
            None => drop(found.insert(slug, RuleChange::Removed(old))),
            Some(new) if fields(&as_new(&old), &new).is_empty() => same += 1,
            Some(new) => drop(found.insert(slug, RuleChange::Changed(old, new))),
        }
    }
    found.extend(others.into_iter().map(|(slug, new)| (slug, RuleChange::Added(new))));
    Ok((found.into_values().collect(), same))
}

/// What differs, in names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The lines that are told.
    pub lines: Vec<Line>,
    /// Pairs by kind, all of them.
    pub counts: BTreeMap<Shift, u64>,
    /// Principals with a pair.
    pub principals: u64,
    /// Whether something is counted and not named.
    pub truncated: bool,
}

/// One thing, and everybody whose answer about it changes in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Name of what is asked for.
    pub target: String,
    /// How.
    pub shift: Shift,
    /// The answer as it is.
    pub before: Outcome,
    /// The answer as it would be.
    pub after: Outcome,
    /// How many principals.
    pub count: u64,
    /// Names of the first.
    pub principals: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The decision.
    pub decision: Decision,
    /// Names of the rules that it rests on, for the first principal.
    pub entitlements: Vec<String>,
}

impl Difference {
    /// Compares, and names at most `names` principals a line.
    pub fn between(tenant: &Slug, before: &Snapshot, after: &Snapshot, now: Time, names: usize) -> Self {
        let Comparison { moved, counts, principals } = before.compare(after, now.micros(), names);
        let mut left = ALL_NAMES;
        let mut truncated = moved.len() > LINES;
        let outcome = |snapshot: &Snapshot, moved: &Moved<'_>, decision| Outcome {
            decision,
            entitlements: moved.principals.first().map_or_else(Vec::new, |who| {
                let (_, rules) = snapshot.decide_by(who, moved.target, now.micros());
                rules.into_iter().map(|rule| entitlement::name(tenant, rule)).collect()
            }),
        };
        let lines = moved.iter().take(LINES).map(|moved| {
            let named = moved.principals.len().min(left);
            left -= named;
            truncated |= u64::try_from(named) != Ok(moved.count);
            let principals = moved.principals.iter().take(named);
            Line {
                target: target_name(tenant, moved.target),
                shift: moved.shift(),
                before: outcome(before, moved, moved.before),
                after: outcome(after, moved, moved.after),
                count: moved.count,
                principals: principals.map(|who| format!("tenants/{tenant}/principals/{who}")).collect(),
            }
        });
        let lines = lines.collect();
        Self { lines, counts, principals, truncated }
    }

    /// How many pairs change so.
    pub fn count(&self, shift: Shift) -> u64 {
        self.counts.get(&shift).copied().unwrap_or(0)
    }
}
