//! The use cases of entitlements.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
        tx::Tx,
    },
    error::Error,
    ids::{Slug, clip},
    name,
    scope::{ScopeKind, TenantRef},
};

use crate::{
    decision::{facts::store::plugin_list, model::Wanted},
    plugin_group::model::{PluginGroupId, PluginGroups},
    seat_pool::model::{SeatPoolId, SeatPools},
    set::{
        self,
        model::{Kind, Set},
    },
};

use super::{
    model::{
        self, EVERYBODY, Entitlement, EntitlementId, EntitlementPatch, NewEntitlement, Pool, Target, Whom,
    },
    store,
};

const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "entitlement", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action =
    action("provost.entitlement.v1.EntitlementService/CreateEntitlement", "create", Class::Write);
const GET: Action = action("provost.entitlement.v1.EntitlementService/GetEntitlement", "get", Class::Read);
const LIST: Action =
    action("provost.entitlement.v1.EntitlementService/ListEntitlements", "list", Class::Read);
const UPDATE: Action =
    action("provost.entitlement.v1.EntitlementService/UpdateEntitlement", "update", Class::Write);
const DELETE: Action =
    action("provost.entitlement.v1.EntitlementService/DeleteEntitlement", "delete", Class::Write);
/// What the policy calls a rule that only the tenant's own officers may touch, and what such a rule stands on.
pub(crate) const FLOOR: &str = "floor";
/// What entitlements can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, GET, LIST, UPDATE, DELETE];

/// Creates an entitlement in `parent`.
pub async fn entitlement_create(ctx: &Ctx, parent: &str, new: NewEntitlement) -> Result<Entitlement> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize_on(CREATE, object(new.floor).into(), &scope, false).await?;
    new.check()?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let whom = whom_find(&mut tx, tenant, &new.role).await?;
    let target = target_find(&mut tx, tenant, &new.target).await?;
    let pool = pool_find(&mut tx, tenant, &new.seat_pool).await?;
    hold(&mut tx, tenant, Some(&target), &pool).await?;
    let id = EntitlementId(ctx.new_id());
    let made = Entitlement::create(tenant, new, (whom, target, pool), id, ctx.now())?;
    store::entitlement_insert(&mut tx, &made).await?;
    tx.commit(permit.audit().target(&made).after(&made)).await?;
    Ok(made)
}

/// Returns an entitlement.
pub async fn entitlement_get(ctx: &Ctx, name: &str) -> Result<Entitlement> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &slug).await
}

/// Lists entitlements of `parent`.
pub async fn entitlement_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Entitlement>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::entitlement_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Changes the terms of an entitlement.
pub async fn entitlement_update(
    ctx: &Ctx,
    name: &str,
    etag: &str,
    patch: EntitlementPatch,
) -> Result<Entitlement> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let tenant = scope.tenant()?;
    let floor = is_floor(ctx, tenant, &slug).await?;
    let permit = ctx.authorize_on(UPDATE, object(floor).into(), &scope, false).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, tenant, &slug).await?;
    // deleted and made again as a floor since the permit was asked for
    if before.floor != floor {
        return Err(Error::Conflict);
    }
    before.matches(etag)?;
    let pool = pool_find(&mut tx, tenant, patch.seat_pool.as_deref().unwrap_or_default()).await?;
    hold(&mut tx, tenant, None, &pool).await?;
    let after = before.patched(patch, pool, ctx.now())?;
    store::entitlement_update(&mut tx, &after).await?;
    // a name is free again after a deletion: the record says which rule of that name it was
    let audit = permit.audit().target(&after).also("uid", after.id.to_string());
    tx.commit(audit.before(&before).after(&after)).await?;
    Ok(after)
}

/// Deletes an entitlement for good and returns what it was; the audit log keeps it.
pub async fn entitlement_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Entitlement> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let floor = is_floor(ctx, scope.tenant()?, &slug).await?;
    let permit = ctx.authorize_on(DELETE, object(floor).into(), &scope, false).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    // deleted and made again as a floor since the permit was asked for
    if before.floor != floor {
        return Err(Error::Conflict);
    }
    before.matches(etag)?;
    store::entitlement_delete(&mut tx, &before).await?;
    tx.commit(permit.audit().target(&before).before(&before)).await?;
    Ok(before)
}

/// Refuses the deletion of `name`, which `rules` name.
pub(crate) fn in_use(name: &str, tenant: &Slug, rules: &[Slug]) -> Result<()> {
    const SHOWN: usize = 5;
    if rules.is_empty() {
        return Ok(());
    }
    let named: Vec<_> =
        rules.iter().take(SHOWN).map(|rule| format!("`{}`", model::name(tenant, rule.as_str()))).collect();
    let more = if rules.len() > SHOWN { " and others" } else { "" };
    let message =
        format!("`{name}` is named by {}{more}; delete or change those rules first", named.join(", "));
    Err(Error::still_in_use(name, message))
}

/// Whether the rule of that id is a floor now.
async fn is_floor(ctx: &Ctx, tenant: &TenantRef, slug: &Slug) -> Result<bool> {
    let found = store::entitlement_get(&mut ctx.read().await?, tenant.id, slug).await?;
    Ok(found.is_some_and(|found| found.floor))
}

