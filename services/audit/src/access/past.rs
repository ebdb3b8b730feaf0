//! A tenant at a moment, as decisions need to know it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use catalog::model::{PluginId, Stage};
use entitlement::{
    entitlement::model::{Effect, Part},
    opinion::{
        model::{Rule, Verdict},
        verdict::{Asked, Facts, Wanted, verdict},
    },
    stage_override::model::effective,
};
use kernel::{
    Result,
    clock::Time,
    error::Error,
    ids::{PrincipalId, Slug},
    name,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenancy::{
    principal::model::{PrincipalKind, PrincipalState},
    role::model::MAX_DEPTH,
};

use crate::fold::{
    row::{self, Row, Spec},
    state::{Lives, State},
};

/// Roles, or seats, that are held together, sorted.
pub type Held = Arc<[Slug]>;
/// What two principals must have in common to be allowed the same: their roles and seats and, of agents, their owners'.
type Standing = ((Held, Held), Option<(Held, Held)>);

/// That a plugin could be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Name of the plugin.
    pub plugin: String,
    /// How.
    pub effect: Effect,
    /// The role of the rule that decided; none when it is for everybody.
    pub role: Option<Slug>,
    /// The rule that decided.
    pub rule: Slug,
}

/// A tenant at a moment.
#[derive(Debug)]
pub struct Past {
    /// By id in names.
    pub tenant: Slug,
    moment: Time,
    frozen: bool,
    principals: BTreeMap<Slug, Asked>,
    held: HashMap<PrincipalId, Held>,
    /// Pools of which each principal holds a seat.
    seats: HashMap<PrincipalId, Held>,
    /// The plugin groups that each plugin is in, by its name.
    plugin_groups: HashMap<String, Vec<Slug>>,
    /// What each rule is about, by name; oldest first.
    rules: Vec<(String, Rule)>,
    plugins: BTreeMap<String, Wanted>,
    granted: Mutex<HashMap<Standing, Arc<Vec<Granted>>>>,
}

