//! SQL of rollups: watermark and lease, raw events in order, series, members, sums.

use kernel::{
    Result,
    clock::Time,
    db::{Executor, bulk},
    execute,
    ids::TenantId,
    on,
};
use roaring::RoaringBitmap;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{
    book::{Book, Series},
    fold::{Cell, Key, Level, Raw},
};
use crate::{correction::stands, meter};

/// How far a tenant is summed up, and who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Watermark {
    /// The first place that is not in the sums.
    pub sums_seq: i64,
    /// When they were brought so far.
    pub sums_time: Time,
    /// The first place that is not in the figures by principal and of what is counted once.
    pub members_seq: i64,
    /// When they were brought so far.
    pub members_time: Time,
    /// The process that does it.
    pub holder: Uuid,
    /// Grows with every holder.
    pub fence: i64,
    /// Until when it does.
    pub lease_until: Time,
}

impl Default for Watermark {
    fn default() -> Self {
        let never = Time::from_micros(0);
        Self {
            sums_seq: 1,
            sums_time: never,
            members_seq: 1,
            members_time: never,
            holder: Uuid::nil(),
            fence: 0,
            lease_until: never,
        }
    }
}

/// A tenant with events that are not in all rollups, and how many places it has.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Due {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The first place that is not taken.
    pub next_seq: i64,
}

/// Tenants that have something to sum up.
pub async fn due_list(db: &mut impl Executor, limit: i64) -> Result<Vec<Due>> {
    let query = "SELECT h.tenant_id, h.next_seq FROM usage_head h \
         LEFT JOIN usage_watermark w ON w.tenant_id = h.tenant_id \
         WHERE w.sums_seq IS NULL OR w.sums_seq < h.next_seq OR w.members_seq < h.next_seq \
         OR EXISTS (SELECT 1 FROM usage_stale_day s WHERE s.tenant_id = h.tenant_id) ORDER BY h.tenant_id LIMIT $1";
    on!(db, |c| sqlx::query_as(query).bind(limit).fetch_all(c))
}

/// The watermark of a tenant; none before its first rollup.
pub async fn watermark_get(db: &mut impl Executor, tenant: TenantId) -> Result<Option<Watermark>> {
    let query = "SELECT sums_seq, sums_time, members_seq, members_time, holder, fence, lease_until FROM usage_watermark \
         WHERE tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_optional(c))
}

/// The first watermark of a tenant, unless there is one.
pub async fn watermark_insert(db: &mut impl Executor, tenant: TenantId) -> Result<u64> {
    let query = "INSERT INTO usage_watermark (tenant_id, sums_seq, sums_time, members_seq, members_time, holder, fence, lease_until) \
         VALUES ($1, 1, 0, 1, 0, $2, 0, 0) ON CONFLICT (tenant_id) DO NOTHING";
    execute!(db, sqlx::query(query).bind(tenant).bind(Uuid::nil()))
}

/// Gives the lease that had `fence` to `holder`; returns the watermark as it is then, or none when somebody else was faster. What the
/// last holder stored until this very moment is in it: it is not written over with what was read before.
pub async fn watermark_take(
    db: &mut impl Executor,
    tenant: TenantId,
    fence: i64,
    (holder, lease_until): (Uuid, Time),
) -> Result<Option<Watermark>> {
    let query = "UPDATE usage_watermark SET holder = $1, fence = fence + 1, lease_until = $2 WHERE tenant_id = $3 AND fence = $4 \
         RETURNING sums_seq, sums_time, members_seq, members_time, holder, fence, lease_until";
    on!(db, |c| sqlx::query_as(query)
        .bind(holder)
        .bind(lease_until)
        .bind(tenant)
        .bind(fence)
        .fetch_optional(c))
}

/// Puts `to` in the place of the watermark whose fence is `fence`. Returns 0 when somebody else was faster.
pub async fn watermark_put(
    db: &mut impl Executor,
    tenant: TenantId,
    fence: i64,
    to: &Watermark,
) -> Result<u64> {
    let query = "UPDATE usage_watermark SET sums_seq = $1, sums_time = $2, members_seq = $3, members_time = $4, holder = $5, \
         fence = $6, lease_until = $7 WHERE tenant_id = $8 AND fence = $9";
    execute!(
        db,
        sqlx::query(query)
            .bind(to.sums_seq)
            .bind(to.sums_time)
            .bind(to.members_seq)
            .bind(to.members_time)
            .bind(to.holder)
            .bind(to.fence)
            .bind(to.lease_until)
            .bind(tenant)
            .bind(fence)
    )
}

