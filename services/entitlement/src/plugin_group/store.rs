//! SQL of plugin groups. Soft deletion and updates all go through `plugin_group_update`.

use kernel::{
    Error, Result,
    audit::Resource as _,
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

use super::model::{PluginGroup, PluginGroupId, PluginGroupMember};

macro_rules! columns {
    () => {
        "g.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = g.tenant_id) AS tenant_slug, g.id, g.slug, \
         g.display_name, g.description, g.revision, g.create_time, g.update_time, g.delete_time"
    };
}

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

const LIST: ListSpec = ListSpec {
    name: "plugin groups",
    columns: columns!(),
    from: "plugin_group g",
    id: "g.id",
    fields: &[
        Field::text("plugin_group_id", "g.slug"),
        Field::text("display_name", "g.display_name"),
        Field::text("description", "g.description").unsorted(),
        Field::time("create_time", "g.create_time"),
        Field::time("update_time", "g.update_time"),
    ],
    order: "create_time",
    deleted: "g.delete_time",
};

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

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn plugin_group_insert(tx: &mut Tx<'_>, group: &PluginGroup) -> Result<()> {
    let query = "INSERT INTO plugin_group (tenant_id, id, slug, display_name, description, revision, create_time, \
         update_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(group.tenant_id)
            .bind(group.id)
            .bind(&group.slug)
            .bind(&group.display_name)
            .bind(&group.description)
            .bind(group.stamp.revision)
            .bind(group.stamp.create_time)
            .bind(group.stamp.update_time)
    )
    .map(|_| ())
    .map_err(|e| e.on_unique(|| Error::exists("plugin group", group.name())))
}

/// The group of that id, deleted or not.
pub async fn plugin_group_get(
    db: &mut impl Executor,
    tenant: TenantId,
    slug: &Slug,
) -> Result<Option<PluginGroup>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM plugin_group g WHERE g.tenant_id = $1 AND g.slug = $2"
    ))
    .bind(tenant)
    .bind(slug)
    .fetch_optional(c))
}

/// Writes all that can change, against the revision before.
pub async fn plugin_group_update(tx: &mut Tx<'_>, group: &PluginGroup) -> Result<()> {
    let query = "UPDATE plugin_group SET display_name = $1, description = $2, revision = $3, update_time = $4, \
         delete_time = $5 WHERE tenant_id = $6 AND id = $7 AND revision = $8";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&group.display_name)
            .bind(&group.description)
            .bind(group.stamp.revision)
            .bind(group.stamp.update_time)
            .bind(group.stamp.delete_time)
            .bind(group.tenant_id)
            .bind(group.id)
            .bind(group.stamp.revision - 1)
    )?;
    changed_one(rows)
}

/// One page of a tenant's groups.
pub async fn plugin_group_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<PluginGroup>> {
    list(db, &LIST, &[("g.tenant_id", Value::Id(tenant.0))], query, key).await
}

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
    group: PluginGroupId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<PluginGroupMember>> {
    let keys = [("m.tenant_id", Value::Id(tenant.0)), ("m.plugin_group_id", Value::Id(group.0))];
    list(db, &MEMBER_LIST, &keys, query, key).await
}

/// The rules that name the group, oldest first: at most six, to be named.
pub async fn plugin_group_rule_list(db: &mut impl Executor, group: &PluginGroup) -> Result<Vec<Slug>> {
    let query = "SELECT slug FROM entitlement WHERE tenant_id = $1 AND plugin_group_id = $2 ORDER BY create_time, id LIMIT 6";
    on!(db, |c| sqlx::query_scalar(query).bind(group.tenant_id).bind(group.id).fetch_all(c))
}

/// Holds a group until the transaction ends, so that it is not deleted meanwhile; whether it lives.
pub async fn plugin_group_hold(tx: &mut Tx<'_>, tenant: TenantId, id: PluginGroupId) -> Result<bool> {
    let query = "UPDATE plugin_group SET revision = revision WHERE tenant_id = $1 AND id = $2 AND delete_time IS NULL";
    Ok(execute!(tx, sqlx::query(query).bind(tenant).bind(id))? == 1)
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
