//! What decisions about a tenant rest on, from the tables: all of it, or what has changed since.
//!
//! Deleted roles, groups, plugin groups and seat pools are there, empty, so that what still names them stays whole; deleted principals and plugins
//! that are not listed are not, and neither is what names them.

use std::collections::{BTreeSet, HashMap};

use ::decision::{
    Change, Facts, Group, Plugin, PluginGroup, Principal, PrincipalKind, Role, SeatPool, Target,
};
use kernel::{Result, db::Executor, error::Error, ids::TenantId, revision::PolicyChange};

pub mod store;

/// So many changed resources are read one by one; with more it is quicker to read everything.
const FEW: usize = 256;

/// Everything that decisions about `tenant` rest on. Read on a snapshot of the database.
pub async fn load(db: &mut impl Executor, tenant: TenantId) -> Result<Facts> {
    let (slug, active) = standing(db, tenant).await?;
    let plugins = store::plugin_list(db, tenant, None).await?;
    let mut rules = store::rule_list(db, tenant, None).await?;
    rules.retain(|rule| is_there(&rule.target, &plugins));
    Ok(Facts {
        tenant: slug,
        active,
        principals: principals(db, tenant, None).await?,
        groups: groups(db, tenant, None).await?,
        roles: roles(db, tenant, None).await?,
        plugins,
        plugin_groups: plugin_groups(db, tenant, None).await?,
        seat_pools: seat_pools(db, tenant, None).await?,
        rules,
    })
}

/// Whether a rule speaks of something that is listed: the parts of a plugin change with its versions.
fn is_there(target: &Target, plugins: &[Plugin]) -> bool {
    let (Target::App { plugin, app: part } | Target::Skill { plugin, skill: part }) = target else {
        return true;
    };
    // sorted by id, as they are read
    let found = plugins.binary_search_by(|p| p.id.as_str().cmp(plugin));
    let found = found.ok().and_then(|at| plugins.get(at));
    let parts =
        |p: &Plugin| if matches!(target, Target::App { .. }) { p.apps.clone() } else { p.skills.clone() };
    found.is_some_and(|p| parts(p).contains(part))
}

/// What leads from the facts before `changed` to those now; none where everything has to be read.
pub async fn changes(
    db: &mut impl Executor,
    tenant: TenantId,
    changed: &[PolicyChange],
) -> Result<Option<Vec<Change>>> {
    let named: BTreeSet<_> = changed.iter().map(|c| (c.kind.as_str(), c.name.as_str())).collect();
    if named.len() > FEW {
        return Ok(None);
    }
    let mut changes = Vec::new();
    // what names a principal or a role changes with it
    let (mut of_groups, mut of_roles, mut of_pools) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (kind, name) in named {
        let item = last(name);
        match kind {
            "tenant" => changes.push(Change::Active(standing(db, tenant).await?.1)),
            "principal" => {
                let found = principals(db, tenant, Some(item)).await?.pop();
                changes.push(
                    found.map_or_else(|| Change::RemovePrincipal(item.to_owned()), Change::PutPrincipal),
                );
                of_groups.extend(store::group_list_of(db, tenant, item).await?);
                of_roles.extend(store::role_list_of(db, tenant, item).await?);
                of_pools.extend(store::seat_pool_list_of(db, tenant, item).await?);
            }
            "group" => drop(of_groups.insert(item.to_owned())),
            "role" => {
                of_roles.insert(item.to_owned());
                of_roles.extend(store::role_list_including(db, tenant, item).await?);
            }
            "seat_pool" => drop(of_pools.insert(item.to_owned())),
            "plugin_group" => {
                let found = plugin_groups(db, tenant, Some(item)).await?;
                changes.extend(found.into_iter().map(Change::PutPluginGroup));
            }
            "entitlement" => {
                let found = store::rule_list(db, tenant, Some(item)).await?.pop();
                changes.push(found.map_or_else(|| Change::RemoveRule(item.to_owned()), Change::PutRule));
            }
            // a binding or an override of it; one that is not listed was not before
            "plugin" => {
                let found = store::plugin_list(db, tenant, Some(name)).await?;
                changes.extend(found.into_iter().map(Change::PutPlugin));
            }
            _ => return Ok(None),
        }
    }
    for group in of_groups {
        changes.extend(groups(db, tenant, Some(&group)).await?.into_iter().map(Change::PutGroup));
    }
    for role in of_roles {
        changes.extend(roles(db, tenant, Some(&role)).await?.into_iter().map(Change::PutRole));
    }
    for pool in of_pools {
        let found = seat_pools(db, tenant, Some(&pool)).await?;
        changes.extend(found.into_iter().map(Change::PutSeatPool));
    }
    Ok(Some(changes))
}

