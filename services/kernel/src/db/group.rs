//! SQLite has one writer. Transactions take turns on its connection as savepoints of one outer transaction, which the
//! last of those waiting commits for all: a commit costs a disk flush, and it is paid once for the whole group.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, SqliteConnection,
    sqlite::{SqliteArguments, SqliteConnectOptions},
};
use tokio::sync::{Mutex, MutexGuard, Notify, OwnedMappedMutexGuard, OwnedMutexGuard, oneshot};

use super::Known;
use crate::error::{Error, Result};

/// Most transactions in one group: bounds how long the first waits and how much one failed flush undoes.
const MAX_GROUP: usize = 256;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A change that somebody waits for.
    Change,
    /// Work that follows from changes: it may take long, so no change waits for it to be made durable.
    Derived,
}

/// The only connection that writes.
#[derive(Clone)]
pub(super) struct Writer {
    state: Arc<Mutex<State>>,
    /// Changes that wait for their turn.
    waiting: Arc<AtomicUsize>,
    /// Rings after a commit.
    changed: Arc<Notify>,
    /// Whether the last commit did not get to the disk, for a reason that is the disk's.
    failing: Arc<AtomicBool>,
    /// Whoever moves the write-ahead log into the database: SQLite refuses two at a time.
    moving: Arc<Mutex<()>>,
}

pub(super) struct State {
    conn: SqliteConnection,
    /// Whether the outer transaction is open.
    open: bool,
    /// Whether it may be open although `open` does not say so: whoever began it went away in the middle.
    opening: bool,
    /// Whether a savepoint is open whose owner has not finished.
    turn: bool,
    /// Transactions that are done but not yet on disk.
    group: Vec<oneshot::Sender<Result<()>>>,
    /// What is done for each of them, and for the last, once it is known how their commit ended.
    known: Vec<Known>,
    changed: Arc<Notify>,
    failing: Arc<AtomicBool>,
}

/// One transaction's turn on the connection.
pub struct WriterTx {
    // dropped before `exit`, which needs the lock to clean up
    state: OwnedMutexGuard<State>,
    exit: Exit,
}

impl Writer {
    pub(super) async fn open(options: &SqliteConnectOptions) -> Result<Self> {
        let conn = SqliteConnection::connect_with(options).await?;
        let (changed, failing) = (Arc::new(Notify::new()), Arc::<AtomicBool>::default());
        let state = State {
            conn,
            open: false,
            opening: false,
            turn: false,
            group: Vec::new(),
            known: Vec::new(),
            changed: Arc::clone(&changed),
            failing: Arc::clone(&failing),
        };
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
            waiting: Arc::default(),
            changed,
            failing,
            moving: Arc::default(),
        })
    }

    /// Whether what is written gets to the disk: told by the last commit and, where that failed, by a new one.
    pub(super) async fn probe(&self) -> Result<()> {
        if !self.failing.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut tx = self.begin(Kind::Derived).await?;
        sqlx::query("UPDATE deployment SET id = id").execute(tx.conn()).await?;
        tx.commit(Box::new(|_| {})).await
    }

    /// Rings after every commit.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Waits until nobody else moves the write-ahead log into the database.
    pub(super) async fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().await
    }

    /// The connection itself, outside any transaction: for migrations.
    pub(super) async fn connection(&self) -> Result<OwnedMappedMutexGuard<State, SqliteConnection>> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        // on its own task, for the same reason as a commit: it may be one for others
        let settle = async move {
            let done = state.settle().await;
            (state, done)
        };
        let (state, done) = tokio::spawn(settle).await.map_err(Error::internal)?;
        done?;
        Ok(OwnedMutexGuard::map(state, |s| &mut s.conn))
    }

    /// Moves the write-ahead log into the database file and empties it. Fails when a reader holds on to it.
    pub(super) async fn checkpoint(&self) -> Result<()> {
        let _moving = self.moving().await;
        let mut conn = self.connection().await?;
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *conn).await?;
        match busy {
            0 => Ok(()),
            _ => Err(Error::DatabaseUnavailable { cause: "a reader holds the write-ahead log".to_owned() }),
        }
    }

    /// Waits for its turn and opens a savepoint.
    pub(super) async fn begin(&self, kind: Kind) -> Result<WriterTx> {
        let mut tx = self.turn(kind).await;
        tx.state.savepoint().await?;
        Ok(tx)
    }

    /// A whole turn in one message to the connection's thread: the savepoint, `sql`, and its end. `sql` may be several
    /// statements, which take their arguments in turn. Returns once its changes are on disk.
    pub(super) async fn run_alone(&self, sql: &str, arguments: SqliteArguments) -> Result<()> {
        let WriterTx { mut state, mut exit } = self.turn(Kind::Change).await;
        let Some(writer) = exit.writer.take() else { return Err(Error::internal("the transaction is over")) };
        let sql = sql.to_owned();
        // on its own task, for the same reason as a commit
        let finish = async move {
            state.undo_turn().await;
            if !state.open {
                state.give_up_opening().await;
            }
            let begin = if std::mem::replace(&mut state.open, true) { "" } else { "BEGIN IMMEDIATE; " };
            let sql = format!("{begin}SAVEPOINT turn; {sql}; RELEASE turn");
            state.turn = true;
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
            if let Err(error) = query.execute(&mut state.conn).await {
                state.undo_turn().await;
                if !writer.has_successor(&state) {
                    // the others of the group hear of it themselves
                    let _ = state.flush().await;
                }
                return Err(state.failed(error));
            }
            state.turn = false;
            writer.on_disk(state).await
        };
        tokio::spawn(finish).await.map_err(Error::internal)?
    }

    /// Waits for its turn.
    async fn turn(&self, kind: Kind) -> WriterTx {
        let queued = (kind == Kind::Change).then(|| Queued::new(&self.waiting));
        let exit = Exit { writer: Some(self.clone()) };
        let state = Arc::clone(&self.state).lock_owned().await;
        drop(queued);
        WriterTx { state, exit }
    }

    /// Flushes a finished turn, or leaves that to a successor and waits for it.
    async fn on_disk(&self, mut state: OwnedMutexGuard<State>) -> Result<()> {
        if !self.has_successor(&state) {
            return state.flush().await;
        }
        let (sender, receiver) = oneshot::channel();
        state.group.push(sender);
        drop(state);
        receiver.await.unwrap_or_else(|_| Err(Error::internal("the group's commit was lost")))
    }

    /// Whether a committed turn may leave the flush to somebody who comes after it.
    fn has_successor(&self, state: &State) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0 && state.group.len() < MAX_GROUP
    }
}