impl Past {
    /// From what the tenant's and the platform's logs come to.
    pub fn new(tenant: &Slug, state: &State, platform: &State, moment: Time) -> Result<Self> {
        let lives = state.tenant.living(&row::TENANT);
        let frozen = lives.is_none_or(|t| matches!(t.text(&row::TENANT, "state"), "suspended" | "closed"));
        let mut principals = BTreeMap::new();
        for row in state.principals.values().filter_map(|chain| chain.living(&row::PRINCIPAL)) {
            let asked = asked(row)?;
            principals.insert(asked.slug.clone(), asked);
        }
        let held = held(state, principals.values().map(|p| p.id))?;
        let own = Own::read(state)?;
        let mut plugins = BTreeMap::new();
        for (plugin, listed) in platform.plugins.iter().filter(|(_, listed)| listed.listed) {
            let [marketplace, slug] = name::parse("plugin", "marketplaces/{}/plugins/{}", plugin)?;
            let stage = effective(
                listed.stage.at(listed.sunset_time, moment),
                own.stages.get(plugin.as_str()).copied(),
            );
            let bound = |app: &String| own.bound.contains(&(plugin.as_str(), app.as_str()));
            let is_ready = listed.templated.iter().all(bound);
            plugins.insert(plugin.clone(), Wanted { marketplace, plugin: slug, stage, is_ready });
        }
        let tenant = tenant.clone();
        let (rules, granted) = (rules(state)?, Mutex::default());
        let (seats, plugin_groups) = (seats(state)?, plugin_groups(state)?);
        Ok(Self { tenant, moment, frozen, principals, held, seats, plugin_groups, rules, plugins, granted })
    }

    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        self.principals.len() + self.rules.len() + self.plugins.len() + 1
    }

    /// The living principals by id.
    pub fn principals(&self) -> &BTreeMap<Slug, Asked> {
        &self.principals
    }

    /// What a principal could use, by name of the plugin.
    pub async fn granted(&self, principal: &Asked) -> Result<Arc<Vec<Granted>>> {
        let Some(standing) = self.standing(principal) else { return Ok(Arc::default()) };
        let known = |granted: &Mutex<HashMap<Standing, Arc<Vec<Granted>>>>| {
            granted.lock().unwrap_or_else(PoisonError::into_inner).get(&standing).cloned()
        };
        if let Some(granted) = known(&self.granted) {
            return Ok(granted);
        }
        let mut found = Vec::new();
        for (name, wanted) in &self.plugins {
            // without a rule that could allow it the answer is no: most plugins are not even asked about
            if self.concerning(wanted).any(|rule| may_allow(rule, &standing.0.0)) {
                let asked = (name.as_str(), &Part::Whole);
                let verdict = verdict(&mut Then(self), &principal.slug, asked, self.moment).await?;
                found.extend(self.decided(name, &verdict));
            }
        }
        let found = Arc::new(found);
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.insert(standing, Arc::clone(&found));
        Ok(found)
    }

    /// What the answers about a principal depend on; none for one that may use nothing whatever the rules say.
    fn standing(&self, principal: &Asked) -> Option<Standing> {
        let of = |map: &HashMap<PrincipalId, Held>, p: &Asked| map.get(&p.id).cloned().unwrap_or_default();
        let holds = |p: &Asked| (of(&self.held, p), of(&self.seats, p));
        let acts = |p: &&Asked| p.state == PrincipalState::Active;
        let principal = Some(principal).filter(acts)?;
        match principal.kind {
            PrincipalKind::Agent => {
                let owner = principal.owner.as_ref().and_then(|slug| self.principals.get(slug));
                owner.filter(acts).map(|owner| (holds(principal), Some(holds(owner))))
            }
            PrincipalKind::User | PrincipalKind::Service => Some((holds(principal), None)),
        }
    }

    /// The rules about a plugin as a whole, the whole marketplace that lists it or a group that it is in.
    fn concerning(&self, wanted: &Wanted) -> impl Iterator<Item = &Rule> {
        let marketplace = format!("marketplaces/{}", wanted.marketplace);
        let plugin = format!("{marketplace}/plugins/{}", wanted.plugin);
        let groups = self.groups_of(&plugin);
        let about = move |target: &String, rule: &Rule| match &rule.plugin_group {
            Some(group) => groups.contains(group),
            None => *target == marketplace || *target == plugin,
        };
        self.rules.iter().filter(move |(target, rule)| about(target, rule)).map(|(_, rule)| rule)
    }

    fn groups_of(&self, plugin: &str) -> &[Slug] {
        self.plugin_groups.get(plugin).map_or(&[], Vec::as_slice)
    }

    /// A yes, with the first of the rules that give it its effect.
    fn decided(&self, plugin: &str, verdict: &Verdict) -> Option<Granted> {
        let effect = verdict.effect.filter(|_| verdict.allowed())?;
        let rule = verdict.rules.iter().find_map(|slug| {
            self.rules.iter().map(|(_, r)| r).find(|r| r.slug.as_str() == slug && r.effect == effect)
        })?;
        Some(Granted {
            plugin: plugin.to_owned(),
            effect,
            role: rule.role_slug.clone(),
            rule: rule.slug.clone(),
        })
    }
}

fn may_allow(rule: &Rule, held: &Held) -> bool {
    rule.effect != Effect::Denied && rule.role_slug.as_ref().is_none_or(|role| held.contains(role))
}

/// What a tenant had of its own for plugins.
struct Own<'s> {
    /// Plugins by name, and keys of their apps that were bound.
    bound: HashSet<(&'s str, &'s str)>,
    /// Stages that it held plugins to, by name.
    stages: HashMap<&'s str, Stage>,
}

impl<'s> Own<'s> {
    fn read(state: &'s State) -> Result<Self> {
        let (binding, held) = (&row::CONNECTOR_BINDING, &row::STAGE_OVERRIDE);
        let rows = |lives: &'s Lives| lives.values().filter_map(|chain| chain.row.as_ref());
        let bound = rows(&state.bindings).map(|row| (row.text(binding, "plugin"), row.text(binding, "app")));
        let stages =
            rows(&state.overrides).map(|row| Ok((row.text(held, "plugin"), read(row, held, "stage")?)));
        Ok(Self { bound: bound.collect(), stages: stages.collect::<Result<_>>()? })
    }
}

/// The facts of a past moment.
struct Then<'p>(&'p Past);

