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
    fold::{Cell, Key, Level, Pick, Raw},
};
use crate::{
    correction::stands,
    meter::{Meter, Meters},
};

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
    /// The revision of the tenant's own meters.
    pub meters: i64,
}

/// Tenants that have something to sum up.
pub async fn due_list(db: &mut impl Executor, limit: i64) -> Result<Vec<Due>> {
    let query = "SELECT h.tenant_id, h.next_seq, h.meters FROM usage_head h \
         LEFT JOIN usage_watermark w ON w.tenant_id = h.tenant_id \
         WHERE w.sums_seq IS NULL OR w.sums_seq < h.next_seq OR w.members_seq < h.next_seq \
         OR EXISTS (SELECT 1 FROM usage_meter m WHERE m.tenant_id = h.tenant_id AND m.caught_seq < m.live_seq) \
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

/// The columns of [`Raw`], of the events `e`. Types are left out where no meter asks for them.
pub fn raw_columns(typed: bool) -> &'static str {
    if typed {
        "e.seq, e.event_type, e.client, e.principal_id, e.role_id, e.unit_id, e.time, e.dims, e.amounts"
    } else {
        "e.seq, '' AS event_type, e.client, e.principal_id, e.role_id, e.unit_id, e.time, e.dims, e.amounts"
    }
}

/// Events that stand in the places from `from` until before `until`, in order; with their types only when `typed`.
pub async fn raw_list(
    db: &mut impl Executor,
    tenant: TenantId,
    typed: bool,
    (from, until): (i64, i64),
) -> Result<Vec<Raw>> {
    let query = format!(
        "SELECT {} FROM usage_event e WHERE e.tenant_id = $1 AND e.seq >= $2 AND e.seq < $3 AND {} ORDER BY e.seq",
        raw_columns(typed),
        stands!("e")
    );
    on!(db, |c| sqlx::query_as(AssertSqlSafe(query.clone())).bind(tenant).bind(from).bind(until).fetch_all(c))
}

/// A stored series.
#[derive(sqlx::FromRow)]
struct SeriesRow {
    id: i64,
    meter: String,
    version: i64,
    client: String,
    role_id: Option<Uuid>,
    unit_id: Option<Uuid>,
    dims: String,
}

/// The series of a tenant, of all `meters` or of one.
pub async fn series_list(
    db: &mut impl Executor,
    tenant: TenantId,
    meters: &Meters,
    of: Option<&Meter>,
) -> Result<Book> {
    let rows: Vec<SeriesRow> = match of {
        None => {
            let query = "SELECT id, meter, version, client, role_id, unit_id, dims FROM usage_series WHERE tenant_id = $1";
            on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))?
        }
        Some(meter) => {
            let query = "SELECT id, meter, version, client, role_id, unit_id, dims FROM usage_series \
                 WHERE tenant_id = $1 AND meter = $2 AND version = $3";
            on!(db, |c| sqlx::query_as(query)
                .bind(tenant)
                .bind(&*meter.key)
                .bind(meter.version)
                .fetch_all(c))?
        }
    };
    let mut book = Book::default();
    for row in rows {
        book.taken(row.id);
        let Some(meter) = meters.version(&row.meter, row.version) else { continue };
        let dims = serde_json::from_str(&row.dims).map_err(kernel::Error::internal)?;
        let series =
            Series { meter: meter.number, client: row.client, role: row.role_id, unit: row.unit_id, dims };
        book.enter(meter, row.id, series);
    }
    Ok(book)
}

