//! Two engines behind one SQL text. `on!` and `execute!` type-check one body against both drivers.

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection, Sqlite, SqliteConnection, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clock::Time,
    config::Config,
    error::{Error, Result},
};

pub mod batch;
pub mod cache;
pub mod coverage;
mod group;
pub mod list;
mod lite;
pub mod look;
mod pg;
pub mod retry;
mod shelf;
pub mod tx;
mod wal;

use batch::Batches;
use group::{Kind, Writer};
use shelf::{Shelf, Shelved};

/// What is done once it is known how a transaction ended, before anybody is told: whoever asked for it may be gone by then,
/// and this process has to know of the change all the same.
pub(crate) type Known = Box<dyn FnOnce(&Result<()>) + Send>;

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

    /// Which engine it is.
    fn engine(&self) -> Engine;
}

impl<T: Executor> Executor for &mut T {
    fn conn(&mut self) -> impl Future<Output = Result<Conn<'_>>> + Send {
        (**self).conn()
    }

    fn ended(&mut self, error: Option<&Error>) {
        (**self).ended(error);
    }

    fn engine(&self) -> Engine {
        (**self).engine()
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

/// Inserts one row: `insert_one!(tx, "INSERT INTO role (tenant_id, id)", [tenant, id], taken)`, where `taken` is the error
/// when a unique key refuses it.
///
/// As the first statement of its transaction it waits for the commit and goes to the database with its audit record, and
/// with others like it that wait, in one round trip; a refusal then comes from the commit.
#[macro_export]
macro_rules! insert_one {
    ($tx:expr, $head:expr, [$($value:expr),+ $(,)?], $taken:expr) => {{
        $crate::db::coverage::note(file!(), line!(), $crate::db::Executor::engine(&*$tx).name());
        let row: $crate::db::batch::Row = vec![$(Box::new($value)),+];
        $tx.insert_one($crate::db::batch::Insert { head: $head, row, taken: $taken }).await
    }};
}

/// The parameters of `rows` rows, as `VALUES` has them: `($1, $2), ($3, $4)`, numbered on from `from`.
///
/// SQLite has them without numbers: it looks a number up among all of a statement, which costs the square of how many
/// there are.
fn marks(engine: Engine, from: usize, rows: usize, columns: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(rows * columns * 6);
    for n in 0..rows * columns {
        text.push_str(match (n, n % columns) {
            (0, _) => "(",
            (_, 0) => "), (",
            _ => ", ",
        });
        // writing to a string does not fail
        let _ = match engine {
            Engine::Sqlite => text.write_char('?'),
            Engine::Postgres => write!(text, "${}", from + n + 1),
        };
    }
    text.push(')');
    text
}

/// Most rows in one statement of [`bulk`].
const BULK: usize = 64;

/// Cuts `rows` into the statements of a large INSERT, each part with its VALUES. A part always has a power of two of rows,
/// so that a few texts are prepared once and used again.
pub fn bulk<T>(engine: Engine, rows: &[T], columns: usize) -> impl Iterator<Item = (&[T], String)> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let most = rest.len().min(BULK);
        let size = 1 << most.checked_ilog2()?;
        let (part, others) = rest.split_at(size);
        rest = others;
        Some((part, marks(engine, 0, size, columns)))
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

impl Engine {
    /// `sqlite` or `postgres`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    inner: Inner,
}

#[derive(Clone)]
enum Inner {
    Sqlite {
        readers: SqlitePool,
        writer: Writer,
        batches: Batches,
        _tender: Arc<AbortOnDropHandle<()>>,
        _lock: Arc<File>,
    },
    Postgres {
        shelf: Shelf,
        batches: Batches,
    },
}

/// The schema version that this program brings.
pub const SCHEMA_NEWEST: i64 = schema::NEWEST;
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
        let shelf = Shelf::new(pool, config.database.max_connections, wait);
        Ok(Self { inner: Inner::Postgres { shelf, batches: Batches::default() } })
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
        let writing = options
            .clone()
            // what is deleted is overwritten: nothing of an erased person stays in free pages
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", wal::TOO_LONG)
            // kibibytes, as they are used: what many clients change at a time stays at hand
            .pragma("cache_size", "-32768");
        let writer = Writer::open(&writing).await?;
        let tender = Arc::new(wal::tend(&options, writer.clone()).await?);
        let readers = SqlitePoolOptions::new()
            .max_connections(readers)
            .min_connections(1)
            .acquire_timeout(wait)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        let (batches, lock) = (Batches::default(), Arc::new(lock));
        Ok(Self { inner: Inner::Sqlite { readers, writer, batches, _tender: tender, _lock: lock } })
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match self.inner {
            Inner::Sqlite { .. } => Engine::Sqlite,
            Inner::Postgres { .. } => Engine::Postgres,
        }
    }

    /// A connection for reading outside a transaction.
    pub async fn reader(&self) -> Result<Reader> {
        match &self.inner {
            Inner::Sqlite { readers, .. } => Ok(Reader(ReaderInner::Sqlite(readers.acquire().await?))),
            Inner::Postgres { shelf, .. } => Ok(Reader(ReaderInner::Postgres(shelf.acquire().await?))),
        }
    }

    /// A connection for reading whose statements all see the database as the first of them does. It holds back the
    /// engine's cleaning up while it lives, so keep it short.
    pub async fn snapshot(&self) -> Result<Reader> {
        match &self.inner {
            Inner::Sqlite { readers, .. } => Ok(Reader(ReaderInner::SqliteSnapshot(readers.begin().await?))),
            Inner::Postgres { shelf, .. } => {
                let tx = tx::PgTx::new(shelf.clone(), Batches::default()).begun_by(SNAPSHOT);
                Ok(Reader(ReaderInner::PostgresSnapshot(tx)))
            }
        }
    }

    /// Runs the migrations; returns the schema version before and after. On SQLite they run on the only writer.
    pub async fn migrate(&self) -> Result<(i64, i64)> {
        let outcome = match &self.inner {
            Inner::Sqlite { writer, .. } => schema::migrate_sqlite(&mut *writer.connection().await?).await,
            Inner::Postgres { shelf, .. } => schema::migrate_postgres(shelf.acquire().await?.conn()?).await,
        };
        outcome.map_err(Error::internal)
    }

    /// The schema version in the database and the one that this program brings.
    pub async fn schema_versions(&self) -> Result<(i64, i64)> {
        let mut reader = self.reader().await?;
        let found = run!(&mut reader, c => schema::version_sqlite(c), c => schema::version_postgres(c))?;
        Ok((found, schema::NEWEST))
    }

    /// One round trip: is it there? Of the embedded one also: does what is written get to the disk?
    pub async fn ping(&self) -> Result<()> {
        let mut reader = self.reader().await?;
        execute!(&mut reader, sqlx::query("SELECT 1"))?;
        match &self.inner {
            Inner::Sqlite { writer, .. } => writer.probe().await,
            Inner::Postgres { .. } => Ok(()),
        }
    }

    /// What time a shared database says it is, for an operator; nothing that is stored goes by it. None of an embedded one: it has
    /// no other clock than ours.
    pub async fn clock(&self) -> Result<Option<Time>> {
        let Inner::Postgres { shelf, .. } = &self.inner else { return Ok(None) };
        let query = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT";
        let mut shelved = shelf.acquire().await?;
        let micros =
            sqlx::query_scalar::<_, i64>(query).fetch_one(shelved.conn()?).await.map_err(Error::from);
        shelved.ended(micros.as_ref().err());
        Ok(Some(Time::from_micros(micros?)))
    }

    /// Bytes that the database takes, write-ahead log not included, as PostgreSQL says; none for the embedded one, which
    /// is files in the data directory.
    pub async fn size(&self) -> Result<Option<u64>> {
        let Inner::Postgres { shelf, .. } = &self.inner else { return Ok(None) };
        let mut shelved = shelf.acquire().await?;
        let query = sqlx::query_scalar::<_, i64>("SELECT pg_database_size(current_database())");
        let size = query.fetch_one(shelved.conn()?).await.map_err(Error::from);
        shelved.ended(size.as_ref().err());
        Ok(u64::try_from(size?).ok())
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
            Inner::Postgres { shelf, .. } => shelf.close().await,
        }
    }

    /// Removes from the files what committed changes to `tables` have overwritten or deleted.
    ///
    /// SQLite overwrites it in place, so only the write-ahead log still has it and is emptied. PostgreSQL is asked to
    /// vacuum, and to take its statistics anew, which have values of rows in them: dead rows go, but their bytes may stay in a
    /// page until it is used again or the table is rewritten (`VACUUM FULL`), and the write-ahead log, archives of it and backups
    /// keep them for as long as those are kept. Fails when readers are in the way.
    pub async fn scrub(&self, tables: &[&'static str]) -> Result<()> {
        match &self.inner {
            Inner::Sqlite { writer, .. } => writer.checkpoint().await,
            Inner::Postgres { shelf, .. } => {
                let mut shelved = shelf.acquire().await?;
                for table in tables {
                    let vacuum = sqlx::raw_sql(AssertSqlSafe(format!("VACUUM (ANALYZE) {table}")));
                    let done = vacuum.execute(shelved.conn()?).await.map_err(Error::from);
                    shelved.ended(done.as_ref().err());
                    done?;
                }
                Ok(())
            }
        }
    }

    /// Begins a transaction for what is derived from the audit log and is no state of its own: sequence, search index,
    /// pruning; and for clearing up what an audited act has given up, such as a closed tenant's data. It carries no audit record; nothing else may use it. No change waits for it to be durable.
    pub fn begin_derived(&self) -> tx::EngineTx {
        self.begin_as(Kind::Derived)
    }

    pub(crate) fn begin(&self) -> tx::EngineTx {
        self.begin_as(Kind::Change)
    }

    fn begin_as(&self, kind: Kind) -> tx::EngineTx {
        match &self.inner {
            Inner::Sqlite { writer, batches, .. } => {
                tx::EngineTx::Sqlite(tx::LiteTx::new(writer.clone(), kind, batches.clone()))
            }
            Inner::Postgres { shelf, batches } => {
                tx::EngineTx::Postgres(tx::PgTx::new(shelf.clone(), batches.clone()))
            }
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

    fn engine(&self) -> Engine {
        match &self.0 {
            ReaderInner::Sqlite(_) | ReaderInner::SqliteSnapshot(_) => Engine::Sqlite,
            ReaderInner::Postgres(_) | ReaderInner::PostgresSnapshot(_) => Engine::Postgres,
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
    file.try_lock().map_err(|_| in_use(dir))?;
    Ok(file)
}

fn in_use(dir: &Path) -> Error {
    Error::DatabaseUnavailable {
        cause: format!(
            "another provostd uses the SQLite database in `{}`; stop it, choose another `server.data_dir`, or use PostgreSQL to run several",
            dir.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::Engine::{Postgres, Sqlite};

    #[test]
    fn a_large_insert_has_every_row_once_in_parts_of_few_sizes() {
        for count in [0, 1, 2, 3, 63, 64, 65, 200] {
            let rows: Vec<_> = (0..count).collect();
            let parts: Vec<_> = super::bulk(Postgres, &rows, 2).collect();
            let again: Vec<i32> = parts.iter().flat_map(|(part, _)| part.to_vec()).collect();
            assert_eq!(again, rows);
            assert!(parts.iter().all(|(part, _)| part.len().is_power_of_two() && part.len() <= 64));
            assert!(parts.iter().all(|(part, values)| values.matches('$').count() == part.len() * 2));
            let parts: Vec<_> = super::bulk(Sqlite, &rows, 2).collect();
            assert!(parts.iter().all(|(part, values)| values.matches('?').count() == part.len() * 2));
        }
    }
}
