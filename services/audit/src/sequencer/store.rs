//! SQL of the sequencer. Everything here is derived from the outbox and runs in transactions without an audit record.

use kernel::{
    Result,
    clock::Time,
    db::{Engine, Executor, bulk},
    execute, on,
};
use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};
use tlog::{Hash, Tile, TileId};
use uuid::Uuid;

use super::head::{Lease, LogHead};

const HEAD: &str = "SELECT scope_id, origin, size, root, signed_size, checkpoint, sign_time, minimum_index, segments FROM audit_log \
     WHERE scope_id = $1";

/// A row of the outbox, or of the log.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Pending {
    /// Identity of the event.
    pub id: Uuid,
    /// Its bytes.
    pub entry: String,
}

/// The logs that have something to sequence: a step in the key for each, not a look at every row.
pub async fn pending_scopes(db: &mut impl Executor) -> Result<Vec<Uuid>> {
    let query = "WITH RECURSIVE waiting (scope_id) AS ( \
             SELECT (SELECT scope_id FROM audit_pending ORDER BY scope_id LIMIT 1) \
             UNION ALL SELECT (SELECT p.scope_id FROM audit_pending p WHERE p.scope_id > w.scope_id \
             ORDER BY p.scope_id LIMIT 1) FROM waiting w WHERE w.scope_id IS NOT NULL \
         ) SELECT scope_id FROM waiting WHERE scope_id IS NOT NULL";
    on!(db, |c| sqlx::query_scalar(query).fetch_all(c))
}

/// The logs with events that no checkpoint covers: their process died, or failed, between the two.
pub async fn unsigned_scopes(db: &mut impl Executor) -> Result<Vec<Uuid>> {
    let query = "SELECT scope_id FROM audit_log WHERE signed_size < size ORDER BY scope_id";
    on!(db, |c| sqlx::query_scalar(query).fetch_all(c))
}

/// When the events from index `first` on happened, at most `limit` of them.
pub async fn event_times(db: &mut impl Executor, scope: Uuid, first: i64, limit: i64) -> Result<Vec<Time>> {
    let query = "SELECT time FROM audit_event WHERE scope_id = $1 AND idx >= $2 ORDER BY idx LIMIT $3";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(first).bind(limit).fetch_all(c))
}

/// The newest event that any log or outbox ends with.
pub async fn newest(db: &mut impl Executor) -> Result<Option<Uuid>> {
    let query = "SELECT id FROM ( \
             SELECT (SELECT e.id FROM audit_event e WHERE e.scope_id = l.scope_id AND e.idx = l.size - 1) AS id FROM audit_log l \
             UNION ALL SELECT p.id FROM audit_pending p \
         ) AS seen WHERE id IS NOT NULL ORDER BY id DESC LIMIT 1";
    on!(db, |c| sqlx::query_scalar(query).fetch_optional(c))
}

/// The newest event that waits, if any does.
pub async fn pending_last(db: &mut impl Executor, scope: Uuid) -> Result<Option<Uuid>> {
    let query = "SELECT id FROM audit_pending WHERE scope_id = $1 ORDER BY id DESC LIMIT 1";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).fetch_optional(c))
}

/// Whether an event up to `last` still waits.
pub async fn pending_until(db: &mut impl Executor, scope: Uuid, last: Uuid) -> Result<bool> {
    let query = "SELECT COUNT(*) FROM (SELECT id FROM audit_pending WHERE scope_id = $1 AND id <= $2 LIMIT 1) AS waiting";
    let count: i64 = on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(last).fetch_one(c))?;
    Ok(count > 0)
}

/// The oldest events that wait, at most `limit`.
pub async fn pending_take(db: &mut impl Executor, scope: Uuid, limit: i64) -> Result<Vec<Pending>> {
    let query = "SELECT id, entry FROM audit_pending WHERE scope_id = $1 ORDER BY id LIMIT $2";
    on!(db, |c| sqlx::query_as(query).bind(scope).bind(limit).fetch_all(c))
}

/// Removes from the outbox what has been given an index from `first` on.
pub async fn pending_delete(db: &mut impl Executor, scope: Uuid, first: i64) -> Result<u64> {
    let query = "DELETE FROM audit_pending WHERE scope_id = $1 \
         AND id IN (SELECT e.id FROM audit_event e WHERE e.scope_id = $1 AND e.idx >= $2)";
    execute!(db, sqlx::query(query).bind(scope).bind(first))
}

/// Appends events from index `first` on.
pub async fn event_insert_all(
    db: &mut impl Executor,
    scope: Uuid,
    first: i64,
    events: &[(Pending, Time)],
) -> Result<()> {
    on!(
        db,
        sqlite | c | insert_values(c, scope, first, events),
        postgres | c | insert_arrays(c, scope, first, events)
    )
}

