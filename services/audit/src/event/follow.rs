//! New events as they are sequenced.

use std::{sync::Arc, time::Duration};

use futures::{Stream, stream};
use kernel::{Ctx, Result, authz::Action, error::Error, scope::Scope};
use proto::audit::v1 as pb;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    filter::Filter,
    open::matching,
    ops::{PAGE_BYTES, reading},
    store,
};
use crate::{Sequencer, sequencer::LogHead};

pub(super) const TAIL: Action = reading("provost.audit.v1.AuditService/TailAuditEvents", "tail");

/// Events in one message.
const BATCH: i64 = 500;
/// How often a sign of life is sent, and the caller's right is asked for again.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How often the log is looked at without a sign from this process: another one may sequence it.
const POLL: Duration = Duration::from_secs(1);

/// Sends events of the log that `parent` names from `from_index` on, or only new ones when that is -1.
pub async fn event_tail(
    ctx: Arc<Ctx>,
    log: Arc<Sequencer>,
    parent: String,
    filter: String,
    from_index: i64,
) -> Result<impl Stream<Item = Result<pb::TailAuditEventsResponse>> + Send + 'static> {
    let scope = ctx.scope("parent", &parent).await?;
    let permit = ctx.authorize(TAIL, &scope).await?;
    let parsed = Filter::parse(&filter)?;
    let progress = log.progress();
    let head = log.catch_up(scope.id()).await?;
    if from_index != -1 {
        reachable(from_index, &head)?;
    }
    log.reading().reads.record(&ctx, (&TAIL, &permit), permit.audit().query(&filter), &filter).await?;
    let next = match from_index {
        // its own record is not new to who asked
        -1 => log.catch_up(scope.id()).await?.size,
        index => index,
    };
    let now = Instant::now();
    let follow = Follow { ctx, log, scope, filter: parsed, progress, next, told: now, asked: now };
    Ok(stream::try_unfold(follow, |mut follow| async move {
        Ok(follow.batch().await?.map(|batch| (batch, follow)))
    }))
}

/// One caller who follows a log.
struct Follow {
    ctx: Arc<Ctx>,
    log: Arc<Sequencer>,
    scope: Scope,
    filter: Filter,
    progress: watch::Receiver<u64>,
    /// First index that was not looked at.
    next: i64,
    /// When something was sent last.
    told: Instant,
    /// When the caller's right was asked for last.
    asked: Instant,
}

impl Follow {
    /// The next message; none when the server stops.
    async fn batch(&mut self) -> Result<Option<pb::TailAuditEventsResponse>> {
        loop {
            self.ask_again().await?;
            // what is sequenced after this look rings again
            self.progress.mark_unchanged();
            let head = self.log.head(self.scope.id()).await?;
            reachable(self.next, &head)?;
            let behind = self.next < head.size;
            let events = if behind { self.read(head.size).await? } else { Vec::new() };
            if !events.is_empty() || self.told.elapsed() >= SIGN_OF_LIFE {
                self.told = Instant::now();
                let next_index = self.next;
                return Ok(Some(pb::TailAuditEventsResponse { audit_events: events, next_index }));
            }
            if self.log.reading().hang_up.is_cancelled() {
                return Ok(None);
            }
            if !behind {
                self.wait().await;
            }
        }
    }

    /// Looks at the next events, below `size`; returns those that match.
    async fn read(&mut self, size: i64) -> Result<Vec<pb::AuditEvent>> {
        let mut db = self.ctx.read().await?;
        let rows = store::event_range(&mut db, self.scope.id(), self.next, size, BATCH).await?;
        if rows.first().is_none_or(|row| row.idx != self.next) {
            return Err(pruned(self.next));
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        for row in rows {
            self.next = row.idx.saturating_add(1);
            let length = row.entry.len();
            if let Some(event) = matching(self.ctx.kernel(), &mut db, &self.filter, row).await? {
                events.push(event.into_message(&self.scope));
                bytes += length;
            }
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(events)
    }

    /// Until something was sequenced here, or it is time to look anyway.
    async fn wait(&mut self) {
        let left = SIGN_OF_LIFE.saturating_sub(self.told.elapsed());
        let rung = timeout(POLL.min(left), self.progress.changed());
        tokio::select! {
            _ = rung => {}
            () = self.log.reading().hang_up.cancelled() => {}
        }
    }

    /// A stream outlives tokens and duties: from time to time the caller is let in anew.
    async fn ask_again(&mut self) -> Result<()> {
        if self.asked.elapsed() >= SIGN_OF_LIFE {
            self.ctx.renewed().await?.authorize(TAIL, &self.scope).await?;
            self.asked = Instant::now();
        }
        Ok(())
    }
}

/// Whether the log has, or will next have, an event at the index.
fn reachable(index: i64, head: &LogHead) -> Result<()> {
    match index {
        index if index > head.size || index < 0 => {
            let message =
                format!("`{index}` is beyond the end; the log has {} events, -1 means new ones", head.size);
            Err(Error::out_of_range("from_index", message))
        }
        index if index < head.minimum_index => Err(pruned(index)),
        _ => Ok(()),
    }
}

fn pruned(index: i64) -> Error {
    let message = format!("event `{index}` was pruned by retention; begin at the log's minimum_index");
    Error::out_of_range("from_index", message)
}
