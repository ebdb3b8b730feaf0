//! Group commit: what came for one tenant at the same time is stored in one transaction.
//!
//! Nobody waits for company: while one transaction is under way, those that come gather for the next. Two processes that write
//! for one tenant take turns at its head (`usage_head`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kernel::{Ctx, Error, Kernel, Result, authz::Permit, clock::Time, db::retry, ids::TenantId};
use opentelemetry::metrics::{Counter, Histogram, Meter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    group::{self, Outcome},
    key::Digest,
    model::{Holder, Rejection, Status, UsageEvent},
};
use crate::meter::Meters;

/// Most events that one transaction stores, unless one request alone has more.
const GROUP: usize = 8_192;
/// Requests that wait for one tenant, beside the limit on events.
const QUEUE: usize = 1_024;
/// When whoever finds no room should come back.
const RETRY: Duration = Duration::from_millis(250);

/// How events came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `UsageService.Ingest`.
    Grpc,
    /// `POST /v1/usage/events`.
    CloudEvents,
    /// OTLP.
    Otlp,
}

impl Surface {
    /// As in counts and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::CloudEvents => "cloudevents",
            Self::Otlp => "otlp",
        }
    }
}

/// An event that passed all checks, with its keys.
#[derive(Debug)]
pub struct Checked {
    /// What makes it the same event.
    pub key: Digest,
    /// What makes it say the same.
    pub payload: Digest,
    /// To whom it is attributed.
    pub holder: Holder,
    /// Made by us out of others: nobody hears of it.
    pub derived: bool,
    /// Its dimensions, as stored.
    pub dims: String,
    /// Its quantities, as stored.
    pub amounts: String,
    /// The event.
    pub event: UsageEvent,
}

/// A refused event, as far as it can be named.
#[derive(Debug)]
pub struct Refused {
    /// Source, id and type, as far as they could be read, cut to their limits.
    pub said: Box<[String; 3]>,
    /// Why.
    pub why: Rejection,
}

/// One request on its way into the store: what was sent, in order.
pub struct Job {
    /// Who sends.
    pub ctx: Arc<Ctx>,
    /// That it is allowed.
    pub permit: Permit,
    /// Into which tenant.
    pub tenant: TenantId,
    /// By which way.
    pub surface: Surface,
    /// What was sent.
    pub items: Vec<Result<Checked, Refused>>,
}

struct Waiting {
    job: Job,
    answer: oneshot::Sender<Result<Vec<Status>>>,
    /// The room that it takes, until it is stored: also when its caller has gone away by then.
    room: OwnedSemaphorePermit,
}

/// Stores usage events, for all tenants.
pub struct Writer {
    kernel: Arc<Kernel>,
    queues: Mutex<HashMap<TenantId, mpsc::Sender<Waiting>>>,
    /// Room in memory, in events.
    room: Arc<Semaphore>,
    most: usize,
    metrics: Arc<Metrics>,
}

struct Metrics {
    events: Counter<u64>,
    commit: Histogram<f64>,
}

