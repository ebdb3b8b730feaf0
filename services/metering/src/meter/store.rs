//! SQL of a tenant's own meters.

use std::sync::Arc;

use kernel::{
    Result,
    db::{Executor, tx::Tx},
    execute,
    ids::{Slug, TenantId},
    on,
    stamp::changed_one,
};

use super::{Meters, model::UsageMeter};
use crate::event::store::Head;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT m.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = m.tenant_id) AS tenant_slug, m.number, m.key, m.version, \
             m.event_type, m.aggregation, m.value_path, m.unit, m.scale, m.dims, m.allow_negative, m.description, m.first_seq, \
             m.live_seq, m.caught_seq, m.end_seq, m.revision, m.create_time, m.creator_id, COALESCE((SELECT p.slug FROM principal p \
             WHERE p.scope_id = m.tenant_id AND p.id = m.creator_id), '') AS creator, m.archive_time FROM usage_meter m ",
            $rest
        )
    };
}

/// The head of a tenant's sequence after a change of its meters: nobody else takes places or changes meters before this transaction has
/// ended, so all agree on the first place that the change is about, which is the head's next.
pub async fn head_turn(tx: &mut Tx<'_>, tenant: TenantId) -> Result<Head> {
    let query = "INSERT INTO usage_head (tenant_id, next_seq, meters) VALUES ($1, 1, 1) \
         ON CONFLICT (tenant_id) DO UPDATE SET meters = usage_head.meters + 1 RETURNING next_seq, meters";
    on!(tx, |c| sqlx::query_as(query).bind(tenant).fetch_one(c))
}

/// Stores a version.
pub async fn meter_insert(tx: &mut Tx<'_>, meter: &UsageMeter) -> Result<()> {
    let query = "INSERT INTO usage_meter (tenant_id, number, key, version, event_type, aggregation, value_path, unit, scale, dims, \
         allow_negative, description, first_seq, live_seq, caught_seq, revision, create_time, creator_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
    let of = &meter.definition;
    execute!(
        tx,
        sqlx::query(query)
            .bind(meter.tenant_id)
            .bind(meter.number)
            .bind(&meter.key)
            .bind(meter.version)
            .bind(&of.event_type)
            .bind(&of.aggregation)
            .bind(&of.value_path)
            .bind(&of.unit)
            .bind(of.scale)
            .bind(&of.dims)
            .bind(of.allow_negative)
            .bind(&of.description)
            .bind(meter.first_seq)
            .bind(meter.live_seq)
            .bind(meter.caught_seq)
            .bind(meter.revision)
            .bind(meter.create_time)
            .bind(meter.creator_id)
    )
    .map(|_| ())
}

/// Ends a version that counts: a later one follows, or the meter is archived.
pub async fn meter_end(tx: &mut Tx<'_>, meter: &UsageMeter) -> Result<()> {
    let query = "UPDATE usage_meter SET end_seq = $1, revision = $2, archive_time = $3 \
         WHERE tenant_id = $4 AND number = $5 AND end_seq IS NULL";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(meter.end_seq)
            .bind(meter.revision)
            .bind(meter.archive_time)
            .bind(meter.tenant_id)
            .bind(meter.number)
    )?;
    changed_one(rows)
}

/// Moves how far a version has counted what came before it.
pub async fn meter_catch(
    db: &mut impl Executor,
    tenant: TenantId,
    number: i64,
    (from, to): (i64, i64),
) -> Result<()> {
    let query =
        "UPDATE usage_meter SET caught_seq = $1 WHERE tenant_id = $2 AND number = $3 AND caught_seq = $4";
    changed_one(execute!(db, sqlx::query(query).bind(to).bind(tenant).bind(number).bind(from))?)
}

/// A version of a meter, or with 0 the newest.
pub async fn meter_get(
    db: &mut impl Executor,
    tenant: TenantId,
    key: &Slug,
    version: i64,
) -> Result<Option<UsageMeter>> {
    let query = select!(
        "WHERE m.tenant_id = $1 AND m.key = $2 AND ($3 = 0 OR m.version = $3) ORDER BY m.version DESC LIMIT 1"
    );
    on!(db, |c| sqlx::query_as(query).bind(tenant).bind(key).bind(version).fetch_optional(c))
}

/// Every version of every meter of a tenant, by number.
pub async fn meter_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<UsageMeter>> {
    let query = select!("WHERE m.tenant_id = $1 ORDER BY m.number");
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// How many meters of a tenant count, how many there are, and the highest number of a version.
pub async fn meter_counts(db: &mut impl Executor, tenant: TenantId) -> Result<(i64, i64, i64)> {
    let query = "SELECT COUNT(*) - COUNT(end_seq), COUNT(DISTINCT key), COALESCE(MAX(number), 0) FROM usage_meter WHERE tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_one(c))
}

/// All meters of a tenant whose own are at `revision`, or at a later one.
pub async fn meters_of(db: &mut impl Executor, tenant: TenantId, revision: i64) -> Result<Arc<Meters>> {
    if revision == 0 {
        return Ok(Meters::built_in());
    }
    let rows = meter_list(db, tenant).await?;
    let own = rows.iter().map(UsageMeter::meter).collect::<Result<_>>()?;
    Ok(Arc::new(Meters::new(revision, own)))
}
