//! The use cases of roles; those of their members are in `member`, of what they take in, in `inclusion`.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
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
    inclusion, member,
    model::{NewRole, Role, RoleId, RolePatch},
    store,
};
use crate::floor::role_guard;

pub(super) const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "role", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action = action("provost.role.v1.RoleService/CreateRole", "create", Class::Write);
const GET: Action = action("provost.role.v1.RoleService/GetRole", "get", Class::Read);
const LIST: Action = action("provost.role.v1.RoleService/ListRoles", "list", Class::Read);
const UPDATE: Action = action("provost.role.v1.RoleService/UpdateRole", "update", Class::Write);
const DELETE: Action = action("provost.role.v1.RoleService/DeleteRole", "delete", Class::Write);
const UNDELETE: Action = action("provost.role.v1.RoleService/UndeleteRole", "undelete", Class::Write);
/// What roles can be asked for.
pub const ACTIONS: &[Action] = &[
    CREATE,
    GET,
    LIST,
    UPDATE,
    DELETE,
    UNDELETE,
    member::ADD,
    member::REMOVE,
    member::LIST,
    inclusion::INCLUDE,
    inclusion::EXCLUDE,
];

/// Creates a role in `parent`.
pub async fn role_create(ctx: &Ctx, parent: &str, new: NewRole) -> Result<Role> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let role = Role::create(scope.tenant()?, new, RoleId(ctx.new_id()), ctx.now())?;
    store::role_insert(&mut tx, &role).await?;
    tx.commit(permit.audit().target(&role).after(&role)).await?;
    Ok(role)
}

/// Returns a role, deleted or not.
pub async fn role_get(ctx: &Ctx, name: &str) -> Result<Role> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    let load = || async { find(&mut ctx.read().await?, scope.tenant()?, &slug).await };
    let role = ctx.row("role", &scope, slug.as_str(), load).await?;
    Ok(role.as_ref().clone())
}

/// Lists roles of `parent`.
pub async fn role_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Role>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::role_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Changes the words of a role.
pub async fn role_update(ctx: &Ctx, name: &str, etag: &str, patch: RolePatch) -> Result<Role> {
    change(ctx, UPDATE, name, etag, |role| role.patched(patch, ctx.now())).await
}

/// Deletes a role; its members and rules stay and count for nothing until it is undeleted.
pub async fn role_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Role> {
    change(ctx, DELETE, name, etag, |role| role.deleted(ctx.now())).await
}

/// Brings a deleted role back.
pub async fn role_undelete(ctx: &Ctx, name: &str, etag: &str) -> Result<Role> {
    change(ctx, UNDELETE, name, etag, |role| role.undeleted(ctx.now())).await
}

/// What update, delete and undelete share: read, compare etags, apply, write, record.
async fn change(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    apply: impl FnOnce(&Role) -> Result<Role>,
) -> Result<Role> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(action, &scope).await?;
    if action.verb == DELETE.verb {
        role_guard(ctx, action, &scope, &slug).await?;
    }
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.stamp.matches(etag, name)?;
    let after = apply(&before)?;
    store::role_update(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// The tenant's name and the role's slug.
pub(super) fn parse(field: &str, name: &str) -> Result<(String, Slug)> {
    let [tenant, role] = name::parse(field, "tenants/{}/roles/{}", name)?;
    Ok((format!("tenants/{tenant}"), role))
}

/// A role of the tenant, deleted or not, or `NOT_FOUND`.
pub async fn find(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<Role> {
    let found = store::role_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found("role", format!("tenants/{}/roles/{slug}", tenant.slug)))
}
