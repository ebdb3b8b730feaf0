//! The use cases of what is in a plugin group.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::list::{ListQuery, Page},
    name,
};

use super::{
    model::{MAX_MEMBERS, PluginGroupMember, PluginGroups},
    ops::action,
    store,
};
use crate::{
    entitlement::ops::FLOOR,
    set::{model::parse, ops::find, store::set_hold},
};

pub(super) const ADD: Action =
    action("provost.plugin_group.v1.PluginGroupService/AddPluginGroupMember", "add_member", Class::Write);
pub(super) const REMOVE: Action = action(
    "provost.plugin_group.v1.PluginGroupService/RemovePluginGroupMember",
    "remove_member",
    Class::Write,
);
pub(super) const LIST: Action =
    action("provost.plugin_group.v1.PluginGroupService/ListPluginGroupMembers", "list_members", Class::Read);

/// Adds a listed plugin to a living group.
pub async fn plugin_group_member_add(ctx: &Ctx, name: &str, member: &str) -> Result<PluginGroupMember> {
    let (tenant, slug) = parse::<PluginGroups>("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(ADD, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let group = find::<PluginGroups>(&mut tx, tenant, &slug).await?;
    group.stamp.alive(group.name())?;
    let [_, _] = name::parse("member", "marketplaces/{}/plugins/{}", member)?;
    let plugin = catalog::ops::plugin_find(&mut tx, member).await?;
    let plugin = plugin.ok_or_else(|| Error::not_found("plugin", member))?;
    // held, so that those who add to it take turns and it is not deleted meanwhile
    if !set_hold::<PluginGroups>(&mut tx, tenant.id, group.id).await? {
        return Err(Error::Conflict);
    }
    if store::plugin_group_member_count(&mut tx, &group).await? >= MAX_MEMBERS {
        let message = format!("`{}` has {MAX_MEMBERS} plugins already; make another group", group.name());
        return Err(Error::Limit { limit: "plugin_group.members".to_owned(), message });
    }
    let added = PluginGroupMember {
        id: ctx.new_id(),
        marketplace_id: plugin.marketplace_id,
        marketplace_slug: plugin.marketplace_slug,
        plugin_id: plugin.plugin_id,
        plugin_slug: plugin.plugin_slug,
        create_time: ctx.now(),
    };
    store::plugin_group_member_insert(&mut tx, &group, &added).await?;
    tx.commit(permit.audit().target(&group).also("plugin", added.member()).after(&added)).await?;
    Ok(added)
}

/// Removes a plugin, listed or not, from a group, deleted or not, and returns what it was. A floor that names the group must not
/// be loosened by who may not set floors.
pub async fn plugin_group_member_remove(ctx: &Ctx, name: &str, member: &str) -> Result<PluginGroupMember> {
    let (tenant, slug) = parse::<PluginGroups>("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(REMOVE, &scope).await?;
    if store::plugin_group_is_under_floor(&mut ctx.read().await?, scope.tenant()?.id, &slug).await? {
        ctx.authorize_on(REMOVE, FLOOR.into(), &scope, false).await?;
    }
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let group = find::<PluginGroups>(&mut tx, tenant, &slug).await?;
    let [marketplace, plugin] = name::parse("member", "marketplaces/{}/plugins/{}", member)?;
    let removed = store::plugin_group_member_get(&mut tx, &group, &marketplace, &plugin).await?;
    let removed = removed.ok_or_else(|| Error::not_found("plugin group member", member))?;
    store::plugin_group_member_delete(&mut tx, &group, &removed).await?;
    tx.commit(permit.audit().target(&group).also("plugin", removed.member()).before(&removed)).await?;
    Ok(removed)
}

/// Lists the plugins of `parent`, a group, deleted or not.
pub async fn plugin_group_member_list(
    ctx: &Ctx,
    parent: &str,
    query: &ListQuery,
) -> Result<Page<PluginGroupMember>> {
    let (tenant, slug) = parse::<PluginGroups>("parent", parent)?;
    let scope = ctx.tenant("parent", &tenant).await?;
    ctx.authorize(LIST, &scope).await?;
    let mut db = ctx.read().await?;
    let group = find::<PluginGroups>(&mut db, scope.tenant()?, &slug).await?;
    store::plugin_group_member_list(&mut db, group.tenant_id, group.id, query, &ctx.kernel().page_key).await
}
