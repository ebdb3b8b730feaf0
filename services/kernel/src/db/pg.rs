//! A PostgreSQL transaction that is begun by its first statement, so that one with a single statement needs none.

use sqlx::{
    Arguments as _, AssertSqlSafe, Execute, Executor as _, PgConnection, Postgres, postgres::PgArguments,
};

use super::shelf::Shelved;
use crate::{
    audit::Event,
    error::{Error, Result},
};

/// A transaction on one connection. Dropping it undoes everything.
pub struct PgTx {
    conn: Option<Shelved>,
    begin: &'static str,
    open: bool,
    held: Option<Box<Held>>,
}

/// A statement that waits for the commit.
struct Held {
    sql: String,
    arguments: PgArguments,
    /// What a unique key's refusal means.
    taken: Error,
}

impl PgTx {
    pub(super) fn new(conn: Shelved) -> Self {
        Self { conn: Some(conn), begin: "BEGIN", open: false, held: None }
    }

    /// The same, begun by another statement: with another isolation.
    pub(super) fn begun_by(mut self, begin: &'static str) -> Self {
        self.begin = begin;
        self
    }

    /// The connection inside the transaction.
    pub(super) async fn conn(&mut self) -> Result<&mut PgConnection> {
        let held = self.held.take();
        let conn = self.conn.as_mut().ok_or_else(over)?.conn()?;
        if !std::mem::replace(&mut self.open, true) {
            conn.execute(self.begin).await?;
        }
        if let Some(held) = held {
            let Held { sql, arguments, taken } = *held;
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
            query.execute(&mut *conn).await.map_err(|e| Error::from(e).on_unique(|| taken))?;
        }
        Ok(conn)
    }

    pub(super) fn ended(&mut self, error: Option<&Error>) {
        if let Some(conn) = &mut self.conn {
            conn.ended(error);
        }
    }

    /// Whether nothing has been sent yet.
    pub(super) fn is_untouched(&self) -> bool {
        !self.open && self.held.is_none()
    }

    /// Keeps an INSERT of one row for the commit.
    pub(super) fn hold<'q>(&mut self, mut query: impl Execute<'q, Postgres>, taken: Error) -> Result<()> {
        let arguments = query.take_arguments().map_err(Error::internal)?.unwrap_or_default();
        self.held = Some(Box::new(Held { sql: query.sql().as_str().to_owned(), arguments, taken }));
        Ok(())
    }

    /// Whether there is a statement that waits.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// The statement that waits and the event's outbox row as one statement, which commits by itself.
    pub(super) async fn commit_with(mut self, log: uuid::Uuid, event: &Event) -> Result<()> {
        let (Some(mut held), Some(mut shelved)) = (self.held.take(), self.conn.take()) else {
            return Err(over());
        };
        let n = held.arguments.len();
        let sql = format!(
            "WITH change AS ({} RETURNING 1) INSERT INTO audit_pending (scope_id, id, entry) SELECT ${}, ${}, ${} FROM change",
            held.sql,
            n + 1,
            n + 2,
            n + 3
        );
        let added = held.arguments.add(log).and_then(|()| held.arguments.add(event.id));
        added.and_then(|()| held.arguments.add(&event.entry)).map_err(Error::internal)?;
        let Held { arguments, taken, .. } = *held;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let done = query.execute(shelved.conn()?).await.map_err(|e| Error::from(e).on_unique(|| taken));
        shelved.ended(done.as_ref().err());
        done.map(|_| ())
    }

    pub(super) async fn commit(mut self) -> Result<()> {
        let (Some(held), false) = (self.held.take(), self.open) else { return self.end("COMMIT").await };
        // a statement by itself is a transaction by itself
        let mut shelved = self.conn.take().ok_or_else(over)?;
        let Held { sql, arguments, taken } = *held;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let done = query.execute(shelved.conn()?).await.map_err(|e| Error::from(e).on_unique(|| taken));
        shelved.ended(done.as_ref().err());
        done.map(|_| ())
    }

    pub(super) async fn rollback(mut self) -> Result<()> {
        self.held = None;
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &'static str) -> Result<()> {
        let mut shelved = self.conn.take().ok_or_else(over)?;
        if !std::mem::take(&mut self.open) {
            shelved.ended(None);
            return Ok(());
        }
        finish(shelved, how).await
    }
}

impl Drop for PgTx {
    fn drop(&mut self) {
        let Some(mut shelved) = self.conn.take() else { return };
        if !self.open {
            shelved.ended(None);
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = finish(shelved, "ROLLBACK").await {
                    tracing::warn!(%error, "rollback failed; the server undoes it when the connection closes");
                }
            });
        }
    }
}

/// Runs the last statement. A connection that does not get through it is never given back to the shelf.
async fn finish(mut shelved: Shelved, how: &'static str) -> Result<()> {
    let done = shelved.conn()?.execute(how).await.map_err(Error::from).map(|_| ());
    shelved.ended(done.as_ref().err());
    done
}

fn over() -> Error {
    Error::internal("the transaction is over")
}
