//! SQL of raw events: places, rows, and what was refused.

use std::borrow::Cow;

use kernel::{
    Result,
    clock::Time,
    db::{Engine, Executor, bulk, tx::Tx},
    execute,
    ids::{PrincipalId, TenantId, TokenId},
    on,
};
use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};
use tenancy::unit::model::UnitId;
use uuid::Uuid;

use super::{
    key::Digest,
    model::{Holder, UsageEvent},
};

/// What attribution needs to know of a principal.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct PrincipalFacts {
    /// An agent's owner.
    pub owner_id: Option<PrincipalId>,
    /// Where it works.
    pub unit_id: Option<UnitId>,
}

pub async fn principal_facts(
    db: &mut impl Executor,
    tenant: TenantId,
    principal: PrincipalId,
) -> Result<Option<PrincipalFacts>> {
    on!(db, |c| sqlx::query_as("SELECT owner_id, unit_id FROM principal WHERE scope_id = $1 AND id = $2")
        .bind(tenant)
        .bind(principal)
        .fetch_optional(c))
}

/// How many places of a tenant are taken, and which meters count them.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Head {
    /// The first place that is not taken; places begin at 1.
    pub next_seq: i64,
    /// The revision of the tenant's own meters.
    pub meters: i64,
}

/// Takes the next `count` places of a tenant; returns the head from before. Nobody else takes places of it, or changes its meters, before
/// this transaction has ended, so whoever sees a place sees all lower ones that will ever be filled, and the meters that count it.
pub async fn places_take(tx: &mut Tx<'_>, tenant: TenantId, count: i64) -> Result<Head> {
    let query = "INSERT INTO usage_head (tenant_id, next_seq) VALUES ($1, 1 + $2) \
         ON CONFLICT (tenant_id) DO UPDATE SET next_seq = usage_head.next_seq + $2 RETURNING next_seq, meters";
    let head: Head = on!(tx, |c| sqlx::query_as(query).bind(tenant).bind(count).fetch_one(c))?;
    Ok(Head { next_seq: head.next_seq - count, ..head })
}

/// The head of a tenant's sequence.
pub async fn head_get(db: &mut impl Executor, tenant: TenantId) -> Result<Head> {
    let query = "SELECT next_seq, meters FROM usage_head WHERE tenant_id = $1";
    let head: Option<Head> = on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_optional(c))?;
    Ok(head.unwrap_or(Head { next_seq: 1, meters: 0 }))
}

/// An event on its way into its place.
#[derive(Debug)]
pub struct Placed<'e> {
    /// The place.
    pub seq: i64,
    /// What makes it the same event.
    pub key: Digest,
    /// What makes it say the same.
    pub payload: Digest,
    /// To whom it is attributed.
    pub holder: Holder,
    /// The event.
    pub event: &'e UsageEvent,
    /// Its dimensions, as stored.
    pub dims: &'e str,
    /// What it counts, as stored.
    pub amounts: Cow<'e, str>,
}

