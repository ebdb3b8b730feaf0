//! Inserts that came at the same time go to the database in one statement.
//!
//! A change that is one new row and its audit record needs no transaction of its own while others like it wait: their
//! rows and records are one statement, which commits them all. Nobody waits for company: while one statement is under
//! way, those that come gather for the next. Refused by a key or a constraint, the rows go one by one, and each gets its
//! own answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sqlx::{
    Arguments as _, Encode, Postgres, Sqlite, Type, error::BoxDynError, postgres::PgArguments,
    sqlite::SqliteArguments,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Known, marks};
use crate::{
    error::{Error, Result},
    ids::EventId,
};

/// Where records wait for their place in the log.
pub(super) const OUTBOX: &str = "INSERT INTO audit_pending (scope_id, id, entry)";
/// Most rows in one statement.
const MOST: usize = 64;
/// Sizes up to here are all used; above, only multiples of it: each text is prepared once, so there are few of them.
const STEP: usize = 8;

/// A value that either engine can store.
pub trait Value: Send + Sync {
    /// Adds it to the arguments of a statement.
    fn add_sqlite(&self, to: &mut SqliteArguments) -> Result<(), BoxDynError>;
    /// Adds it to the arguments of a statement.
    fn add_postgres(&self, to: &mut PgArguments) -> Result<(), BoxDynError>;
}

impl<T> Value for T
where
    T: Send + Sync + 'static + Type<Sqlite> + Type<Postgres>,
    T: for<'q> Encode<'q, Sqlite> + for<'q> Encode<'q, Postgres>,
{
    fn add_sqlite(&self, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
        to.add(self)
    }

    fn add_postgres(&self, to: &mut PgArguments) -> Result<(), BoxDynError> {
        to.add(self)
    }
}

/// The values of one row, in the order of the statement's columns.
pub type Row = Vec<Box<dyn Value>>;

/// One new row.
pub struct Insert {
    /// `INSERT INTO table (columns)`.
    pub head: &'static str,
    /// Its values.
    pub row: Row,
    /// What a unique key's refusal means.
    pub taken: Error,
}

/// An audit record for one log's outbox.
pub(super) struct Record {
    pub log: Uuid,
    pub id: EventId,
    pub entry: String,
}

impl Record {
    /// Its values, in the order of the outbox's columns.
    pub fn values(&self) -> [&dyn Value; 3] {
        [&self.log, &self.id, &self.entry]
    }
}

/// A row, and the record of it unless a bench leaves it out.
pub(super) struct New {
    pub row: Row,
    pub record: Option<Record>,
}

/// Statements of an engine that commit by themselves.
pub(super) trait Engine: Clone + Send + Sync + 'static {
    /// The rows of `head` and the records of them, all or nothing.
    fn insert(&self, head: &'static str, rows: &[New]) -> impl Future<Output = Result<()>> + Send;
}

/// What waits, by statement. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Batches(Arc<Mutex<HashMap<&'static str, Queue>>>);

#[derive(Default)]
struct Queue {
    waiting: Vec<Job>,
    /// Whether somebody takes from it.
    served: bool,
}

struct Job {
    new: New,
    taken: Error,
    known: Known,
    done: oneshot::Sender<Result<()>>,
}

impl Batches {
    /// Inserts a row and its record together with those that wait; returns once they are durable. A caller that goes away
    /// does not undo it, and `known` is done all the same.
    pub(super) async fn insert(
        &self,
        engine: &impl Engine,
        insert: Insert,
        record: Option<Record>,
        known: Known,
    ) -> Result<()> {
        let Insert { head, row, taken } = insert;
        let (done, answer) = oneshot::channel();
        if !self.push(head, Job { new: New { row, record }, taken, known, done }) {
            tokio::spawn(self.clone().serve(engine.clone(), head));
        }
        answer.await.unwrap_or_else(|_| Err(Error::internal("the statement of several changes was lost")))
    }

    /// Lets a job wait. Returns whether somebody takes from there.
    fn push(&self, head: &'static str, job: Job) -> bool {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(head).or_default();
        queue.waiting.push(job);
        std::mem::replace(&mut queue.served, true)
    }

    async fn serve(self, engine: impl Engine, head: &'static str) {
        while let Some(jobs) = self.next(head) {
            run(&engine, head, jobs).await;
        }
    }

    /// The next that go together; none ends the service.
    fn next(&self, head: &'static str) -> Option<Vec<Job>> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.get_mut(head)?;
        let count = size(queue.waiting.len());
        queue.served = count > 0;
        queue.served.then(|| queue.waiting.drain(..count).collect())
    }
}

/// How many of so many that wait go together.
fn size(waiting: usize) -> usize {
    let most = waiting.min(MOST);
    if most > STEP { most - most % STEP } else { most }
}

