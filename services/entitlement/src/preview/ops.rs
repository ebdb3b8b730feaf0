//! The use cases: changes that somebody thinks of, and another set of rules.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ::decision::{Change, Snapshot};
use catalog::model::Stage as Released;
use kernel::{
    Ctx, Error, Result,
    authz::{Action, Class},
    clock::Time,
    db::{Executor, Reader},
    ids::{Slug, clip},
    name,
    scope::{ScopeKind, TenantRef},
};
use tokio::sync::Semaphore;

use super::model::{
    Difference, Draft, Link, MOST, MOST_NAMES, MOST_RULES, NAMES, Proposal, RuleChange, diff, put, rule,
};
use crate::{
    binding,
    decision::{
        facts::store::engine_stage,
        live::{Loaded, Policies},
    },
    entitlement::{
        model::{self as entitlement, NewEntitlement},
        ops::{pool_find, target_find, whom_find},
        store,
    },
    plugin_group::model::PluginGroups,
    seat_pool::model::SeatPools,
    set,
    stage_override::{model::effective, store::override_find},
};

const fn action(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "entitlement", verb, class: Class::Read, scopes: &[ScopeKind::Tenant] }
}
const PREVIEW: Action = action("provost.entitlement.v1.EntitlementService/PreviewChange", "preview");
const DIFF: Action = action("provost.entitlement.v1.EntitlementService/DiffPolicies", "diff");
/// What previews can be asked for.
pub const ACTIONS: &[Action] = &[PREVIEW, DIFF];

/// The form of a plugin's name.
const PLUGIN: &str = "marketplaces/{}/plugins/{}";

/// Comparisons at the same time: each takes a processor for itself, and decisions go first.
static TURNS: Semaphore = Semaphore::const_new(2);

/// How a comparison is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'t> {
    /// When the answers would be given; none means now.
    pub at: Option<Time>,
    /// Principals that a line names; 0 for the default.
    pub names: i32,
    /// By nothing older than this.
    pub token: &'t str,
}

/// What a comparison found.
#[derive(Debug)]
pub struct Foreseen {
    /// What differs.
    pub difference: Difference,
    /// When the answers would be given.
    pub at: Time,
    /// By which revision.
    pub token: String,
}

/// Tells what `changes` would do in `parent`.
pub async fn change_preview(
    ctx: &Ctx,
    policies: &Policies,
    parent: &str,
    changes: &[Proposal],
    terms: Terms<'_>,
) -> Result<Foreseen> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(PREVIEW, &scope).await?;
    if changes.is_empty() || changes.len() > MOST {
        return Err(Error::invalid("changes", format!("has {}; send 1 to {MOST} changes", changes.len())));
    }
    let tenant = scope.tenant()?;
    let names = names(terms.names)?;
    let mut db = ctx.read().await?;
    let mut seen = Seen::default();
    for change in changes {
        look_up(&mut db, tenant, change, &mut seen).await?;
    }
    drop(db);
    let loaded = current(ctx, policies, tenant, terms.token).await?;
    let mut draft = Draft::default();
    for (at, change) in changes.iter().enumerate() {
        propose(&mut draft, (&loaded.snapshot, &seen.held), tenant, (at, change))?;
    }
    foresee(ctx, tenant, loaded, draft.changes(), "changes", (terms.at, names)).await
}

/// How the tenant's rules differ from another set.
#[derive(Debug)]
pub struct Diff {
    /// Rules that differ, by name.
    pub rules: Vec<RuleChange>,
    /// How many are the same.
    pub same: usize,
    /// What the other set would do.
    pub foreseen: Foreseen,
    /// The tenant, by id in names.
    pub tenant: Slug,
}