/// Stores the events whose key is not taken; returns how many those were.
pub async fn event_insert_all(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    now: Time,
    rows: &[Placed<'_>],
) -> Result<u64> {
    on!(
        tx,
        sqlite | c | insert_values(c, tenant, now, rows),
        postgres | c | insert_arrays(c, tenant, now, rows)
    )
}

async fn insert_values(
    c: &mut SqliteConnection,
    tenant: TenantId,
    now: Time,
    rows: &[Placed<'_>],
) -> Result<u64, sqlx::Error> {
    let mut stored = 0;
    for (part, values) in bulk(Engine::Sqlite, rows, 16) {
        let text = format!(
            "INSERT INTO usage_event (tenant_id, seq, dedupe_key, payload_key, source, event_id, event_type, client, principal_id, \
             role_id, unit_id, time, ingest_time, dims, amounts, attributes) VALUES {values} \
             ON CONFLICT (tenant_id, dedupe_key) DO NOTHING"
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for row in part {
            query = query
                .bind(tenant)
                .bind(row.seq)
                .bind(row.key.as_bytes())
                .bind(row.payload.as_bytes())
                .bind(row.event.source.as_ref())
                .bind(&row.event.id)
                .bind(row.event.event_type.as_ref())
                .bind(row.event.client.as_ref())
                .bind(row.holder.principal)
                .bind(row.holder.role)
                .bind(row.holder.unit)
                .bind(row.event.time)
                .bind(now)
                .bind(row.dims)
                .bind(row.amounts.as_ref())
                .bind(&row.event.attributes);
        }
        stored += query.execute(&mut *c).await?.rows_affected();
    }
    Ok(stored)
}

/// One message and one plan, however many rows.
async fn insert_arrays(
    c: &mut PgConnection,
    tenant: TenantId,
    now: Time,
    rows: &[Placed<'_>],
) -> Result<u64, sqlx::Error> {
    let query = "INSERT INTO usage_event (tenant_id, ingest_time, seq, dedupe_key, payload_key, source, event_id, event_type, client, \
         principal_id, role_id, unit_id, time, dims, amounts, attributes) SELECT $1, $2, e.* \
         FROM UNNEST($3::BIGINT[], $4::BYTEA[], $5::BYTEA[], $6::TEXT[], $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::UUID[], \
         $11::UUID[], $12::UUID[], $13::BIGINT[], $14::TEXT[], $15::TEXT[], $16::TEXT[]) \
         AS e (seq, dedupe_key, payload_key, source, event_id, event_type, client, principal_id, role_id, unit_id, time, dims, amounts, \
         attributes) ON CONFLICT (tenant_id, dedupe_key) DO NOTHING";
    macro_rules! column {
        (|$row:ident| $value:expr) => {
            rows.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    let done = sqlx::query(query)
        .bind(tenant)
        .bind(now)
        .bind(column!(|r| r.seq))
        .bind(column!(|r| r.key.as_bytes()))
        .bind(column!(|r| r.payload.as_bytes()))
        .bind(column!(|r| r.event.source.as_ref()))
        .bind(column!(|r| r.event.id.as_str()))
        .bind(column!(|r| r.event.event_type.as_ref()))
        .bind(column!(|r| r.event.client.as_ref()))
        .bind(column!(|r| r.holder.principal.map(|p| p.0)))
        .bind(column!(|r| r.holder.role.map(|p| p.0)))
        .bind(column!(|r| r.holder.unit.map(|p| p.0)))
        .bind(column!(|r| r.event.time.micros()))
        .bind(column!(|r| r.dims))
        .bind(column!(|r| r.amounts.as_ref()))
        .bind(column!(|r| r.event.attributes.as_str()))
        .execute(c)
        .await?;
    Ok(done.rows_affected())
}

/// What is stored under a key.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stored {
    /// The key.
    pub dedupe_key: Vec<u8>,
    /// Its place.
    pub seq: i64,
    /// What it says.
    pub payload_key: Vec<u8>,
}

/// What is stored under `keys`.
pub async fn event_find_all(
    db: &mut impl Executor,
    tenant: TenantId,
    keys: &[Digest],
) -> Result<Vec<Stored>> {
    let mut found = Vec::with_capacity(keys.len());
    for (part, marks) in bulk(db.engine(), keys, 1) {
        // the keys lead: left to itself, SQLite reads all events of the tenant for an IN list
        let text = format!(
            "WITH k (dedupe_key) AS (VALUES {marks}) SELECT e.dedupe_key, e.seq, e.payload_key \
             FROM k CROSS JOIN usage_event e WHERE e.dedupe_key = k.dedupe_key AND e.tenant_id = {}",
            if db.engine() == Engine::Sqlite { "?".to_owned() } else { format!("${}", part.len() + 1) },
        );
        let stored: Vec<Stored> = on!(db, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(text.clone()));
            for key in part {
                query = query.bind(key.as_bytes());
            }
            query.bind(tenant).fetch_all(c)
        })?;
        found.extend(stored);
    }
    Ok(found)
}

/// A refused event, as it is listed.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Reject {
    /// Identity; later ones are higher.
    pub id: Uuid,
    /// Why: a code, or `CONFLICT`.
    pub code: String,
    /// Which field is to blame.
    pub field: String,
    /// Why, for people.
    pub message: String,
    /// What it said of itself, cut to its limits.
    pub source: String,
    /// Its id, likewise.
    pub event_id: String,
    /// Its type, likewise.
    pub event_type: String,
    /// Who sent it.
    pub principal_id: Option<PrincipalId>,
    /// With which token.
    pub token_id: Option<TokenId>,
    /// The event that it conflicts with.
    pub seq: Option<i64>,
    /// When it came in.
    pub ingest_time: Time,
}

/// Lists refused events for whoever looks for them.
pub async fn reject_insert_all(tx: &mut Tx<'_>, tenant: TenantId, rejects: &[Reject]) -> Result<()> {
    for (part, values) in bulk(tx.engine(), rejects, 12) {
        let text = format!(
            "INSERT INTO usage_reject (tenant_id, id, code, field, message, source, event_id, event_type, principal_id, token_id, \
             seq, ingest_time) VALUES {values}"
        );
        execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for r in part {
                query = query
                    .bind(tenant)
                    .bind(r.id)
                    .bind(&r.code)
                    .bind(&r.field)
                    .bind(&r.message)
                    .bind(&r.source)
                    .bind(&r.event_id)
                    .bind(&r.event_type)
                    .bind(r.principal_id)
                    .bind(r.token_id)
                    .bind(r.seq)
                    .bind(r.ingest_time);
            }
            query
        })?;
    }
    Ok(())
}

/// Counts refused events, listed or not.
pub async fn reject_count_add(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    (day, code, surface): (Time, &str, &str),
    count: i64,
) -> Result<()> {
    let query = "INSERT INTO usage_reject_count (tenant_id, day, code, surface, count) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (tenant_id, day, code, surface) DO UPDATE SET count = usage_reject_count.count + excluded.count";
    execute!(tx, sqlx::query(query).bind(tenant).bind(day).bind(code).bind(surface).bind(count)).map(|_| ())
}

/// Deletes the oldest of the listed ones until `keep` are left.
pub async fn reject_prune(tx: &mut Tx<'_>, tenant: TenantId, keep: i64) -> Result<u64> {
    let query = "DELETE FROM usage_reject WHERE tenant_id = $1 AND id < \
         (SELECT id FROM usage_reject WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
    execute!(tx, sqlx::query(query).bind(tenant).bind(keep))
}
