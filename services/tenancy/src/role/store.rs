//! SQL of roles. Soft deletion and updates all go through `role_update`.

use kernel::{
    Result,
    audit::Resource as _,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    error::Error,
    execute,
    filter::{Field, Value},
    ids::{Slug, TenantId},
    insert_one, on,
    page::PageKey,
    stamp::changed_one,
};

use super::model::{Role, RoleFamily};

macro_rules! columns {
    () => {
        "role.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = role.tenant_id) AS tenant_slug, \
         role.id, role.slug, role.display_name, role.description, role.family, \
         (SELECT COALESCE(STRING_AGG(i.slug, ' ' ORDER BY i.slug), '') FROM role_inclusion n \
            JOIN role i ON i.tenant_id = n.tenant_id AND i.id = n.included_id \
           WHERE n.tenant_id = role.tenant_id AND n.role_id = role.id) AS included, \
         role.revision, role.create_time, role.update_time, role.delete_time"
    };
}

const LIST: ListSpec = ListSpec {
    name: "roles",
    columns: columns!(),
    from: "role",
    id: "role.id",
    fields: &[
        Field::text("role_id", "role.slug"),
        Field::text("display_name", "role.display_name"),
        Field::text("description", "role.description").unsorted(),
        Field::words("family", "role.family", &RoleFamily::WORDS),
        Field::time("create_time", "role.create_time"),
        Field::time("update_time", "role.update_time"),
    ],
    order: "create_time",
    deleted: "role.delete_time",
};

pub async fn role_insert(tx: &mut Tx<'_>, role: &Role) -> Result<()> {
    insert_one!(
        tx,
        "INSERT INTO role (tenant_id, id, slug, display_name, description, family, revision, create_time, update_time)",
        [
            role.tenant_id,
            role.id,
            role.slug.clone(),
            role.display_name.clone(),
            role.description.clone(),
            role.family.as_str(),
            role.stamp.revision,
            role.stamp.create_time,
            role.stamp.update_time,
        ],
        Error::exists("role", role.name())
    )
}

pub async fn role_get(db: &mut impl Executor, tenant: TenantId, slug: &Slug) -> Result<Option<Role>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM role WHERE tenant_id = $1 AND slug = $2"
    ))
    .bind(tenant)
    .bind(slug)
    .fetch_optional(c))
}

pub async fn role_update(tx: &mut Tx<'_>, role: &Role) -> Result<()> {
    let query = "UPDATE role SET display_name = $1, description = $2, family = $3, revision = $4, update_time = $5, \
         delete_time = $6 WHERE tenant_id = $7 AND id = $8 AND revision = $9";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&role.display_name)
            .bind(&role.description)
            .bind(role.family.as_str())
            .bind(role.stamp.revision)
            .bind(role.stamp.update_time)
            .bind(role.stamp.delete_time)
            .bind(role.tenant_id)
            .bind(role.id)
            .bind(role.stamp.revision - 1)
    )?;
    changed_one(rows)
}

pub async fn role_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Role>> {
    list(db, &LIST, &[("role.tenant_id", Value::Id(tenant.0))], query, key).await
}
