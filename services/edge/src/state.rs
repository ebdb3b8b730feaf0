//! All facts about a tenant, in an order of their own, with a digest that two sides can compare.

use std::collections::BTreeMap;

use decision::{Change, Facts, Group, Plugin, PluginGroup, Principal, Role, Rule, SeatPool};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// What stands before everything that is digested.
const DOMAIN: &str = "provost.dev/decision-state@v1";

/// Everything that decisions about one tenant rest on, by kind and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    tenant: String,
    active: bool,
    principals: Shelf<Principal>,
    groups: Shelf<Group>,
    roles: Shelf<Role>,
    plugins: Shelf<Plugin>,
    plugin_groups: Shelf<PluginGroup>,
    seat_pools: Shelf<SeatPool>,
    rules: Shelf<Rule>,
}

/// The things of one kind, each with the digest of its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shelf<T>(BTreeMap<String, (T, [u8; 32])>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Serialize + Clone> Shelf<T> {
    fn put(&mut self, id: String, thing: T) {
        // facts are plain data: none of them fails to be written, and one that did would differ from every other
        let digest = serde_json::to_vec(&thing).map(|json| Sha256::digest(json).into()).unwrap_or_default();
        self.0.insert(id, (thing, digest));
    }

    fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    fn list(&self) -> Vec<T> {
        self.0.values().map(|(thing, _)| thing.clone()).collect()
    }

    fn digest(&self, kind: &str, into: &mut Sha256) {
        text(kind, into);
        into.update(count(self.0.len()));
        for (id, (_, digest)) in &self.0 {
            text(id, into);
            into.update(digest);
        }
    }
}

impl State {
    /// From all facts.
    pub fn new(facts: Facts) -> Self {
        // every field by its name: a new kind of fact must be digested too
        let Facts { tenant, active, principals, groups, roles, plugins, plugin_groups, seat_pools, rules } =
            facts;
        let mut state = Self { tenant, active, ..Self::default() };
        let changes = principals.into_iter().map(Change::PutPrincipal);
        let changes = changes.chain(groups.into_iter().map(Change::PutGroup));
        let changes = changes.chain(roles.into_iter().map(Change::PutRole));
        let changes = changes.chain(plugins.into_iter().map(Change::PutPlugin));
        let changes = changes.chain(plugin_groups.into_iter().map(Change::PutPluginGroup));
        let changes = changes.chain(seat_pools.into_iter().map(Change::PutSeatPool));
        changes.chain(rules.into_iter().map(Change::PutRule)).for_each(|change| state.put(change));
        state
    }

    /// As the engine compiles them.
    pub fn facts(&self) -> Facts {
        Facts {
            tenant: self.tenant.clone(),
            active: self.active,
            principals: self.principals.list(),
            groups: self.groups.list(),
            roles: self.roles.list(),
            plugins: self.plugins.list(),
            plugin_groups: self.plugin_groups.list(),
            seat_pools: self.seat_pools.list(),
            rules: self.rules.list(),
        }
    }

    /// The state after `changes`, which the engine has accepted.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.put(change.clone());
        }
    }

    fn put(&mut self, change: Change) {
        match change {
            Change::Active(active) => self.active = active,
            Change::PutPrincipal(principal) => self.principals.put(principal.id.clone(), principal),
            Change::RemovePrincipal(id) => self.principals.remove(&id),
            Change::PutGroup(mut group) => {
                group.principals.sort_unstable();
                group.groups.sort_unstable();
                self.groups.put(group.id.clone(), group);
            }
            Change::RemoveGroup(id) => self.groups.remove(&id),
            Change::PutRole(mut role) => {
                role.principals.sort_unstable();
                role.groups.sort_unstable();
                role.includes.sort_unstable();
                self.roles.put(role.id.clone(), role);
            }
            Change::RemoveRole(id) => self.roles.remove(&id),
            Change::PutPlugin(plugin) => self.plugins.put(plugin.id.clone(), plugin),
            Change::RemovePlugin(id) => self.plugins.remove(&id),
            Change::PutPluginGroup(mut group) => {
                group.plugins.sort_unstable();
                self.plugin_groups.put(group.id.clone(), group);
            }
            Change::RemovePluginGroup(id) => self.plugin_groups.remove(&id),
            Change::PutSeatPool(mut pool) => {
                pool.holders.sort_unstable();
                self.seat_pools.put(pool.id.clone(), pool);
            }
            Change::RemoveSeatPool(id) => self.seat_pools.remove(&id),
            Change::PutRule(rule) => self.rules.put(rule.id.clone(), rule),
            Change::RemoveRule(id) => self.rules.remove(&id),
        }
    }

    /// SHA-256 over all of it: equal states have equal digests, however they came about.
    pub fn digest(&self) -> [u8; 32] {
        let mut into = Sha256::new();
        text(DOMAIN, &mut into);
        text(&self.tenant, &mut into);
        into.update([u8::from(self.active)]);
        self.principals.digest("principal", &mut into);
        self.groups.digest("group", &mut into);
        self.roles.digest("role", &mut into);
        self.plugins.digest("plugin", &mut into);
        self.plugin_groups.digest("plugin group", &mut into);
        self.seat_pools.digest("seat pool", &mut into);
        self.rules.digest("rule", &mut into);
        into.finalize().into()
    }

    /// Of which tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The ids of the plugins, as `{marketplace}/{plugin}`, sorted.
    pub fn plugins(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.0.values().map(|(plugin, _)| plugin)
    }

    /// The principals, sorted by id.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.principals.0.values().map(|(principal, _)| principal)
    }
}

/// A text that cannot run into the next one.
fn text(text: &str, into: &mut Sha256) {
    into.update(count(text.len()));
    into.update(text);
}

fn count(n: usize) -> [u8; 8] {
    u64::try_from(n).unwrap_or(u64::MAX).to_be_bytes()
}