/// Events that stand in the places from `from` until before `until`, in order.
pub async fn raw_list(db: &mut impl Executor, tenant: TenantId, from: i64, until: i64) -> Result<Vec<Raw>> {
    let query = concat!(
        "SELECT e.seq, e.client, e.principal_id, e.role_id, e.unit_id, e.time, e.dims, e.amounts FROM usage_event e \
         WHERE e.tenant_id = $1 AND e.seq >= $2 AND e.seq < $3 AND ",
        stands!("e"),
        " ORDER BY e.seq"
    );
    on!(db, |c| sqlx::query_as(query).bind(tenant).bind(from).bind(until).fetch_all(c))
}

/// A stored series.
#[derive(sqlx::FromRow)]
struct SeriesRow {
    id: i64,
    meter: String,
    client: String,
    role_id: Option<Uuid>,
    unit_id: Option<Uuid>,
    dims: String,
}

/// The series of a tenant, of all meters or of one.
pub async fn series_list(db: &mut impl Executor, tenant: TenantId, of: Option<&str>) -> Result<Book> {
    let rows: Vec<SeriesRow> = match of {
        None => {
            let query =
                "SELECT id, meter, client, role_id, unit_id, dims FROM usage_series WHERE tenant_id = $1";
            on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))?
        }
        Some(meter) => {
            let query = "SELECT id, meter, client, role_id, unit_id, dims FROM usage_series \
                 WHERE tenant_id = $1 AND meter = $2";
            on!(db, |c| sqlx::query_as(query).bind(tenant).bind(meter).fetch_all(c))?
        }
    };
    let mut book = Book::default();
    for row in rows {
        let Some(meter) = meter::find(&row.meter) else { continue };
        let dims = serde_json::from_str(&row.dims).map_err(kernel::Error::internal)?;
        let series =
            Series { meter: meter.key, client: row.client, role: row.role_id, unit: row.unit_id, dims };
        book.enter(row.id, series);
    }
    Ok(book)
}

/// Stores series.
pub async fn series_insert_all(
    db: &mut impl Executor,
    tenant: TenantId,
    rows: &[(i64, Series)],
) -> Result<()> {
    for (part, values) in bulk(db.engine(), rows, 8) {
        let query = format!(
            "INSERT INTO usage_series (tenant_id, id, meter, version, client, role_id, unit_id, dims) VALUES {values}"
        );
        execute!(db, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for (id, series) in part {
                statement = statement
                    .bind(tenant)
                    .bind(*id)
                    .bind(series.meter)
                    .bind(version(series.meter))
                    .bind(&series.client)
                    .bind(series.role)
                    .bind(series.unit)
                    .bind(serde_json::to_string(&series.dims).unwrap_or_default());
            }
            statement
        })?;
    }
    Ok(())
}

fn version(meter: &str) -> i64 {
    meter::find(meter).map_or(1, |m| m.version)
}

/// Members of a tenant by number.
pub async fn member_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<(i64, Uuid)>> {
    let query = "SELECT id, principal_id FROM usage_member WHERE tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// Stores members.
pub async fn member_insert_all(db: &mut impl Executor, tenant: TenantId, rows: &[(u32, Uuid)]) -> Result<()> {
    for (part, values) in bulk(db.engine(), rows, 3) {
        let query = format!("INSERT INTO usage_member (tenant_id, id, principal_id) VALUES {values}");
        execute!(db, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for (id, member) in part {
                statement = statement.bind(tenant).bind(i64::from(*id)).bind(*member);
            }
            statement
        })?;
    }
    Ok(())
}

/// A stored sum.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stored {
    /// Start of its bucket.
    pub bucket: Time,
    /// The series; 0 for everything together.
    pub series_id: i64,
    /// The principal, or nil.
    pub principal_id: Uuid,
    /// How many events.
    pub events: i64,
    /// What they add up to.
    pub sum: i64,
    /// What is counted once.
    pub members: Option<Vec<u8>>,
}

impl Stored {
    /// As it is added to others. Errors: INTERNAL for a bitmap that cannot be read.
    pub fn cell(&self) -> Result<Cell> {
        let members = match &self.members {
            None => RoaringBitmap::new(),
            Some(bytes) => {
                RoaringBitmap::deserialize_from(bytes.as_slice()).map_err(kernel::Error::internal)?
            }
        };
        Ok(Cell { events: self.events, sum: self.sum.into(), members })
    }
}

