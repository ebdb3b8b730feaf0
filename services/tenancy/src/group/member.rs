//! The use cases of a group's members.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::list::{ListQuery, Page},
};

use super::{
    model::GroupMember,
    ops::{action, find, parse},
    store,
};
use crate::{floor::group_guard, principal, sibling::sibling};

pub(super) const ADD: Action =
    action("provost.group.v1.GroupService/AddGroupMember", "add_member", Class::Write);
pub(super) const REMOVE: Action =
    action("provost.group.v1.GroupService/RemoveGroupMember", "remove_member", Class::Write);
pub(super) const LIST: Action =
    action("provost.group.v1.GroupService/ListGroupMembers", "list_members", Class::Read);

/// Adds a living principal of the tenant to a living group.
pub async fn group_member_add(ctx: &Ctx, name: &str, member: &str) -> Result<GroupMember> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(ADD, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let group = find(&mut tx, tenant, &slug).await?;
    group.stamp.alive(group.name())?;
    let principal = sibling(tenant, "member", "principal", member)?;
    let principal = principal::ops::find(&mut tx, tenant.id.0, &principal).await?;
    let principal = principal.ok_or_else(|| Error::not_found("principal", member))?;
    let added = GroupMember {
        id: ctx.new_id(),
        tenant_slug: tenant.slug.clone(),
        principal_id: principal.id,
        principal_slug: principal.slug,
        create_time: ctx.now(),
    };
    store::group_member_insert(&mut tx, &group, &added).await?;
    tx.commit(permit.audit().target(&group).also("principal", added.member()).after(&added)).await?;
    Ok(added)
}

/// Removes a member, of a deleted group too, and returns what it was.
pub async fn group_member_remove(ctx: &Ctx, name: &str, member: &str) -> Result<GroupMember> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(REMOVE, &scope).await?;
    group_guard(ctx, REMOVE, &scope, &slug).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let group = find(&mut tx, tenant, &slug).await?;
    let principal = sibling(tenant, "member", "principal", member)?;
    let removed = store::group_member_get(&mut tx, &group, &principal).await?;
    let removed = removed.ok_or_else(|| Error::not_found("group member", member))?;
    store::group_member_delete(&mut tx, &group, &removed).await?;
    tx.commit(permit.audit().target(&group).also("principal", removed.member()).before(&removed)).await?;
    Ok(removed)
}

/// Lists the members of `parent`, a group, deleted or not.
pub async fn group_member_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<GroupMember>> {
    let (tenant, slug) = parse("parent", parent)?;
    let scope = ctx.tenant("parent", &tenant).await?;
    ctx.authorize(LIST, &scope).await?;
    let mut db = ctx.read().await?;
    let group = find(&mut db, scope.tenant()?, &slug).await?;
    store::group_member_list(&mut db, group.tenant_id, group.id, query, &ctx.kernel().page_key).await
}