/// The changed plugins as the tenant has them; none where everything has to be read.
pub async fn catalog_changes(
    db: &mut impl Executor,
    tenant: TenantId,
    changed: &[PolicyChange],
) -> Result<Option<Vec<Change>>> {
    let mut changes = Vec::new();
    for change in changed {
        // a plugin that is not listed any more takes rules with it, and one that is listed again brings them
        let found = match change.kind.as_str() {
            "plugin" => store::plugin_list(db, tenant, Some(&change.name)).await?.pop(),
            // the plugin may be of that version now
            "plugin_version" => {
                let plugin = change.name.split("/versions/").next();
                store::plugin_list(db, tenant, plugin).await?.pop()
            }
            _ => return Ok(None),
        };
        // one that is not listed was not before: only an import takes it off the list
        changes.extend(found.map(Change::PutPlugin));
    }
    Ok(Some(changes))
}

/// The tenant by id in names, and whether anything may be used in it.
async fn standing(db: &mut impl Executor, tenant: TenantId) -> Result<(String, bool)> {
    let found = store::tenant_get(db, tenant).await?;
    let (slug, state, deleted) =
        found.ok_or_else(|| Error::internal(format!("tenant `{tenant}` is not in its table")))?;
    let active = deleted.is_none() && !matches!(state.as_str(), "suspended" | "closed");
    Ok((slug, active))
}

async fn principals(db: &mut impl Executor, tenant: TenantId, only: Option<&str>) -> Result<Vec<Principal>> {
    let rows = store::principal_list(db, tenant, only).await?;
    let principal = |row: store::PrincipalRow| {
        let kind = match row.kind.as_str() {
            "user" => PrincipalKind::User,
            "service" => PrincipalKind::Service,
            "agent" => PrincipalKind::Agent { owner: row.owner.unwrap_or_default() },
            other => return Err(Error::internal(format!("kind of principal `{other}` in the database"))),
        };
        Ok(Principal { id: row.slug, kind, suspended: row.state != "active" })
    };
    rows.into_iter().map(principal).collect()
}

async fn groups(db: &mut impl Executor, tenant: TenantId, only: Option<&str>) -> Result<Vec<Group>> {
    let mut members = gathered(store::group_member_list(db, tenant, only).await?);
    let slugs = store::group_list(db, tenant, only).await?;
    let group =
        |id: String| Group { principals: members.remove(&id).unwrap_or_default(), groups: Vec::new(), id };
    Ok(slugs.into_iter().map(group).collect())
}

async fn roles(db: &mut impl Executor, tenant: TenantId, only: Option<&str>) -> Result<Vec<Role>> {
    let (mut principals, mut groups) = (HashMap::new(), HashMap::new());
    for (role, kind, holder) in store::role_member_list(db, tenant, only).await? {
        let holders: &mut HashMap<String, Vec<String>> =
            if kind == "group" { &mut groups } else { &mut principals };
        holders.entry(role).or_default().push(holder);
    }
    let mut includes = gathered(store::role_inclusion_list(db, tenant, only).await?);
    let slugs = store::role_list(db, tenant, only).await?;
    let role = |id: String| Role {
        principals: principals.remove(&id).unwrap_or_default(),
        groups: groups.remove(&id).unwrap_or_default(),
        includes: includes.remove(&id).unwrap_or_default(),
        id,
    };
    Ok(slugs.into_iter().map(role).collect())
}

/// All plugin groups, with their listed plugins.
async fn plugin_groups(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<PluginGroup>> {
    let rows = store::plugin_group_member_list(db, tenant, only).await?;
    let plugin =
        |(group, market, plugin): (String, String, String)| (group, store::plugin_id(&market, &plugin));
    let mut plugins = gathered(rows.into_iter().map(plugin).collect());
    let slugs = store::plugin_group_list(db, tenant, only).await?;
    let group = |id: String| PluginGroup { plugins: plugins.remove(&id).unwrap_or_default(), id };
    Ok(slugs.into_iter().map(group).collect())
}

/// All seat pools, with those who live and hold a seat.
async fn seat_pools(db: &mut impl Executor, tenant: TenantId, only: Option<&str>) -> Result<Vec<SeatPool>> {
    let mut holders = gathered(store::seat_holder_list(db, tenant, only).await?);
    let slugs = store::seat_pool_list(db, tenant, only).await?;
    let pool = |id: String| SeatPool { holders: holders.remove(&id).unwrap_or_default(), id };
    Ok(slugs.into_iter().map(pool).collect())
}

/// Sets by name, from their members.
fn gathered(pairs: Vec<(String, String)>) -> HashMap<String, Vec<String>> {
    let mut sets: HashMap<String, Vec<String>> = HashMap::new();
    for (set, member) in pairs {
        sets.entry(set).or_default().push(member);
    }
    sets
}

/// The last segment of a resource name.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
