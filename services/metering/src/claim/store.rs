//! SQL of claims.

use kernel::{
    Result,
    clock::Time,
    db::{Executor, tx::Tx},
    execute,
    ids::{PrincipalId, TenantId},
    on,
};
use sqlx::AssertSqlSafe;

use super::SourceKind;
use crate::store::{chunks, insert, parameters};

/// Whose figures of which session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::FromRow)]
pub struct Key {
    /// The assistant.
    pub client: String,
    /// The session.
    pub session: String,
    /// Nil for a tenant's own token.
    pub principal_id: PrincipalId,
}

/// What is decided for a session.
#[derive(sqlx::FromRow)]
struct Decided {
    #[sqlx(flatten)]
    key: Key,
    kind: String,
}

/// Decides where nothing is decided.
pub async fn source_insert_all(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    now: Time,
    asked: &[(Key, SourceKind)],
) -> Result<()> {
    for chunk in chunks(asked) {
        let text = insert(
            "usage_session_source (tenant_id, client, session, principal_id, kind, decided_time)",
            6,
            chunk.len(),
            " ON CONFLICT (tenant_id, client, session, principal_id) DO NOTHING",
        );
        execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for (key, kind) in chunk {
                query = query
                    .bind(tenant)
                    .bind(&key.client)
                    .bind(&key.session)
                    .bind(key.principal_id)
                    .bind(kind.as_str())
                    .bind(now);
            }
            query
        })?;
    }
    Ok(())
}

/// What is decided.
pub async fn source_find_all(
    db: &mut impl Executor,
    tenant: TenantId,
    keys: &[Key],
) -> Result<Vec<(Key, String)>> {
    let mut found = Vec::with_capacity(keys.len());
    for chunk in chunks(keys) {
        // sessions are random: hardly any is found that was not asked for, and the caller goes by the whole key
        let text = format!(
            "SELECT client, session, principal_id, kind FROM usage_session_source WHERE tenant_id = $1 AND session IN ({})",
            parameters(2, chunk.len())
        );
        let rows: Vec<Decided> = on!(db, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(text.clone())).bind(tenant);
            for key in chunk {
                query = query.bind(&key.session);
            }
            query.fetch_all(c)
        })?;
        found.extend(rows.into_iter().map(|row| (row.key, row.kind)));
    }
    Ok(found)
}
