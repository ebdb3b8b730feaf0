//! SQL of reading the log.

use kernel::{
    Result,
    clock::Time,
    db::{Executor, bulk},
    execute,
    ids::EventId,
    on,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::model::Row;

/// Values in one IN list.
const VALUES: usize = 256;

/// Where a segment lies, and when its events happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Segment {
    /// How large: see [`super::index::Layout`].
    pub level: i64,
    /// Which of its size, from 0.
    pub segment: i64,
    /// When the earliest of its events happened.
    pub first_time: Time,
    /// When the latest of its events happened.
    pub last_time: Time,
}

/// A segment, a term, and the events that have it.
pub type Found = (i64, i64, Vec<u8>);

/// `$from, …`: placeholders of an IN list.
fn list(from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// The same as rows of one column.
fn column(from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!("(${n})")).collect::<Vec<_>>().join(", ")
}

/// The values, the last one repeated up to a power of four, so that few statements are prepared.
fn padded<T: Copy>(values: &[T]) -> Vec<T> {
    let mut size = 1;
    while size < values.len() {
        size *= 4;
    }
    let last = values.last().into_iter().cycle();
    values.iter().chain(last).copied().take(size).collect()
}

/// Events with an index from `from` to below `below`, the oldest first, at most `limit`.
pub async fn event_range(
    db: &mut impl Executor,
    scope: Uuid,
    from: i64,
    below: i64,
    limit: i64,
) -> Result<Vec<Row>> {
    let query = "SELECT idx, id, time, entry FROM audit_event WHERE scope_id = $1 AND idx >= $2 AND idx < $3 \
         ORDER BY idx LIMIT $4";
    on!(db, |c| sqlx::query_as(query).bind(scope).bind(from).bind(below).bind(limit).fetch_all(c))
}

/// The events with these indexes, in no order.
pub async fn event_at(db: &mut impl Executor, scope: Uuid, indexes: &[i64]) -> Result<Vec<Row>> {
    let mut rows = Vec::with_capacity(indexes.len());
    for chunk in indexes.chunks(VALUES) {
        let chunk = padded(chunk);
        let query = format!(
            "SELECT idx, id, time, entry FROM audit_event WHERE scope_id = $1 AND idx IN ({})",
            list(2, chunk.len())
        );
        let found: Vec<Row> = on!(db, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(query.clone())).bind(scope);
            for index in &chunk {
                query = query.bind(*index);
            }
            query.fetch_all(c)
        })?;
        rows.extend(found);
    }
    Ok(rows)
}

/// The event with that id.
pub async fn event_get(db: &mut impl Executor, scope: Uuid, id: EventId) -> Result<Option<Row>> {
    let query = "SELECT idx, id, time, entry FROM audit_event WHERE scope_id = $1 AND id = $2";
    on!(db, |c| sqlx::query_as(query).bind(scope).bind(id).fetch_optional(c))
}

/// The segments of a log, in no order.
pub async fn segment_list(db: &mut impl Executor, scope: Uuid) -> Result<Vec<Segment>> {
    let query = "SELECT level, segment, first_time, last_time FROM audit_segment WHERE scope_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(scope).fetch_all(c))
}

/// The times of a segment's events; none when it is not there any more.
pub async fn segment_times(
    db: &mut impl Executor,
    scope: Uuid,
    level: i64,
    segment: i64,
) -> Result<Option<Vec<u8>>> {
    let query = "SELECT times FROM audit_segment WHERE scope_id = $1 AND level = $2 AND segment = $3";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(level).bind(segment).fetch_optional(c))
}

/// Adds a segment whose terms are stored. Returns 0 when it is there.
pub async fn segment_insert(
    db: &mut impl Executor,
    scope: Uuid,
    segment: Segment,
    times: &[u8],
) -> Result<u64> {
    let query = "INSERT INTO audit_segment (scope_id, level, segment, first_time, last_time, times) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (scope_id, level, segment) DO NOTHING";
    execute!(
        db,
        sqlx::query(query)
            .bind(scope)
            .bind(segment.level)
            .bind(segment.segment)
            .bind(segment.first_time)
            .bind(segment.last_time)
            .bind(times)
    )
}