/// Sums of a meter at a level whose buckets begin in a half-open interval, of everybody or of one principal.
pub async fn rollup_list(
    db: &mut impl Executor,
    tenant: TenantId,
    meter: &str,
    level: Level,
    (from, until): (Time, Time),
    principal: Option<Uuid>,
) -> Result<Vec<Stored>> {
    let only = if principal.is_some() { " AND principal_id = $7" } else { "" };
    let query = format!(
        "SELECT bucket, series_id, principal_id, events, sum, members FROM usage_rollup \
         WHERE tenant_id = $1 AND meter = $2 AND version = $3 AND level = $4 AND bucket >= $5 AND bucket < $6{only} \
         ORDER BY bucket, series_id, principal_id"
    );
    on!(db, |c| {
        let mut query = sqlx::query_as(AssertSqlSafe(query))
            .bind(tenant)
            .bind(meter)
            .bind(version(meter))
            .bind(level.as_str())
            .bind(from)
            .bind(until);
        if let Some(principal) = principal {
            query = query.bind(principal);
        }
        query.fetch_all(c)
    })
}

/// The first day (UTC) from `from` on that has an event or a sum.
pub async fn day_first(db: &mut impl Executor, tenant: TenantId, from: Time) -> Result<Option<Time>> {
    let query = "SELECT MIN(time) FROM usage_event WHERE tenant_id = $1 AND time >= $2";
    let event: Option<Time> = on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(from).fetch_one(c))?;
    let query = "SELECT MIN(bucket) FROM usage_rollup WHERE tenant_id = $1 AND meter = $2 AND bucket >= $3";
    let mut first = event;
    for meter in meter::METERS {
        let sum: Option<Time> =
            on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(meter.key).bind(from).fetch_one(c))?;
        first = [first, sum].into_iter().flatten().min();
    }
    Ok(first.map(|time| Level::Day.bucket(time)))
}

/// Every tenant that has usage.
pub async fn tenant_list(db: &mut impl Executor) -> Result<Vec<TenantId>> {
    on!(db, |c| sqlx::query_scalar("SELECT tenant_id FROM usage_head ORDER BY tenant_id").fetch_all(c))
}

/// Removes the sums of a meter at a level in one bucket.
pub async fn rollup_delete(
    db: &mut impl Executor,
    tenant: TenantId,
    (meter, level, bucket): (&str, Level, Time),
) -> Result<u64> {
    let query = "DELETE FROM usage_rollup WHERE tenant_id = $1 AND meter = $2 AND version = $3 AND level = $4 AND bucket = $5";
    execute!(
        db,
        sqlx::query(query).bind(tenant).bind(meter).bind(version(meter)).bind(level.as_str()).bind(bucket)
    )
}

/// Adds sums to what is stored. A sum stays at the largest number that fits, where it is refused to whoever asks for it. Bitmaps take
/// the place of those stored: read them first.
pub async fn rollup_add_all(db: &mut impl Executor, tenant: TenantId, rows: &[(Key, Cell)]) -> Result<()> {
    for (part, values) in bulk(db.engine(), rows, 10) {
        let query = format!(
            "INSERT INTO usage_rollup (tenant_id, meter, version, level, bucket, series_id, principal_id, events, sum, members) \
             VALUES {values} ON CONFLICT (tenant_id, meter, version, level, bucket, series_id, principal_id) DO UPDATE SET \
             events = usage_rollup.events + excluded.events, \
             sum = CASE WHEN usage_rollup.sum > {max} - excluded.sum THEN {max} ELSE usage_rollup.sum + excluded.sum END, \
             members = COALESCE(excluded.members, usage_rollup.members)",
            max = i64::MAX,
        );
        execute!(db, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for (key, cell) in part {
                statement = statement
                    .bind(tenant)
                    .bind(key.meter)
                    .bind(version(key.meter))
                    .bind(key.level.as_str())
                    .bind(key.bucket)
                    .bind(key.series)
                    .bind(key.principal)
                    .bind(cell.events)
                    .bind(i64::try_from(cell.sum).unwrap_or(i64::MAX))
                    .bind(bytes(&cell.members));
            }
            statement
        })?;
    }
    Ok(())
}

fn bytes(members: &RoaringBitmap) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(members.serialized_size());
    // writing to memory does not fail
    (!members.is_empty()).then(|| members.serialize_into(&mut bytes).map(|()| bytes).unwrap_or_default())
}
