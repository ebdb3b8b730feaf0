//! SQL of usage: events, what they add to meters, and sums of that.

use kernel::{
    Result,
    clock::Time,
    db::{Executor, tx::Tx},
    execute,
    ids::{PrincipalId, TenantId},
    on,
};
use sqlx::AssertSqlSafe;
use tenancy::unit::model::UnitId;

use crate::model::{Dimension, Figure, Holder, Row, Stored, UsageQuery};

/// Rows written or asked for by one statement, largest first. Few sizes, so that the engines prepare few statements;
/// the largest stays far below both engines' limit of parameters (32,766 and 65,535).
const SIZES: [usize; 4] = [512, 64, 8, 1];

/// Most figures in an answer.
pub const MAX_FIGURES: usize = 10_000;

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

/// Stores the events whose key is not taken.
pub async fn event_insert(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    holder: Holder,
    now: Time,
    rows: &[Row],
) -> Result<()> {
    for chunk in chunks(rows) {
        let text = insert(
            "usage_event (tenant_id, dedupe_key, id, payload_key, source, event_id, event_type, client, \
             principal_id, role_id, unit_id, time, ingest_time, attributes)",
            14,
            chunk.len(),
            " ON CONFLICT (tenant_id, dedupe_key) DO NOTHING",
        );
        execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for row in chunk {
                query = query
                    .bind(tenant)
                    .bind(row.key.as_bytes())
                    .bind(row.id)
                    .bind(row.payload.as_bytes())
                    .bind(row.event.source.as_ref())
                    .bind(&row.event.id)
                    .bind(row.event.event_type.as_ref())
                    .bind(row.event.client.as_ref())
                    .bind(holder.principal)
                    .bind(holder.role)
                    .bind(holder.unit)
                    .bind(row.event.time)
                    .bind(now)
                    .bind(&row.event.attributes);
            }
            query
        })?;
    }
    Ok(())
}

/// What is stored under the keys of `rows`.
pub async fn event_find(db: &mut impl Executor, tenant: TenantId, rows: &[Row]) -> Result<Vec<Stored>> {
    let mut found = Vec::with_capacity(rows.len());
    for chunk in chunks(rows) {
        let text = format!(
            "SELECT dedupe_key, id, payload_key FROM usage_event WHERE tenant_id = $1 AND dedupe_key IN ({})",
            parameters(2, chunk.len())
        );
        let stored: Vec<Stored> = on!(db, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(text.clone())).bind(tenant);
            for row in chunk {
                query = query.bind(row.key.as_bytes());
            }
            query.fetch_all(c)
        })?;
        found.extend(stored);
    }
    Ok(found)
}

/// Stores what new events add to their meters; with each, whether what is told in several ways counts in its way.
pub async fn amount_insert(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    holder: Holder,
    rows: &[(&Row, bool)],
) -> Result<()> {
    let amounts: Vec<_> = rows
        .iter()
        .flat_map(|(row, counted)| row.amounts(*counted).map(move |amount| (row, amount)))
        .collect();
    for chunk in chunks(&amounts) {
        let text = insert(
            "usage_amount (tenant_id, meter, time, event_id, client, principal_id, role_id, unit_id, amount)",
            9,
            chunk.len(),
            "",
        );
        execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for (row, (meter, amount)) in chunk {
                query = query
                    .bind(tenant)
                    .bind(*meter)
                    .bind(row.event.time)
                    .bind(row.id)
                    .bind(row.event.client.as_ref())
                    .bind(holder.principal)
                    .bind(holder.role)
                    .bind(holder.unit)
                    .bind(*amount);
            }
            query
        })?;
    }
    Ok(())
}

/// Sums by meter and dimension, of everybody or of one principal, unsorted, at most one more than [`MAX_FIGURES`]. What was
/// deleted keeps its name.
pub async fn amount_sum(
    db: &mut impl Executor,
    tenant: TenantId,
    principal: Option<PrincipalId>,
    query: &UsageQuery,
) -> Result<Vec<Figure>> {
    let has = |dimension| query.group_by.contains(&dimension);
    let grouped =
        |dimension: Dimension, yes: &'static str, no: &'static str| if has(dimension) { yes } else { no };
    let text = format!(
        "SELECT s.meter, s.value, {} AS role, {} AS unit, {} AS principal, {} AS client \
         FROM (SELECT a.tenant_id, a.meter, CAST(SUM(a.amount) AS BIGINT) AS value{columns} FROM usage_amount a \
               WHERE a.tenant_id = $1 AND a.time >= $2 AND a.time < $3 AND a.meter IN ({}){} \
               GROUP BY a.tenant_id, a.meter{columns} LIMIT {}) s{}{}{}",
        grouped(Dimension::Role, "COALESCE(r.slug, '')", "''"),
        grouped(Dimension::Unit, "COALESCE(u.slug, '')", "''"),
        grouped(Dimension::Principal, "COALESCE(p.slug, '')", "''"),
        grouped(Dimension::Client, "s.client", "''"),
        parameters(4, query.meters.len()),
        principal.map_or_else(String::new, |_| format!(" AND a.principal_id = ${}", 4 + query.meters.len())),
        MAX_FIGURES + 1,
        grouped(Dimension::Role, " LEFT JOIN role r ON r.tenant_id = s.tenant_id AND r.id = s.role_id", ""),
        grouped(Dimension::Unit, " LEFT JOIN unit u ON u.tenant_id = s.tenant_id AND u.id = s.unit_id", ""),
        grouped(
            Dimension::Principal,
            " LEFT JOIN principal p ON p.scope_id = s.tenant_id AND p.id = s.principal_id",
            ""
        ),
        columns = query.group_by.iter().map(|d| d.column()).collect::<String>(),
    );
    on!(db, |c| {
        let mut sum = sqlx::query_as(AssertSqlSafe(text)).bind(tenant).bind(query.start).bind(query.end);
        for meter in &query.meters {
            sum = sum.bind(meter.key);
        }
        if let Some(principal) = principal {
            sum = sum.bind(principal);
        }
        sum.fetch_all(c)
    })
}

/// Cuts `rows` into pieces of the few [`SIZES`].
pub(crate) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (chunk, rest) = rows.split_at_checked(size)?;
        rows = rest;
        Some(chunk)
    })
}

/// `INSERT INTO … VALUES ($1, …), (…)…` for `rows` rows of `columns` parameters.
pub(crate) fn insert(table: &str, columns: usize, rows: usize, conflict: &str) -> String {
    let values: Vec<_> =
        (0..rows).map(|row| format!("({})", parameters(row * columns + 1, columns))).collect();
    format!("INSERT INTO {table} VALUES {}{conflict}", values.join(", "))
}

/// `$first, $first+1, …`.
pub(crate) fn parameters(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_rows_in_order_with_few_sizes() {
        for count in [0, 1, 7, 8, 9, 64, 583, 1_025, 10_000] {
            let rows: Vec<usize> = (0..count).collect();
            let cut: Vec<_> = chunks(&rows).collect();
            assert_eq!(cut.concat(), rows);
            assert!(cut.iter().all(|c| SIZES.contains(&c.len())));
        }
        assert_eq!(insert("t (a, b)", 2, 2, ""), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        assert!(SIZES[0] * 14 < 32_766);
    }
}
