//! What a delivery does: send, count, wait, give an event up, skip what is gone.

use audit::{
    event::{model::Opened, open::opened, store as events},
    retention::scope_get,
};
use kernel::{
    Result,
    audit::Resource as _,
    authz::{Action, Class},
    clock::Time,
    error::Error,
    ids::EventId,
    scope::Scope,
};
use serde::Serialize;

use super::{Deliverer, Hold};
use crate::{
    backoff,
    message::Message,
    model::{Letter, Sink, State, View},
    ops,
    receiver::{Outcome, Receiver},
    store::{self, Advance},
};

/// Events that are read at once.
const PAGE: i64 = 500;
/// The cursor is stored after this many deliveries at the latest: what a power cut may have sent twice.
const STORE_EVERY: i64 = 50;
/// Attempts on one event that its receiver refuses, before it is given up.
const ATTEMPTS: i64 = 5;
/// Dead letters that are taken up at once.
const LETTERS: i64 = 100;
/// Longest reason that is kept, characters.
const WORDS: usize = 512;

/// Of the process itself; no RPC asks for it.
pub(crate) const GAP: Action =
    Action { rpc: "", noun: "audit", verb: "gap", class: Class::Write, scopes: &[] };

/// What the event of a gap says.
#[derive(Serialize)]
struct Gap {
    /// How many events a sink did not get.
    count: i64,
    /// The first of them.
    first_index: i64,
    /// The last of them.
    last_index: i64,
    /// Why.
    reason: &'static str,
}

/// A delivery under way.
struct Run<'d> {
    deliverer: &'d Deliverer,
    hold: &'d mut Hold,
    sink: Sink,
    /// The next index.
    next: i64,
    /// Deliveries that were not stored.
    unstored: i64,
    attempts: i64,
}

/// Whether a delivery goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It does.
    On,
    /// It waits, or the sink is paused.
    Stop,
}

impl Deliverer {
    /// Delivers until nothing is left, or something is in the way.
    pub(super) async fn deliver(&self, hold: &mut Hold) -> Result<()> {
        loop {
            let (scope, id) = hold.sink;
            let now = self.kernel.clock.now();
            let found = store::sink_find(&mut self.kernel.db.reader().await?, scope, id, now).await?;
            let Some(view) = found.filter(|v| v.sink.state == State::Active) else { return Ok(()) };
            let head = self.sequencer.head(scope).await?;
            let receiver = self.receiver(&view.sink).await?;
            if view.progress.next_index < head.minimum_index {
                self.skip(hold, &view, head.minimum_index).await?;
                continue;
            }
            let View { sink, progress, .. } = view;
            let mut run = Run {
                deliverer: self,
                hold: &mut *hold,
                next: progress.next_index,
                attempts: progress.attempts,
                unstored: 0,
                sink,
            };
            if run.redeliver(&receiver, &head.origin).await? == Then::Stop {
                return Ok(());
            }
            if run.next >= head.signed_size || self.stop.is_cancelled() {
                return Ok(());
            }
            let page = self.page(&run.sink, &head.origin, run.next, head.signed_size).await?;
            if page.first().is_none_or(|first| first.sequence != run.next) {
                if self.sequencer.head(scope).await?.minimum_index > run.next {
                    // pruned since the head was read
                    continue;
                }
                let message =
                    format!("event `{}` of `{}` is not there, and was not pruned", run.next, head.origin);
                return Err(Error::internal(message));
            }
            if run.page(&receiver, &page).await? == Then::Stop {
                return Ok(());
            }
        }
    }

