//! Two engines behind one SQL text. `on!` and `execute!` type-check one body against both drivers.

use std::{fs::File, path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection, Sqlite, SqliteConnection, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    config::Config,
    error::{Error, Result},
};

pub mod cache;
pub mod coverage;
mod group;
pub mod list;
mod lite;
mod pg;
pub mod retry;
mod shelf;
pub mod tx;

use group::Writer;
use shelf::{Shelf, Shelved};

/// A connection of either engine.
pub enum Conn<'c> {
    /// Embedded.
    Sqlite(&'c mut SqliteConnection),
    /// Shared.
    Postgres(&'c mut PgConnection),
}

/// What a store function runs on: a [`Reader`] or a [`tx::Tx`].
pub trait Executor: Send {
    /// The connection underneath, ready for a statement.
    fn conn(&mut self) -> impl Future<Output = Result<Conn<'_>>> + Send;

    /// A statement has ended, well or with `error`.
    fn ended(&mut self, error: Option<&Error>);
}

impl<T: Executor> Executor for &mut T {
    fn conn(&mut self) -> impl Future<Output = Result<Conn<'_>>> + Send {
        (**self).conn()
    }

    fn ended(&mut self, error: Option<&Error>) {
        (**self).ended(error);
    }
}

/// Runs one statement: `sqlite` or `postgres`, on the connection that `db` has. The macros below are made of it.
#[doc(hidden)]
#[macro_export]
macro_rules! run {
    ($db:expr, $s:ident => $sqlite:expr, $p:ident => $postgres:expr) => {{
        let result = match $crate::db::Executor::conn(&mut *$db).await {
            Ok($crate::db::Conn::Sqlite($s)) => {
                $crate::db::coverage::note(file!(), line!(), "sqlite");
                $sqlite.await.map_err($crate::error::Error::from)
            }
            Ok($crate::db::Conn::Postgres($p)) => {
                $crate::db::coverage::note(file!(), line!(), "postgres");
                $postgres.await.map_err($crate::error::Error::from)
            }
            Err(error) => Err(error),
        };
        $crate::db::Executor::ended(&mut *$db, result.as_ref().err());
        result
    }};
}

/// Runs one query body on whichever engine: `on!(db, |c| sqlx::query_as("…").bind(id).fetch_optional(c))`.
#[macro_export]
macro_rules! on {
    ($db:expr, |$c:ident| $body:expr) => {
        $crate::run!($db, $c => $body, $c => $body)
    };
    // the two-body form, for the few statements that must differ; a test counts its uses
    ($db:expr, sqlite |$s:ident| $sqlite:expr, postgres |$p:ident| $postgres:expr) => {
        $crate::run!($db, $s => $sqlite, $p => $postgres)
    };
}

/// Executes a statement and returns how many rows it changed: `execute!(tx, sqlx::query("…").bind(id))`.
#[macro_export]
macro_rules! execute {
    ($db:expr, $query:expr) => {
        $crate::run!(
            $db,
            c => { let query = $query; async { query.execute(c).await.map(|r| r.rows_affected()) } },
            c => { let query = $query; async { query.execute(c).await.map(|r| r.rows_affected()) } }
        )
    };
}

/// Inserts one row with a statement without RETURNING: `insert_one!(tx, sqlx::query("INSERT …").bind(id), taken)`,
/// where `taken` is the error when a unique key refuses it.
///
/// As the first statement of its transaction it waits for the commit and goes to the database together with the audit
/// record in one round trip; a refusal then comes from the commit.
#[macro_export]
macro_rules! insert_one {
    ($tx:expr, $query:expr, $taken:expr) => {
        if $tx.can_hold() {
            $crate::db::coverage::note(file!(), line!(), $tx.engine_name());
            $tx.hold(|| $query, || $query, $taken)
        } else {
            $crate::execute!($tx, $query).map(|_| ()).map_err(|e| e.on_unique(|| $taken))
        }
    };
}

/// `($1, $2), ($3, $4)` for two rows of two columns: the VALUES of a large INSERT.
pub fn placeholders(rows: usize, columns: usize) -> String {
    let row = |r: usize| {
        let numbers: Vec<_> = (1..=columns).map(|c| format!("${}", r * columns + c)).collect();
        format!("({})", numbers.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    rows.join(", ")
}

/// Most rows in one statement of [`bulk`].
const BULK: usize = 64;

/// Cuts `rows` into the statements of a large INSERT, each part with its VALUES.
///
/// SQLite looks a parameter's name up among all of its statement, which costs the square of their number, so parts are
/// small; and a part always has a power of two of rows, so that a few texts are prepared once and used again.
pub fn bulk<T>(rows: &[T], columns: usize) -> impl Iterator<Item = (&[T], String)> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let most = rest.len().min(BULK);
        let size = 1 << most.checked_ilog2()?;
        let (part, others) = rest.split_at(size);
        rest = others;
        Some((part, placeholders(size, columns)))
    })
}

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, one process.
    Sqlite,
    /// Shared by several processes.
    Postgres,
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    inner: Inner,
}

