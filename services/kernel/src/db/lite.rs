//! A SQLite transaction that takes the writer's turn with its first statement, so that one with a single statement sends it,
//! its audit record and its end together.

use sqlx::{Arguments as _, AssertSqlSafe, Execute, Sqlite, SqliteConnection, sqlite::SqliteArguments};

use super::group::{Writer, WriterTx};
use crate::{
    audit::Event,
    error::{Error, Result},
};

/// A transaction on the only writer. Dropping it undoes everything.
pub struct LiteTx {
    writer: Writer,
    turn: Option<WriterTx>,
    held: Option<Box<Held>>,
}

/// A statement that waits for the commit.
struct Held {
    sql: String,
    arguments: SqliteArguments,
    /// What a unique key's refusal means.
    taken: Error,
}

impl LiteTx {
    pub(super) fn new(writer: Writer) -> Self {
        Self { writer, turn: None, held: None }
    }

    /// The connection inside the transaction.
    pub(super) async fn conn(&mut self) -> Result<&mut SqliteConnection> {
        let held = self.held.take();
        let turn = match &mut self.turn {
            Some(turn) => turn,
            none => none.insert(self.writer.begin().await?),
        };
        if let Some(held) = held {
            let Held { sql, arguments, taken } = *held;
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
            query.execute(turn.conn()).await.map_err(|e| Error::from(e).on_unique(|| taken))?;
        }
        Ok(turn.conn())
    }

    /// Whether nothing has been sent yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.turn.is_none() && self.held.is_none()
    }

    /// Keeps an INSERT of one row for the commit.
    pub(super) fn hold<'q>(&mut self, mut query: impl Execute<'q, Sqlite>, taken: Error) -> Result<()> {
        let arguments = query.take_arguments().map_err(Error::internal)?.unwrap_or_default();
        self.held = Some(Box::new(Held { sql: query.sql().as_str().to_owned(), arguments, taken }));
        Ok(())
    }

    /// Whether there is a statement that waits.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// The statement that waits and the event's outbox row, in one message.
    pub(super) async fn commit_with(self, log: uuid::Uuid, event: &Event) -> Result<()> {
        let Some(held) = self.held else { return Err(Error::internal("the transaction holds no statement")) };
        let Held { sql, mut arguments, taken } = *held;
        let n = arguments.len();
        let sql = format!(
            "{sql}; INSERT INTO audit_pending (scope_id, id, entry) VALUES (${}, ${}, ${})",
            n + 1,
            n + 2,
            n + 3
        );
        let added = arguments.add(log).and_then(|()| arguments.add(event.id));
        added.and_then(|()| arguments.add(event.entry.clone())).map_err(Error::internal)?;
        self.writer.run_alone(&sql, arguments).await.map_err(|e| e.on_unique(|| taken))
    }

    pub(super) async fn commit(self) -> Result<()> {
        match (self.turn, self.held) {
            (Some(turn), _) => turn.commit().await,
            (None, Some(held)) => {
                let Held { sql, arguments, taken } = *held;
                self.writer.run_alone(&sql, arguments).await.map_err(|e| e.on_unique(|| taken))
            }
            (None, None) => Ok(()),
        }
    }

    pub(super) async fn rollback(self) -> Result<()> {
        match self.turn {
            Some(turn) => turn.rollback().await,
            None => Ok(()),
        }
    }
}