/// Compares the rules of `parent` with `other`, and tells what those would do.
pub async fn policies_diff(
    ctx: &Ctx,
    policies: &Policies,
    parent: &str,
    other: Vec<NewEntitlement>,
    terms: Terms<'_>,
) -> Result<Diff> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(DIFF, &scope).await?;
    if other.len() > MOST_RULES {
        let message = format!("has {}; compare with at most {MOST_RULES} rules", other.len());
        return Err(Error::invalid("entitlements", message));
    }
    let tenant = scope.tenant()?;
    let names = names(terms.names)?;
    let mut other = other;
    for new in &mut other {
        new.id = own_rule(tenant, "entitlements.name", &new.id)?.to_string();
        new.check()?;
    }
    let mut db = ctx.read().await?;
    let current_rules = store::entitlement_all(&mut db, tenant.id).await?;
    let (rules, same) = diff(current_rules, other)?;
    let mut seen = HashSet::new();
    let mut draft = Draft::default();
    for change in &rules {
        match change {
            RuleChange::Removed(old) => draft.remove_rule(old.slug.as_str()),
            RuleChange::Added(new) | RuleChange::Changed(_, new) => {
                if seen.insert((&new.role, &new.target, &new.seat_pool)) {
                    whom_find(&mut db, tenant, &new.role).await?;
                    target_find(&mut db, tenant, &new.target).await?;
                    pool_find(&mut db, tenant, &new.seat_pool).await?;
                }
                draft.put_rule(rule(&new.id, new)?);
            }
        }
    }
    drop(db);
    let loaded = current(ctx, policies, tenant, terms.token).await?;
    let foreseen = foresee(ctx, tenant, loaded, draft.changes(), "entitlements", (terms.at, names)).await?;
    Ok(Diff { rules, same, foreseen, tenant: tenant.slug.clone() })
}

async fn current(ctx: &Ctx, policies: &Policies, tenant: &TenantRef, token: &str) -> Result<Arc<Loaded>> {
    policies.current(tenant.id, ctx.kernel().revisions.open(tenant.id.0, token)?).await
}

fn names(asked: i32) -> Result<usize> {
    let wrong = || Error::invalid("max_principals", format!("`{asked}` is not 0 to {MOST_NAMES}"));
    match usize::try_from(asked) {
        Ok(0) => Ok(NAMES),
        Ok(names) if names <= MOST_NAMES => Ok(names),
        _ => Err(wrong()),
    }
}

/// Works out in memory what `changes` do.
async fn foresee(
    ctx: &Ctx,
    tenant: &TenantRef,
    loaded: Arc<Loaded>,
    changes: Vec<Change>,
    field: &'static str,
    (at, names): (Option<Time>, usize),
) -> Result<Foreseen> {
    let at = at.unwrap_or_else(|| ctx.now());
    let (slug, token) = (tenant.slug.clone(), loaded.token.clone());
    let _turn = TURNS.acquire().await.map_err(Error::internal)?;
    let compared = tokio::task::spawn_blocking(move || {
        let next =
            loaded.snapshot.apply(&changes).map_err(|error| Error::invalid(field, error.to_string()))?;
        Ok::<_, Error>(Difference::between(&slug, &loaded.snapshot, &next, at, names))
    });
    let difference = compared.await.map_err(Error::internal)??;
    Ok(Foreseen { difference, at, token })
}

/// Rules that earlier changes make and take away, by name.
#[derive(Default)]
struct Seen {
    made: HashSet<String>,
    gone: HashSet<String>,
    /// Stages that the tenant holds plugins to, by name of the plugin.
    held: HashMap<String, Released>,
}

