//! A PostgreSQL transaction that is begun by its first statement, so that one with a single statement needs none.

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, postgres::PgArguments};

use super::{
    Engine, Known,
    batch::{self, Batches, Insert, New, Record},
    shelf::{Shelf, Shelved},
};
use crate::error::{Error, Result};

/// A transaction on one connection, which it takes with its first statement. Dropping it undoes everything.
pub struct PgTx {
    shelf: Shelf,
    batches: Batches,
    conn: Option<Shelved>,
    begin: &'static str,
    open: bool,
    held: Option<Box<Insert>>,
}

impl PgTx {
    pub(super) fn new(shelf: Shelf, batches: Batches) -> Self {
        Self { shelf, batches, conn: None, begin: "BEGIN", open: false, held: None }
    }

    /// The same, begun by another statement: with another isolation.
    pub(super) fn begun_by(mut self, begin: &'static str) -> Self {
        self.begin = begin;
        self
    }

    /// The connection inside the transaction.
    pub(super) async fn conn(&mut self) -> Result<&mut PgConnection> {
        let held = self.held.take();
        let shelved = match &mut self.conn {
            Some(shelved) => shelved,
            none => none.insert(self.shelf.acquire().await?),
        };
        let conn = shelved.conn()?;
        if !std::mem::replace(&mut self.open, true) {
            conn.execute(self.begin).await?;
        }
        if let Some(held) = held {
            let Insert { head, row, taken } = *held;
            let (sql, arguments) = statement(head, &[New { row, record: None }])?;
            let done = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *conn).await;
            done.map_err(|e| Error::from(e).on_unique(|| taken))?;
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

    /// Keeps an insert for the next statement, or for the commit.
    pub(super) fn hold(&mut self, insert: Insert) {
        self.held = Some(Box::new(insert));
    }

    /// Whether there is an insert that waits.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Commits the insert that waits, with its record.
    pub(super) async fn commit_with(mut self, record: Option<Record>, known: Known) -> Result<()> {
        let Some(held) = self.held.take() else { return Err(over()) };
        self.batches.insert(&self.shelf, *held, record, known).await
    }

    /// Runs on its own task: a caller that goes away while the COMMIT is on its way costs no connection, and this process
    /// still hears how it ended.
    pub(super) async fn commit(self, known: Known) -> Result<()> {
        if self.held.is_some() {
            return self.commit_with(None, known).await;
        }
        let finish = async move {
            let outcome = self.end("COMMIT").await;
            known(&outcome);
            outcome
        };
        tokio::spawn(finish).await.map_err(Error::internal)?
    }

    pub(super) async fn rollback(mut self) -> Result<()> {
        self.held = None;
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &'static str) -> Result<()> {
        let Some(mut shelved) = self.conn.take() else { return Ok(()) };
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

impl batch::Engine for Shelf {
    async fn insert(&self, head: &'static str, rows: &[New]) -> Result<()> {
        let (sql, arguments) = statement(head, rows)?;
        let mut shelved = self.acquire().await?;
        let done = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(shelved.conn()?).await;
        let done = done.map(|_| ()).map_err(Error::from);
        shelved.ended(done.as_ref().err());
        done
    }
}

/// The rows and their records as one statement, which commits by itself.
fn statement(head: &'static str, rows: &[New]) -> Result<(String, PgArguments)> {
    let (changes, outbox) = batch::texts(Engine::Postgres, head, rows);
    let sql = if outbox.is_empty() { changes } else { format!("WITH change AS ({changes}) {outbox}") };
    let mut arguments = PgArguments::default();
    for value in rows.iter().flat_map(|new| &new.row) {
        value.add_postgres(&mut arguments).map_err(Error::internal)?;
    }
    for record in rows.iter().filter_map(|new| new.record.as_ref()) {
        for value in record.values() {
            value.add_postgres(&mut arguments).map_err(Error::internal)?;
        }
    }
    Ok((sql, arguments))
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
