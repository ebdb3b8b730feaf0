//! Facts out of a snapshot: what a change of one of them begins with.

use crate::{
    model::{Group, Plugin, PluginGroup, Principal, PrincipalKind, Role, SeatPool, Target},
    names::Registry,
    people::{EVERYBODY, PersonKind},
    snapshot::Snapshot,
};

/// Ids by number, sorted.
fn named<T>(registry: &Registry<T>, numbers: &[u32]) -> Vec<String> {
    let mut ids: Vec<_> = numbers.iter().map(|&at| registry.name(at).to_owned()).collect();
    ids.sort_unstable();
    ids
}

impl Snapshot {
    /// The ids of all plugins, in no particular order.
    pub fn plugin_ids(&self) -> impl Iterator<Item = &str> {
        let plugins = &self.catalogue.plugins;
        plugins.iter().map(|(at, _)| plugins.name(at))
    }

    /// A principal.
    pub fn principal(&self, id: &str) -> Option<Principal> {
        let (_, person) = self.people.principals.find(id)?;
        let kind = match person.kind {
            PersonKind::User => PrincipalKind::User,
            PersonKind::Service => PrincipalKind::Service,
            PersonKind::Agent(owner) => {
                PrincipalKind::Agent { owner: self.people.principals.name(owner).to_owned() }
            }
        };
        Some(Principal { id: id.to_owned(), kind, suspended: person.suspended })
    }

    /// A group, its members sorted.
    pub fn group(&self, id: &str) -> Option<Group> {
        let (_, members) = self.people.groups.find(id)?;
        Some(Group {
            id: id.to_owned(),
            principals: named(&self.people.principals, &members.principals),
            groups: named(&self.people.groups, &members.groups),
        })
    }

    /// A role, its holders and what it includes sorted.
    pub fn role(&self, id: &str) -> Option<Role> {
        let (_, role) = self.people.roles.find(id).filter(|(at, _)| *at != EVERYBODY)?;
        Some(Role {
            id: id.to_owned(),
            principals: named(&self.people.principals, &role.members.principals),
            groups: named(&self.people.groups, &role.members.groups),
            includes: named(&self.people.roles, &role.includes),
        })
    }

    /// A pool, its holders sorted.
    pub fn seat_pool(&self, id: &str) -> Option<SeatPool> {
        let (_, holders) = self.people.pools.find(id)?;
        Some(SeatPool { id: id.to_owned(), holders: named(&self.people.principals, holders) })
    }

    /// A plugin group, its plugins sorted.
    pub fn plugin_group(&self, id: &str) -> Option<PluginGroup> {
        let (_, plugins) = self.catalogue.groups.find(id)?;
        Some(PluginGroup { id: id.to_owned(), plugins: named(&self.catalogue.plugins, plugins) })
    }

    /// A plugin, its apps and skills sorted.
    pub fn plugin(&self, id: &str) -> Option<Plugin> {
        let (_, fact) = self.catalogue.plugins.find(id)?;
        let (mut apps, mut skills) = (Vec::new(), Vec::new());
        for part in self.parts(id) {
            match part {
                Target::App { app, .. } => apps.push(app.to_owned()),
                Target::Skill { skill, .. } => skills.push(skill.to_owned()),
                Target::Marketplace(_) | Target::PluginGroup(_) | Target::Plugin(_) => {}
            }
        }
        apps.sort_unstable();
        skills.sort_unstable();
        Some(Plugin {
            id: id.to_owned(),
            marketplace: self.catalogue.market_name(fact.market).to_owned(),
            stage: fact.stage,
            sunset: fact.sunset(),
            missing: fact.missing.to_vec(),
            apps,
            skills,
        })
    }
}