impl Facts for Then<'_> {
    type Plugin = Wanted;

    fn tenant(&self) -> &Slug {
        &self.0.tenant
    }

    fn is_frozen(&self) -> bool {
        self.0.frozen
    }

    async fn principal(&mut self, slug: &Slug) -> Result<Option<Asked>> {
        Ok(self.0.principals.get(slug).cloned())
    }

    async fn plugin(&mut self, name: &str, part: &Part) -> Result<Option<(Wanted, Wanted)>> {
        // the record does not say which parts a plugin had
        let found = self.0.plugins.get(name).filter(|_| *part == Part::Whole);
        Ok(found.map(|wanted| (wanted.clone(), wanted.clone())))
    }

    async fn roles(&mut self, principal: PrincipalId) -> Result<Vec<Slug>> {
        Ok(self.0.held.get(&principal).map_or_else(Vec::new, |held| held.to_vec()))
    }

    async fn rules(&mut self, plugin: &Wanted) -> Result<Vec<Rule>> {
        Ok(self.0.concerning(plugin).cloned().collect())
    }

    async fn plugin_groups(&mut self, plugin: &Wanted) -> Result<Vec<Slug>> {
        let name = format!("marketplaces/{}/plugins/{}", plugin.marketplace, plugin.plugin);
        Ok(self.0.groups_of(&name).to_vec())
    }

    async fn seats(&mut self, principal: PrincipalId) -> Result<Vec<Slug>> {
        Ok(self.0.seats.get(&principal).map_or_else(Vec::new, |held| held.to_vec()))
    }
}

/// The living pools of which each principal holds a seat, sorted.
fn seats(state: &State) -> Result<HashMap<PrincipalId, Held>> {
    let (spec, pools) = (&row::SEAT_HOLDER, living(&state.seat_pools, &row::SEAT_POOL));
    let mut held: HashMap<PrincipalId, BTreeSet<Slug>> = HashMap::new();
    for holder in state.seat_holders.rows.values() {
        let pool = holder.text(spec, "seat_pool");
        if let Some(id) = holder.uuid(spec, "principal_id").filter(|_| pools.contains(pool)) {
            held.entry(PrincipalId(id)).or_default().insert(Slug::parse("seat_pool", pool)?);
        }
    }
    Ok(held.into_iter().map(|(id, pools)| (id, pools.into_iter().collect())).collect())
}

/// The living groups that each plugin is in, by its name.
fn plugin_groups(state: &State) -> Result<HashMap<String, Vec<Slug>>> {
    let (spec, groups) = (&row::PLUGIN_GROUP_MEMBER, living(&state.plugin_groups, &row::PLUGIN_GROUP));
    let mut of: HashMap<String, Vec<Slug>> = HashMap::new();
    for member in state.plugin_group_members.rows.values() {
        let group = member.text(spec, "plugin_group");
        if groups.contains(group) {
            let (marketplace, plugin) =
                (member.text(spec, "marketplace_slug"), member.text(spec, "plugin_slug"));
            let name = format!("marketplaces/{marketplace}/plugins/{plugin}");
            of.entry(name).or_default().push(Slug::parse("plugin_group", group)?);
        }
    }
    Ok(of)
}

/// By identity, the id in names of the rows that are there.
fn named(chains: &BTreeMap<String, crate::fold::state::Chain>, spec: &Spec) -> HashMap<uuid::Uuid, String> {
    let pair = |(slug, chain): (&String, &crate::fold::state::Chain)| {
        Some((chain.row.as_ref()?.uuid(spec, "id")?, slug.clone()))
    };
    chains.iter().filter_map(pair).collect()
}

/// The roles that each of `principals` holds directly, through living groups, and through what those roles take in.
fn held(state: &State, principals: impl Iterator<Item = PrincipalId>) -> Result<HashMap<PrincipalId, Held>> {
    let living: BTreeSet<&str> = living(&state.roles, &row::ROLE);
    let groups: BTreeSet<&str> = self::living(&state.groups, &row::GROUP);
    let group_of = |slug: &str| state.groups.get(slug).and_then(|c| c.row.as_ref()?.uuid(&row::GROUP, "id"));
    // who holds a role directly: the holder's identity, and the role
    let mut direct: HashMap<uuid::Uuid, Vec<&str>> = HashMap::new();
    for member in state.role_members.rows.values() {
        if let Some(holder) = member.uuid(&row::ROLE_MEMBER, "member_id") {
            direct.entry(holder).or_default().push(member.text(&row::ROLE_MEMBER, "role"));
        }
    }
    let mut in_groups: HashMap<uuid::Uuid, Vec<uuid::Uuid>> = HashMap::new();
    for member in state.group_members.rows.values() {
        let group = Some(member.text(&row::GROUP_MEMBER, "group")).filter(|g| groups.contains(g));
        let pair = member.uuid(&row::GROUP_MEMBER, "principal_id").zip(group.and_then(group_of));
        if let Some((principal, group)) = pair {
            in_groups.entry(principal).or_default().push(group);
        }
    }
    let mut known: HashSet<Held> = HashSet::new();
    let mut held = HashMap::new();
    for principal in principals {
        let groups = in_groups.get(&principal.0).into_iter().flatten();
        let holders = groups.chain([&principal.0]);
        let seeds = holders.filter_map(|holder| direct.get(holder)).flatten().copied();
        let roles: Held = with_included(state, &living, seeds.collect())?.into();
        let roles = known.get(&roles).cloned().unwrap_or(roles);
        known.insert(Arc::clone(&roles));
        held.insert(principal, roles);
    }
    Ok(held)
}

