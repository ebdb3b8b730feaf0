//! The use cases of groups; those of their members are in `member`.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
    },
    ids::Slug,
    name,
    scope::{ScopeKind, TenantRef},
};

use super::{
    member,
    model::{Group, GroupId, GroupPatch, NewGroup},
    store,
};
use crate::floor::group_guard;

pub(super) const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "group", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action = action("provost.group.v1.GroupService/CreateGroup", "create", Class::Write);
const GET: Action = action("provost.group.v1.GroupService/GetGroup", "get", Class::Read);
const LIST: Action = action("provost.group.v1.GroupService/ListGroups", "list", Class::Read);
const UPDATE: Action = action("provost.group.v1.GroupService/UpdateGroup", "update", Class::Write);
const DELETE: Action = action("provost.group.v1.GroupService/DeleteGroup", "delete", Class::Write);
const UNDELETE: Action = action("provost.group.v1.GroupService/UndeleteGroup", "undelete", Class::Write);
/// What groups can be asked for.
pub const ACTIONS: &[Action] =
    &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE, member::ADD, member::REMOVE, member::LIST];

/// Creates a group in `parent`.
pub async fn group_create(ctx: &Ctx, parent: &str, new: NewGroup) -> Result<Group> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let group = Group::create(scope.tenant()?, new, GroupId(ctx.new_id()), ctx.now())?;
    // when both the id and the external id are taken, the engines disagree on which to name
    if store::group_get(&mut tx, group.tenant_id, &group.slug).await?.is_some() {
        return Err(Error::exists("group", group.name()));
    }
    store::group_insert(&mut tx, &group).await?;
    tx.commit(permit.audit().target(&group).after(&group)).await?;
    Ok(group)
}

/// Returns a group, deleted or not.
pub async fn group_get(ctx: &Ctx, name: &str) -> Result<Group> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &slug).await
}

/// Lists groups of `parent`.
pub async fn group_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Group>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::group_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Changes the words of a group.
pub async fn group_update(ctx: &Ctx, name: &str, etag: &str, patch: GroupPatch) -> Result<Group> {
    change(ctx, UPDATE, name, etag, |group| group.patched(patch, ctx.now())).await
}

/// Deletes a group; its members and roles stay and count for nothing until it is undeleted.
pub async fn group_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Group> {
    change(ctx, DELETE, name, etag, |group| group.deleted(ctx.now())).await
}

/// Brings a deleted group back.
pub async fn group_undelete(ctx: &Ctx, name: &str, etag: &str) -> Result<Group> {
    change(ctx, UNDELETE, name, etag, |group| group.undeleted(ctx.now())).await
}

/// What update, delete and undelete share: read, compare etags, apply, write, record.
async fn change(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    apply: impl FnOnce(&Group) -> Result<Group>,
) -> Result<Group> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(action, &scope).await?;
    if action.verb == DELETE.verb {
        group_guard(ctx, action, &scope, &slug).await?;
    }
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.stamp.matches(etag, name)?;
    let after = apply(&before)?;
    store::group_update(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// The tenant's name and the group's slug.
pub(super) fn parse(field: &str, name: &str) -> Result<(String, Slug)> {
    let [tenant, group] = name::parse(field, "tenants/{}/groups/{}", name)?;
    Ok((format!("tenants/{tenant}"), group))
}

/// A group of the tenant, deleted or not, or `NOT_FOUND`.
pub async fn find(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<Group> {
    let found = store::group_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found("group", format!("tenants/{}/groups/{slug}", tenant.slug)))
}
