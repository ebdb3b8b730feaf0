//! The use cases of who holds a seat.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::list::{ListQuery, Page},
};

use super::{
    model::{SeatHolder, SeatPools},
    ops::action,
    store,
};
use crate::set::{model::parse, ops::find};
use tenancy::{principal, sibling::sibling};

pub(super) const ADD: Action =
    action("provost.seat_pool.v1.SeatPoolService/AddSeatHolder", "add_holder", Class::Write);
pub(super) const REMOVE: Action =
    action("provost.seat_pool.v1.SeatPoolService/RemoveSeatHolder", "remove_holder", Class::Write);
pub(super) const LIST: Action =
    action("provost.seat_pool.v1.SeatPoolService/ListSeatHolders", "list_holders", Class::Read);

/// Gives a living principal of the tenant a seat of a living pool.
pub async fn seat_holder_add(ctx: &Ctx, name: &str, holder: &str) -> Result<SeatHolder> {
    let (tenant, slug) = parse::<SeatPools>("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(ADD, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let pool = find::<SeatPools>(&mut tx, tenant, &slug).await?;
    pool.stamp.alive(pool.name())?;
    let principal = sibling(tenant, "holder", "principal", holder)?;
    let principal = principal::ops::find(&mut tx, tenant.id.0, &principal).await?;
    let principal = principal.ok_or_else(|| Error::not_found("principal", holder))?;
    let added = SeatHolder {
        id: ctx.new_id(),
        tenant_slug: tenant.slug.clone(),
        principal_id: principal.id,
        principal_slug: principal.slug,
        create_time: ctx.now(),
    };
    store::seat_holder_insert(&mut tx, &pool, &added).await?;
    tx.commit(permit.audit().target(&pool).also("principal", added.holder()).after(&added)).await?;
    Ok(added)
}

/// Takes a seat away, of a deleted pool too, and returns what it was.
pub async fn seat_holder_remove(ctx: &Ctx, name: &str, holder: &str) -> Result<SeatHolder> {
    let (tenant, slug) = parse::<SeatPools>("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(REMOVE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let pool = find::<SeatPools>(&mut tx, tenant, &slug).await?;
    let principal = sibling(tenant, "holder", "principal", holder)?;
    let removed = store::seat_holder_get(&mut tx, &pool, &principal).await?;
    let removed = removed.ok_or_else(|| Error::not_found("seat holder", holder))?;
    store::seat_holder_delete(&mut tx, &pool, &removed).await?;
    tx.commit(permit.audit().target(&pool).also("principal", removed.holder()).before(&removed)).await?;
    Ok(removed)
}

/// Lists who holds a seat of `parent`, a pool, deleted or not.
pub async fn seat_holder_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<SeatHolder>> {
    let (tenant, slug) = parse::<SeatPools>("parent", parent)?;
    let scope = ctx.tenant("parent", &tenant).await?;
    ctx.authorize(LIST, &scope).await?;
    let mut db = ctx.read().await?;
    let pool = find::<SeatPools>(&mut db, scope.tenant()?, &slug).await?;
    store::seat_holder_list(&mut db, pool.tenant_id, pool.id, query, &ctx.kernel().page_key).await
}