impl State {
    async fn savepoint(&mut self) -> Result<()> {
        self.undo_turn().await;
        self.turn = true;
        if self.open {
            self.conn.execute("SAVEPOINT turn").await?;
        } else {
            self.give_up_opening().await;
            self.opening = true;
            self.conn.execute("BEGIN IMMEDIATE; SAVEPOINT turn").await?;
            (self.open, self.opening) = (true, false);
        }
        Ok(())
    }

    /// Ends what may have been opened by a beginning that was given up. Nothing is in it.
    async fn give_up_opening(&mut self) {
        if self.opening {
            // there may be nothing to end, and SQLite says so
            let _ = self.conn.execute("ROLLBACK").await;
            self.opening = false;
        }
    }

    /// Undoes a turn that its owner left unfinished.
    async fn undo_turn(&mut self) {
        if std::mem::take(&mut self.turn) {
            // cancelled before its savepoint was made, there is nothing to undo, and SQLite says so
            let _ = self.conn.execute("ROLLBACK TO turn; RELEASE turn").await;
        }
    }

    /// Notes a failure that is the disk's.
    fn failed(&self, error: sqlx::Error) -> Error {
        let error = Error::from(error);
        if matches!(error, Error::DatabaseUnavailable { .. }) {
            self.failing.store(true, Ordering::SeqCst);
        }
        error
    }

    /// Ends whatever is open: an unfinished turn is undone, finished ones are flushed.
    async fn settle(&mut self) -> Result<()> {
        self.undo_turn().await;
        self.flush().await
    }

    /// Commits the outer transaction and tells everybody in the group, once this process knows of all their changes.
    async fn flush(&mut self) -> Result<()> {
        let (group, known) = (std::mem::take(&mut self.group), std::mem::take(&mut self.known));
        let was_open = std::mem::take(&mut self.open);
        let committed = self.conn.execute("COMMIT").await;
        self.opening = false;
        let result = match committed {
            Ok(_) => {
                self.failing.store(false, Ordering::SeqCst);
                self.changed.notify_one();
                Ok(())
            }
            // a cancelled `begin` may or may not have opened it
            Err(_) if !was_open && group.is_empty() => Ok(()),
            Err(error) => {
                let _ = self.conn.execute("ROLLBACK").await;
                Err(self.failed(error))
            }
        };
        for known in known {
            known(&result);
        }
        for member in group {
            // a member whose caller went away needs no answer
            let _ = member.send(result.clone());
        }
        result
    }
}

impl WriterTx {
    /// The connection.
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.state.conn
    }

    /// Ends the turn and returns once its changes are on disk. Runs on its own task: a caller that goes away in the
    /// middle cannot leave the connection half-way, and `known` is done all the same.
    pub(super) async fn commit(self, known: Known) -> Result<()> {
        let Self { mut state, mut exit } = self;
        let Some(writer) = exit.writer.take() else { return Err(Error::internal("the transaction is over")) };
        let finish = async move {
            state.known.push(known);
            if let Err(error) = state.conn.execute("RELEASE turn").await {
                let _ = state.settle().await;
                return Err(state.failed(error));
            }
            state.turn = false;
            writer.on_disk(state).await
        };
        tokio::spawn(finish).await.map_err(Error::internal)?
    }

    /// Undoes the turn.
    pub(super) async fn rollback(self) -> Result<()> {
        let Self { mut state, mut exit } = self;
        let Some(writer) = exit.writer.take() else { return Ok(()) };
        let undo = async move {
            state.undo_turn().await;
            if writer.has_successor(&state) { Ok(()) } else { state.flush().await }
        };
        tokio::spawn(undo).await.map_err(Error::internal)?
    }
}

