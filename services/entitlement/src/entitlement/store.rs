//! SQL of entitlements.

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

use super::model::Entitlement;

macro_rules! role_slug {
    () => {
        "(SELECT r.slug FROM role r WHERE r.tenant_id = entitlement.tenant_id AND r.id = entitlement.role_id)"
    };
}

macro_rules! seat_pool_slug {
    () => {
        "(SELECT s.slug FROM seat_pool s WHERE s.tenant_id = entitlement.tenant_id AND s.id = entitlement.seat_pool_id)"
    };
}

macro_rules! columns {
    () => {
        concat!(
            "entitlement.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = entitlement.tenant_id) AS tenant_slug, \
             entitlement.id, entitlement.slug, entitlement.role_id, ",
            role_slug!(),
            " AS role_slug, entitlement.marketplace_id, entitlement.plugin_id, entitlement.target, \
             entitlement.effect, entitlement.max_stage, entitlement.not_before, entitlement.not_after, \
             entitlement.reason, entitlement.floor, entitlement.revision, entitlement.create_time, entitlement.app, \
             entitlement.skill, entitlement.plugin_group_id, entitlement.seat_pool_id, ",
            seat_pool_slug!(),
            " AS seat_pool_slug, entitlement.update_time"
        )
    };
}

const LIST: ListSpec = ListSpec {
    name: "entitlements",
    columns: columns!(),
    from: "entitlement",
    id: "entitlement.id",
    fields: &[
        Field::text("entitlement_id", "entitlement.slug"),
        Field::text("role_id", concat!("COALESCE(", role_slug!(), ", '*')")).unsorted(),
        Field::text("target", "entitlement.target").unsorted(),
        Field::words("effect", "entitlement.effect", &["denied", "available", "default", "required"]),
        Field::text("seat_pool_id", concat!("COALESCE(", seat_pool_slug!(), ", '')")).unsorted(),
        Field::time("create_time", "entitlement.create_time"),
    ],
    order: "create_time",
    deleted: "",
};

/// Inserts a new entitlement.
pub async fn entitlement_insert(tx: &mut Tx<'_>, new: &Entitlement) -> Result<()> {
    insert_one!(
        tx,
        "INSERT INTO entitlement (tenant_id, id, slug, role_id, marketplace_id, plugin_id, target, effect, \
         max_stage, not_before, not_after, reason, floor, revision, create_time, app, skill, plugin_group_id, seat_pool_id, \
         update_time)",
        [
            new.tenant_id,
            new.id,
            new.slug.clone(),
            new.role_id,
            new.marketplace_id,
            new.plugin_id,
            new.target.clone(),
            new.effect.as_str().to_owned(),
            new.max_stage.as_str().to_owned(),
            new.not_before,
            new.not_after,
            new.reason.clone(),
            new.floor,
            new.revision,
            new.create_time,
            new.app.clone(),
            new.skill.clone(),
            new.plugin_group_id,
            new.seat_pool_id,
            new.update_time,
        ],
        Error::exists("entitlement", new.name())
    )
}

/// Reads an entitlement by the last segment of its name.
pub async fn entitlement_get(
    db: &mut impl Executor,
    tenant: TenantId,
    slug: &Slug,
) -> Result<Option<Entitlement>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM entitlement WHERE tenant_id = $1 AND slug = $2"
    ))
    .bind(tenant)
    .bind(slug)
    .fetch_optional(c))
}

/// All entitlements of a tenant.
pub async fn entitlement_all(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Entitlement>> {
    on!(db, |c| sqlx::query_as(concat!("SELECT ", columns!(), " FROM entitlement WHERE tenant_id = $1"))
        .bind(tenant)
        .fetch_all(c))
}

/// Lists entitlements of a tenant.
pub async fn entitlement_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Entitlement>> {
    list(db, &LIST, &[("entitlement.tenant_id", Value::Id(tenant.0))], query, key).await
}

/// Writes all that can change, against the revision before.
pub async fn entitlement_update(tx: &mut Tx<'_>, new: &Entitlement) -> Result<()> {
    let query = "UPDATE entitlement SET max_stage = $1, not_before = $2, not_after = $3, reason = $4, seat_pool_id = $5, \
         revision = $6, update_time = $7 WHERE tenant_id = $8 AND id = $9 AND revision = $10";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(new.max_stage.as_str())
            .bind(new.not_before)
            .bind(new.not_after)
            .bind(&new.reason)
            .bind(new.seat_pool_id)
            .bind(new.revision)
            .bind(new.update_time)
            .bind(new.tenant_id)
            .bind(new.id)
            .bind(new.revision - 1)
    )?;
    changed_one(rows)
}

/// Deletes an entitlement in the revision that was read.
pub async fn entitlement_delete(tx: &mut Tx<'_>, old: &Entitlement) -> Result<()> {
    let rows = execute!(
        tx,
        sqlx::query("DELETE FROM entitlement WHERE tenant_id = $1 AND id = $2 AND revision = $3")
            .bind(old.tenant_id)
            .bind(old.id)
            .bind(old.revision)
    )?;
    changed_one(rows)
}