/// The living ones of `seeds` and what they take in, transitively, sorted. A deleted role takes nothing in.
fn with_included(state: &State, living: &BTreeSet<&str>, seeds: BTreeSet<&str>) -> Result<Vec<Slug>> {
    let mut held = BTreeSet::new();
    let mut level: BTreeSet<&str> = seeds.into_iter().filter(|role| living.contains(role)).collect();
    for _ in 0..MAX_DEPTH {
        let taken_in = level.iter().filter_map(|role| state.roles.get(*role)).flat_map(|c| &c.included);
        let next = taken_in.map(String::as_str).filter(|role| living.contains(role)).collect();
        held.append(&mut level);
        level = next;
    }
    held.into_iter().map(|role| Slug::parse("role", role)).collect()
}

/// Ids of the rows that are there and not deleted.
fn living<'s>(chains: &'s BTreeMap<String, crate::fold::state::Chain>, spec: &Spec) -> BTreeSet<&'s str> {
    chains.iter().filter(|(_, chain)| chain.living(spec).is_some()).map(|(slug, _)| slug.as_str()).collect()
}

fn asked(row: &Row) -> Result<Asked> {
    let spec = &row::PRINCIPAL;
    Ok(Asked {
        id: read(row, spec, "id")?,
        slug: read(row, spec, "slug")?,
        kind: read(row, spec, "kind")?,
        state: read(row, spec, "state")?,
        owner: read(row, spec, "owner_slug")?,
    })
}

/// All rules with what they are about, the oldest first.
fn rules(state: &State) -> Result<Vec<(String, Rule)>> {
    let spec = &row::ENTITLEMENT;
    let groups = named(&state.plugin_groups, &row::PLUGIN_GROUP);
    let pools = named(&state.seat_pools, &row::SEAT_POOL);
    let set = |row: &Row, field, of: &HashMap<uuid::Uuid, String>| {
        let Some(id) = row.uuid(spec, field) else { return Ok(None) };
        // what is not on record is nobody's: the rule must not come to be about more than it is
        let slug = of.get(&id).map_or("not-on-record", String::as_str);
        Slug::parse(field, slug).map(Some)
    };
    let mut rules = Vec::new();
    for (id, row) in &state.entitlements.rows {
        let made: Time = read(row, spec, "create_time")?;
        let plugin_id: Option<PluginId> = read(row, spec, "plugin_id")?;
        let rule = Rule {
            slug: read(row, spec, "slug")?,
            role_slug: read(row, spec, "role_slug")?,
            plugin_id,
            app: read(row, spec, "app")?,
            skill: read(row, spec, "skill")?,
            plugin_group: set(row, "plugin_group_id", &groups)?,
            effect: read(row, spec, "effect")?,
            max_stage: read(row, spec, "max_stage")?,
            not_before: read(row, spec, "not_before")?,
            not_after: read(row, spec, "not_after")?,
            seat_pool: set(row, "seat_pool_id", &pools)?,
        };
        rules.push((made, *id, row.text(spec, "target").to_owned(), rule));
    }
    rules.sort_by_key(|(made, id, ..)| (*made, *id));
    Ok(rules.into_iter().map(|(_, _, target, rule)| (target, rule)).collect())
}

/// A field of a row as what it is.
fn read<T: DeserializeOwned>(row: &Row, spec: &Spec, field: &str) -> Result<T> {
    let value: Value = row.get(spec, field).clone();
    serde_json::from_value(value)
        .map_err(|e| Error::internal(format!("`{field}` of a recorded row of `{}`: {e}", spec.table)))
}