    /// The next events, as they are sent.
    async fn page(&self, sink: &Sink, origin: &str, from: i64, below: i64) -> Result<Vec<Message>> {
        let mut db = self.kernel.db.reader().await?;
        let rows = events::event_range(&mut db, sink.scope_id, from, below, PAGE).await?;
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            let (_, entry) = opened(&self.kernel, &mut db, &row.entry).await?;
            page.push(Message::of(origin, Opened { row, entry }));
        }
        Ok(page)
    }

    /// Records that retention was faster than the sink, and moves the cursor to what is left.
    async fn skip(&self, hold: &Hold, view: &View, minimum: i64) -> Result<()> {
        let (sink, from) = (&view.sink, view.progress.next_index);
        let ctx = self.kernel.system();
        let scope = self.scope(sink).await?;
        let permit = ctx.authorize(GAP, &scope).await?;
        let mut tx = ctx.begin(&permit).await?;
        if store::cursor_skip(&mut tx, hold.sink, hold.fence(), from, minimum).await? == 0 {
            return Err(Error::Conflict);
        }
        let gap = Gap {
            count: minimum - from,
            first_index: from,
            last_index: minimum - 1,
            reason: "retention removed the events before the sink delivered them",
        };
        tx.commit(permit.audit().target(sink).after(&gap)).await?;
        self.metrics.lost(sink.target.kind(), gap.count);
        tracing::error!(
            sink = sink.name(),
            first = from,
            count = gap.count,
            "a sink lost events to retention"
        );
        Ok(())
    }

    async fn scope(&self, sink: &Sink) -> Result<Scope> {
        let found = scope_get(&mut self.kernel.db.reader().await?, sink.scope_id).await?;
        found.ok_or_else(|| Error::internal(format!("the log of `{}` is no scope's", sink.name())))
    }

    /// Pauses a sink whose receiver wants nothing any more.
    async fn gone(&self, sink: &Sink, why: &str) -> Result<()> {
        let ctx = self.kernel.system();
        let scope = self.scope(sink).await?;
        ops::pause_for(&ctx, &scope, sink, why).await?;
        tracing::warn!(sink = sink.name(), why, "a sink was paused: its receiver is gone");
        Ok(())
    }
}