/// Refuses what the same change would be refused for, as far as only the tables know it.
async fn look_up(db: &mut Reader, tenant: &TenantRef, change: &Proposal, seen: &mut Seen) -> Result<()> {
    match change {
        Proposal::CreateRule(new) => {
            new.check()?;
            whom_find(db, tenant, &new.role).await?;
            target_find(db, tenant, &new.target).await?;
            pool_find(db, tenant, &new.seat_pool).await?;
            if new.id.is_empty() {
                return Ok(());
            }
            let slug = Slug::parse("entitlement_id", &new.id)?;
            let name = entitlement::name(&tenant.slug, &new.id);
            let known = store::entitlement_get(db, tenant.id, &slug).await?.is_some();
            if known && !seen.gone.contains(&name) || !seen.made.insert(name.clone()) {
                return Err(Error::exists("entitlement", name));
            }
            Ok(())
        }
        Proposal::DeleteRule(name) => {
            let slug = own_rule(tenant, "changes.delete_entitlement", name)?;
            let found = store::entitlement_get(db, tenant.id, &slug).await?;
            seen.gone.insert(name.clone());
            found.map(|_| ()).ok_or_else(|| Error::not_found("entitlement", name))
        }
        Proposal::RoleMember(link) => living_role(db, tenant, &link.name).await,
        Proposal::Inclusion(link) => {
            living_role(db, tenant, &link.name).await?;
            living_role(db, tenant, &link.member).await
        }
        Proposal::GroupMember(link) => {
            let slug = own(tenant, "changes.name", "groups", &link.name)?;
            let found = tenancy::group::store::group_get(db, tenant.id, &slug).await?;
            let living = found.filter(|group| group.stamp.delete_time.is_none());
            living.map(|_| ()).ok_or_else(|| Error::not_found("group", &link.name))
        }
        Proposal::Suspended { .. } => Ok(()),
        Proposal::Stage { plugin, .. } => {
            let own = override_find(db, tenant.id, plugin).await?;
            seen.held.extend(own.map(|own| (plugin.clone(), own.stage)));
            Ok(())
        }
        Proposal::SeatHolder(link) => {
            let slug = own(tenant, "changes.name", "seatPools", &link.name)?;
            let pool = set::ops::find::<SeatPools>(db, tenant, &slug).await?;
            pool.stamp.alive(&link.name).map(drop)
        }
        Proposal::PluginGroupMember(link) => {
            let slug = own(tenant, "changes.name", "pluginGroups", &link.name)?;
            let group = set::ops::find::<PluginGroups>(db, tenant, &slug).await?;
            group.stamp.alive(&link.name).map(drop)
        }
        Proposal::Binding { plugin, app, bound } => bindable(db, tenant, (plugin, app), *bound).await,
    }
}

/// Refuses what could not be bound, and to unbind what is not.
async fn bindable(
    db: &mut Reader,
    tenant: &TenantRef,
    (plugin, app): (&str, &str),
    bound: bool,
) -> Result<()> {
    let [marketplace, slug] = name::parse("changes.plugin", PLUGIN, plugin)?;
    let found = catalog::store::plugin_get(db, &marketplace, &slug).await?;
    let listed = found.filter(|plugin| plugin.delete_time.is_none());
    binding::model::bindable(&listed.ok_or_else(|| Error::not_found("plugin", plugin))?, app)?;
    let is_bound = binding::store::binding_find(db, tenant.id, plugin, app).await?.is_some();
    if bound || is_bound {
        return Ok(());
    }
    Err(Error::not_found("connector binding", format!("{plugin}/apps/{}", clip(app))))
}

async fn living_role(db: &mut impl Executor, tenant: &TenantRef, name: &str) -> Result<()> {
    let slug = own(tenant, "changes.name", "roles", name)?;
    let found = tenancy::role::store::role_get(db, tenant.id, &slug).await?;
    let living = found.filter(|role| role.stamp.delete_time.is_none());
    living.map(|_| ()).ok_or_else(|| Error::not_found("role", name))
}

