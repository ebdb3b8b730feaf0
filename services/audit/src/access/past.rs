//! A tenant at a moment, as decisions need to know it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use catalog::model::PluginId;
use entitlement::{
    entitlement::model::Effect,
    opinion::{
        model::{Rule, Verdict},
        verdict::{Asked, Facts, Wanted, verdict},
    },
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
    state::State,
};

/// Roles that are held together, sorted.
pub type Held = Arc<[Slug]>;
/// What two principals must have in common to be allowed the same: their roles and, of agents, their owners' roles.
type Standing = (Held, Option<Held>);

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
        let mut plugins = BTreeMap::new();
        for (plugin, listed) in platform.plugins.iter().filter(|(_, listed)| listed.listed) {
            let [marketplace, slug] = name::parse("plugin", "marketplaces/{}/plugins/{}", plugin)?;
            let stage = listed.stage.at(listed.sunset_time, moment);
            plugins.insert(plugin.clone(), Wanted { marketplace, plugin: slug, stage });
        }
        let tenant = tenant.clone();
        let (rules, granted) = (rules(state)?, Mutex::default());
        Ok(Self { tenant, moment, frozen, principals, held, rules, plugins, granted })
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
            if self.concerning(wanted).any(|rule| may_allow(rule, &standing.0)) {
                let verdict = verdict(&mut Then(self), &principal.slug, name, self.moment).await?;
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
        let roles = |p: &Asked| self.held.get(&p.id).cloned().unwrap_or_default();
        let acts = |p: &&Asked| p.state == PrincipalState::Active;
        let principal = Some(principal).filter(acts)?;
        match principal.kind {
            PrincipalKind::Agent => {
                let owner = principal.owner.as_ref().and_then(|slug| self.principals.get(slug));
                owner.filter(acts).map(|owner| (roles(principal), Some(roles(owner))))
            }
            PrincipalKind::User | PrincipalKind::Service => Some((roles(principal), None)),
        }
    }

    /// The rules about a plugin or the whole marketplace that lists it.
    fn concerning(&self, wanted: &Wanted) -> impl Iterator<Item = &Rule> {
        let marketplace = format!("marketplaces/{}", wanted.marketplace);
        let plugin = format!("{marketplace}/plugins/{}", wanted.plugin);
        let about = move |target: &String| *target == marketplace || *target == plugin;
        self.rules.iter().filter(move |(target, _)| about(target)).map(|(_, rule)| rule)
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

    async fn plugin(&mut self, name: &str) -> Result<Option<(Wanted, Wanted)>> {
        Ok(self.0.plugins.get(name).map(|wanted| (wanted.clone(), wanted.clone())))
    }

    async fn roles(&mut self, principal: PrincipalId) -> Result<Vec<Slug>> {
        Ok(self.0.held.get(&principal).map_or_else(Vec::new, |held| held.to_vec()))
    }

    async fn rules(&mut self, plugin: &Wanted) -> Result<Vec<Rule>> {
        Ok(self.0.concerning(plugin).cloned().collect())
    }
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
    let mut rules = Vec::new();
    for (id, row) in &state.entitlements.rows {
        let made: Time = read(row, spec, "create_time")?;
        let plugin_id: Option<PluginId> = read(row, spec, "plugin_id")?;
        let rule = Rule {
            slug: read(row, spec, "slug")?,
            role_slug: read(row, spec, "role_slug")?,
            plugin_id,
            effect: read(row, spec, "effect")?,
            max_stage: read(row, spec, "max_stage")?,
            not_before: read(row, spec, "not_before")?,
            not_after: read(row, spec, "not_after")?,
            needs_seat: false,
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