/// Stores series.
pub async fn series_insert_all(
    db: &mut impl Executor,
    tenant: TenantId,
    meters: &Meters,
    rows: &[(i64, Series)],
) -> Result<()> {
    for (part, values) in bulk(db.engine(), rows, 8) {
        let query = format!(
            "INSERT INTO usage_series (tenant_id, id, meter, version, client, role_id, unit_id, dims) VALUES {values}"
        );
        execute!(db, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for (id, series) in part {
                let (key, version) = named(meters, series.meter);
                statement = statement
                    .bind(tenant)
                    .bind(*id)
                    .bind(key)
                    .bind(version)
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

/// Key and version, as stored.
fn named(meters: &Meters, number: u32) -> (&str, i64) {
    meters.get(number).map_or(("", 0), |m| (&m.key, m.version))
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
    /// What the meter goes by,
    pub picked: Option<i64>,
    /// and by what it was chosen.
    pub picked_by: Option<i64>,
    /// Likewise.
    pub picked_seq: Option<i64>,
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
        let pick = match (self.picked_by, self.picked_seq, self.picked) {
            (Some(by), Some(seq), Some(value)) => Some(Pick { by, seq, value }),
            _ => None,
        };
        Ok(Cell { events: self.events, sum: self.sum.into(), members, pick })
    }

    /// Whether the sum is more than fits.
    pub fn is_full(&self) -> bool {
        self.sum.unsigned_abs() >= FULL.unsigned_abs()
    }
}

/// Sums of a meter at a level whose buckets begin in a half-open interval, of everybody or of one principal.
pub async fn rollup_list(
    db: &mut impl Executor,
    tenant: TenantId,
    meter: &Meter,
    level: Level,
    (from, until): (Time, Time),
    principal: Option<Uuid>,
) -> Result<Vec<Stored>> {
    let only = if principal.is_some() { " AND principal_id = $7" } else { "" };
    let query = format!(
        "SELECT bucket, series_id, principal_id, events, sum, members, picked, picked_by, picked_seq FROM usage_rollup \
         WHERE tenant_id = $1 AND meter = $2 AND version = $3 AND level = $4 AND bucket >= $5 AND bucket < $6{only} \
         ORDER BY bucket, series_id, principal_id"
    );
    on!(db, |c| {
        let mut query = sqlx::query_as(AssertSqlSafe(query))
            .bind(tenant)
            .bind(&*meter.key)
            .bind(meter.version)
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
pub async fn day_first(
    db: &mut impl Executor,
    tenant: TenantId,
    meters: &Meters,
    from: Time,
) -> Result<Option<Time>> {
    let query = "SELECT MIN(time) FROM usage_event WHERE tenant_id = $1 AND time >= $2";
    let event: Option<Time> = on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(from).fetch_one(c))?;
    let query = "SELECT MIN(bucket) FROM usage_rollup WHERE tenant_id = $1 AND meter = $2 AND bucket >= $3";
    let mut first = event;
    let keys: std::collections::BTreeSet<&str> = meters.all().iter().map(|m| &*m.key).collect();
    for key in keys {
        let sum: Option<Time> =
            on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(key).bind(from).fetch_one(c))?;
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
    meter: &Meter,
    level: Level,
    bucket: Time,
) -> Result<u64> {
    let query = "DELETE FROM usage_rollup WHERE tenant_id = $1 AND meter = $2 AND version = $3 AND level = $4 AND bucket = $5";
    let (key, version) = (&*meter.key, meter.version);
    execute!(db, sqlx::query(query).bind(tenant).bind(key).bind(version).bind(level.as_str()).bind(bucket))
}
/// The largest sum that is stored, and with a minus the smallest: it stands for whatever is beyond.
const FULL: i64 = i64::MAX;

/// Adds sums to what is stored. A sum stays at the largest number that fits, where it is refused to whoever asks for it. Bitmaps take
/// the place of those stored: read them first. Of what a meter goes by, the greater stays.
pub async fn rollup_add_all(
    db: &mut impl Executor,
    tenant: TenantId,
    meters: &Meters,
    rows: &[(Key, Cell)],
) -> Result<()> {
    // most have nothing to choose from, and three columns less
    let (picks, sums): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, cell)| cell.pick.is_some());
    for (rows, picking) in [(sums, false), (picks, true)] {
        for (part, values) in bulk(db.engine(), &rows, if picking { 13 } else { 10 }) {
            let query = adding(&values, picking);
            execute!(db, {
                let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
                for (key, cell) in part {
                    let (meter, version) = named(meters, key.meter);
                    statement = statement
                        .bind(tenant)
                        .bind(meter)
                        .bind(version)
                        .bind(key.level.as_str())
                        .bind(key.bucket)
                        .bind(key.series)
                        .bind(key.principal)
                        .bind(cell.events)
                        .bind(stored_sum(cell.sum))
                        .bind(bytes(&cell.members));
                    if let (true, Some(pick)) = (picking, cell.pick) {
                        statement = statement.bind(pick.value).bind(pick.by).bind(pick.seq);
                    }
                }
                statement
            })?;
        }
    }
    Ok(())
}

/// A sum as it is stored.
pub fn stored_sum(sum: i128) -> i64 {
    i64::try_from(sum.clamp((-FULL).into(), FULL.into())).unwrap_or(FULL)
}

/// The statement of [`rollup_add_all`] for rows with these `values`.
fn adding(values: &str, picking: bool) -> String {
    let (columns, set) = if picking { (", picked, picked_by, picked_seq", PICKING) } else { ("", "") };
    format!(
        "INSERT INTO usage_rollup (tenant_id, meter, version, level, bucket, series_id, principal_id, events, sum, members{columns}) \
         VALUES {values} ON CONFLICT (tenant_id, meter, version, level, bucket, series_id, principal_id) DO UPDATE SET \
         events = usage_rollup.events + excluded.events, \
         sum = CASE WHEN usage_rollup.sum IN ({FULL}, -{FULL}) THEN usage_rollup.sum \
         WHEN excluded.sum > 0 AND usage_rollup.sum > {FULL} - excluded.sum THEN {FULL} \
         WHEN excluded.sum < 0 AND usage_rollup.sum < -{FULL} - excluded.sum THEN -{FULL} \
         ELSE usage_rollup.sum + excluded.sum END, \
         members = COALESCE(excluded.members, usage_rollup.members){set}"
    )
}

/// The greater (`picked_by`, `picked_seq`) stays, with what it says.
const PICKING: &str = ", \
    picked = CASE WHEN (usage_rollup.picked_by, usage_rollup.picked_seq) >= (excluded.picked_by, excluded.picked_seq) \
    THEN usage_rollup.picked ELSE excluded.picked END, \
    picked_by = CASE WHEN (usage_rollup.picked_by, usage_rollup.picked_seq) >= (excluded.picked_by, excluded.picked_seq) \
    THEN usage_rollup.picked_by ELSE excluded.picked_by END, \
    picked_seq = CASE WHEN (usage_rollup.picked_by, usage_rollup.picked_seq) >= (excluded.picked_by, excluded.picked_seq) \
    THEN usage_rollup.picked_seq ELSE excluded.picked_seq END";

fn bytes(members: &RoaringBitmap) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(members.serialized_size());
    // writing to memory does not fail
    (!members.is_empty()).then(|| members.serialize_into(&mut bytes).map(|()| bytes).unwrap_or_default())
}