/// Puts one change into the draft.
fn propose(
    draft: &mut Draft,
    (now, held): (&Snapshot, &HashMap<String, Released>),
    tenant: &TenantRef,
    (at, change): (usize, &Proposal),
) -> Result<()> {
    match change {
        Proposal::CreateRule(new) => {
            // no slug begins with a plus, so it is nobody else's
            let id = if new.id.is_empty() { format!("+{}", at + 1) } else { new.id.clone() };
            draft.put_rule(rule(&id, new)?);
        }
        Proposal::DeleteRule(name) => draft.remove_rule(own_rule(tenant, "changes", name)?.as_str()),
        Proposal::RoleMember(Link { name, member, there }) => {
            let id = own(tenant, "changes.name", "roles", name)?;
            let missing = || Error::not_found("role", name);
            if member.contains("/groups/") {
                let group = own(tenant, "changes.member", "groups", member)?;
                now.group(group.as_str()).ok_or_else(|| Error::not_found("group", member))?;
                put(&mut draft.role(now, id.as_str()).ok_or_else(missing)?.groups, group.as_str(), *there);
            } else {
                let who = known(now, tenant, member)?;
                put(&mut draft.role(now, id.as_str()).ok_or_else(missing)?.principals, who.as_str(), *there);
            }
        }
        Proposal::GroupMember(Link { name, member, there }) => {
            let id = own(tenant, "changes.name", "groups", name)?;
            let who = known(now, tenant, member)?;
            let group = draft.group(now, id.as_str()).ok_or_else(|| Error::not_found("group", name))?;
            put(&mut group.principals, who.as_str(), *there);
        }
        Proposal::Inclusion(Link { name, member, there }) => {
            let id = own(tenant, "changes.name", "roles", name)?;
            let included = own(tenant, "changes.member", "roles", member)?;
            let role = draft.role(now, id.as_str()).ok_or_else(|| Error::not_found("role", name))?;
            put(&mut role.includes, included.as_str(), *there);
        }
        Proposal::Suspended { principal, suspended } => {
            let who = known(now, tenant, principal)?;
            let missing = || Error::not_found("principal", principal);
            draft.principal(now, who.as_str()).ok_or_else(missing)?.suspended = *suspended;
        }
        Proposal::SeatHolder(Link { name, member, there }) => {
            let id = own(tenant, "changes.name", "seatPools", name)?;
            let who = known(now, tenant, member)?;
            let pool = draft.pool(now, id.as_str()).ok_or_else(|| Error::not_found("seat pool", name))?;
            put(&mut pool.holders, who.as_str(), *there);
        }
        Proposal::PluginGroupMember(Link { name, member, there }) => {
            let id = own(tenant, "changes.name", "pluginGroups", name)?;
            let plugin = engine_plugin("changes.member", member)?;
            now.plugin(&plugin).ok_or_else(|| Error::not_found("plugin", member))?;
            let group = draft.plugin_group(now, id.as_str());
            put(&mut group.ok_or_else(|| Error::not_found("plugin group", name))?.plugins, &plugin, *there);
        }
        Proposal::Binding { plugin, app, bound } => {
            let found = draft.plugin(now, &engine_plugin("changes.plugin", plugin)?);
            let found = found.ok_or_else(|| Error::not_found("plugin", plugin))?;
            put(&mut found.missing, app, !*bound);
        }
        Proposal::Stage { plugin, stage } => {
            let found = draft.plugin(now, &engine_plugin("changes.set_plugin_stage.plugin", plugin)?);
            let found = found.ok_or_else(|| Error::not_found("plugin", plugin))?;
            found.stage = engine_stage(effective(*stage, held.get(plugin).copied()));
            // a sunset is said anew with every stage
            found.sunset = None;
        }
    }
    Ok(())
}

/// What the engine calls a plugin.
fn engine_plugin(field: &str, plugin: &str) -> Result<String> {
    let [marketplace, slug] = name::parse(field, PLUGIN, plugin)?;
    Ok(format!("{marketplace}/{slug}"))
}

/// A principal of the tenant that is there.
fn known(now: &Snapshot, tenant: &TenantRef, name: &str) -> Result<Slug> {
    let who = own(tenant, "changes.member", "principals", name)?;
    match now.principal(who.as_str()) {
        Some(_) => Ok(who),
        None => Err(Error::not_found("principal", name)),
    }
}

fn own_rule(tenant: &TenantRef, field: &str, name: &str) -> Result<Slug> {
    own(tenant, field, "entitlements", name)
}

/// The last segment of the name of something of the tenant.
fn own(tenant: &TenantRef, field: &str, collection: &str, text: &str) -> Result<Slug> {
    let [of, slug] = name::parse(field, &format!("tenants/{{}}/{collection}/{{}}"), text)?;
    if of == tenant.slug {
        return Ok(slug);
    }
    Err(Error::invalid(field, format!("`{}` is not of `tenants/{}`", clip(text), tenant.slug)))
}
