//! The use cases of units.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
        tx::Tx,
    },
    ids::Slug,
    name,
    scope::{ScopeKind, TenantRef},
};

use super::{
    model::{NewUnit, Unit, UnitId, UnitPatch, unit_name},
    store,
};
use crate::{principal::store as principals, sibling::sibling, tenant::store as tenants};

const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "unit", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action = action("provost.unit.v1.UnitService/CreateUnit", "create", Class::Write);
const GET: Action = action("provost.unit.v1.UnitService/GetUnit", "get", Class::Read);
const LIST: Action = action("provost.unit.v1.UnitService/ListUnits", "list", Class::Read);
const UPDATE: Action = action("provost.unit.v1.UnitService/UpdateUnit", "update", Class::Write);
const DELETE: Action = action("provost.unit.v1.UnitService/DeleteUnit", "delete", Class::Write);
const UNDELETE: Action = action("provost.unit.v1.UnitService/UndeleteUnit", "undelete", Class::Write);
/// What units can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE];

/// Creates a unit in `parent`.
pub async fn unit_create(ctx: &Ctx, parent: &str, new: NewUnit) -> Result<Unit> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let above = parent_named(&mut tx, scope.tenant()?, &new.parent_unit).await?;
    let unit = Unit::create(scope.tenant()?, new, above.as_ref(), UnitId(ctx.new_id()), ctx.now())?;
    hold(&mut tx, &unit).await?;
    store::unit_insert(&mut tx, &unit).await?;
    settle(&mut tx, &unit).await?;
    tx.commit(permit.audit().target(&unit).after(&unit)).await?;
    Ok(unit)
}

/// Returns a unit, deleted or not.
pub async fn unit_get(ctx: &Ctx, name: &str) -> Result<Unit> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &slug).await
}

/// Lists units of `parent`.
pub async fn unit_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Unit>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::unit_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Changes the words of a unit or moves it in the tree.
pub async fn unit_update(ctx: &Ctx, name: &str, etag: &str, patch: UnitPatch) -> Result<Unit> {
    let above = patch.parent_unit.clone().unwrap_or_default();
    change(ctx, UPDATE, name, etag, &above, |unit, above| unit.patched(patch, above, ctx.now())).await
}

/// Deletes a unit that has no living units or principals below it.
pub async fn unit_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Unit> {
    change(ctx, DELETE, name, etag, "", |unit, _| unit.deleted(ctx.now())).await
}

/// Brings a deleted unit back.
pub async fn unit_undelete(ctx: &Ctx, name: &str, etag: &str) -> Result<Unit> {
    change(ctx, UNDELETE, name, etag, "", |unit, _| unit.undeleted(ctx.now())).await
}

/// What all changes share: read, compare etags, apply, hold, write, settle, record. `above` is the new parent's name, or empty.
async fn change(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    above: &str,
    apply: impl FnOnce(&Unit, Option<&Unit>) -> Result<Unit>,
) -> Result<Unit> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(action, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.stamp.matches(etag, name)?;
    let above = parent_named(&mut tx, scope.tenant()?, above).await?;
    let after = apply(&before, above.as_ref())?;
    hold(&mut tx, &after).await?;
    store::unit_update(&mut tx, &after).await?;
    settle(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Changes to what has a place in the tree take turns: two moves, each fine by itself, cannot close a circle together.
/// Taken before anything is written, so that those who wait hold nothing that others wait for.
async fn hold(tx: &mut Tx<'_>, after: &Unit) -> Result<()> {
    match after.parent_id {
        Some(_) => tenants::tenant_hold(tx, after.tenant_id).await,
        None => Ok(()),
    }
}

/// The tree stays a tree of living units, not too deep, and what is deleted is empty. Checked after the write.
async fn settle(tx: &mut Tx<'_>, after: &Unit) -> Result<()> {
    if after.stamp.delete_time.is_some() {
        let units = store::unit_count_children(tx, after.tenant_id, after.id).await?;
        let people = principals::principal_count_in_unit(tx, after.tenant_id, after.id).await?;
        if units + people > 0 {
            let name = after.name();
            let message = format!(
                "`{name}` still has units ({units}) or principals ({people}) in it; move or delete them first"
            );
            return Err(Error::still_in_use(name, message));
        }
        return Ok(());
    }
    let Some(parent) = after.parent_id else { return Ok(()) };
    if !store::unit_hold(tx, after.tenant_id, parent).await? {
        let message = format!("unit `{}` is deleted; undelete it first, or use another", after.parent_unit());
        return Err(Error::illegal_state(after.parent_unit(), message));
    }
    // the row itself is written already, so a circle shows as the unit above itself
    let above = store::unit_above(tx, after.tenant_id, parent).await?;
    let below = store::unit_levels_below(tx, after.tenant_id, after.id).await?;
    after.fits(&above, usize::try_from(below).unwrap_or(usize::MAX))
}

/// The tenant's name and the unit's slug.
fn parse(name: &str) -> Result<(String, Slug)> {
    let [tenant, unit] = name::parse("name", "tenants/{}/units/{}", name)?;
    Ok((format!("tenants/{tenant}"), unit))
}

/// A unit of the tenant, deleted or not, or `NOT_FOUND`.
pub async fn find(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<Unit> {
    let found = store::unit_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found("unit", unit_name(&tenant.slug, slug)))
}

/// The unit that a `parent_unit` names; none for an empty text.
async fn parent_named(db: &mut impl Executor, tenant: &TenantRef, text: &str) -> Result<Option<Unit>> {
    if text.is_empty() {
        return Ok(None);
    }
    let slug = sibling(tenant, "unit.parent_unit", "unit", text)?;
    find(db, tenant, &slug).await.map(Some)
}
