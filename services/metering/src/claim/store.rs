//! SQL of claims.

use kernel::{
    Result,
    clock::Time,
    db::{Engine, Executor, bulk, tx::Tx},
    execute,
    ids::{PrincipalId, TenantId},
    on,
};
use sqlx::AssertSqlSafe;

use super::SourceKind;

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
    for (chunk, values) in bulk(tx.engine(), asked, 6) {
        let text = format!(
            "INSERT INTO usage_session_source (tenant_id, client, session, principal_id, kind, decided_time) VALUES {values} \
             ON CONFLICT (tenant_id, session, client, principal_id) DO NOTHING"
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
    for (chunk, marks) in bulk(db.engine(), keys, 1) {
        // sessions are random: hardly any is found that was not asked for, and the caller goes by the whole key
        let text = format!(
            "SELECT client, session, principal_id, kind FROM usage_session_source WHERE session IN ({}) AND tenant_id = {}",
            marks.replace(['(', ')'], ""),
            if db.engine() == Engine::Sqlite { "?".to_owned() } else { format!("${}", chunk.len() + 1) },
        );
        let rows: Vec<Decided> = on!(db, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(text.clone()));
            for key in chunk {
                query = query.bind(&key.session);
            }
            query.bind(tenant).fetch_all(c)
        })?;
        found.extend(rows.into_iter().map(|row| (row.key, row.kind)));
    }
    Ok(found)
}
