//! SQL of who holds seats.

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

use super::model::{SeatHolder, SeatPool};

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
    pool: Uuid,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<SeatHolder>> {
    let keys = [("m.tenant_id", Value::Id(tenant.0)), ("m.seat_pool_id", Value::Id(pool))];
    list(db, &HOLDER_LIST, &keys, query, key).await
}
