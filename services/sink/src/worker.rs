//! Who delivers: one task a sink that has something to deliver, in the one process that holds its lease.
//!
//! A task reads signed events from the cursor on, sends them, and moves the cursor under its fence; what was sent and not
//! counted when the process died is sent again. It ends when the sink has come to the end of the log, has to wait after a
//! failure, or was taken from it: every act on a sink raises the fence.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use audit::Sequencer;
use kernel::{Kernel, Result, clock::Time, db::Engine, error::Error};
use opentelemetry::metrics::Meter;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    metrics::Metrics,
    model::{Armed, Sink, SinkId},
    receiver::Receiver,
    secret::Secret,
    store,
};

mod act;
mod hold;

pub(crate) use act::GAP;
pub use hold::Hold;

/// How often the sinks are looked at without a sign that their logs have grown.
const POLL: Duration = Duration::from_secs(1);
/// Least time between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is measured how far behind the sinks are.
const MEASURE: Duration = Duration::from_secs(15);
/// Most sinks whose lag is measured.
const MEASURED: i64 = 10_000;
/// Most sinks that are delivered to at once.
const TASKS: usize = 32;
/// Most sinks that one look finds.
const DUE: i64 = 128;

/// Delivers for the sinks of this deployment, together with the other processes on the same database.
pub struct Deliverer {
    kernel: Arc<Kernel>,
    sequencer: Arc<Sequencer>,
    node: Uuid,
    metrics: Metrics,
    stop: CancellationToken,
    /// Senders by sink, with the revision that they were made for: they keep connections.
    receivers: Mutex<HashMap<SinkId, (i64, Arc<Receiver>)>>,
}

/// Delivers until `stop`; what is under way then is finished.
pub fn spawn_deliverer(
    kernel: &Arc<Kernel>,
    sequencer: &Arc<Sequencer>,
    meter: &Meter,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let deliverer = Arc::new(Deliverer {
        node: kernel.ids.new_id(kernel.clock.now()),
        kernel: Arc::clone(kernel),
        sequencer: Arc::clone(sequencer),
        metrics: Metrics::new(meter),
        stop,
        receivers: Mutex::default(),
    });
    tokio::spawn(deliverer.run())
}

impl Deliverer {
    async fn run(self: Arc<Self>) {
        let mut progress = self.sequencer.progress();
        let (mut tasks, mut busy) = (JoinSet::new(), HashSet::new());
        let mut measured: Option<Instant> = None;
        // the embedded database belongs to one process: whoever held a lease before this one is gone
        let mut first = self.kernel.db.engine() == Engine::Sqlite;
        while !self.stop.is_cancelled() {
            progress.mark_unchanged();
            match self.due(first).await {
                Ok(due) => {
                    first = false;
                    for sink in due {
                        if busy.len() < TASKS && busy.insert(sink) {
                            tasks.spawn(Arc::clone(&self).task(sink));
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "no sink was looked at; the next round tries again"),
            }
            if measured.is_none_or(|at| at.elapsed() >= MEASURE) {
                measured = Some(Instant::now());
                self.measure().await;
            }
            sleep(PAUSE).await;
            tokio::select! {
                () = self.stop.cancelled() => {}
                _ = progress.changed() => {}
                Some(ended) = tasks.join_next() => free(&mut busy, ended),
                () = sleep(POLL) => {}
            }
            while let Some(ended) = tasks.try_join_next() {
                free(&mut busy, ended);
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn due(&self, all: bool) -> Result<Vec<(Uuid, SinkId)>> {
        let now = self.kernel.clock.now();
        let leased = if all { Time::from_micros(i64::MAX) } else { now };
        store::sink_due(&mut self.kernel.db.reader().await?, now, leased, DUE).await
    }

    async fn measure(&self) {
        let now = self.kernel.clock.now();
        let views = async { store::sink_list_all(&mut self.kernel.db.reader().await?, MEASURED, now).await };
        match views.await {
            Ok(views) => views.iter().for_each(|view| self.metrics.lag(view)),
            Err(error) => tracing::warn!(%error, "the lag of the sinks was not measured"),
        }
    }

    /// Delivers for one sink as long as there is something to deliver.
    async fn task(self: Arc<Self>, sink: (Uuid, SinkId)) -> (Uuid, SinkId) {
        match self.follow(sink).await {
            Ok(()) => {}
            // somebody acted on the sink, or another process delivers
            Err(Error::Conflict) => tracing::debug!(sink = %sink.1, "a sink was taken from this task"),
            Err(error) => {
                tracing::error!(sink = %sink.1, %error, "a sink was not delivered to; the next round tries again");
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = sleep(POLL) => {}
                }
            }
        }
        sink
    }

    async fn follow(&self, (scope, id): (Uuid, SinkId)) -> Result<()> {
        let Some(mut hold) = Hold::take(&self.kernel, self.node, (scope, id)).await? else { return Ok(()) };
        let outcome = self.deliver(&mut hold).await;
        // a lease that is another's by now is not given back
        hold.release(&self.kernel).await?;
        outcome
    }

    /// The sender of a sink as it is now.
    async fn receiver(&self, sink: &Sink) -> Result<Arc<Receiver>> {
        let known = self.receivers.lock().unwrap_or_else(PoisonError::into_inner).get(&sink.id).cloned();
        if let Some((revision, receiver)) = known
            && revision == sink.revision
        {
            return Ok(receiver);
        }
        let made = Arc::new(ready(&self.kernel, sink).await?);
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        if receivers.len() >= 8 * TASKS {
            receivers.clear();
        }
        receivers.insert(sink.id, (sink.revision, Arc::clone(&made)));
        Ok(made)
    }
}

/// A sender for a sink, with its secret.
pub async fn ready(kernel: &Kernel, sink: &Sink) -> Result<Receiver> {
    let wrapped = store::secret_get(&mut kernel.db.reader().await?, sink.scope_id, sink.id).await?;
    let secret = Secret::unwrap(kernel, sink.id, &wrapped)?;
    Receiver::new(kernel, &Armed { sink: sink.clone(), secret })
}

fn free(busy: &mut HashSet<(Uuid, SinkId)>, ended: Result<(Uuid, SinkId), tokio::task::JoinError>) {
    match ended {
        Ok(sink) => {
            busy.remove(&sink);
        }
        Err(error) => {
            // which of them it was is not known: their leases tell who is at work
            tracing::error!(%error, "a delivery failed");
            busy.clear();
        }
    }
}
