//! SQL of units. Soft deletion, updates and verbs all go through `unit_update`.

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
    insert_one, on,
    page::PageKey,
    stamp::changed_one,
};

use super::model::{MAX_DEPTH, Unit, UnitId};

macro_rules! parent_slug {
    () => {
        "(SELECT p.slug FROM unit p WHERE p.tenant_id = unit.tenant_id AND p.id = unit.parent_id)"
    };
}

macro_rules! columns {
    () => {
        concat!(
            "unit.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = unit.tenant_id) AS tenant_slug, \
             unit.id, unit.slug, unit.display_name, unit.parent_id, ",
            parent_slug!(),
            " AS parent_slug, unit.cost_center, unit.revision, unit.create_time, unit.update_time, unit.delete_time"
        )
    };
}

const LIST: ListSpec = ListSpec {
    name: "units",
    columns: columns!(),
    from: "unit",
    id: "unit.id",
    fields: &[
        Field::text("unit_id", "unit.slug"),
        Field::text("display_name", "unit.display_name"),
        Field::text("parent_unit_id", parent_slug!()).unsorted(),
        Field::text("cost_center", "unit.cost_center").unsorted(),
        Field::time("create_time", "unit.create_time"),
        Field::time("update_time", "unit.update_time"),
    ],
    order: "create_time",
    deleted: "unit.delete_time",
};

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn unit_insert(tx: &mut Tx<'_>, unit: &Unit) -> Result<()> {
    insert_one!(
        tx,
        "INSERT INTO unit (tenant_id, id, slug, display_name, parent_id, cost_center, revision, create_time, \
         update_time)",
        [
            unit.tenant_id,
            unit.id,
            unit.slug.clone(),
            unit.display_name.clone(),
            unit.parent_id,
            unit.cost_center.clone(),
            unit.stamp.revision,
            unit.stamp.create_time,
            unit.stamp.update_time,
        ],
        Error::exists("unit", unit.name())
    )
}

/// The unit of that id, deleted or not.
pub async fn unit_get(db: &mut impl Executor, tenant: TenantId, slug: &Slug) -> Result<Option<Unit>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM unit WHERE tenant_id = $1 AND slug = $2"
    ))
    .bind(tenant)
    .bind(slug)
    .fetch_optional(c))
}

/// Writes all that can change, against the revision before.
pub async fn unit_update(tx: &mut Tx<'_>, unit: &Unit) -> Result<()> {
    let query = "UPDATE unit SET display_name = $1, parent_id = $2, cost_center = $3, revision = $4, update_time = $5, \
         delete_time = $6 WHERE tenant_id = $7 AND id = $8 AND revision = $9";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&unit.display_name)
            .bind(unit.parent_id)
            .bind(&unit.cost_center)
            .bind(unit.stamp.revision)
            .bind(unit.stamp.update_time)
            .bind(unit.stamp.delete_time)
            .bind(unit.tenant_id)
            .bind(unit.id)
            .bind(unit.stamp.revision - 1)
    )?;
    changed_one(rows)
}

/// Keeps a living unit as it is until the transaction ends; `false` when it is deleted.
pub async fn unit_hold(tx: &mut Tx<'_>, tenant: TenantId, id: UnitId) -> Result<bool> {
    let query =
        "UPDATE unit SET revision = revision WHERE tenant_id = $1 AND id = $2 AND delete_time IS NULL";
    Ok(execute!(tx, sqlx::query(query).bind(tenant).bind(id))? == 1)
}

/// The chain from `parent` to the top, at most one longer than a tree may be deep.
pub async fn unit_above(db: &mut impl Executor, tenant: TenantId, parent: UnitId) -> Result<Vec<UnitId>> {
    let query = "WITH RECURSIVE above (id, parent_id, steps) AS ( \
             SELECT u.id, u.parent_id, 1 FROM unit u WHERE u.tenant_id = $1 AND u.id = $2 \
             UNION ALL \
             SELECT u.id, u.parent_id, a.steps + 1 FROM above a \
               JOIN unit u ON u.tenant_id = $1 AND u.id = a.parent_id WHERE a.steps <= $3) \
         SELECT id FROM above ORDER BY steps";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(parent).bind(limit()).fetch_all(c))
}

/// How many levels of units, deleted ones too, are below the unit; counts at most one more than a tree may be deep.
pub async fn unit_levels_below(db: &mut impl Executor, tenant: TenantId, id: UnitId) -> Result<i64> {
    let query = "WITH RECURSIVE below (id, level) AS ( \
             SELECT u.id, 0 FROM unit u WHERE u.tenant_id = $1 AND u.id = $2 \
             UNION ALL \
             SELECT u.id, b.level + 1 FROM below b \
               JOIN unit u ON u.tenant_id = $1 AND u.parent_id = b.id WHERE b.level <= $3) \
         SELECT CAST(COALESCE(MAX(level), 0) AS BIGINT) FROM below";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(id).bind(limit()).fetch_one(c))
}

/// How many living units are directly below the unit.
pub async fn unit_count_children(db: &mut impl Executor, tenant: TenantId, id: UnitId) -> Result<i64> {
    let query = "SELECT COUNT(*) FROM unit WHERE tenant_id = $1 AND parent_id = $2 AND delete_time IS NULL";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(id).fetch_one(c))
}

/// One page of a tenant's units.
pub async fn unit_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Unit>> {
    list(db, &LIST, &[("unit.tenant_id", Value::Id(tenant.0))], query, key).await
}

fn limit() -> i64 {
    i64::try_from(MAX_DEPTH).unwrap_or(i64::MAX)
}