/// Removes segments `first` to `last` of a level; their terms are garbage from now on.
pub async fn segment_delete(
    db: &mut impl Executor,
    scope: Uuid,
    level: i64,
    first: i64,
    last: i64,
) -> Result<u64> {
    let query =
        "DELETE FROM audit_segment WHERE scope_id = $1 AND level = $2 AND segment >= $3 AND segment <= $4";
    execute!(db, sqlx::query(query).bind(scope).bind(level).bind(first).bind(last))
}

/// Some buckets of terms, in segments of one level. Each is looked up by its whole key, whatever the engine knows or does not
/// know of how many there are: PostgreSQL without statistics reads all of the level instead.
pub async fn posting_get(
    db: &mut impl Executor,
    scope: Uuid,
    level: i64,
    segments: &[i64],
    buckets: &[i64],
) -> Result<Vec<Found>> {
    let (segments, buckets) = (padded(segments), padded(buckets));
    let query = format!(
        "WITH s (segment) AS (SELECT DISTINCT column1 FROM (VALUES {}) AS v), \
         b (bucket) AS (SELECT DISTINCT column1 FROM (VALUES {}) AS v) \
         SELECT s.segment, b.bucket, (SELECT p.terms FROM audit_posting p WHERE p.scope_id = $1 AND p.level = $2 \
         AND p.segment = s.segment AND p.bucket = b.bucket) AS terms FROM s CROSS JOIN b",
        column(3, segments.len()),
        column(3 + segments.len(), buckets.len())
    );
    let found: Vec<(i64, i64, Option<Vec<u8>>)> = on!(db, |c| {
        let mut query = sqlx::query_as(AssertSqlSafe(query.clone())).bind(scope).bind(level);
        for value in segments.iter().chain(&buckets) {
            query = query.bind(*value);
        }
        query.fetch_all(c)
    })?;
    let there = |(segment, bucket, terms): (i64, i64, Option<Vec<u8>>)| Some((segment, bucket, terms?));
    Ok(found.into_iter().filter_map(there).collect())
}

/// The buckets from `first` to `last` of segments of a level, by segment.
pub async fn posting_range(
    db: &mut impl Executor,
    scope: Uuid,
    level: i64,
    segments: &[i64],
    (first, last): (i64, i64),
) -> Result<Vec<Found>> {
    let segments = padded(segments);
    let query = format!(
        "SELECT segment, bucket, terms FROM audit_posting WHERE scope_id = $1 AND level = $2 AND segment IN ({}) \
         AND bucket >= ${} AND bucket <= ${} ORDER BY segment",
        list(3, segments.len()),
        3 + segments.len(),
        4 + segments.len()
    );
    on!(db, |c| {
        let mut query = sqlx::query_as(AssertSqlSafe(query.clone())).bind(scope).bind(level);
        for value in segments.iter().chain([&first, &last]) {
            query = query.bind(*value);
        }
        query.fetch_all(c)
    })
}

/// Adds buckets of a segment, in the place of what a process left there that did not come to its end.
pub async fn posting_insert_all(
    db: &mut impl Executor,
    scope: Uuid,
    (level, segment): (i64, i64),
    buckets: &[(i64, Vec<u8>)],
) -> Result<()> {
    for (rows, values) in bulk(db.engine(), buckets, 5) {
        let query = format!(
            "INSERT INTO audit_posting (scope_id, level, segment, bucket, terms) VALUES {values} \
             ON CONFLICT (scope_id, level, segment, bucket) DO UPDATE SET terms = excluded.terms"
        );
        execute!(db, {
            let mut query = sqlx::query(AssertSqlSafe(query.clone()));
            for (bucket, terms) in rows {
                query = query.bind(scope).bind(level).bind(segment).bind(*bucket).bind(terms);
            }
            query
        })?;
    }
    Ok(())
}

