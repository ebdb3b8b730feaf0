//! What a log comes to, change by change.

use std::collections::{BTreeMap, BTreeSet};

use catalog::model::Listed;
use kernel::{audit::sealed::ERASED, clock::Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    entry::Entry,
    row::{self, Cells, Row, Spec, cells},
};

/// The state of one scope.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// When the newest folded event happened.
    pub last: Option<Time>,
    /// The tenant itself, when the scope is one.
    pub tenant: Chain,
    /// Principals by id.
    pub principals: BTreeMap<String, Chain>,
    /// Groups by id.
    pub groups: BTreeMap<String, Chain>,
    /// Roles by id.
    pub roles: BTreeMap<String, Chain>,
    /// Memberships of groups.
    pub group_members: Bag,
    /// Memberships of roles.
    pub role_members: Bag,
    /// Rules.
    pub entitlements: Bag,
    /// Connectors of the client's own.
    #[serde(default)]
    pub bindings: Lives,
    /// Stages that the tenant holds plugins to.
    #[serde(default)]
    pub overrides: Lives,
    /// Plugin groups by id.
    #[serde(default)]
    pub plugin_groups: BTreeMap<String, Chain>,
    /// What is in plugin groups.
    #[serde(default)]
    pub plugin_group_members: Bag,
    /// Seat pools by id.
    #[serde(default)]
    pub seat_pools: BTreeMap<String, Chain>,
    /// Who holds seats.
    #[serde(default)]
    pub seat_holders: Bag,
    /// Duties.
    pub duties: Bag,
    /// Plugins by name, when the scope is the platform.
    pub plugins: BTreeMap<String, Listed>,
    /// What the last check of the tables against the record found, unless they agreed again since.
    pub divergence: Option<String>,
    /// Whether the closed tenant's data is being erased: what is still there goes.
    #[serde(default)]
    pub erasing: bool,
}

/// A row with a revision: every change leads from one to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// The row after all changes that follow one another from its creation.
    pub row: Option<Row>,
    /// Its revision; 0 before its creation.
    pub revision: i64,
    /// Ids of the roles that a role takes in.
    pub included: BTreeSet<String>,
    /// Changes that came before the one that they follow, by the revision that they start from.
    pub early: BTreeMap<i64, Step>,
}

/// One change of a row with a revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The revision that it leads to.
    pub to: i64,
    /// What changed.
    pub cells: Cells,
    /// The role that was taken in (`true`) or given up.
    pub included: Option<(String, bool)>,
    /// Whether nothing is left after it.
    #[serde(default)]
    pub ends: bool,
}

/// Rows with a revision that end for good, by identity: under a name, others may follow.
pub type Lives = BTreeMap<Uuid, Chain>;

/// Rows that come and go, each under an identity of its own. Most have no revision; of those that have, every change leads from
/// one to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bag {
    /// Those that are there.
    pub rows: BTreeMap<Uuid, Row>,
    /// Those whose end was recorded, and not their beginning.
    pub gone: BTreeMap<Uuid, Row>,
    /// Changes that came before the one that they follow, by the revision that they start from.
    #[serde(default)]
    pub early: BTreeMap<Uuid, BTreeMap<i64, Step>>,
}