impl Writer {
    /// Stores into the kernel's database.
    pub fn new(kernel: &Arc<Kernel>, meter: &Meter) -> Arc<Self> {
        let most = kernel.config.usage.max_waiting_events.clamp(1, Semaphore::MAX_PERMITS);
        let metrics = Metrics {
            events: meter
                .u64_counter("provost.usage.events")
                .with_description("Usage events that came in, by surface and outcome.")
                .build(),
            commit: meter
                .f64_histogram("provost.usage.commit.duration")
                .with_unit("s")
                .with_description("Time to store a group of usage events.")
                .with_boundaries(vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0])
                .build(),
        };
        Arc::new(Self {
            kernel: Arc::clone(kernel),
            queues: Mutex::default(),
            room: Arc::new(Semaphore::new(most)),
            most,
            metrics: Arc::new(metrics),
        })
    }

    /// What it stores into.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// Stores what is new of a job; returns what became of each item once it is durable. When there is no room for it: with
    /// `patient`, waits; otherwise OVERLOADED. A caller that goes away does not undo it.
    pub async fn store(&self, job: Job, patient: bool) -> Result<Vec<Status>> {
        // a request larger than all the room there is has to be possible when it is alone
        let size = u32::try_from(job.items.len().clamp(1, self.most)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room);
        let room = if patient {
            room.acquire_many_owned(size).await.map_err(Error::internal)?
        } else {
            room.try_acquire_many_owned(size).map_err(|_| Error::Overloaded { retry_after: RETRY })?
        };
        let (answer, answered) = oneshot::channel();
        let queue = self.queue(job.tenant);
        let waiting = Waiting { job, answer, room };
        if patient {
            queue.send(waiting).await.map_err(Error::internal)?;
        } else {
            queue.try_send(waiting).map_err(|_| Error::Overloaded { retry_after: RETRY })?;
        }
        answered.await.map_err(Error::internal)?
    }

    /// The tenant's queue, with a task that empties it.
    fn queue(&self, tenant: TenantId) -> mpsc::Sender<Waiting> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (sender, receiver) = mpsc::channel(QUEUE);
            tokio::spawn(drain(Arc::clone(&self.kernel), Arc::clone(&self.metrics), receiver));
            sender
        };
        let queue = queues.entry(tenant).or_insert_with(start);
        if queue.is_closed() {
            // its task died, and nobody would ever empty it
            *queue = start();
        }
        queue.clone()
    }
}

/// Stores what waits, group by group, until the writer is dropped.
async fn drain(kernel: Arc<Kernel>, metrics: Arc<Metrics>, mut queue: mpsc::Receiver<Waiting>) {
    let meters = Mutex::new(Meters::built_in());
    while let Some(first) = queue.recv().await {
        let mut events = first.job.items.len();
        let mut group = vec![first];
        while events < GROUP
            && let Ok(next) = queue.try_recv()
        {
            events += next.job.items.len();
            group.push(next);
        }
        let begun = std::time::Instant::now();
        let (jobs, waiting): (Vec<_>, Vec<_>) =
            group.into_iter().map(|w| (w.job, (w.answer, w.room))).unzip();
        let outcomes = store(&kernel, &jobs, &meters).await;
        metrics.commit.record(begun.elapsed().as_secs_f64(), &[]);
        for ((job, (answer, room)), outcome) in jobs.iter().zip(waiting).zip(outcomes) {
            metrics.count(job.surface, &outcome);
            // whoever does not wait any more has gone away
            let _ = answer.send(outcome);
            drop(room);
        }
    }
}

/// Stores jobs together; when that fails for good, one by one, so that each gets its own answer.
async fn store(kernel: &Arc<Kernel>, jobs: &[Job], meters: &group::Seen) -> Vec<Result<Vec<Status>>> {
    let together: Result<Outcome> = retry::on_conflict(|| group::commit(kernel, jobs, meters)).await;
    match together {
        Ok(outcome) => outcome.into_iter().map(Ok).collect(),
        Err(error) if jobs.len() == 1 => vec![Err(error)],
        Err(_) => {
            let mut outcomes = Vec::with_capacity(jobs.len());
            for job in jobs {
                let alone =
                    retry::on_conflict(|| group::commit(kernel, std::slice::from_ref(job), meters)).await;
                outcomes.push(alone.map(|outcome| outcome.into_iter().flatten().collect()));
            }
            outcomes
        }
    }
}

impl Metrics {
    fn count(&self, surface: Surface, outcome: &Result<Vec<Status>>) {
        let Ok(statuses) = outcome else { return };
        let report = super::report::Report::of(statuses);
        let rejected = report.rejected.values().sum();
        for (name, count) in [
            ("accepted", report.accepted),
            ("duplicate", report.duplicates),
            ("conflict", report.conflicts),
            ("rejected", rejected),
        ] {
            if count > 0 {
                let labels = [("surface", surface.as_str()), ("outcome", name)];
                self.events.add(count, &labels.map(|(k, v)| opentelemetry::KeyValue::new(k, v)));
            }
        }
    }
}

/// The start of the UTC day of `time`.
pub fn day_of(time: Time) -> Time {
    const DAY: i64 = 86_400_000_000;
    Time::from_micros(time.micros().div_euclid(DAY) * DAY)
}
