//! Days whose rollups are not what the events say, because a correction took events of theirs back or let them stand again. Until the
//! roller has derived such a day again, it is answered from its events.

use std::collections::BTreeSet;

use kernel::{Result, clock::Time, db::Executor, execute, ids::TenantId, on};
use uuid::Uuid;

use super::{
    book::Book,
    fold::{Cell, DAY, Key},
    store::Watermark,
    verify::{Bucket, Report, bucket, compare, derive},
};
use crate::meter::Meters;

/// Days that one look derives again; the next look goes on.
const DAYS: i64 = 31;

/// The stale days of a tenant (UTC).
pub async fn days_of(db: &mut impl Executor, tenant: TenantId) -> Result<BTreeSet<Time>> {
    let query = "SELECT day FROM usage_stale_day WHERE tenant_id = $1";
    let days: Vec<Time> = on!(db, |c| sqlx::query_scalar(query).bind(tenant).fetch_all(c))?;
    Ok(days.into_iter().collect())
}

/// The first of them.
pub async fn day_list(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<Time>> {
    let query = "SELECT day FROM usage_stale_day WHERE tenant_id = $1 ORDER BY day LIMIT $2";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(DAYS).fetch_all(c))
}

/// The act since which a day is stale; none when it is not.
pub async fn mark_get(db: &mut impl Executor, tenant: TenantId, day: Time) -> Result<Option<Uuid>> {
    let query = "SELECT mark FROM usage_stale_day WHERE tenant_id = $1 AND day = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(day).fetch_optional(c))
}

/// A day is not stale any more, unless a later act has made it so.
pub async fn mark_delete(db: &mut impl Executor, tenant: TenantId, day: Time, mark: Uuid) -> Result<u64> {
    let query = "DELETE FROM usage_stale_day WHERE tenant_id = $1 AND day = $2 AND mark = $3";
    execute!(db, sqlx::query(query).bind(tenant).bind(day).bind(mark))
}

/// A day derived again.
pub struct Redone {
    /// Since which act it was stale.
    pub mark: Uuid,
    /// Buckets whose sums differ from what is stored.
    pub buckets: BTreeSet<Bucket>,
    /// What belongs into them, sorted by key.
    pub rows: Vec<(Key, Cell)>,
}

/// Derives a day again from its events below the watermark, in one snapshot; none when it is not stale any more. The act is read
/// first: what a later one changes is under another mark.
pub async fn redo(
    db: &mut impl Executor,
    tenant: TenantId,
    (meters, book): (&Meters, &mut Book),
    mark: &Watermark,
    day: Time,
) -> Result<Option<Redone>> {
    let Some(act) = mark_get(db, tenant, day).await? else { return Ok(None) };
    let (span, mut report) = ((day, Time::from_micros(day.micros().saturating_add(DAY))), Report::default());
    let derived = derive(db, tenant, (meters, book), span, mark, &mut report).await?;
    let buckets = compare(db, tenant, meters, span, &derived, &mut report).await?;
    let mut rows: Vec<_> = derived.into_iter().filter(|(key, _)| buckets.contains(&bucket(key))).collect();
    rows.sort_unstable_by_key(|(key, _)| *key);
    Ok(Some(Redone { mark: act, buckets, rows }))
}
