//! Facts, compiled; and the next snapshot out of what changed.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::{
    catalogue::Catalogue,
    error::{CompileError, Kind, Result},
    model::{Change, Facts, Level, Rule},
    mutant::{Mutant, mutated},
    people::{EVERYBODY, People},
    table::{Line, Table, Terms, Window},
};

/// Everything that decisions about one tenant rest on, ready to decide by. It never changes.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) tenant: Arc<str>,
    pub(crate) active: bool,
    pub(crate) people: Arc<People>,
    pub(crate) catalogue: Arc<Catalogue>,
    /// By number of role.
    pub(crate) tables: Vec<Table>,
}

/// Checks `facts` and compiles them, all of them or nothing.
pub fn compile(facts: &Facts) -> Result<Snapshot> {
    let empty = Snapshot {
        tenant: facts.tenant.as_str().into(),
        active: facts.active,
        people: Arc::new(People::new()?),
        catalogue: Arc::new(Catalogue::new()),
        tables: Vec::new(),
    };
    if facts.tenant.is_empty() {
        return Err(CompileError::Empty(Kind::Tenant));
    }
    distinct(facts)?;
    let mut draft = Draft::of(&empty);
    let people = draft.people();
    facts.principals.iter().try_for_each(|p| people.put_principal(p).map(drop))?;
    facts.groups.iter().try_for_each(|g| people.put_group(g))?;
    facts.roles.iter().try_for_each(|r| people.put_role(r))?;
    facts.seat_pools.iter().try_for_each(|p| people.put_pool(p))?;
    let catalogue = draft.catalogue();
    facts.plugins.iter().try_for_each(|p| catalogue.put_plugin(p))?;
    facts.plugin_groups.iter().try_for_each(|g| catalogue.put_group(g))?;
    draft.rules.reserve(facts.rules.len());
    facts.rules.iter().try_for_each(|r| draft.put_rule(r))?;
    draft.settle()
}

impl Snapshot {
    /// The snapshot after `changes`, all of them or none. It answers as one would that was compiled from the changed
    /// facts; what is checked is the outcome, so that changes of one batch may come in any order.
    ///
    /// # Errors
    ///
    /// As [`compile`]; in particular nothing can be removed that something else still names.
    pub fn apply(&self, changes: &[Change]) -> Result<Self> {
        let mut draft = Draft::of(self);
        changes.iter().try_for_each(|change| draft.change(change))?;
        draft.settle()
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }
}

/// A snapshot that is being made out of another.
struct Draft<'f> {
    before: &'f Snapshot,
    next: Snapshot,
    people_changed: bool,
    catalogue_changed: bool,
    /// Rules that are put, with the number of their role, or removed.
    rules: HashMap<&'f str, Option<(u32, Line<'f>)>>,
}

impl<'f> Draft<'f> {
    fn of(before: &'f Snapshot) -> Self {
        let next = before.clone();
        Self { before, next, people_changed: false, catalogue_changed: false, rules: HashMap::new() }
    }

    fn people(&mut self) -> &mut People {
        self.people_changed = true;
        Arc::make_mut(&mut self.next.people)
    }

    fn catalogue(&mut self) -> &mut Catalogue {
        self.catalogue_changed = true;
        Arc::make_mut(&mut self.next.catalogue)
    }

    fn change(&mut self, change: &'f Change) -> Result<()> {
        match change {
            Change::Active(active) => self.next.active = *active,
            // that somebody was suspended changes nothing else, and must be quick
            Change::PutPrincipal(principal) => {
                self.people_changed |= Arc::make_mut(&mut self.next.people).put_principal(principal)?;
            }
            Change::RemovePrincipal(id) => drop(self.people().principals.remove(id)),
            Change::PutGroup(group) => self.people().put_group(group)?,
            Change::RemoveGroup(id) => drop(self.people().groups.remove(id)),
            Change::PutRole(role) => self.people().put_role(role)?,
            Change::RemoveRole(id) => drop(self.people().remove_role(id)),
            Change::PutSeatPool(pool) => self.people().put_pool(pool)?,
            Change::RemoveSeatPool(id) => drop(self.people().pools.remove(id)),
            Change::PutPlugin(plugin) => self.catalogue().put_plugin(plugin)?,
            Change::RemovePlugin(id) => self.catalogue().remove_plugin(id),
            Change::PutPluginGroup(group) => self.catalogue().put_group(group)?,
            Change::RemovePluginGroup(id) => drop(self.catalogue().groups.remove(id)),
            Change::PutRule(rule) => self.put_rule(rule)?,
            Change::RemoveRule(id) => drop(self.rules.insert(id, None)),
        }
        Ok(())
    }

    fn put_rule(&mut self, rule: &'f Rule) -> Result<()> {
        let placed = if concerns(rule, &self.next.tenant) { Some(self.line(rule)?) } else { None };
        self.rules.insert(&rule.id, placed);
        Ok(())
    }