async fn insert_values(
    c: &mut SqliteConnection,
    scope: Uuid,
    first: i64,
    events: &[(Pending, Time)],
) -> Result<(), sqlx::Error> {
    let mut index = first..;
    for (rows, values) in bulk(Engine::Sqlite, events, 5) {
        let query = format!("INSERT INTO audit_event (scope_id, idx, id, time, entry) VALUES {values}");
        let mut query = sqlx::query(AssertSqlSafe(query));
        for ((event, time), index) in rows.iter().zip(&mut index) {
            query = query.bind(scope).bind(index).bind(event.id).bind(*time).bind(&event.entry);
        }
        query.execute(&mut *c).await?;
    }
    Ok(())
}

/// One message and one plan, however many rows.
async fn insert_arrays(
    c: &mut PgConnection,
    scope: Uuid,
    first: i64,
    events: &[(Pending, Time)],
) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO audit_event (scope_id, idx, id, time, entry) SELECT $1, e.* \
         FROM UNNEST($2::BIGINT[], $3::UUID[], $4::BIGINT[], $5::TEXT[]) AS e (idx, id, time, entry)";
    let indexes: Vec<i64> = (first..).take(events.len()).collect();
    let (ids, times): (Vec<_>, Vec<_>) = events.iter().map(|(e, t)| (e.id, t.micros())).unzip();
    let entries: Vec<_> = events.iter().map(|(e, _)| e.entry.as_str()).collect();
    let query = sqlx::query(query).bind(scope).bind(indexes).bind(ids).bind(times).bind(entries);
    query.execute(c).await.map(|_| ())
}

/// Stores tiles; a wider one takes the place of a narrower one.
pub async fn tile_put_all(db: &mut impl Executor, scope: Uuid, tiles: &[Tile]) -> Result<()> {
    for (rows, values) in bulk(db.engine(), tiles, 5) {
        let query = format!(
            "INSERT INTO audit_tile (scope_id, level, tile, width, hashes) VALUES {values} \
             ON CONFLICT (scope_id, level, tile) DO UPDATE SET width = excluded.width, hashes = excluded.hashes"
        );
        execute!(db, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for tile in rows {
                let id = tile.id();
                statement = statement
                    .bind(scope)
                    .bind(i64::from(id.level()))
                    .bind(i64::try_from(id.index()).unwrap_or(i64::MAX))
                    .bind(i64::from(id.width()))
                    .bind(tile.encode());
            }
            statement
        })?;
    }
    Ok(())
}

/// The tiles of `ids`, cut to the asked width; one that is not there is missing in the answer.
pub async fn tile_get_all(db: &mut impl Executor, scope: Uuid, ids: &[TileId]) -> Result<Vec<Tile>> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let query = "SELECT hashes FROM audit_tile WHERE scope_id = $1 AND level = $2 AND tile = $3";
        let (level, index) = (i64::from(id.level()), i64::try_from(id.index()).unwrap_or(i64::MAX));
        let bytes: Option<Vec<u8>> =
            on!(db, |c| sqlx::query_scalar(query).bind(scope).bind(level).bind(index).fetch_optional(c))?;
        let wanted = usize::from(id.width()) * Hash::LEN;
        if let Some(bytes) = bytes.as_deref().and_then(|b| b.get(..wanted))
            && let Ok(tile) = Tile::decode(*id, bytes)
        {
            found.push(tile);
        }
    }
    Ok(found)
}

/// The head of a log.
pub async fn log_get(db: &mut impl Executor, scope: Uuid) -> Result<Option<LogHead>> {
    on!(db, |c| sqlx::query_as(HEAD).bind(scope).fetch_optional(c))
}

/// Makes an empty log; one that is there stays.
pub async fn log_insert(db: &mut impl Executor, scope: Uuid, origin: &str, now: Time) -> Result<u64> {
    let query = "INSERT INTO audit_log (scope_id, origin, size, root, signed_size, checkpoint, sign_time, minimum_index, segments, \
         published_size, holder, fence, lease_until, create_time) \
         VALUES ($1, $2, 0, $3, 0, '', $4, 0, 0, 0, $5, 0, 0, $4) ON CONFLICT (scope_id) DO NOTHING";
    let root = tlog::EMPTY_ROOT.as_bytes().to_vec();
    execute!(db, sqlx::query(query).bind(scope).bind(origin).bind(&root).bind(now).bind(Uuid::nil()))
}