/// Takes the place of a bucket.
pub async fn posting_put(
    db: &mut impl Executor,
    scope: Uuid,
    (level, segment): (i64, i64),
    bucket: i64,
    terms: &[u8],
) -> Result<u64> {
    let query = "UPDATE audit_posting SET terms = $1 WHERE scope_id = $2 AND level = $3 AND segment = $4 AND bucket = $5";
    execute!(db, sqlx::query(query).bind(terms).bind(scope).bind(level).bind(segment).bind(bucket))
}

/// Removes the buckets from `first` to `last` of a segment.
pub async fn posting_delete(
    db: &mut impl Executor,
    scope: Uuid,
    (level, segment): (i64, i64),
    (first, last): (i64, i64),
) -> Result<u64> {
    let query = "DELETE FROM audit_posting WHERE scope_id = $1 AND level = $2 AND segment = $3 AND bucket >= $4 AND bucket <= $5";
    execute!(db, sqlx::query(query).bind(scope).bind(level).bind(segment).bind(first).bind(last))
}

/// The first segment of a level that has a term, whether it is a segment of the index or not.
pub async fn posting_segment_first(db: &mut impl Executor, scope: Uuid, level: i64) -> Result<Option<i64>> {
    let query =
        "SELECT segment FROM audit_posting WHERE scope_id = $1 AND level = $2 ORDER BY segment LIMIT 1";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(level).fetch_optional(c))
}

/// Makes others who change the index of a log wait for this transaction.
pub async fn log_lock(db: &mut impl Executor, scope: Uuid) -> Result<u64> {
    let query = "UPDATE audit_log SET segments = segments WHERE scope_id = $1";
    execute!(db, sqlx::query(query).bind(scope))
}

/// Moves the count of segments from `segments` to `to`; with both the same it makes others wait. Returns 0 when it is not
/// `segments`.
pub async fn log_index(db: &mut impl Executor, scope: Uuid, segments: i64, to: i64) -> Result<u64> {
    let query = "UPDATE audit_log SET segments = $1 WHERE scope_id = $2 AND segments = $3";
    execute!(db, sqlx::query(query).bind(to).bind(scope).bind(segments))
}

/// How many segments a log has had.
pub async fn log_segments(db: &mut impl Executor, scope: Uuid) -> Result<i64> {
    let query = "SELECT segments FROM audit_log WHERE scope_id = $1";
    let found: Option<i64> = on!(db, |c| sqlx::query_scalar(query).bind(scope).fetch_optional(c))?;
    Ok(found.unwrap_or(0))
}

/// Index of the first event that retention has not pruned.
pub async fn log_minimum(db: &mut impl Executor, scope: Uuid) -> Result<i64> {
    let query = "SELECT minimum_index FROM audit_log WHERE scope_id = $1";
    let found: Option<i64> = on!(db, |c| sqlx::query_scalar(query).bind(scope).fetch_optional(c))?;
    Ok(found.unwrap_or(0))
}

/// Those of a scope's keys that were destroyed.
pub async fn key_destroyed(db: &mut impl Executor, scope: Uuid, keys: &[Uuid]) -> Result<Vec<Uuid>> {
    let mut destroyed = Vec::new();
    for chunk in keys.chunks(VALUES) {
        let chunk = padded(chunk);
        let query = format!(
            "SELECT id FROM subject_key WHERE scope_id = $1 AND destroy_time IS NOT NULL AND id IN ({})",
            list(2, chunk.len())
        );
        let found: Vec<Uuid> = on!(db, |c| {
            let mut query = sqlx::query_scalar(AssertSqlSafe(query.clone())).bind(scope);
            for key in &chunk {
                query = query.bind(*key);
            }
            query.fetch_all(c)
        })?;
        destroyed.extend(found);
    }
    Ok(destroyed)
}
