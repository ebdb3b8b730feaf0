//! The use cases of seat pools; those of who holds a seat are in `holder`.

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
    holder,
    model::{self, NewSeatPool, SeatPool, SeatPoolId, SeatPoolPatch},
    store,
};
use crate::entitlement::ops::in_use;

pub(super) const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "seat_pool", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action = action("provost.seat_pool.v1.SeatPoolService/CreateSeatPool", "create", Class::Write);
const GET: Action = action("provost.seat_pool.v1.SeatPoolService/GetSeatPool", "get", Class::Read);
const LIST: Action = action("provost.seat_pool.v1.SeatPoolService/ListSeatPools", "list", Class::Read);
const UPDATE: Action = action("provost.seat_pool.v1.SeatPoolService/UpdateSeatPool", "update", Class::Write);
const DELETE: Action = action("provost.seat_pool.v1.SeatPoolService/DeleteSeatPool", "delete", Class::Write);
const UNDELETE: Action =
    action("provost.seat_pool.v1.SeatPoolService/UndeleteSeatPool", "undelete", Class::Write);
/// What seat pools can be asked for.
pub const ACTIONS: &[Action] =
    &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE, holder::ADD, holder::REMOVE, holder::LIST];

/// Creates a seat pool in `parent`.
pub async fn seat_pool_create(ctx: &Ctx, parent: &str, new: NewSeatPool) -> Result<SeatPool> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let pool = SeatPool::create(scope.tenant()?, new, SeatPoolId(ctx.new_id()), ctx.now())?;
    store::seat_pool_insert(&mut tx, &pool).await?;
    tx.commit(permit.audit().target(&pool).after(&pool)).await?;
    Ok(pool)
}

/// Returns a seat pool, deleted or not.
pub async fn seat_pool_get(ctx: &Ctx, name: &str) -> Result<SeatPool> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &slug).await
}

/// Lists seat pools of `parent`.
pub async fn seat_pool_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<SeatPool>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::seat_pool_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Changes the words of a seat pool.
pub async fn seat_pool_update(ctx: &Ctx, name: &str, etag: &str, patch: SeatPoolPatch) -> Result<SeatPool> {
    change(ctx, UPDATE, name, etag, |pool| pool.patched(patch, ctx.now())).await
}

/// Deletes a seat pool that no rule names; who holds its seats stays for when it is undeleted.
pub async fn seat_pool_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<SeatPool> {
    change(ctx, DELETE, name, etag, |pool| pool.deleted(ctx.now())).await
}

/// Brings a deleted seat pool back.
pub async fn seat_pool_undelete(ctx: &Ctx, name: &str, etag: &str) -> Result<SeatPool> {
    change(ctx, UNDELETE, name, etag, |pool| pool.undeleted(ctx.now())).await
}

/// What update, delete and undelete share: read, compare etags, apply, write, record.
async fn change(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    apply: impl FnOnce(&SeatPool) -> Result<SeatPool>,
) -> Result<SeatPool> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(action, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.stamp.matches(etag, name)?;
    let after = apply(&before)?;
    store::seat_pool_update(&mut tx, &after).await?;
    settle(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Nothing that is deleted is named by a rule. Checked after the write, which holds the row, so that no rule that names it is made
/// meanwhile.
async fn settle(tx: &mut Tx<'_>, after: &SeatPool) -> Result<()> {
    if after.stamp.delete_time.is_none() {
        return Ok(());
    }
    let rules = store::seat_pool_rule_list(tx, after).await?;
    in_use(&after.name(), &after.tenant_slug, &rules)
}

/// The tenant's name and the pool's slug.
pub(super) fn parse(field: &str, name: &str) -> Result<(String, Slug)> {
    let [tenant, pool] = name::parse(field, "tenants/{}/seatPools/{}", name)?;
    Ok((format!("tenants/{tenant}"), pool))
}

/// A seat pool of the tenant, deleted or not, or `NOT_FOUND`.
pub async fn find(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<SeatPool> {
    let found = store::seat_pool_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found("seat pool", model::name(&tenant.slug, slug.as_str())))
}
