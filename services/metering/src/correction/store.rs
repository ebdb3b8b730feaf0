//! SQL of corrections as such: their rows, and what is staged.

use kernel::{
    Error, Result,
    clock::Time,
    db::{
        Engine, Executor, bulk,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    ids::{PrincipalId, TenantId},
    on,
    page::PageKey,
    stamp::changed_one,
};
use sqlx::AssertSqlSafe;
use tenancy::{role::model::RoleId, unit::model::UnitId};
use uuid::Uuid;

use super::model::{Correction, Kind, State};
use crate::event::key::Digest;

macro_rules! columns {
    () => {
        "c.tenant_id, t.slug AS tenant, c.id, c.kind, c.state, c.reason, c.actor, c.range_start, c.range_end, c.client, c.source, \
         c.replaces, c.staged_count, c.taken_count, c.added_count, c.skipped_count, c.effects, c.end_reason, c.end_actor, \
         c.revision, c.create_time, c.update_time, c.commit_time, c.end_time"
    };
}

const LIST: ListSpec = ListSpec {
    name: "usage_corrections",
    columns: columns!(),
    from: "usage_correction c JOIN tenant t ON t.id = c.tenant_id",
    id: "c.id",
    fields: &[
        Field::words("kind", "c.kind", &["void", "amend", "backfill"]),
        Field::words("state", "c.state", &["staged", "committed", "reverted", "abandoned"]),
        Field::text("actor", "c.actor").unsorted(),
        Field::text("reason", "c.reason").unsorted(),
        Field::text("client", "c.client").unsorted(),
        Field::text("source", "c.source").unsorted(),
        Field::time("create_time", "c.create_time"),
        Field::time("commit_time", "c.commit_time").unsorted(),
    ],
    order: "create_time",
    deleted: "",
};

#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: TenantId,
    tenant: String,
    id: Uuid,
    kind: String,
    state: String,
    reason: String,
    actor: String,
    range_start: Option<Time>,
    range_end: Option<Time>,
    client: String,
    source: String,
    replaces: bool,
    staged_count: i64,
    taken_count: i64,
    added_count: i64,
    skipped_count: i64,
    effects: String,
    end_reason: String,
    end_actor: String,
    revision: i64,
    create_time: Time,
    update_time: Time,
    commit_time: Option<Time>,
    end_time: Option<Time>,
}

impl Row {
    fn correction(self) -> Result<Correction> {
        let unknown =
            || Error::internal(format!("usage correction {} has an unknown kind or state", self.id));
        Ok(Correction {
            kind: Kind::parse(&self.kind).ok_or_else(unknown)?,
            state: State::parse(&self.state).ok_or_else(unknown)?,
            tenant_id: self.tenant_id,
            parent: format!("tenants/{}", self.tenant),
            id: self.id,
            reason: self.reason,
            actor: self.actor,
            range: self.range_start.zip(self.range_end),
            client: self.client,
            source: self.source,
            replace: self.replaces,
            staged_count: self.staged_count,
            taken_count: self.taken_count,
            added_count: self.added_count,
            skipped_count: self.skipped_count,
            effects: serde_json::from_str(&self.effects).map_err(Error::internal)?,
            end_reason: self.end_reason,
            end_actor: self.end_actor,
            revision: self.revision,
            create_time: self.create_time,
            update_time: self.update_time,
            commit_time: self.commit_time,
            end_time: self.end_time,
        })
    }
}

/// Inserts a correction.
pub async fn correction_insert(tx: &mut Tx<'_>, c: &Correction) -> Result<()> {
    let query = "INSERT INTO usage_correction (tenant_id, id, kind, state, reason, actor, range_start, range_end, client, source, \
         replaces, staged_next, staged_count, taken_count, added_count, skipped_count, effects, end_reason, end_actor, revision, \
         create_time, update_time, commit_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13, $14, $15, $16, \
         '', '', $17, $18, $19, $20)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(c.tenant_id)
            .bind(c.id)
            .bind(c.kind.as_str())
            .bind(c.state.as_str())
            .bind(&c.reason)
            .bind(&c.actor)
            .bind(c.range.map(|r| r.0))
            .bind(c.range.map(|r| r.1))
            .bind(&c.client)
            .bind(&c.source)
            .bind(c.replace)
            .bind(c.staged_count)
            .bind(c.taken_count)
            .bind(c.added_count)
            .bind(c.skipped_count)
            .bind(effects(c))
            .bind(c.revision)
            .bind(c.create_time)
            .bind(c.update_time)
            .bind(c.commit_time)
    )
    .map(|_| ())
}

fn effects(c: &Correction) -> String {
    serde_json::to_string(&c.effects).unwrap_or_default()
}

/// Stores the next version, against the revision before.
pub async fn correction_update(tx: &mut Tx<'_>, c: &Correction) -> Result<()> {
    let query = "UPDATE usage_correction SET state = $1, staged_count = $2, taken_count = $3, added_count = $4, skipped_count = $5, \
         effects = $6, end_reason = $7, end_actor = $8, revision = $9, update_time = $10, commit_time = $11, end_time = $12 \
         WHERE tenant_id = $13 AND id = $14 AND revision = $15";
    changed_one(execute!(
        tx,
        sqlx::query(query)
            .bind(c.state.as_str())
            .bind(c.staged_count)
            .bind(c.taken_count)
            .bind(c.added_count)
            .bind(c.skipped_count)
            .bind(effects(c))
            .bind(&c.end_reason)
            .bind(&c.end_actor)
            .bind(c.revision)
            .bind(c.update_time)
            .bind(c.commit_time)
            .bind(c.end_time)
            .bind(c.tenant_id)
            .bind(c.id)
            .bind(c.revision - 1)
    )?)
}