impl State {
    /// Applies one event of the log of the scope `log`. What failed or was refused, and what is of another scope, changes
    /// nothing.
    pub fn apply(&mut self, log: &str, entry: &Entry) {
        if entry.out != "ok" {
            return;
        }
        self.last = self.last.max(Some(entry.t));
        let (noun, verb) = entry.act.split_once('.').unwrap_or_default();
        let kind = entry.tgt.first().map_or("", |t| t.k.as_str());
        // a tenant is created in its partner, and the event is in both logs
        if kind == "tenant" && entry.tgt.first().is_some_and(|t| t.id == log) {
            self.tenant.apply(&row::TENANT, entry);
        }
        if entry.log != log {
            return;
        }
        match (noun, verb, kind) {
            ("group", "add_member" | "remove_member", _) => {
                self.group_members.apply(&row::GROUP_MEMBER, entry, verb == "remove_member", "group");
            }
            ("role", "add_member" | "remove_member", _) => {
                self.role_members.apply(&row::ROLE_MEMBER, entry, verb == "remove_member", "role");
            }
            ("plugin_group", "add_member" | "remove_member", _) => {
                let ended = verb == "remove_member";
                self.plugin_group_members.apply(&row::PLUGIN_GROUP_MEMBER, entry, ended, "plugin_group");
            }
            ("seat_pool", "add_holder" | "remove_holder", _) => {
                self.seat_holders.apply(&row::SEAT_HOLDER, entry, verb == "remove_holder", "seat_pool");
            }
            ("entitlement", "update", _) => self.entitlements.change(&row::ENTITLEMENT, entry),
            ("entitlement", "create" | "delete", _) => {
                self.entitlements.apply(&row::ENTITLEMENT, entry, verb == "delete", "");
            }
            ("connector_binding", _, "connector_binding") => {
                lived(&mut self.bindings, &row::CONNECTOR_BINDING, entry, verb == "delete");
            }
            ("stage_override", _, "stage_override") => {
                lived(&mut self.overrides, &row::STAGE_OVERRIDE, entry, verb == "delete");
            }
            ("duty", "grant" | "revoke", _) => self.duties.apply(&row::DUTY, entry, verb == "revoke", ""),
            ("bootstrap", _, "principal") => self.bootstrap(entry),
            ("plugin", "import", _) => self.import(entry),
            ("plugin", "set_stage", _) => self.stage(entry),
            ("privacy", "erased", "principal") => self.erase(entry),
            ("audit", "divergence", _) => self.divergence = digest(entry),
            ("audit", "agreement", _) => self.divergence = None,
            ("tenant", "erase", "tenant") => self.clear(true),
            ("tenant", "erased", "tenant") => self.clear(false),
            ("principal", _, "principal") => chained(&mut self.principals, &row::PRINCIPAL, entry),
            ("group", _, "group") => chained(&mut self.groups, &row::GROUP, entry),
            ("role", _, "role") => chained(&mut self.roles, &row::ROLE, entry),
            ("plugin_group", ..) => chained(&mut self.plugin_groups, &row::PLUGIN_GROUP, entry),
            ("seat_pool", ..) => chained(&mut self.seat_pools, &row::SEAT_POOL, entry),
            _ => {}
        }
    }

    /// The first administrator and its duty come into being with one act.
    fn bootstrap(&mut self, entry: &Entry) {
        chained(&mut self.principals, &row::PRINCIPAL, entry);
        let grant = entry.tgt.iter().position(|t| t.k == "duty_grant").and_then(|n| entry.id_of(n));
        if let Some(id) = grant.and_then(|id| id.parse::<Uuid>().ok()) {
            let new = |field| entry.change(field).map_or(Value::Null, |(_, new)| new.clone());
            let mut made = Row::new(&row::DUTY);
            for (column, value) in [
                ("id", json!(id)),
                ("scope_kind", json!("platform")),
                ("principal_id", new("id")),
                ("duty", json!("platform_admin")),
                ("create_time", new("create_time")),
            ] {
                made.put(&row::DUTY, column, value);
            }
            self.duties.add(id, made);
        }
    }

    /// Nothing is to be left but the tenant itself.
    fn clear(&mut self, erasing: bool) {
        let tenant = std::mem::take(&mut self.tenant);
        *self =
            Self { last: self.last, tenant, divergence: self.divergence.take(), erasing, ..Self::default() };
    }

    /// A person's data was removed.
    fn erase(&mut self, entry: &Entry) {
        let Some(chain) = entry.id_of(0).and_then(|slug| self.principals.get_mut(slug)) else { return };
        let time = entry.change("erase_time").map_or(Value::Null, |(_, new)| new.clone());
        let left = entry.change("revision").and_then(|(_, new)| new.as_i64());
        let to = left.unwrap_or(chain.revision + 1);
        let spec = &row::PRINCIPAL;
        let cells = [
            ("display_name", json!(ERASED)),
            ("email", json!("")),
            ("revision", json!(to)),
            ("update_time", time),
        ];
        let cells =
            cells.into_iter().filter_map(|(field, value)| Some((spec.place(field)?, value))).collect();
        chain.early.insert(to - 1, Step { to, cells, included: None, ends: false });
        chain.drain(spec);
    }

