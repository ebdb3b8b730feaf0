//! A SQLite transaction that takes the writer's turn with its first statement, so that one with a single insert can leave
//! that, its audit record and its end to the batch.

use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteArguments};

use super::{
    Engine, Known,
    batch::{self, Batches, Insert, New, Record},
    group::{Kind, Writer, WriterTx},
};
use crate::error::{Error, Result};

/// A transaction on the only writer. Dropping it undoes everything.
pub struct LiteTx {
    writer: Writer,
    kind: Kind,
    batches: Batches,
    turn: Option<WriterTx>,
    held: Option<Box<Insert>>,
}

impl LiteTx {
    pub(super) fn new(writer: Writer, kind: Kind, batches: Batches) -> Self {
        Self { writer, kind, batches, turn: None, held: None }
    }

    /// The connection inside the transaction.
    pub(super) async fn conn(&mut self) -> Result<&mut SqliteConnection> {
        let held = self.held.take();
        let turn = match &mut self.turn {
            Some(turn) => turn,
            none => none.insert(self.writer.begin(self.kind).await?),
        };
        if let Some(held) = held {
            let Insert { head, row, taken } = *held;
            let (sql, arguments) = statement(head, &[New { row, record: None }])?;
            let done = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(turn.conn()).await;
            done.map_err(|e| Error::from(e).on_unique(|| taken))?;
        }
        Ok(turn.conn())
    }

    /// Whether nothing has been sent yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.turn.is_none() && self.held.is_none()
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
    pub(super) async fn commit_with(self, record: Option<Record>, known: Known) -> Result<()> {
        let Some(held) = self.held else { return Err(Error::internal("the transaction holds no statement")) };
        self.batches.insert(&self.writer, *held, record, known).await
    }

    pub(super) async fn commit(self, known: Known) -> Result<()> {
        match self.turn {
            Some(turn) => turn.commit(known).await,
            None if self.held.is_some() => self.commit_with(None, known).await,
            None => {
                known(&Ok(()));
                Ok(())
            }
        }
    }

    pub(super) async fn rollback(self) -> Result<()> {
        match self.turn {
            Some(turn) => turn.rollback().await,
            None => Ok(()),
        }
    }
}

impl batch::Engine for Writer {
    async fn insert(&self, head: &'static str, rows: &[New]) -> Result<()> {
        let (sql, arguments) = statement(head, rows)?;
        self.run_alone(&sql, arguments).await
    }
}

/// The rows and then their records, as two statements in one text.
fn statement(head: &'static str, rows: &[New]) -> Result<(String, SqliteArguments)> {
    let (mut sql, outbox) = batch::texts(Engine::Sqlite, head, rows);
    if !outbox.is_empty() {
        sql.push_str("; ");
        sql.push_str(&outbox);
    }
    let mut arguments = SqliteArguments::default();
    for value in rows.iter().flat_map(|new| &new.row) {
        value.add_sqlite(&mut arguments).map_err(Error::internal)?;
    }
    for record in rows.iter().filter_map(|new| new.record.as_ref()) {
        for value in record.values() {
            value.add_sqlite(&mut arguments).map_err(Error::internal)?;
        }
    }
    Ok((sql, arguments))
}
