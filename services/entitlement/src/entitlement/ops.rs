//! The use cases of entitlements.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
    },
    error::Error,
    ids::{Slug, clip},
    name,
    scope::{ScopeKind, TenantRef},
};

use crate::decision::{facts::store::plugin_list, model::Wanted};

use super::{
    model::{self, EVERYBODY, Entitlement, EntitlementId, NewEntitlement, Target, Whom},
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
const DELETE: Action =
    action("provost.entitlement.v1.EntitlementService/DeleteEntitlement", "delete", Class::Write);
/// What the policy calls a rule that only the tenant's own officers may touch.
const FLOOR: &str = "floor";
/// What entitlements can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, GET, LIST, DELETE];

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
    let target = target_find(&mut tx, &new.target).await?;
    let made = Entitlement::create(tenant, new, whom, target, EntitlementId(ctx.new_id()), ctx.now())?;
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

/// Deletes an entitlement for good and returns what it was; the audit log keeps it.
pub async fn entitlement_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Entitlement> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let floor = store::entitlement_get(&mut ctx.read().await?, scope.tenant()?.id, &slug).await?;
    let floor = floor.is_some_and(|found| found.floor);
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

/// The marketplace, plugin or part of a plugin that `target` names.
pub(crate) async fn target_find(db: &mut impl Executor, target: &str) -> Result<Target> {
    const FIELD: &str = "entitlement.target";
    if target.contains("/plugins/") {
        let wanted = Wanted::parse(FIELD, target)?;
        let name = wanted.plugin_name();
        let plugin = catalog::ops::plugin_find(db, &name).await?;
        let plugin = plugin.ok_or_else(|| Error::not_found("plugin", &name))?;
        let facts = plugin_list(db, Some(&name)).await?;
        if !facts.iter().any(|plugin| wanted.is_in(plugin)) {
            return Err(Error::not_found("part of a plugin", target));
        }
        return Ok(Target { marketplace_id: plugin.marketplace_id, plugin_id: Some(plugin.plugin_id) });
    }
    let neither = |_| {
        let forms = "`marketplaces/…` or `marketplaces/…/plugins/…`";
        Error::invalid(FIELD, format!("`{}` is not a name of the form {forms}", clip(target)))
    };
    let [_] = name::parse(FIELD, "marketplaces/{}", target).map_err(neither)?;
    let marketplace = catalog::ops::marketplace_find(db, target).await?;
    let marketplace = marketplace.ok_or_else(|| Error::not_found("marketplace", target))?;
    Ok(Target { marketplace_id: marketplace.id, plugin_id: None })
}
