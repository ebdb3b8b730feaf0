//! The use cases of stage overrides.

use kernel::{
    Ctx, Result,
    audit::{Audit, Resource as _},
    authz::{Action, Class, Permit},
    db::{
        Executor,
        list::{ListQuery, Page},
    },
    error::Error,
    ids::Slug,
    name,
    scope::{ScopeKind, TenantRef},
};

use super::{
    model::{self, NewOverride, OverrideId, OverridePatch, StageOverride},
    store,
};

const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "stage_override", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action =
    action("provost.stage_override.v1.StageOverrideService/CreateStageOverride", "create", Class::Write);
const GET: Action =
    action("provost.stage_override.v1.StageOverrideService/GetStageOverride", "get", Class::Read);
const LIST: Action =
    action("provost.stage_override.v1.StageOverrideService/ListStageOverrides", "list", Class::Read);
const UPDATE: Action =
    action("provost.stage_override.v1.StageOverrideService/UpdateStageOverride", "update", Class::Write);
const DELETE: Action =
    action("provost.stage_override.v1.StageOverrideService/DeleteStageOverride", "delete", Class::Write);
/// What the policy calls an override that lets more through than it did: not for a delegate of the partner.
const LOOSER: &str = "stage_override/looser";
/// What stage overrides can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, GET, LIST, UPDATE, DELETE];

/// Holds a plugin to a stage in `parent`.
pub async fn override_create(ctx: &Ctx, parent: &str, new: NewOverride) -> Result<StageOverride> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let [marketplace, slug] =
        name::parse("stage_override.plugin", "marketplaces/{}/plugins/{}", &new.plugin)?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    // also one that is not listed: it may still be installed somewhere, and may be listed again
    let plugin = catalog::store::plugin_get(&mut tx, &marketplace, &slug).await?;
    let plugin = plugin.ok_or_else(|| Error::not_found("plugin", &new.plugin))?;
    let made = StageOverride::create(tenant, new, &plugin, OverrideId(ctx.new_id()), ctx.now())?;
    if let Some(other) = store::override_find(&mut tx, tenant.id, &made.plugin).await? {
        let hint = "the plugin has that override already; update or delete it";
        return Err(Error::Exists { kind: "stage_override", name: other.name(), hint });
    }
    store::override_insert(&mut tx, &made).await?;
    tx.commit(audit(&permit, &made).after(&made)).await?;
    Ok(made)
}

/// Returns an override.
pub async fn override_get(ctx: &Ctx, name: &str) -> Result<StageOverride> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &slug).await
}

/// Lists overrides of `parent`.
pub async fn override_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<StageOverride>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::override_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Changes stage or reason of an override.
pub async fn override_update(
    ctx: &Ctx,
    name: &str,
    etag: &str,
    patch: OverridePatch,
) -> Result<StageOverride> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let seen = store::override_get(&mut ctx.read().await?, scope.tenant()?.id, &slug).await?;
    let looser = seen.as_ref().is_some_and(|seen| seen.is_loosened_by(patch.stage));
    let object = if looser { LOOSER } else { UPDATE.noun };
    let permit = ctx.authorize_on(UPDATE, object.into(), &scope, false).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.matches(etag)?;
    // made stricter since the permit was asked for
    if before.is_loosened_by(patch.stage) != looser {
        return Err(Error::Conflict);
    }
    let after = before.patched(patch, ctx.now())?;
    store::override_update(&mut tx, &after).await?;
    tx.commit(audit(&permit, &after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Deletes an override for good and returns what it was; the audit log keeps it.
pub async fn override_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<StageOverride> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize_on(DELETE, LOOSER.into(), &scope, false).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.matches(etag)?;
    store::override_delete(&mut tx, &before).await?;
    tx.commit(audit(&permit, &before).before(&before)).await?;
    Ok(before)
}

/// A record that names the identity too, by which the log is replayed: a name can be given again after a delete.
fn audit(permit: &Permit, own: &StageOverride) -> Audit {
    let audit = permit.audit().target(own).also("uid", own.id.to_string());
    audit.deciding("plugin", own.plugin.clone())
}

/// The tenant's name and the override's slug.
fn parse(name: &str) -> Result<(String, Slug)> {
    let [tenant, slug] = name::parse("name", "tenants/{}/stageOverrides/{}", name)?;
    Ok((format!("tenants/{tenant}"), slug))
}

/// An override of the tenant, or `NOT_FOUND`.
async fn find(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<StageOverride> {
    let found = store::override_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found("stage_override", model::name(&tenant.slug, slug.as_str())))
}
