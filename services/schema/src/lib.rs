//! Migrations of both engines. `sqlite/NNNN_x.sql` and `postgres/NNNN_x.sql` carry the same names and yield the same
//! tables; the parity test holds them to it.

use sqlx::{PgConnection, SqliteConnection, migrate::Migrator};

mod telemetry;

pub use telemetry::telemetry_hash;

static SQLITE: Migrator = sqlx::migrate!("./sqlite");
static POSTGRES: Migrator = sqlx::migrate!("./postgres");

/// The schema version that this program brings.
pub const NEWEST: i64 = 16;

/// Why a migration did not run.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database was written by a newer program.
    #[error(
        "the database has schema version {found}, this provostd knows up to {NEWEST}; start the newer provostd that wrote it, or restore a backup"
    )]
    Newer {
        /// Version in the database.
        found: i64,
    },
    /// The engine refused.
    #[error("migration failed: {0}; nothing after the last finished step was changed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The engine did not answer.
    #[error("reading the schema version failed: {0}")]
    Read(#[from] sqlx::Error),
}

/// Brings a SQLite database to [`NEWEST`]; returns the version before and after.
pub async fn migrate_sqlite(conn: &mut SqliteConnection) -> Result<(i64, i64), SchemaError> {
    let before = refuse_newer(version_sqlite(conn).await?)?;
    SQLITE.run(&mut *conn).await?;
    telemetry::fill_sqlite(conn).await?;
    Ok((before, version_sqlite(conn).await?))
}

/// Brings a PostgreSQL database to [`NEWEST`]; returns the version before and after. Two that start at once take turns.
pub async fn migrate_postgres(conn: &mut PgConnection) -> Result<(i64, i64), SchemaError> {
    let before = refuse_newer(version_postgres(conn).await?)?;
    POSTGRES.run(&mut *conn).await?;
    telemetry::fill_postgres(conn).await?;
    Ok((before, version_postgres(conn).await?))
}

/// The schema version of a SQLite database; 0 when it is empty.
pub async fn version_sqlite(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let known = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
    let known: i64 = sqlx::query_scalar(known).fetch_one(&mut *conn).await?;
    if known == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(conn)
        .await
}

/// The schema version of a PostgreSQL database; 0 when it is empty.
pub async fn version_postgres(conn: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let known: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text").fetch_one(&mut *conn).await?;
    if known.is_none() {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(conn)
        .await
}

fn refuse_newer(found: i64) -> Result<i64, SchemaError> {
    if found > NEWEST { Err(SchemaError::Newer { found }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_have_the_same_migrations_and_newest_is_the_last() {
        let names = |m: &Migrator| m.iter().map(|m| (m.version, m.description.clone())).collect::<Vec<_>>();
        assert_eq!(names(&SQLITE), names(&POSTGRES));
        assert_eq!(names(&SQLITE).last().map(|(version, _)| *version), Some(NEWEST));
    }
}
