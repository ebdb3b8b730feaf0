//! SQL of what corrections do to events. Every function is called while the tenant's `usage_head` is held, so nobody else
//! gives or takes back anything meanwhile.

use kernel::{
    Result,
    clock::Time,
    db::{Executor, bulk, tx::Tx},
    execute,
    ids::TenantId,
    on,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{model::Correction, stands};
use crate::rollup::fold::Raw;

/// Which correction of which tenant.
pub type Of = (TenantId, Uuid);

/// Takes back events by their places.
pub async fn void_insert_all(tx: &mut Tx<'_>, of: Of, now: Time, seqs: &[i64]) -> Result<u64> {
    let mut taken = 0;
    for (part, values) in bulk(tx.engine(), seqs, 4) {
        let text =
            format!("INSERT INTO usage_void (tenant_id, seq, correction_id, void_time) VALUES {values}");
        taken += execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for seq in part {
                query = query.bind(of.0).bind(*seq).bind(of.1).bind(now);
            }
            query
        })?;
    }
    Ok(taken)
}

/// Takes back what stands in a backfill's interval.
pub async fn void_insert_range(tx: &mut Tx<'_>, backfill: &Correction, now: Time) -> Result<u64> {
    let Some((start, end)) = backfill.range else { return Ok(0) };
    let query = concat!(
        "INSERT INTO usage_void (tenant_id, seq, correction_id, void_time) SELECT e.tenant_id, e.seq, $1, $2 FROM usage_event e \
         WHERE e.tenant_id = $3 AND e.time >= $4 AND e.time < $5 AND ($6 = '' OR e.client = $6) AND ($7 = '' OR e.source = $7) AND ",
        stands!("e")
    );
    execute!(
        tx,
        sqlx::query(query)
            .bind(backfill.id)
            .bind(now)
            .bind(backfill.tenant_id)
            .bind(start)
            .bind(end)
            .bind(&backfill.client)
            .bind(&backfill.source)
    )
}

/// Lets what a correction took back stand again.
pub async fn void_undo(tx: &mut Tx<'_>, of: Of, now: Time) -> Result<u64> {
    let query = "UPDATE usage_void SET undone_time = $1 WHERE tenant_id = $2 AND correction_id = $3 AND undone_time IS NULL";
    execute!(tx, sqlx::query(query).bind(now).bind(of.0).bind(of.1))
}

/// Takes back what a correction added, also in the place of another one that did: that one reverted must not bring it back.
pub async fn added_void(tx: &mut Tx<'_>, of: Of, now: Time) -> Result<()> {
    let query = "UPDATE usage_void SET undone_time = $1 WHERE tenant_id = $2 AND undone_time IS NULL AND seq IN \
         (SELECT e.seq FROM usage_event e WHERE e.tenant_id = $2 AND e.correction_id = $3)";
    execute!(tx, sqlx::query(query).bind(now).bind(of.0).bind(of.1))?;
    let query = "INSERT INTO usage_void (tenant_id, seq, correction_id, void_time) \
         SELECT e.tenant_id, e.seq, e.correction_id, $1 FROM usage_event e WHERE e.tenant_id = $2 AND e.correction_id = $3";
    execute!(tx, sqlx::query(query).bind(now).bind(of.0).bind(of.1)).map(|_| ())
}

/// Gives what is staged places from `first` on, but for those whose source and id an event has that stands; returns how many.
pub async fn staged_place(tx: &mut Tx<'_>, of: Of, first: i64) -> Result<u64> {
    let query = concat!(
        "INSERT INTO usage_event (tenant_id, seq, dedupe_key, payload_key, source, event_id, event_type, client, principal_id, role_id, \
         unit_id, time, ingest_time, dims, amounts, attributes, correction_id, replaces_seq) \
         SELECT s.tenant_id, $1 + ROW_NUMBER() OVER (ORDER BY s.n) - 1, \
         CASE WHEN EXISTS (SELECT 1 FROM usage_event p WHERE p.tenant_id = s.tenant_id AND p.dedupe_key = s.dedupe_key) \
              THEN s.own_key ELSE s.dedupe_key END, \
         s.payload_key, s.source, s.event_id, s.event_type, s.client, s.principal_id, s.role_id, s.unit_id, s.time, s.ingest_time, \
         s.dims, s.amounts, '', s.correction_id, s.replaces_seq \
         FROM usage_staged s WHERE s.tenant_id = $2 AND s.correction_id = $3 \
         AND NOT EXISTS (SELECT 1 FROM usage_event e WHERE e.tenant_id = s.tenant_id AND e.dedupe_key = s.dedupe_key AND ",
        stands!("e"),
        ") AND NOT EXISTS (SELECT 1 FROM usage_event_again a JOIN usage_event e ON e.tenant_id = a.tenant_id AND e.seq = a.seq \
         WHERE a.tenant_id = s.tenant_id AND a.dedupe_key = s.dedupe_key AND ",
        stands!("e"),
        ")"
    );
    let placed = execute!(tx, sqlx::query(query).bind(first).bind(of.0).bind(of.1))?;
    let query = "INSERT INTO usage_event_again (tenant_id, seq, dedupe_key) SELECT e.tenant_id, e.seq, s.dedupe_key \
         FROM usage_staged s JOIN usage_event e ON e.tenant_id = s.tenant_id AND e.dedupe_key = s.own_key \
         WHERE s.tenant_id = $1 AND s.correction_id = $2";
    execute!(tx, sqlx::query(query).bind(of.0).bind(of.1))?;
    Ok(placed)
}