    /// What an import made of some plugins of a marketplace.
    fn import(&mut self, entry: &Entry) {
        let Some((marketplace, (_, plugins))) = entry.tgt.first().zip(entry.change("plugins")) else {
            return;
        };
        for (slug, listed) in plugins.as_object().into_iter().flatten() {
            if let Ok(listed) = serde_json::from_value::<Listed>(listed.clone()) {
                let name = format!("{}/plugins/{slug}", marketplace.id);
                let newer = self.plugins.get(&name).is_none_or(|p| p.update_time < listed.update_time);
                if newer {
                    self.plugins.insert(name, listed);
                }
            }
        }
    }

    /// A plugin's stage was set.
    fn stage(&mut self, entry: &Entry) {
        let Some(plugin) = entry.tgt.first().and_then(|t| self.plugins.get_mut(&t.id)) else { return };
        let new = |field| entry.change(field).map(|(_, new)| new.clone());
        let time = new("update_time").and_then(|v| serde_json::from_value::<Time>(v).ok());
        let Some(time) = time.filter(|time| *time > plugin.update_time) else { return };
        plugin.update_time = time;
        if let Some(stage) = new("stage").and_then(|v| serde_json::from_value(v).ok()) {
            plugin.stage = stage;
        }
        if let Some(sunset) = new("sunset_time") {
            plugin.sunset_time = serde_json::from_value(sunset).ok().flatten();
        }
    }