/// What the policy is asked about: whoever writes rules for a tenant must not take its floors away.
fn object(floor: bool) -> &'static str {
    if floor { FLOOR } else { CREATE.noun }
}

/// The tenant's name and the entitlement's slug.
fn parse(name: &str) -> Result<(String, Slug)> {
    let [tenant, slug] = name::parse("name", "tenants/{}/entitlements/{}", name)?;
    Ok((format!("tenants/{tenant}"), slug))
}

/// An entitlement of the tenant, or `NOT_FOUND`.
async fn find(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<Entitlement> {
    let found = store::entitlement_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found("entitlement", model::name(&tenant.slug, slug.as_str())))
}

/// The living role of the tenant that `role` names, or everybody.
pub(crate) async fn whom_find(db: &mut impl Executor, tenant: &TenantRef, role: &str) -> Result<Whom> {
    if role == EVERYBODY {
        return Ok(None);
    }
    let neither = |_| {
        let text = format!("`{}` is neither `*` nor a name of the form `tenants/…/roles/…`", clip(role));
        Error::invalid("entitlement.role", text)
    };
    let [of, slug] = name::parse("entitlement.role", "tenants/{}/roles/{}", role).map_err(neither)?;
    let found =
        if of == tenant.slug { tenancy::role::store::role_get(db, tenant.id, &slug).await? } else { None };
    let living = found.filter(|found| found.stamp.delete_time.is_none());
    living.map(|found| Some((found.id, found.slug))).ok_or_else(|| Error::not_found("role", role))
}

/// The living pool of the tenant that `pool` names.
pub(crate) async fn pool_find(db: &mut impl Executor, tenant: &TenantRef, pool: &str) -> Result<Pool> {
    if pool.is_empty() {
        return Ok(None);
    }
    let found = living::<SeatPools>(db, tenant, "entitlement.seat_pool", pool).await?;
    Ok(Some((SeatPoolId(found.id), found.slug)))
}

/// The living plugin group of the tenant that `target` names.
async fn group_find(db: &mut impl Executor, tenant: &TenantRef, target: &str) -> Result<Target> {
    let found = living::<PluginGroups>(db, tenant, TARGET, target).await?;
    Ok(Target::PluginGroup(PluginGroupId(found.id)))
}

/// The living set of the tenant that `text` names.
async fn living<K: Kind>(
    db: &mut impl Executor,
    tenant: &TenantRef,
    field: &str,
    text: &str,
) -> Result<Set<K>> {
    let (of, slug) = set::model::parse::<K>(field, text)?;
    let own = of == format!("tenants/{}", tenant.slug);
    let found = if own { set::store::set_get::<K>(db, tenant.id, &slug).await? } else { None };
    let living = found.filter(|found| found.stamp.delete_time.is_none());
    living.ok_or_else(|| Error::not_found(K::WORDS, text))
}

/// Holds what a rule is going to name, so that it is not deleted before the rule is there.
async fn hold(tx: &mut Tx<'_>, tenant: &TenantRef, target: Option<&Target>, pool: &Pool) -> Result<()> {
    let mut lives = true;
    if let Some(Target::PluginGroup(id)) = target {
        lives &= set::store::set_hold::<PluginGroups>(tx, tenant.id, id.0).await?;
    }
    if let Some((id, _)) = pool {
        lives &= set::store::set_hold::<SeatPools>(tx, tenant.id, id.0).await?;
    }
    // deleted since it was found: asked again, the answer says so
    if lives { Ok(()) } else { Err(Error::Conflict) }
}

/// Field of a request that says what a rule is about.
const TARGET: &str = "entitlement.target";

/// The marketplace, plugin, part of a plugin or plugin group that `target` names.
pub(crate) async fn target_find(db: &mut impl Executor, tenant: &TenantRef, target: &str) -> Result<Target> {
    if target.starts_with("tenants/") {
        return group_find(db, tenant, target).await;
    }
    if target.contains("/plugins/") {
        let wanted = Wanted::parse(TARGET, target)?;
        let name = wanted.plugin_name();
        let plugin = catalog::ops::plugin_find(db, &name).await?;
        let plugin = plugin.ok_or_else(|| Error::not_found("plugin", &name))?;
        let facts = plugin_list(db, tenant.id, Some(&name)).await?;
        if !facts.iter().any(|plugin| wanted.is_in(plugin)) {
            return Err(Error::not_found("part of a plugin", target));
        }
        return Ok(Target::Plugin(plugin.marketplace_id, plugin.plugin_id, wanted.part()));
    }
    let neither = |_| {
        let forms = "`marketplaces/…`, `marketplaces/…/plugins/…` or `tenants/…/pluginGroups/…`";
        Error::invalid(TARGET, format!("`{}` is not a name of the form {forms}", clip(target)))
    };
    let [_] = name::parse(TARGET, "marketplaces/{}", target).map_err(neither)?;
    let marketplace = catalog::ops::marketplace_find(db, target).await?;
    let marketplace = marketplace.ok_or_else(|| Error::not_found("marketplace", target))?;
    Ok(Target::Marketplace(marketplace.id))
}
