//! SQL of groups. Soft deletion and updates all go through `group_update`. Groups are in `principal_group`: `group` is a
//! word of SQL.

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

use super::model::{Group, GroupId, GroupMember};

macro_rules! columns {
    () => {
        "g.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = g.tenant_id) AS tenant_slug, g.id, g.slug, \
         g.display_name, g.external_id, g.revision, g.create_time, g.update_time, g.delete_time"
    };
}

macro_rules! member_columns {
    () => {
        "m.id, (SELECT t.slug FROM tenant t WHERE t.id = m.tenant_id) AS tenant_slug, m.principal_id, \
         p.slug AS principal_slug, m.create_time"
    };
}

macro_rules! member_from {
    () => {
        "group_member m JOIN principal p ON p.scope_id = m.tenant_id AND p.id = m.principal_id"
    };
}

const LIST: ListSpec = ListSpec {
    name: "groups",
    columns: columns!(),
    from: "principal_group g",
    id: "g.id",
    fields: &[
        Field::text("group_id", "g.slug"),
        Field::text("display_name", "g.display_name"),
        Field::text("external_id", "g.external_id").unsorted(),
        Field::time("create_time", "g.create_time"),
        Field::time("update_time", "g.update_time"),
    ],
    order: "create_time",
    deleted: "g.delete_time",
};

/// A deleted principal is no member while it is deleted.
const MEMBER_LIST: ListSpec = ListSpec {
    name: "group members",
    columns: member_columns!(),
    from: member_from!(),
    id: "m.id",
    fields: &[Field::text("member_id", "p.slug"), Field::time("create_time", "m.create_time")],
    order: "create_time",
    deleted: "p.delete_time",
};

/// Inserts; a taken id or external id is `ALREADY_EXISTS`.
pub async fn group_insert(tx: &mut Tx<'_>, group: &Group) -> Result<()> {
    let query = "INSERT INTO principal_group (tenant_id, id, slug, display_name, external_id, revision, create_time, \
         update_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(group.tenant_id)
            .bind(group.id)
            .bind(&group.slug)
            .bind(&group.display_name)
            .bind(&group.external_id)
            .bind(group.stamp.revision)
            .bind(group.stamp.create_time)
            .bind(group.stamp.update_time)
    )
    .map(|_| ())
    .map_err(|e| taken(e, group))
}

/// The group of that id, deleted or not.
pub async fn group_get(db: &mut impl Executor, tenant: TenantId, slug: &Slug) -> Result<Option<Group>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM principal_group g WHERE g.tenant_id = $1 AND g.slug = $2"
    ))
    .bind(tenant)
    .bind(slug)
    .fetch_optional(c))
}

/// Writes all that can change, against the revision before.
pub async fn group_update(tx: &mut Tx<'_>, group: &Group) -> Result<()> {
    let query = "UPDATE principal_group SET display_name = $1, external_id = $2, revision = $3, update_time = $4, \
         delete_time = $5 WHERE tenant_id = $6 AND id = $7 AND revision = $8";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&group.display_name)
            .bind(&group.external_id)
            .bind(group.stamp.revision)
            .bind(group.stamp.update_time)
            .bind(group.stamp.delete_time)
            .bind(group.tenant_id)
            .bind(group.id)
            .bind(group.stamp.revision - 1)
    )
    .map_err(|e| taken(e, group))?;
    changed_one(rows)
}

/// One page of a tenant's groups.
pub async fn group_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Group>> {
    list(db, &LIST, &[("g.tenant_id", Value::Id(tenant.0))], query, key).await
}

/// Inserts a membership; one that is there already is `ALREADY_EXISTS`.
pub async fn group_member_insert(tx: &mut Tx<'_>, group: &Group, member: &GroupMember) -> Result<()> {
    let query = "INSERT INTO group_member (tenant_id, group_id, principal_id, id, create_time) VALUES ($1, $2, $3, $4, $5)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(group.tenant_id)
            .bind(group.id)
            .bind(member.principal_id)
            .bind(member.id)
            .bind(member.create_time)
    )
    .map(|_| ())
    .map_err(|e| {
        e.on_unique(|| Error::Exists {
            kind: "group member",
            name: member.member(),
            hint: "it is in the group, so there is nothing to add",
        })
    })
}

/// The membership of a principal, living or not.
pub async fn group_member_get(
    db: &mut impl Executor,
    group: &Group,
    principal: &Slug,
) -> Result<Option<GroupMember>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        member_columns!(),
        " FROM ",
        member_from!(),
        " WHERE m.tenant_id = $1 AND m.group_id = $2 AND p.slug = $3"
    ))
    .bind(group.tenant_id)
    .bind(group.id)
    .bind(principal)
    .fetch_optional(c))
}

/// Deletes the membership that was read.
pub async fn group_member_delete(tx: &mut Tx<'_>, group: &Group, member: &GroupMember) -> Result<()> {
    let query =
        "DELETE FROM group_member WHERE tenant_id = $1 AND group_id = $2 AND principal_id = $3 AND id = $4";
    let rows = execute!(
        tx,
        sqlx::query(query).bind(group.tenant_id).bind(group.id).bind(member.principal_id).bind(member.id)
    )?;
    changed_one(rows)
}

/// One page of a group's members.
pub async fn group_member_list(
    db: &mut impl Executor,
    tenant: TenantId,
    group: GroupId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<GroupMember>> {
    let keys = [("m.tenant_id", Value::Id(tenant.0)), ("m.group_id", Value::Id(group.0))];
    list(db, &MEMBER_LIST, &keys, query, key).await
}

/// Which of the two unique keys refused.
fn taken(error: Error, group: &Group) -> Error {
    match error {
        Error::Unique { constraint } if constraint.contains("external_id") => Error::Exists {
            kind: "group.external_id",
            name: group.external_id.clone(),
            hint: "another group of the tenant has this key; give another `external_id`, or none",
        },
        other => other.on_unique(|| Error::exists("group", group.name())),
    }
}