    fn line(&mut self, rule: &'f Rule) -> Result<(u32, Line<'f>)> {
        if rule.id.is_empty() {
            return Err(CompileError::Empty(Kind::Rule));
        }
        let window = Window { from: rule.not_before, until: rule.not_after };
        if window.from.zip(window.until).is_some_and(|(from, until)| until <= from) {
            return Err(CompileError::Window { rule: rule.id.clone() });
        }
        // a name that is new here is refused in the end unless its fact comes with the same changes
        let role = match &rule.role {
            Some(role) => match self.next.people.roles.lookup(role) {
                Some(role) => role,
                None => self.people().roles.number(role)?,
            },
            None => EVERYBODY,
        };
        let pool = match &rule.seat_pool {
            Some(pool) => Some(match self.next.people.pools.lookup(pool) {
                Some(pool) => pool,
                None => self.people().pools.number(pool)?,
            }),
            None => None,
        };
        let scope = match self.next.catalogue.lookup(rule.target.as_ref()) {
            Some(scope) => scope,
            None => self.catalogue().scope(&rule.target)?,
        };
        let Rule { id, effect, max_stage, level, reason, .. } = rule;
        let terms = Terms { effect: *effect, max_stage: *max_stage, pool, window };
        Ok((role, Line { id, scope, terms, level: *level, reason }))
    }

    fn settle(mut self) -> Result<Snapshot> {
        if self.people_changed {
            self.people().settle()?;
        }
        if self.catalogue_changed {
            self.catalogue().settle()?;
        }
        self.settle_tables()?;
        Ok(self.next)
    }

    /// Builds the tables anew that changed rules, or changed plugins under unchanged rules, are in.
    fn settle_tables(&mut self) -> Result<()> {
        let Self { before, next, rules, .. } = self;
        next.tables.resize_with(next.people.roles.len(), Table::default);
        let mut fresh: Vec<Vec<Line<'f>>> = vec![Vec::new(); next.tables.len()];
        for (role, line) in rules.values().flatten() {
            if let Some(lines) = fresh.get_mut(*role as usize) {
                lines.push(*line);
            }
        }
        let moved = if self.catalogue_changed { next.catalogue.moved(&before.catalogue) } else { Vec::new() };
        let covers = [&before.catalogue, &next.catalogue];
        let covers = moved.iter().flat_map(|&at| covers.into_iter().flat_map(move |c| c.cover(at)));
        let touched: HashSet<_> = covers.collect();
        // hashing every id of the tenant for the sake of one change would cost more than the rest
        let few: Vec<_> = rules.keys().take(FEW).copied().collect();
        let replaced = |id: &str| if rules.len() < FEW { few.contains(&id) } else { rules.contains_key(id) };
        for (role, (table, new)) in (0..).zip(next.tables.iter_mut().zip(fresh)) {
            let changed = !new.is_empty() || (!rules.is_empty() && table.has_rule(replaced));
            if changed {
                let old = before.tables.get(role as usize).into_iter().flat_map(Table::lines);
                let lines = old.filter(|line| !replaced(line.id)).chain(new).collect();
                *table = Table::new(lines, &next.catalogue)?;
            } else if !moved.is_empty() && table.named().any(|(scope, _)| touched.contains(&scope)) {
                *table = table.moved(&moved, &next.catalogue);
            }
            if changed || self.people_changed || self.catalogue_changed {
                check(role, table, &next.people, &next.catalogue)?;
            }
        }
        Ok(())
    }
}

/// Up to this many changed rules are compared one by one.
const FEW: usize = 8;

/// Whether a rule takes part in this tenant.
fn concerns(rule: &Rule, tenant: &str) -> bool {
    let here = rule.tenant.as_deref().is_none_or(|t| t == tenant) || mutated(Mutant::Tenant);
    let floor = rule.level == Level::Floor && mutated(Mutant::Floor);
    let wildcard = rule.role.is_none() && mutated(Mutant::Wildcard);
    here && !floor && !wildcard
}

/// Refuses rules that name what is not there.
fn check(role: u32, table: &Table, people: &People, catalogue: &Catalogue) -> Result<()> {
    let there = |pool| people.pools.get(pool).is_some();
    let fine = |(scope, pool): (_, Option<u32>)| catalogue.has(scope) && pool.is_none_or(there);
    if (people.roles.get(role).is_some() && table.named().all(fine)) || table.len() == 0 {
        return Ok(());
    }
    table.lines().try_for_each(|line| {
        people.roles.known(role, Kind::Rule, line.id)?;
        catalogue.known(line.scope, line.id)?;
        line.terms.pool.map_or(Ok(()), |pool| people.pools.known(pool, Kind::Rule, line.id))
    })
}

/// Refuses an id that is there twice.
fn distinct(facts: &Facts) -> Result<()> {
    fn once<'f>(kind: Kind, ids: impl ExactSizeIterator<Item = &'f String>) -> Result<()> {
        let mut seen = HashSet::with_capacity(ids.len());
        for id in ids {
            if !seen.insert(id) {
                return Err(CompileError::Duplicate { kind, id: id.clone() });
            }
        }
        Ok(())
    }
    once(Kind::Principal, facts.principals.iter().map(|p| &p.id))?;
    once(Kind::Group, facts.groups.iter().map(|g| &g.id))?;
    once(Kind::Role, facts.roles.iter().map(|r| &r.id))?;
    once(Kind::Plugin, facts.plugins.iter().map(|p| &p.id))?;
    once(Kind::PluginGroup, facts.plugin_groups.iter().map(|g| &g.id))?;
    once(Kind::SeatPool, facts.seat_pools.iter().map(|p| &p.id))?;
    once(Kind::Rule, facts.rules.iter().map(|r| &r.id))
}
