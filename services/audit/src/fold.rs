//! The state as the log tells it: every recorded change of a scope, applied in order.
//!
//! `entry` reads what of an event matters, `state` applies it, `row` says which columns of which table come out of it.
//! The order in which events stand in the log is not quite that in which they were committed: of two concurrent changes of
//! one row the later may stand first. Rows with a revision are therefore folded along the chain of their revisions, and rows
//! that only come and go by their identities, so that the outcome does not depend on it.

use kernel::{Result, clock::Time, db::Executor, error::Error};
use uuid::Uuid;

pub mod entry;
pub mod row;
pub mod state;
pub mod store;

use crate::event::store::log_minimum;
use entry::Entry;
use state::State;

/// Indexes of the log that are read at once.
const WINDOW: i64 = 4_096;
/// Rows of the outbox that are read at once.
const PENDING: i64 = 1_000;

/// What a part of a log comes to.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    /// The first index that has not been folded.
    pub next: i64,
    /// What was recorded before it.
    pub state: State,
}

impl Fold {
    /// Where a fold of the scope's log begins: at zero or, when retention has removed events, with what they came to.
    /// Errors: OUT_OF_RANGE when events were removed of which nothing was kept.
    pub async fn begin(db: &mut impl Executor, scope: Uuid) -> Result<Self> {
        let fold = store::snapshot_get(db, scope).await?.unwrap_or_default();
        let minimum = log_minimum(db, scope).await?;
        if fold.next < minimum {
            let message = format!(
                "cannot be answered: the events below index {minimum} are gone and nothing was kept of them"
            );
            return Err(Error::out_of_range("time", message));
        }
        Ok(fold)
    }

    /// Folds on to the index `end`, exclusive; with `until` only what happened up to then. `log` is the scope's name.
    pub async fn advance(
        &mut self,
        db: &mut impl Executor,
        (scope, log): (Uuid, &str),
        end: i64,
        until: Option<Time>,
    ) -> Result<()> {
        while self.next < end {
            let stop = end.min(self.next.saturating_add(WINDOW));
            for entry in store::event_texts(db, scope, self.next, stop, until).await? {
                self.state.apply(log, &Entry::parse(&entry)?);
            }
            self.next = stop;
        }
        Ok(())
    }

    /// Folds what waits for its index too.
    pub async fn pending(&mut self, db: &mut impl Executor, (scope, log): (Uuid, &str)) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let page = store::pending_texts(db, scope, after, PENDING).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            for (_, entry) in &page {
                self.state.apply(log, &Entry::parse(entry)?);
            }
        }
    }

    /// What the events below the index `end` come to: kept by [`Fold::keep`] before they are removed, without which nothing
    /// after them could be folded any more.
    pub async fn below(db: &mut impl Executor, (scope, log): (Uuid, &str), end: i64) -> Result<Self> {
        let mut fold = Self::begin(db, scope).await?;
        fold.advance(db, (scope, log), end, None).await?;
        Ok(fold)
    }

    /// Keeps the fold as where all later ones of the scope begin; part of the transaction that removes the events below.
    pub async fn keep(&self, db: &mut impl Executor, scope: Uuid) -> Result<()> {
        store::snapshot_put(db, scope, self).await
    }

    /// Refuses what was folded while events that it begins with were removed: it is to be folded again.
    pub async fn whole(db: &mut impl Executor, scope: Uuid, begun: i64) -> Result<()> {
        if log_minimum(db, scope).await? > begun { Err(Error::Conflict) } else { Ok(()) }
    }
}
