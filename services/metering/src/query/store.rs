//! SQL of questions: events by time, and names of what figures are told apart by.

use kernel::{
    Result,
    db::{Engine, Executor, bulk},
    ids::TenantId,
    on,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::window::Span;
use crate::{
    correction::stands,
    rollup::{fold::Raw, store::raw_columns},
};

/// Events that stand and happened in `span`, in places below `below` and after `after` (time, place), at most `limit`, oldest first;
/// with their types only when `typed`.
pub async fn event_list_by_time(
    db: &mut impl Executor,
    tenant: TenantId,
    typed: bool,
    span: Span,
    below: i64,
    after: (i64, i64),
    limit: i64,
) -> Result<Vec<Raw>> {
    let query = format!(
        "SELECT {} FROM usage_event e WHERE e.tenant_id = $1 AND e.time >= $2 AND e.time < $3 AND (e.time, e.seq) > ($4, $5) \
         AND e.seq < $6 AND {} ORDER BY e.time, e.seq LIMIT $7",
        raw_columns(typed),
        stands!("e")
    );
    on!(db, |c| sqlx::query_as(AssertSqlSafe(query.clone()))
        .bind(tenant)
        .bind(span.start)
        .bind(span.end)
        .bind(after.0)
        .bind(after.1)
        .bind(below)
        .bind(limit)
        .fetch_all(c))
}

/// Last segments of the names of all roles, deleted ones too, and their families: a name never means somebody else later.
pub async fn role_names(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<(Uuid, String, String)>> {
    let query = "SELECT id, slug, family FROM role WHERE tenant_id = $1";
    on!(db, |c| sqlx::query_as(query).bind(tenant).fetch_all(c))
}

/// The same of all units.
pub async fn unit_names(db: &mut impl Executor, tenant: TenantId) -> Result<Vec<(Uuid, String)>> {
    on!(db, |c| sqlx::query_as("SELECT id, slug FROM unit WHERE tenant_id = $1").bind(tenant).fetch_all(c))
}

/// The same of these principals.
pub async fn principal_names(
    db: &mut impl Executor,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, String)>> {
    let mut names = Vec::with_capacity(ids.len());
    for (part, marks) in bulk(db.engine(), ids, 1) {
        let list = marks.replace(['(', ')'], "");
        let own = if db.engine() == Engine::Sqlite { "?".to_owned() } else { format!("${}", part.len() + 1) };
        let text = format!("SELECT id, slug FROM principal WHERE id IN ({list}) AND scope_id = {own}");
        let found: Vec<(Uuid, String)> = on!(db, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(text.clone()));
            for id in part {
                query = query.bind(*id);
            }
            query.bind(tenant).fetch_all(c)
        })?;
        names.extend(found);
    }
    Ok(names)
}
