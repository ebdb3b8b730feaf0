//! SQL of seat pools. Soft deletion and updates all go through `seat_pool_update`.

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

use super::model::{SeatHolder, SeatPool, SeatPoolId};

macro_rules! columns {
    () => {
        "g.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = g.tenant_id) AS tenant_slug, g.id, g.slug, \
         g.display_name, g.description, g.revision, g.create_time, g.update_time, g.delete_time"
    };
}

macro_rules! holder_columns {
    () => {
        "m.id, (SELECT t.slug FROM tenant t WHERE t.id = m.tenant_id) AS tenant_slug, m.principal_id, \
         p.slug AS principal_slug, m.create_time"
    };
}

macro_rules! holder_from {
    () => {
        "seat_holder m JOIN principal p ON p.scope_id = m.tenant_id AND p.id = m.principal_id"
    };
}

const LIST: ListSpec = ListSpec {
    name: "seat pools",
    columns: columns!(),
    from: "seat_pool g",
    id: "g.id",
    fields: &[
        Field::text("seat_pool_id", "g.slug"),
        Field::text("display_name", "g.display_name"),
        Field::text("description", "g.description").unsorted(),
        Field::time("create_time", "g.create_time"),
        Field::time("update_time", "g.update_time"),
    ],
    order: "create_time",
    deleted: "g.delete_time",
};

/// A deleted principal holds nothing while it is deleted.
const HOLDER_LIST: ListSpec = ListSpec {
    name: "seat holders",
    columns: holder_columns!(),
    from: holder_from!(),
    id: "m.id",
    fields: &[Field::text("holder_id", "p.slug"), Field::time("create_time", "m.create_time")],
    order: "create_time",
    deleted: "p.delete_time",
};

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn seat_pool_insert(tx: &mut Tx<'_>, pool: &SeatPool) -> Result<()> {
    let query = "INSERT INTO seat_pool (tenant_id, id, slug, display_name, description, revision, create_time, \
         update_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(pool.tenant_id)
            .bind(pool.id)
            .bind(&pool.slug)
            .bind(&pool.display_name)
            .bind(&pool.description)
            .bind(pool.stamp.revision)
            .bind(pool.stamp.create_time)
            .bind(pool.stamp.update_time)
    )
    .map(|_| ())
    .map_err(|e| e.on_unique(|| Error::exists("seat pool", pool.name())))
}

/// The pool of that id, deleted or not.
pub async fn seat_pool_get(
    db: &mut impl Executor,
    tenant: TenantId,
    slug: &Slug,
) -> Result<Option<SeatPool>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM seat_pool g WHERE g.tenant_id = $1 AND g.slug = $2"
    ))
    .bind(tenant)
    .bind(slug)
    .fetch_optional(c))
}

/// Writes all that can change, against the revision before.
pub async fn seat_pool_update(tx: &mut Tx<'_>, pool: &SeatPool) -> Result<()> {
    let query = "UPDATE seat_pool SET display_name = $1, description = $2, revision = $3, update_time = $4, \
         delete_time = $5 WHERE tenant_id = $6 AND id = $7 AND revision = $8";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&pool.display_name)
            .bind(&pool.description)
            .bind(pool.stamp.revision)
            .bind(pool.stamp.update_time)
            .bind(pool.stamp.delete_time)
            .bind(pool.tenant_id)
            .bind(pool.id)
            .bind(pool.stamp.revision - 1)
    )?;
    changed_one(rows)
}

/// One page of a tenant's groups.
pub async fn seat_pool_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<SeatPool>> {
    list(db, &LIST, &[("g.tenant_id", Value::Id(tenant.0))], query, key).await
}

/// Gives a seat; one that is there already is `ALREADY_EXISTS`.
pub async fn seat_holder_insert(tx: &mut Tx<'_>, pool: &SeatPool, holder: &SeatHolder) -> Result<()> {
    let query = "INSERT INTO seat_holder (tenant_id, seat_pool_id, principal_id, id, create_time) VALUES ($1, $2, $3, $4, $5)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(pool.tenant_id)
            .bind(pool.id)
            .bind(holder.principal_id)
            .bind(holder.id)
            .bind(holder.create_time)
    )
    .map(|_| ())
    .map_err(|e| {
        e.on_unique(|| Error::Exists {
            kind: "seat holder",
            name: holder.holder(),
            hint: "it holds a seat, so there is nothing to add",
        })
    })
}

/// The seat of a principal, living or not.
pub async fn seat_holder_get(
    db: &mut impl Executor,
    pool: &SeatPool,
    principal: &Slug,
) -> Result<Option<SeatHolder>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        holder_columns!(),
        " FROM ",
        holder_from!(),
        " WHERE m.tenant_id = $1 AND m.seat_pool_id = $2 AND p.slug = $3"
    ))
    .bind(pool.tenant_id)
    .bind(pool.id)
    .bind(principal)
    .fetch_optional(c))
}

/// Takes the seat away that was read.
pub async fn seat_holder_delete(tx: &mut Tx<'_>, pool: &SeatPool, holder: &SeatHolder) -> Result<()> {
    let query = "DELETE FROM seat_holder WHERE tenant_id = $1 AND seat_pool_id = $2 AND principal_id = $3 AND id = $4";
    let rows = execute!(
        tx,
        sqlx::query(query).bind(pool.tenant_id).bind(pool.id).bind(holder.principal_id).bind(holder.id)
    )?;
    changed_one(rows)
}

/// One page of who holds a seat, the oldest first.
pub async fn seat_holder_list(
    db: &mut impl Executor,
    tenant: TenantId,
    pool: SeatPoolId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<SeatHolder>> {
    let keys = [("m.tenant_id", Value::Id(tenant.0)), ("m.seat_pool_id", Value::Id(pool.0))];
    list(db, &HOLDER_LIST, &keys, query, key).await
}

/// The rules that name the pool, oldest first: at most six, to be named.
pub async fn seat_pool_rule_list(db: &mut impl Executor, pool: &SeatPool) -> Result<Vec<Slug>> {
    let query = "SELECT slug FROM entitlement WHERE tenant_id = $1 AND seat_pool_id = $2 ORDER BY create_time, id LIMIT 6";
    on!(db, |c| sqlx::query_scalar(query).bind(pool.tenant_id).bind(pool.id).fetch_all(c))
}

/// Holds a pool until the transaction ends, so that it is not deleted meanwhile; whether it lives.
pub async fn seat_pool_hold(tx: &mut Tx<'_>, tenant: TenantId, id: SeatPoolId) -> Result<bool> {
    let query =
        "UPDATE seat_pool SET revision = revision WHERE tenant_id = $1 AND id = $2 AND delete_time IS NULL";
    Ok(execute!(tx, sqlx::query(query).bind(tenant).bind(id))? == 1)
}
