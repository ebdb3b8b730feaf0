//! Which roles a role takes in: the use cases and their SQL.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    clock::Time,
    db::{Executor, tx::Tx},
    execute,
    ids::TenantId,
    on,
};

use super::{
    model::{Role, RoleId},
    ops::{action, find, parse},
    store,
};
use crate::{floor::role_guard, sibling::sibling, tenant::store as tenants};

pub(super) const INCLUDE: Action = action("provost.role.v1.RoleService/IncludeRole", "include", Class::Write);
pub(super) const EXCLUDE: Action = action("provost.role.v1.RoleService/ExcludeRole", "exclude", Class::Write);

/// Makes a role take another one of the tenant in.
pub async fn role_include(ctx: &Ctx, name: &str, included: &str) -> Result<Role> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(INCLUDE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    // inclusions of a tenant take turns: two of them, each fine by itself, could close a circle over other roles
    tenants::tenant_hold(&mut tx, tenant.id).await?;
    let before = find(&mut tx, tenant, &slug).await?;
    before.stamp.alive(before.name())?;
    let other = find(&mut tx, tenant, &sibling(tenant, "included_role", "role", included)?).await?;
    other.stamp.alive(other.name())?;
    before.may_include(&other, &role_inclusion_list(&mut tx, tenant.id).await?)?;
    role_inclusion_insert(&mut tx, &before, &other, ctx.now()).await?;
    store::role_update(&mut tx, &before.touched(ctx.now())).await?;
    let after = find(&mut tx, tenant, &slug).await?;
    tx.commit(permit.audit().target(&after).also("role", other.name()).before(&before).after(&after)).await?;
    Ok(after)
}

/// Makes a role give up another one, deleted or not.
pub async fn role_exclude(ctx: &Ctx, name: &str, included: &str) -> Result<Role> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(EXCLUDE, &scope).await?;
    let tenant = scope.tenant()?;
    let other = sibling(tenant, "included_role", "role", included)?;
    role_guard(ctx, EXCLUDE, &scope, &other).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, tenant, &slug).await?;
    let other = find(&mut tx, tenant, &other).await?;
    if role_inclusion_delete(&mut tx, &before, &other).await? == 0 {
        return Err(Error::not_found("included role", included));
    }
    store::role_update(&mut tx, &before.touched(ctx.now())).await?;
    let after = find(&mut tx, tenant, &slug).await?;
    tx.commit(permit.audit().target(&after).also("role", other.name()).before(&before).after(&after)).await?;
    Ok(after)
}

/// Inserts; one that is there already is `ALREADY_EXISTS`.
async fn role_inclusion_insert(tx: &mut Tx<'_>, role: &Role, other: &Role, now: Time) -> Result<()> {
    let query =
        "INSERT INTO role_inclusion (tenant_id, role_id, included_id, create_time) VALUES ($1, $2, $3, $4)";
    execute!(tx, sqlx::query(query).bind(role.tenant_id).bind(role.id).bind(other.id).bind(now))
        .map(|_| ())
        .map_err(|e| {
            e.on_unique(|| Error::Exists {
                kind: "included role",
                name: other.name(),
                hint: "the role takes it in, so there is nothing to add",
            })
        })
}

/// Deletes; says how many there were.
async fn role_inclusion_delete(tx: &mut Tx<'_>, role: &Role, other: &Role) -> Result<u64> {
    let query = "DELETE FROM role_inclusion WHERE tenant_id = $1 AND role_id = $2 AND included_id = $3";
    execute!(tx, sqlx::query(query).bind(role.tenant_id).bind(role.id).bind(other.id))
}

/// All inclusions (role, included) of the tenant, those of deleted roles too: they may come back.
async fn role_inclusion_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<(RoleId, RoleId)>> {
    let query = "SELECT role_id, included_id FROM role_inclusion WHERE tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}
