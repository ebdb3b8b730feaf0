//! The use cases of plugin groups; those of what is in them are in `member`.

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
    member,
    model::{self, NewPluginGroup, PluginGroup, PluginGroupId, PluginGroupPatch},
    store,
};
use crate::entitlement::ops::in_use;

pub(super) const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "plugin_group", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action =
    action("provost.plugin_group.v1.PluginGroupService/CreatePluginGroup", "create", Class::Write);
const GET: Action = action("provost.plugin_group.v1.PluginGroupService/GetPluginGroup", "get", Class::Read);
const LIST: Action =
    action("provost.plugin_group.v1.PluginGroupService/ListPluginGroups", "list", Class::Read);
const UPDATE: Action =
    action("provost.plugin_group.v1.PluginGroupService/UpdatePluginGroup", "update", Class::Write);
const DELETE: Action =
    action("provost.plugin_group.v1.PluginGroupService/DeletePluginGroup", "delete", Class::Write);
const UNDELETE: Action =
    action("provost.plugin_group.v1.PluginGroupService/UndeletePluginGroup", "undelete", Class::Write);
/// What plugin groups can be asked for.
pub const ACTIONS: &[Action] =
    &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE, member::ADD, member::REMOVE, member::LIST];

/// Creates a plugin group in `parent`.
pub async fn plugin_group_create(ctx: &Ctx, parent: &str, new: NewPluginGroup) -> Result<PluginGroup> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let group = PluginGroup::create(scope.tenant()?, new, PluginGroupId(ctx.new_id()), ctx.now())?;
    store::plugin_group_insert(&mut tx, &group).await?;
    tx.commit(permit.audit().target(&group).after(&group)).await?;
    Ok(group)
}

/// Returns a plugin group, deleted or not.
pub async fn plugin_group_get(ctx: &Ctx, name: &str) -> Result<PluginGroup> {
    let (tenant, slug) = parse("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &slug).await
}

/// Lists plugin groups of `parent`.
pub async fn plugin_group_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<PluginGroup>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::plugin_group_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Changes the words of a plugin group.
pub async fn plugin_group_update(
    ctx: &Ctx,
    name: &str,
    etag: &str,
    patch: PluginGroupPatch,
) -> Result<PluginGroup> {
    change(ctx, UPDATE, name, etag, |group| group.patched(patch, ctx.now())).await
}

/// Deletes a plugin group that no rule names; what is in it stays for when it is undeleted.
pub async fn plugin_group_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<PluginGroup> {
    change(ctx, DELETE, name, etag, |group| group.deleted(ctx.now())).await
}

/// Brings a deleted plugin group back.
pub async fn plugin_group_undelete(ctx: &Ctx, name: &str, etag: &str) -> Result<PluginGroup> {
    change(ctx, UNDELETE, name, etag, |group| group.undeleted(ctx.now())).await
}

/// What update, delete and undelete share: read, compare etags, apply, write, record.
async fn change(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    apply: impl FnOnce(&PluginGroup) -> Result<PluginGroup>,
) -> Result<PluginGroup> {
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
    store::plugin_group_update(&mut tx, &after).await?;
    settle(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Nothing that is deleted is named by a rule. Checked after the write, which holds the row, so that no rule that names it is made
/// meanwhile.
async fn settle(tx: &mut Tx<'_>, after: &PluginGroup) -> Result<()> {
    if after.stamp.delete_time.is_none() {
        return Ok(());
    }
    let rules = store::plugin_group_rule_list(tx, after).await?;
    in_use(&after.name(), &after.tenant_slug, &rules)
}

/// The tenant's name and the group's slug.
pub(super) fn parse(field: &str, name: &str) -> Result<(String, Slug)> {
    let [tenant, group] = name::parse(field, "tenants/{}/pluginGroups/{}", name)?;
    Ok((format!("tenants/{tenant}"), group))
}

/// A plugin group of the tenant, deleted or not, or `NOT_FOUND`.
pub async fn find(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<PluginGroup> {
    let found = store::plugin_group_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found("plugin group", model::name(&tenant.slug, slug.as_str())))
}