    /// How many rows it holds.
    pub fn len(&self) -> usize {
        let bags = [
            &self.group_members,
            &self.role_members,
            &self.entitlements,
            &self.duties,
            &self.plugin_group_members,
            &self.seat_holders,
        ];
        let chains = [&self.principals, &self.groups, &self.roles, &self.plugin_groups, &self.seat_pools];
        chains.iter().map(|c| c.len()).sum::<usize>()
            + bags.iter().map(|b| b.rows.len()).sum::<usize>()
            + [&self.bindings, &self.overrides].iter().map(|lives| lives.len()).sum::<usize>()
            + self.plugins.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a check of the tables against the record found.
fn digest(entry: &Entry) -> Option<String> {
    entry.change("digest").and_then(|(_, new)| new.as_str()).map(str::to_owned)
}

/// Applies a change to the row that it names.
fn chained(chains: &mut BTreeMap<String, Chain>, spec: &Spec, entry: &Entry) {
    if let Some(slug) = entry.id_of(0)
        && !entry.chg.is_empty()
    {
        chains.entry(slug.to_owned()).or_default().apply(spec, entry);
    }
}

/// Applies a change to the row whose identity the record names.
fn lived(lives: &mut Lives, spec: &Spec, entry: &Entry, ends: bool) {
    let Some(uid) = entry.uid().filter(|_| !entry.chg.is_empty()) else { return };
    let chain = lives.entry(uid).or_default();
    if ends {
        let from = entry.change("revision").and_then(|(old, _)| old.as_i64()).unwrap_or(0);
        chain.early.insert(from, Step { to: from + 1, cells: Cells::new(), included: None, ends });
        chain.drain(spec);
    } else {
        chain.apply(spec, entry);
    }
    // what has ended, with all that is recorded of it, is not kept
    if chain.row.is_none() && chain.early.is_empty() {
        lives.remove(&uid);
    }
}

impl Chain {
    fn apply(&mut self, spec: &Spec, entry: &Entry) {
        let changed = cells(spec, entry, false);
        let Some((old, new)) = entry.change("revision") else { return };
        let (from, to) = (old.as_i64().unwrap_or(0), new.as_i64().unwrap_or(0));
        let included = match entry.act.as_str() {
            "role.include" => entry.id_of(1).map(|other| (other.to_owned(), true)),
            "role.exclude" => entry.id_of(1).map(|other| (other.to_owned(), false)),
            _ => None,
        };
        if from >= self.revision {
            self.early.insert(from, Step { to, cells: changed, included, ends: false });
        }
        self.drain(spec);
    }

    fn drain(&mut self, spec: &Spec) {
        while let Some(step) = self.early.remove(&self.revision) {
            self.step(spec, step);
        }
    }

    fn step(&mut self, spec: &Spec, step: Step) {
        self.row.get_or_insert_with(|| Row::new(spec)).set(step.cells);
        self.revision = step.to;
        if step.ends {
            self.row = None;
        }
        match step.included {
            Some((other, true)) => {
                self.included.insert(other);
            }
            Some((other, false)) => {
                self.included.remove(&other);
            }
            None => {}
        }
    }

    /// The revisions that nothing recorded leads from, though later changes are recorded. Applies those.
    pub fn close(&mut self, spec: &Spec) -> Vec<i64> {
        let mut missing = Vec::new();
        while let Some((from, step)) = self.early.pop_first() {
            if from != self.revision {
                missing.push(self.revision);
            }
            self.step(spec, step);
        }
        missing
    }

    /// Whether the row is there and not deleted.
    pub fn living(&self, spec: &Spec) -> Option<&Row> {
        self.row.as_ref().filter(|row| row.get(spec, "delete_time").is_null())
    }
}

impl Bag {
    fn apply(&mut self, spec: &Spec, entry: &Entry, ended: bool, of: &'static str) {
        let Some(id) = entry.identity() else { return };
        let mut row = Row::of(spec, entry, ended);
        row.put(spec, of, json!(entry.id_of(0).unwrap_or_default()));
        if ended {
            self.remove(id, row);
        } else {
            self.add(id, row);
            self.drain(spec, id);
        }
    }

    /// A change of one row, which the event names by its identity.
    fn change(&mut self, spec: &Spec, entry: &Entry) {
        let uid = entry.tgt.iter().find(|t| t.k == "uid").and_then(|t| t.id.parse().ok());
        let Some((id, (old, new))) = uid.zip(entry.change("revision")) else { return };
        let (from, to) = (old.as_i64().unwrap_or(0), new.as_i64().unwrap_or(0));
        let step = Step { to, cells: cells(spec, entry, false), included: None, ends: false };
        self.early.entry(id).or_default().insert(from, step);
        self.drain(spec, id);
    }

    /// Applies the changes of a row that follow one another.
    fn drain(&mut self, spec: &Spec, id: Uuid) {
        let Some((row, early)) = self.rows.get_mut(&id).zip(self.early.get_mut(&id)) else { return };
        while let Some(step) = early.remove(&row.get(spec, "revision").as_i64().unwrap_or(0)) {
            row.set(step.cells);
        }
        if early.is_empty() {
            self.early.remove(&id);
        }
    }

    /// The rows with revisions that nothing recorded leads from, though later changes are recorded. Applies those. Changes of
    /// rows that are not there are of rows that have ended.
    pub fn close(&mut self, spec: &Spec) -> Vec<(Uuid, i64)> {
        let mut missing = Vec::new();
        for (id, early) in std::mem::take(&mut self.early) {
            let Some(row) = self.rows.get_mut(&id) else { continue };
            for (from, step) in early {
                let revision = row.get(spec, "revision").as_i64().unwrap_or(0);
                if from != revision {
                    missing.push((id, revision));
                }
                row.set(step.cells);
            }
        }
        missing
    }

    fn add(&mut self, id: Uuid, row: Row) {
        if self.gone.remove(&id).is_none() {
            self.rows.insert(id, row);
        }
    }

    fn remove(&mut self, id: Uuid, row: Row) {
        self.early.remove(&id);
        if self.rows.remove(&id).is_none() {
            self.gone.insert(id, row);
        }
    }
}

#[cfg(test)]
mod tests;