#[derive(Clone)]
enum Inner {
    Sqlite { readers: SqlitePool, writer: Writer, _lock: std::sync::Arc<File> },
    Postgres(Shelf),
}

/// Begins a snapshot on PostgreSQL.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// The file of the embedded database inside the data directory.
pub const SQLITE_FILE: &str = "provost.db";
/// Held locked while a process uses the embedded database.
pub const LOCK_FILE: &str = "provost.lock";

impl Db {
    /// Opens the database that the configuration names. SQLite is created when missing; PostgreSQL must exist.
    pub async fn open(config: &Config) -> Result<Self> {
        let wait = Duration::from_secs(config.database.acquire_timeout_seconds);
        if config.database.url.is_empty() {
            return Self::open_sqlite(&config.server.data_dir, config.database.max_connections, wait).await;
        }
        let options: PgConnectOptions =
            config.database.url.parse().map_err(|_| Error::DatabaseUnavailable {
                cause: "`database.url` is not a PostgreSQL URL; write `postgres://user@host/database`"
                    .to_owned(),
            })?;
        let pool = PgPoolOptions::new()
            .max_connections(config.database.max_connections)
            .acquire_timeout(wait)
            // a round trip less each time; a connection that died shows at its first use as UNAVAILABLE and is not kept
            .test_before_acquire(false)
            .connect_with(options.application_name("provostd"))
            .await?;
        Ok(Self { inner: Inner::Postgres(Shelf::new(pool, config.database.max_connections, wait)) })
    }