/// Moves the head over a batch, under the fence. Returns 0 when the lease or the size is another's.
pub async fn log_extend(db: &mut impl Executor, fence: i64, old: i64, head: &LogHead) -> Result<u64> {
    let query = "UPDATE audit_log SET size = $1, root = $2 WHERE scope_id = $3 AND fence = $4 AND size = $5";
    execute!(
        db,
        sqlx::query(query).bind(head.size).bind(&head.root).bind(head.scope_id).bind(fence).bind(old)
    )
}

/// Publishes a checkpoint, under the fence. Returns 0 when the lease is another's.
pub async fn log_sign(db: &mut impl Executor, fence: i64, head: &LogHead) -> Result<u64> {
    let query = "UPDATE audit_log SET signed_size = $1, checkpoint = $2, sign_time = $3 \
         WHERE scope_id = $4 AND fence = $5 AND size >= $1 AND signed_size <= $1";
    execute!(
        db,
        sqlx::query(query)
            .bind(head.signed_size)
            .bind(&head.checkpoint)
            .bind(head.sign_time)
            .bind(head.scope_id)
            .bind(fence)
    )
}

/// Who sequences a log.
pub async fn lease_get(db: &mut impl Executor, scope: Uuid) -> Result<Option<Lease>> {
    let query = "SELECT holder, fence, lease_until FROM audit_log WHERE scope_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(scope).fetch_optional(c))
}

/// Takes or renews the lease that stands at `seen`. Returns 0 when somebody else was faster.
pub async fn lease_put(db: &mut impl Executor, scope: Uuid, seen: i64, lease: &Lease) -> Result<u64> {
    let query =
        "UPDATE audit_log SET holder = $1, fence = $2, lease_until = $3 WHERE scope_id = $4 AND fence = $5";
    execute!(
        db,
        sqlx::query(query).bind(lease.holder).bind(lease.fence).bind(lease.until).bind(scope).bind(seen)
    )
}

/// Gives back every lease of a process that stops.
pub async fn lease_release(db: &mut impl Executor, holder: Uuid) -> Result<u64> {
    execute!(db, sqlx::query("UPDATE audit_log SET lease_until = 0 WHERE holder = $1").bind(holder))
}

/// What kind of scope has that id: `tenants`, `partners`, or nothing.
pub async fn scope_collection(db: &mut impl Executor, scope: Uuid) -> Result<Option<String>> {
    let query =
        "SELECT 'tenants' FROM tenant WHERE id = $1 UNION ALL SELECT 'partners' FROM partner WHERE id = $1";
    on!(db, |c| sqlx::query_scalar(query).bind(scope).fetch_optional(c))
}

/// A checkpoint that is not in the meta log yet.
#[derive(Debug, sqlx::FromRow)]
pub struct Unpublished {
    /// Whose log.
    pub scope_id: Uuid,
    /// Its size.
    pub signed_size: i64,
    /// The note.
    pub checkpoint: String,
    /// What the meta log has of it.
    pub published_size: i64,
}

/// Logs whose newest checkpoint the meta log does not have, from the scope `from` on.
pub async fn log_unpublished(
    db: &mut impl Executor,
    (meta, from): (Uuid, Uuid),
    limit: i64,
) -> Result<Vec<Unpublished>> {
    let query = "SELECT scope_id, signed_size, checkpoint, published_size FROM audit_log \
         WHERE scope_id >= $1 AND scope_id <> $2 AND published_size < signed_size ORDER BY scope_id LIMIT $3";
    on!(db, |c| sqlx::query_as(query).bind(from).bind(meta).bind(limit).fetch_all(c))
}

/// Notes what the meta log has. Returns 0 when somebody else was faster.
pub async fn log_published(db: &mut impl Executor, scope: Uuid, old: i64, new: i64) -> Result<u64> {
    let query = "UPDATE audit_log SET published_size = $1 WHERE scope_id = $2 AND published_size = $3";
    execute!(db, sqlx::query(query).bind(new).bind(scope).bind(old))
}

/// Puts an entry into a log's outbox.
pub async fn pending_insert(db: &mut impl Executor, scope: Uuid, id: Uuid, entry: &str) -> Result<u64> {
    let query = "INSERT INTO audit_pending (scope_id, id, entry) VALUES ($1, $2, $3)";
    execute!(db, sqlx::query(query).bind(scope).bind(id).bind(entry))
}

/// Adds cosignatures to a checkpoint, if it is still the newest.
pub async fn log_cosign(db: &mut impl Executor, scope: Uuid, size: i64, checkpoint: &str) -> Result<u64> {
    let query = "UPDATE audit_log SET checkpoint = $1 WHERE scope_id = $2 AND signed_size = $3";
    execute!(db, sqlx::query(query).bind(checkpoint).bind(scope).bind(size))
}