/// Cleans up after a turn that ended without commit or rollback, and after a place in the queue that was given up: a
/// group may have counted on it.
struct Exit {
    writer: Option<Writer>,
}

impl Drop for Exit {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let mut state = Arc::clone(&writer.state).lock_owned().await;
                state.undo_turn().await;
                if state.open
                    && !writer.has_successor(&state)
                    && let Err(error) = state.flush().await
                {
                    tracing::warn!(%error, "flush after an abandoned transaction failed");
                }
            });
        }
    }
}

/// A place in the queue.
struct Queued<'w>(&'w AtomicUsize);

impl<'w> Queued<'w> {
    fn new(waiting: &'w AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Arguments as _;

    use super::*;

    async fn writer() -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(dir.path().join("t.db")).create_if_missing(true);
        let writer = Writer::open(&options).await.unwrap();
        writer
            .connection()
            .await
            .unwrap()
            .execute("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT")
            .await
            .unwrap();
        (dir, writer)
    }

    async fn insert(tx: &mut WriterTx, n: i64) {
        sqlx::query("INSERT INTO t VALUES ($1)").bind(n).execute(tx.conn()).await.unwrap();
    }

    async fn numbers(writer: &Writer) -> Vec<i64> {
        let mut conn = writer.connection().await.unwrap();
        sqlx::query_scalar("SELECT n FROM t ORDER BY n").fetch_all(&mut *conn).await.unwrap()
    }

    #[tokio::test]
    async fn committed_turns_stay_and_undone_ones_go_whatever_the_order() {
        let (_dir, writer) = writer().await;
        let turns = (0..100).map(|n| {
            let writer = writer.clone();
            tokio::spawn(async move {
                let mut tx = writer.begin(Kind::Change).await.unwrap();
                insert(&mut tx, n).await;
                match n % 3 {
                    0 => tx.commit(Box::new(|_| {})).await.unwrap(),
                    1 => tx.rollback().await.unwrap(),
                    _ => drop(tx),
                }
            })
        });
        for turn in turns.collect::<Vec<_>>() {
            turn.await.unwrap();
        }
        assert_eq!(numbers(&writer).await, (0..100).filter(|n| n % 3 == 0).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_turn_in_one_message_is_made_whole_or_not_at_all_and_leaves_the_others_alone() {
        let (_dir, writer) = writer().await;
        let turns = (0..60_i64).map(|n| {
            let writer = writer.clone();
            tokio::spawn(async move {
                let mut arguments = SqliteArguments::default();
                arguments.add(n).unwrap();
                // every third one breaks the key with its second row
                arguments.add(if n % 3 == 0 { n } else { n + 1_000 }).unwrap();
                let done =
                    writer.run_alone("INSERT INTO t VALUES (?); INSERT INTO t VALUES (?)", arguments).await;
                assert_eq!(done.is_err(), n % 3 == 0);
            })
        });
        for turn in turns.collect::<Vec<_>>() {
            turn.await.unwrap();
        }
        let kept: Vec<_> = (0..60).filter(|n| n % 3 != 0).collect();
        let more = kept.iter().map(|n| n + 1_000);
        assert_eq!(numbers(&writer).await, kept.iter().copied().chain(more).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_beginning_that_is_given_up_leaves_a_writer_that_works() {
        let (_dir, writer) = writer().await;
        for n in 0..200 {
            let mut begin = Box::pin(writer.begin(Kind::Change));
            let _ = futures::poll!(begin.as_mut());
            for _ in 0..n % 7 {
                tokio::task::yield_now().await;
            }
            drop(begin);
            let mut tx = writer.begin(Kind::Change).await.unwrap();
            insert(&mut tx, n).await;
            tx.commit(Box::new(|_| {})).await.unwrap();
        }
        assert_eq!(numbers(&writer).await, (0..200).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_does_not_strand_the_group() {
        let (_dir, writer) = writer().await;
        let mut first = writer.begin(Kind::Change).await.unwrap();
        insert(&mut first, 1).await;
        let waiter = {
            let writer = writer.clone();
            tokio::spawn(async move { writer.begin(Kind::Change).await.map(drop) })
        };
        while writer.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let commit = tokio::spawn(first.commit(Box::new(|_| {})));
        waiter.abort();
        commit.await.unwrap().unwrap();
        assert_eq!(numbers(&writer).await, [1]);
    }
}