    async fn open_sqlite(dir: &Path, readers: u32, wait: Duration) -> Result<Self> {
        let lock = lock_directory(dir)?;
        let options = SqliteConnectOptions::new()
            .filename(dir.join(SQLITE_FILE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(wait)
            .foreign_keys(true)
            .statement_cache_capacity(256);
        // what is deleted is overwritten: nothing of an erased person stays in free pages
        let writer = Writer::open(&options.clone().pragma("secure_delete", "ON")).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(readers)
            .min_connections(1)
            .acquire_timeout(wait)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self { inner: Inner::Sqlite { readers, writer, _lock: std::sync::Arc::new(lock) } })
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match self.inner {
            Inner::Sqlite { .. } => Engine::Sqlite,
            Inner::Postgres(_) => Engine::Postgres,
        }
    }

    /// A connection for reading outside a transaction.
    pub async fn reader(&self) -> Result<Reader> {
        match &self.inner {
            Inner::Sqlite { readers, .. } => Ok(Reader(ReaderInner::Sqlite(readers.acquire().await?))),
            Inner::Postgres(shelf) => Ok(Reader(ReaderInner::Postgres(shelf.acquire().await?))),
        }
    }

    /// A connection for reading whose statements all see the database as the first of them does. It holds back the
    /// engine's cleaning up while it lives, so keep it short.
    pub async fn snapshot(&self) -> Result<Reader> {
        match &self.inner {
            Inner::Sqlite { readers, .. } => Ok(Reader(ReaderInner::SqliteSnapshot(readers.begin().await?))),
            Inner::Postgres(shelf) => {
                let tx = tx::PgTx::new(shelf.acquire().await?).begun_by(SNAPSHOT);
                Ok(Reader(ReaderInner::PostgresSnapshot(tx)))
            }
        }
    }

    /// Runs the migrations; returns the schema version before and after. On SQLite they run on the only writer.
    pub async fn migrate(&self) -> Result<(i64, i64)> {
        let outcome = match &self.inner {
            Inner::Sqlite { writer, .. } => schema::migrate_sqlite(&mut *writer.connection().await?).await,
            Inner::Postgres(shelf) => schema::migrate_postgres(shelf.acquire().await?.conn()?).await,
        };
        outcome.map_err(Error::internal)
    }

    /// The schema version in the database and the one that this program brings.
    pub async fn schema_versions(&self) -> Result<(i64, i64)> {
        let mut reader = self.reader().await?;
        let found = run!(&mut reader, c => schema::version_sqlite(c), c => schema::version_postgres(c))?;
        Ok((found, schema::NEWEST))
    }

    /// One round trip: is it there?
    pub async fn ping(&self) -> Result<()> {
        let mut reader = self.reader().await?;
        execute!(&mut reader, sqlx::query("SELECT 1")).map(|_| ())
    }

    /// Waits for connections in use and closes; nothing can be read or written afterwards.
    pub async fn close(&self) {
        match &self.inner {
            Inner::Sqlite { readers, writer, .. } => {
                readers.close().await;
                if let Err(error) = writer.checkpoint().await {
                    tracing::warn!(%error, "checkpoint failed; the write-ahead log is read at the next start");
                }
            }
            Inner::Postgres(shelf) => shelf.close().await,
        }
    }

    /// Removes from the files what committed changes to `tables` have overwritten or deleted.
    ///
    /// SQLite overwrites it in place, so only the write-ahead log still has it and is emptied. PostgreSQL is asked to
    /// vacuum: dead rows go, but their bytes may stay in a page until it is used again, and archived write-ahead logs and
    /// backups keep them for as long as those are kept. Fails when readers are in the way.
    pub async fn scrub(&self, tables: &[&'static str]) -> Result<()> {
        match &self.inner {
            Inner::Sqlite { writer, .. } => writer.checkpoint().await,
            Inner::Postgres(shelf) => {
                let mut shelved = shelf.acquire().await?;
                for table in tables {
                    let vacuum = sqlx::raw_sql(AssertSqlSafe(format!("VACUUM {table}")));
                    let done = vacuum.execute(shelved.conn()?).await.map_err(Error::from);
                    shelved.ended(done.as_ref().err());
                    done?;
                }
                Ok(())
            }
        }
    }

    /// Begins a transaction for what is derived from the audit log and is no state of its own: sequence, search index,
    /// pruning. It carries no audit record; nothing else may use it.
    pub async fn begin_derived(&self) -> Result<tx::EngineTx> {
        self.begin().await
    }

    pub(crate) async fn begin(&self) -> Result<tx::EngineTx> {
        match &self.inner {
            Inner::Sqlite { writer, .. } => Ok(tx::EngineTx::Sqlite(tx::LiteTx::new(writer.clone()))),
            Inner::Postgres(shelf) => Ok(tx::EngineTx::Postgres(tx::PgTx::new(shelf.acquire().await?))),
        }
    }
}

/// A connection for reading: outside a transaction, or on a snapshot.
pub struct Reader(ReaderInner);

enum ReaderInner {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(Shelved),
    SqliteSnapshot(Transaction<'static, Sqlite>),
    PostgresSnapshot(tx::PgTx),
}

impl Executor for Reader {
    async fn conn(&mut self) -> Result<Conn<'_>> {
        match &mut self.0 {
            ReaderInner::Sqlite(c) => Ok(Conn::Sqlite(c)),
            ReaderInner::Postgres(c) => c.conn().map(Conn::Postgres),
            ReaderInner::SqliteSnapshot(tx) => Ok(Conn::Sqlite(tx)),
            ReaderInner::PostgresSnapshot(tx) => tx.conn().await.map(Conn::Postgres),
        }
    }

    fn ended(&mut self, error: Option<&Error>) {
        match &mut self.0 {
            ReaderInner::Postgres(c) => c.ended(error),
            ReaderInner::PostgresSnapshot(tx) => tx.ended(error),
            ReaderInner::Sqlite(_) | ReaderInner::SqliteSnapshot(_) => {}
        }
    }
}

/// Creates the directory (0700) and takes its lock, so that two processes never write one SQLite file.
fn lock_directory(dir: &Path) -> Result<File> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let away = |what: &str, e: &dyn std::fmt::Display| Error::DatabaseUnavailable {
        cause: format!("{what} `{}`: {e}; check `server.data_dir` and its permissions", dir.display()),
    };
    if !dir.exists() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| away("cannot create the data directory", &e))?;
    }
    let path = dir.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
    let file = file.map_err(|e| away("cannot open the lock file in", &e))?;
    file.try_lock().map_err(|_| Error::DatabaseUnavailable {
        cause: format!(
            "another provostd uses the SQLite database in `{}`; stop it, choose another `server.data_dir`, or use PostgreSQL to run several",
            dir.display()
        ),
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #[test]
    fn placeholders_count_on_through_the_rows() {
        assert_eq!(super::placeholders(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }

    #[test]
    fn a_large_insert_has_every_row_once_in_parts_of_few_sizes() {
        for count in [0, 1, 2, 3, 63, 64, 65, 200] {
            let rows: Vec<_> = (0..count).collect();
            let parts: Vec<_> = super::bulk(&rows, 2).collect();
            let again: Vec<i32> = parts.iter().flat_map(|(part, _)| part.to_vec()).collect();
            assert_eq!(again, rows);
            assert!(parts.iter().all(|(part, _)| part.len().is_power_of_two() && part.len() <= 64));
            assert!(parts.iter().all(|(part, values)| values.matches('$').count() == part.len() * 2));
        }
    }
}