/// A correction of a tenant.
pub async fn correction_get(
    db: &mut impl Executor,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Correction>> {
    let row: Option<Row> = on!(db, |c| {
        sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM usage_correction c JOIN tenant t ON t.id = c.tenant_id WHERE c.tenant_id = $1 AND c.id = $2"
    ))
    .bind(tenant)
    .bind(id)
    .fetch_optional(c)
    })?;
    row.map(Row::correction).transpose()
}

/// A page of a tenant's corrections.
pub async fn correction_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Correction>> {
    let page: Page<Row> = list(db, &LIST, &[("c.tenant_id", Value::Id(tenant.0))], query, key).await?;
    let items = page.items.into_iter().map(Row::correction).collect::<Result<_>>()?;
    Ok(Page { items, next_page_token: page.next_page_token })
}

/// How many backfills of a tenant are open.
pub async fn open_count(db: &mut impl Executor, tenant: TenantId) -> Result<i64> {
    let query = "SELECT COUNT(*) FROM usage_correction WHERE tenant_id = $1 AND state = 'staged'";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).fetch_one(c))
}

/// Takes `count` places among what is staged in an open backfill; returns the first. None when it is not open. Whoever has taken
/// places is alone with the backfill until the transaction ends.
pub async fn staged_places_take(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: Uuid,
    count: i64,
) -> Result<Option<i64>> {
    let query = "UPDATE usage_correction SET staged_next = staged_next + $1 WHERE tenant_id = $2 AND id = $3 AND state = 'staged' \
         RETURNING staged_next";
    let next: Option<i64> =
        on!(tx, |c| sqlx::query_scalar(query).bind(count).bind(tenant).bind(id).fetch_optional(c))?;
    Ok(next.map(|next| next - count))
}

/// An event on its way into a correction.
#[derive(Clone, Debug)]
pub struct Staged {
    /// Its place in the correction.
    pub n: i64,
    /// What makes it the same event.
    pub key: Digest,
    /// What it is stored under where that is taken.
    pub own_key: Digest,
    /// What makes it say the same.
    pub payload: Digest,
    /// Who says so.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// The assistant.
    pub client: String,
    /// To whom it is attributed.
    pub principal: Option<PrincipalId>,
    /// Under which role.
    pub role: Option<RoleId>,
    /// Under which unit.
    pub unit: Option<UnitId>,
    /// When it happened.
    pub time: Time,
    /// Its dimensions, as stored.
    pub dims: String,
    /// What it counts, as stored.
    pub amounts: String,
    /// The event that it stands for.
    pub replaces: Option<i64>,
}

/// Stages the events whose key the correction does not have; returns how many those were.
pub async fn staged_insert_all(
    tx: &mut Tx<'_>,
    (tenant, correction): (TenantId, Uuid),
    now: Time,
    rows: &[Staged],
) -> Result<u64> {
    let mut stored = 0;
    for (part, values) in bulk(tx.engine(), rows, 18) {
        let text = format!(
            "INSERT INTO usage_staged (tenant_id, correction_id, n, dedupe_key, own_key, payload_key, source, event_id, event_type, \
             client, principal_id, role_id, unit_id, time, ingest_time, dims, amounts, replaces_seq) VALUES {values} \
             ON CONFLICT (tenant_id, correction_id, dedupe_key) DO NOTHING"
        );
        stored += execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for row in part {
                query = query
                    .bind(tenant)
                    .bind(correction)
                    .bind(row.n)
                    .bind(row.key.as_bytes())
                    .bind(row.own_key.as_bytes())
                    .bind(row.payload.as_bytes())
                    .bind(&row.source)
                    .bind(&row.event_id)
                    .bind(&row.event_type)
                    .bind(&row.client)
                    .bind(row.principal)
                    .bind(row.role)
                    .bind(row.unit)
                    .bind(row.time)
                    .bind(now)
                    .bind(&row.dims)
                    .bind(&row.amounts)
                    .bind(row.replaces);
            }
            query
        })?;
    }
    Ok(stored)
}

/// What is staged under a key: key, place, what it says.
pub async fn staged_find_all(
    tx: &mut Tx<'_>,
    (tenant, correction): (TenantId, Uuid),
    keys: &[Digest],
) -> Result<Vec<(Vec<u8>, i64, Vec<u8>)>> {
    let mut found = Vec::with_capacity(keys.len());
    for (part, marks) in bulk(tx.engine(), keys, 1) {
        let of = if tx.engine() == Engine::Sqlite {
            ["?".to_owned(), "?".to_owned()]
        } else {
            [part.len() + 1, part.len() + 2].map(|n| format!("${n}"))
        };
        let text = format!(
            "WITH k (dedupe_key) AS (VALUES {marks}) SELECT s.dedupe_key, s.n, s.payload_key FROM k CROSS JOIN usage_staged s \
             WHERE s.dedupe_key = k.dedupe_key AND s.tenant_id = {} AND s.correction_id = {}",
            of[0], of[1]
        );
        let rows: Vec<(Vec<u8>, i64, Vec<u8>)> = on!(tx, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(text.clone()));
            for key in part {
                query = query.bind(key.as_bytes());
            }
            query.bind(tenant).bind(correction).fetch_all(c)
        })?;
        found.extend(rows);
    }
    Ok(found)
}

/// Removes what is staged in a correction.
pub async fn staged_delete(tx: &mut Tx<'_>, (tenant, correction): (TenantId, Uuid)) -> Result<u64> {
    let query = "DELETE FROM usage_staged WHERE tenant_id = $1 AND correction_id = $2";
    execute!(tx, sqlx::query(query).bind(tenant).bind(correction))
}