impl Run<'_> {
    /// Sends a page; a batch that is refused is sent again in halves, until it is known which event it is about.
    async fn page(&mut self, receiver: &Receiver, page: &[Message]) -> Result<Then> {
        let (mut rest, mut most) = (page, receiver.most());
        while !rest.is_empty() && !self.deliverer.stop.is_cancelled() {
            let (batch, after) = rest.split_at(most.min(rest.len()));
            match self.send(receiver, batch).await? {
                Outcome::Taken => {
                    self.taken(batch.len()).await?;
                    rest = after;
                    most = (most * 2).min(receiver.most());
                }
                Outcome::Refused(_) if batch.len() > 1 => most = batch.len() / 2,
                Outcome::Refused(why) if self.attempts + 1 >= ATTEMPTS => {
                    let Some(message) = batch.first() else { break };
                    self.give_up(message, why).await?;
                    rest = after;
                }
                Outcome::Refused(why) | Outcome::Again { why, after: None } => {
                    return self.wait(&why, None).await;
                }
                Outcome::Again { why, after } => return self.wait(&why, after).await,
                Outcome::Gone(why) => {
                    self.store(self.attempts, &why, Time::from_micros(0)).await?;
                    self.deliverer.gone(&self.sink, &why).await?;
                    return Ok(Then::Stop);
                }
            }
        }
        self.store(self.attempts, "", Time::from_micros(0)).await?;
        Ok(Then::On)
    }

    /// Sends while the lease is ours. Errors: CONFLICT when it is another's.
    async fn send(&mut self, receiver: &Receiver, batch: &[Message]) -> Result<Outcome> {
        let kernel = &self.deliverer.kernel;
        let outcome = self.hold.during(kernel, receiver.send(batch, kernel.clock.now())).await?;
        if outcome != Outcome::Taken {
            self.deliverer.metrics.failed(self.sink.target.kind());
        }
        Ok(outcome)
    }

    async fn taken(&mut self, count: usize) -> Result<()> {
        let moved = i64::try_from(count).map_err(Error::internal)?;
        self.deliverer.metrics.delivered(self.sink.target.kind(), count);
        self.next += moved;
        self.unstored += moved;
        let failed = std::mem::take(&mut self.attempts) > 0;
        if failed || self.unstored >= STORE_EVERY {
            self.store(0, "", Time::from_micros(0)).await?;
        }
        Ok(())
    }

    /// Stores how far it is. Errors: CONFLICT when the lease is another's.
    async fn store(&mut self, attempts: i64, error: &str, retry_time: Time) -> Result<()> {
        let mut tx = self.deliverer.kernel.db.begin_derived();
        self.advance(&mut tx, attempts, error, retry_time).await?;
        tx.finish().await?;
        self.unstored = 0;
        Ok(())
    }

    async fn advance(
        &self,
        db: &mut impl kernel::db::Executor,
        attempts: i64,
        error: &str,
        retry_time: Time,
    ) -> Result<()> {
        let to = Advance {
            next: self.next,
            delivered: self.unstored,
            attempts,
            error,
            retry_time,
            delivery_time: (self.unstored > 0).then(|| self.deliverer.kernel.clock.now()),
        };
        if store::cursor_advance(db, self.hold.sink, self.hold.fence(), &to).await? == 0 {
            return Err(Error::Conflict);
        }
        Ok(())
    }

    /// Waits longer with every failure.
    async fn wait(&mut self, why: &str, asked: Option<std::time::Duration>) -> Result<Then> {
        let kernel = &self.deliverer.kernel;
        let attempts = self.attempts.saturating_add(1);
        let pause = backoff::pause(&kernel.config.sinks, attempts, asked);
        let why: String = why.chars().take(WORDS).collect();
        self.store(attempts, &why, kernel.clock.now().plus(pause)).await?;
        tracing::warn!(
            sink = self.sink.name(),
            attempts,
            pause_ms = pause.as_millis(),
            why,
            "a sink is not delivered to; it is tried again"
        );
        Ok(Then::Stop)
    }

    /// Keeps an event that is refused for good, and goes on behind it.
    async fn give_up(&mut self, message: &Message, why: String) -> Result<()> {
        let letter = Letter {
            idx: message.sequence,
            event_id: EventId(message.id),
            reason: why.chars().take(WORDS).collect(),
            attempts: self.attempts + 1,
            redeliver: false,
            create_time: self.deliverer.kernel.clock.now(),
        };
        self.next += 1;
        self.attempts = 0;
        let mut tx = self.deliverer.kernel.db.begin_derived();
        store::letter_put(&mut tx, self.hold.sink, &letter).await?;
        self.advance(&mut tx, 0, "", Time::from_micros(0)).await?;
        tx.finish().await?;
        self.unstored = 0;
        self.deliverer.metrics.dead(self.sink.target.kind());
        tracing::warn!(
            sink = self.sink.name(),
            sequence = letter.idx,
            reason = letter.reason,
            "a sink's receiver refused an event for good"
        );
        Ok(())
    }

    /// Delivers the dead letters that somebody wants delivered again.
    async fn redeliver(&mut self, receiver: &Receiver, origin: &str) -> Result<Then> {
        let kernel = &self.deliverer.kernel;
        let (scope, id) = self.hold.sink;
        let waiting = store::letter_waiting(&mut kernel.db.reader().await?, scope, id, LETTERS).await?;
        for letter in waiting {
            let page = self.deliverer.page(&self.sink, origin, letter.idx, letter.idx + 1).await?;
            let outcome = match page.first() {
                Some(message) => self.send(receiver, std::slice::from_ref(message)).await?,
                None => Outcome::Refused("retention removed the event".to_owned()),
            };
            match outcome {
                Outcome::Taken => {
                    self.unstored = 1;
                    let mut tx = kernel.db.begin_derived();
                    store::letter_delete(&mut tx, scope, id, letter.idx).await?;
                    self.advance(&mut tx, self.attempts, "", Time::from_micros(0)).await?;
                    tx.finish().await?;
                    self.unstored = 0;
                    self.deliverer.metrics.delivered(self.sink.target.kind(), 1);
                }
                Outcome::Refused(reason) => {
                    let attempts = letter.attempts + 1;
                    let refused = Letter { reason, attempts, redeliver: false, ..letter };
                    let mut tx = kernel.db.begin_derived();
                    store::letter_put(&mut tx, self.hold.sink, &refused).await?;
                    self.advance(&mut tx, self.attempts, "", Time::from_micros(0)).await?;
                    tx.finish().await?;
                }
                Outcome::Again { why, after } => return self.wait(&why, after).await,
                Outcome::Gone(why) => {
                    self.deliverer.gone(&self.sink, &why).await?;
                    return Ok(Then::Stop);
                }
            }
        }
        Ok(Then::On)
    }
}