async fn run(engine: &impl Engine, head: &'static str, jobs: Vec<Job>) {
    let (mut rows, mut callers) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for Job { new, taken, known, done } in jobs {
        rows.push(new);
        callers.push((taken, known, done));
    }
    let outcome = engine.insert(head, &rows).await;
    let alone = rows.len() > 1 && outcome.as_ref().is_err_and(is_of_one_row);
    for (row, (taken, known, done)) in rows.iter().zip(callers) {
        let outcome =
            if alone { engine.insert(head, std::slice::from_ref(row)).await } else { outcome.clone() };
        known(&outcome);
        // whoever has gone away needs no answer
        let _ = done.send(outcome.map_err(|e| e.on_unique(|| taken)));
    }
}

/// Whether one row brought the refusal upon all of them, and nothing of the statement has happened.
fn is_of_one_row(error: &Error) -> bool {
    matches!(error, Error::Unique { .. } | Error::Internal { .. })
}

/// The texts of both inserts: the rows after `head`, and those of the outbox. Parameters are numbered through both, where
/// the engine has them numbered.
pub(super) fn texts(engine: super::Engine, head: &str, rows: &[New]) -> (String, String) {
    let columns = rows.first().map_or(0, |new| new.row.len());
    let records = rows.iter().filter(|new| new.record.is_some()).count();
    let changes = format!("{head} VALUES {}", marks(engine, 0, rows.len(), columns));
    let outbox = match records {
        0 => String::new(),
        n => format!("{OUTBOX} VALUES {}", marks(engine, rows.len() * columns, n, 3)),
    };
    (changes, outbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses every row whose record is empty, and all that come with it.
    #[derive(Clone, Default)]
    struct Table(Arc<Mutex<Vec<Vec<String>>>>);

    impl Engine for Table {
        async fn insert(&self, _: &'static str, rows: &[New]) -> Result<()> {
            tokio::task::yield_now().await;
            let entries: Vec<_> = rows.iter().flat_map(|r| &r.record).map(|r| r.entry.clone()).collect();
            if entries.iter().any(String::is_empty) {
                return Err(Error::internal("no"));
            }
            self.0.lock().unwrap().push(entries);
            Ok(())
        }
    }

    fn insert() -> Insert {
        Insert { head: "INSERT INTO t (n)", row: vec![Box::new(1_i64)], taken: Error::Conflict }
    }

    fn record(entry: String) -> Record {
        Record { log: Uuid::nil(), id: EventId(Uuid::nil()), entry }
    }

    #[tokio::test]
    async fn rows_go_together_and_a_refused_one_harms_only_itself() {
        let (table, batches) = (Table::default(), Batches::default());
        let calls = (0..100).map(|n| {
            let (table, batches) = (table.clone(), batches.clone());
            let entry = if n % 40 == 7 { String::new() } else { n.to_string() };
            tokio::spawn(async move {
                let refused = entry.is_empty();
                let (say, heard) = std::sync::mpsc::channel();
                let known = Box::new(move |end: &Result<()>| say.send(end.is_err()).unwrap());
                let outcome = batches.insert(&table, insert(), Some(record(entry)), known).await;
                assert_eq!(outcome.is_err(), refused);
                assert_eq!(heard.try_recv().unwrap(), refused, "known before it is answered");
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        let statements = table.0.lock().unwrap().clone();
        let mut kept: Vec<usize> = statements.iter().flatten().map(|n| n.parse().unwrap()).collect();
        kept.sort_unstable();
        assert_eq!(kept, (0..100).filter(|n| n % 40 != 7).collect::<Vec<_>>());
        assert!(statements.iter().any(|rows| rows.len() > 1));
        assert!(batches.0.lock().unwrap().values().all(|q| q.waiting.is_empty() && !q.served));
    }

    #[test]
    fn few_sizes_of_statement_serve_any_number() {
        let sizes: Vec<_> = [0, 1, 7, 8, 9, 15, 16, 63, 64, 1_000].map(size).to_vec();
        assert_eq!(sizes, [0, 1, 7, 8, 8, 8, 16, 56, 64, 64]);
    }

    #[test]
    fn parameters_are_numbered_through_rows_and_records_where_they_are_numbered() {
        let new = |n: i64| New { row: vec![Box::new(n), Box::new(n)], record: Some(record(String::new())) };
        let rows = [new(1), new(2)];
        let (changes, outbox) = texts(super::super::Engine::Postgres, "INSERT INTO t (a, b)", &rows);
        assert_eq!(changes, "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        assert_eq!(outbox, format!("{OUTBOX} VALUES ($5, $6, $7), ($8, $9, $10)"));
        let (changes, _) = texts(super::super::Engine::Sqlite, "INSERT INTO t (a, b)", &rows);
        assert_eq!(changes, "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
    }
}
