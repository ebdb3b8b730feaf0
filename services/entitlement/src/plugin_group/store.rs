//! SQL of what is in plugin groups.

use kernel::{
    Error, Result,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    ids::{Slug, TenantId},
    on,
    page::PageKey,
    stamp::changed_one,
};
use uuid::Uuid;

use super::model::{PluginGroup, PluginGroupMember};

macro_rules! member_columns {
    () => {
        "m.id, m.marketplace_id, k.slug AS marketplace_slug, m.plugin_id, p.slug AS plugin_slug, m.create_time"
    };
}

macro_rules! member_from {
    () => {
        "plugin_group_member m JOIN marketplace k ON k.id = m.marketplace_id \
         JOIN plugin p ON p.marketplace_id = m.marketplace_id AND p.id = m.plugin_id"
    };
}

/// A plugin that is not listed is no member until it is listed again.
const MEMBER_LIST: ListSpec = ListSpec {
    name: "plugin group members",
    columns: member_columns!(),
    from: member_from!(),
    id: "m.id",
    fields: &[
        Field::text("marketplace_id", "k.slug"),
        Field::text("plugin_id", "p.slug"),
        Field::time("create_time", "m.create_time"),
    ],
    order: "create_time",
    deleted: "p.delete_time",
};

/// Inserts a membership; one that is there already is `ALREADY_EXISTS`.
pub async fn plugin_group_member_insert(
    tx: &mut Tx<'_>,
    group: &PluginGroup,
    member: &PluginGroupMember,
) -> Result<()> {
    let query = "INSERT INTO plugin_group_member (tenant_id, plugin_group_id, plugin_id, id, marketplace_id, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(group.tenant_id)
            .bind(group.id)
            .bind(member.plugin_id)
            .bind(member.id)
            .bind(member.marketplace_id)
            .bind(member.create_time)
    )
    .map(|_| ())
    .map_err(|e| {
        e.on_unique(|| Error::Exists {
            kind: "plugin group member",
            name: member.member(),
            hint: "it is in the group, so there is nothing to add",
        })
    })
}

/// The membership of a plugin, listed or not.
pub async fn plugin_group_member_get(
    db: &mut impl Executor,
    group: &PluginGroup,
    marketplace: &Slug,
    plugin: &Slug,
) -> Result<Option<PluginGroupMember>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        member_columns!(),
        " FROM ",
        member_from!(),
        " WHERE m.tenant_id = $1 AND m.plugin_group_id = $2 AND k.slug = $3 AND p.slug = $4"
    ))
    .bind(group.tenant_id)
    .bind(group.id)
    .bind(marketplace)
    .bind(plugin)
    .fetch_optional(c))
}

/// Deletes the membership that was read.
pub async fn plugin_group_member_delete(
    tx: &mut Tx<'_>,
    group: &PluginGroup,
    member: &PluginGroupMember,
) -> Result<()> {
    let query = "DELETE FROM plugin_group_member WHERE tenant_id = $1 AND plugin_group_id = $2 AND plugin_id = $3 AND id = $4";
    let rows = execute!(
        tx,
        sqlx::query(query).bind(group.tenant_id).bind(group.id).bind(member.plugin_id).bind(member.id)
    )?;
    changed_one(rows)
}

/// One page of a group's members.
pub async fn plugin_group_member_list(
    db: &mut impl Executor,
    tenant: TenantId,
    group: Uuid,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<PluginGroupMember>> {
    let keys = [("m.tenant_id", Value::Id(tenant.0)), ("m.plugin_group_id", Value::Id(group))];
    list(db, &MEMBER_LIST, &keys, query, key).await
}

/// How many plugins are in a group, listed or not.
pub async fn plugin_group_member_count(db: &mut impl Executor, group: &PluginGroup) -> Result<i64> {
    let query = "SELECT COUNT(*) FROM plugin_group_member WHERE tenant_id = $1 AND plugin_group_id = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(group.tenant_id).bind(group.id).fetch_one(c))
}

/// Whether a floor names the group of that id.
pub async fn plugin_group_is_under_floor(
    db: &mut impl Executor,
    tenant: TenantId,
    slug: &Slug,
) -> Result<bool> {
    let query = "SELECT COUNT(*) FROM entitlement e \
         JOIN plugin_group g ON g.tenant_id = e.tenant_id AND g.id = e.plugin_group_id \
         WHERE e.tenant_id = $1 AND e.floor AND g.slug = $2";
    let floors: i64 = on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(slug).fetch_one(c))?;
    Ok(floors > 0)
}
