//! The newest events, which no segment holds yet: looked up in memory like the others in the database. Only what came
//! since the last search is read.

use std::sync::Arc;

use kernel::{Kernel, Result, clock::Time, db::Executor, error::Error};
use quick_cache::sync::Cache;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    open,
    plan::{Plan, Slice},
    postings::Postings,
    store,
    term::Terms,
};

/// Logs whose newest events are remembered.
const LOGS: usize = 64;
/// Events read at once.
const PAGE: i64 = 512;

/// The newest events of logs.
pub struct Tails(Cache<Uuid, Arc<Mutex<Tail>>>);

/// The newest events of one log, from `base` on.
#[derive(Default)]
struct Tail {
    base: i64,
    postings: Postings,
    span: Option<(Time, Time)>,
}

impl Default for Tails {
    fn default() -> Self {
        Self(Cache::new(LOGS))
    }
}

impl Tails {
    /// What `plan` looks up, of events from `base` to below `below`. `base` is where the segments end.
    pub async fn slice(
        &self,
        kernel: &Kernel,
        db: &mut impl Executor,
        scope: Uuid,
        (base, below): (i64, i64),
        plan: &Plan,
    ) -> Result<Slice> {
        let tail = self.0.get_or_insert_with(&scope, || Ok::<_, Error>(Arc::default()))?;
        let mut tail = tail.lock().await;
        if tail.base != base {
            *tail = Tail { base, ..Tail::default() };
        }
        tail.read_on(kernel, db, scope, below).await?;
        let (postings, span) = (&tail.postings, tail.span);
        let times = match span {
            Some(span) if plan.needs_times(span) => postings.times().to_vec(),
            _ => Vec::new(),
        };
        let terms = plan.terms().iter().map(|term| (*term, postings.bits(*term))).collect();
        Ok(Slice { base, terms, span, times, ..Slice::default() })
    }

    /// Forgets what is remembered of every log: words of a person may be among it.
    pub fn forget(&self) {
        self.0.clear();
    }
}

impl Tail {
    async fn read_on(
        &mut self,
        kernel: &Kernel,
        db: &mut impl Executor,
        scope: Uuid,
        below: i64,
    ) -> Result<()> {
        let terms = Terms::new(kernel, scope);
        while self.next() < below {
            let rows = store::event_range(db, scope, self.next(), below, PAGE).await?;
            if rows.is_empty() {
                // pruned since the head was read
                return Err(Error::Conflict);
            }
            for row in rows {
                if row.idx != self.next() {
                    return Err(Error::Conflict);
                }
                let (sealed, opened) = open::opened(kernel, db, &row.entry).await?;
                self.postings.add(&terms, &sealed, &opened, row.time);
                let (first, last) = self.span.unwrap_or((row.time, row.time));
                self.span = Some((first.min(row.time), last.max(row.time)));
            }
            self.postings.rest();
        }
        Ok(())
    }

    /// Index of the first event that was not read.
    fn next(&self) -> i64 {
        self.base.saturating_add(i64::try_from(self.postings.len()).unwrap_or(i64::MAX))
    }
}