/// Marks the days of all events that a correction has taken back or let stand again.
pub async fn days_mark(tx: &mut Tx<'_>, of: Of, mark: Uuid) -> Result<()> {
    let query = "INSERT INTO usage_stale_day (tenant_id, day, mark) SELECT DISTINCT e.tenant_id, e.time - e.time % 86400000000, $1 \
         FROM usage_void w JOIN usage_event e ON e.tenant_id = w.tenant_id AND e.seq = w.seq \
         WHERE w.tenant_id = $2 AND w.correction_id = $3 ON CONFLICT (tenant_id, day) DO UPDATE SET mark = excluded.mark";
    execute!(tx, sqlx::query(query).bind(mark).bind(of.0).bind(of.1)).map(|_| ())
}

/// A later correction that put something into the place of what this one added, and is in force.
pub async fn successor_find(tx: &mut Tx<'_>, of: Of) -> Result<Option<Uuid>> {
    let query = "SELECT c.id FROM usage_event e \
         JOIN usage_void w ON w.tenant_id = e.tenant_id AND w.seq = e.seq AND w.undone_time IS NULL \
         JOIN usage_correction c ON c.tenant_id = w.tenant_id AND c.id = w.correction_id AND c.kind <> 'void' \
         WHERE e.tenant_id = $1 AND e.correction_id = $2 AND c.id <> $2 ORDER BY c.id DESC LIMIT 1";
    on!(tx, |c| sqlx::query_scalar(query).bind(of.0).bind(of.1).fetch_optional(c))
}

/// Source and id of an event that this correction let stand again while another one with them stands.
pub async fn twice_find(tx: &mut Tx<'_>, of: Of) -> Result<Option<(String, String)>> {
    let query = concat!(
        "SELECT u.source, u.event_id FROM usage_void w JOIN usage_event u ON u.tenant_id = w.tenant_id AND u.seq = w.seq \
         LEFT JOIN usage_event_again o ON o.tenant_id = u.tenant_id AND o.seq = u.seq \
         WHERE w.tenant_id = $1 AND w.correction_id = $2 AND w.undone_time IS NOT NULL AND ",
        stands!("u"),
        " AND (EXISTS (SELECT 1 FROM usage_event e WHERE e.tenant_id = u.tenant_id AND e.seq <> u.seq \
         AND e.dedupe_key = COALESCE(o.dedupe_key, u.dedupe_key) AND ",
        stands!("e"),
        ") OR EXISTS (SELECT 1 FROM usage_event_again a JOIN usage_event e ON e.tenant_id = a.tenant_id AND e.seq = a.seq \
         WHERE a.tenant_id = u.tenant_id AND a.seq <> u.seq AND a.dedupe_key = COALESCE(o.dedupe_key, u.dedupe_key) AND ",
        stands!("e"),
        ")) ORDER BY u.seq LIMIT 1"
    );
    on!(tx, |c| sqlx::query_as(query).bind(of.0).bind(of.1).fetch_optional(c))
}

/// Events that a correction took back, in places after `after`, in order.
pub async fn taken_list(tx: &mut Tx<'_>, of: Of, after: i64, limit: i64) -> Result<Vec<Raw>> {
    let query = "SELECT e.seq, e.event_type, e.client, e.principal_id, e.role_id, e.unit_id, e.time, e.dims, e.amounts FROM usage_void w \
         JOIN usage_event e ON e.tenant_id = w.tenant_id AND e.seq = w.seq \
         WHERE w.tenant_id = $1 AND w.correction_id = $2 AND w.seq > $3 ORDER BY w.seq LIMIT $4";
    on!(tx, |c| sqlx::query_as(query).bind(of.0).bind(of.1).bind(after).bind(limit).fetch_all(c))
}

/// Events that a correction added, likewise.
pub async fn added_list(tx: &mut Tx<'_>, of: Of, after: i64, limit: i64) -> Result<Vec<Raw>> {
    let query = "SELECT e.seq, e.event_type, e.client, e.principal_id, e.role_id, e.unit_id, e.time, e.dims, e.amounts FROM usage_event e \
         WHERE e.tenant_id = $1 AND e.correction_id = $2 AND e.seq > $3 ORDER BY e.seq LIMIT $4";
    on!(tx, |c| sqlx::query_as(query).bind(of.0).bind(of.1).bind(after).bind(limit).fetch_all(c))
}
