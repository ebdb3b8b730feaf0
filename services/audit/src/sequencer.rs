//! From outbox to log: every pending event gets the next index, a leaf in the Merkle tree, and a place under a signed
//! checkpoint.
//!
//! One batch is one transaction (`log`): it claims the visible rows of a log's outbox (what is pending is the cursor, so
//! nothing can be skipped), gives gapless indexes, inserts the events, stores the tiles that changed, deletes the rows, and
//! moves the head; the head moves only under the fence of the lease, so that of two processes one fails whole. Only what is
//! durable is signed, and only what extends the last signed tree.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use kernel::{Kernel, Result, config::Config, db::Engine, error::Error};
use opentelemetry::metrics::Meter;
use tokio::{
    sync::{Mutex as Turn, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod head;
mod key;
mod log;
pub mod meta;
mod metrics;
mod signed;
pub mod store;
pub mod witness;

pub use head::LogHead;
use key::Keys;
use log::Log;
use meta::META;
use metrics::Metrics;
use witness::{Answer, Witness};

use crate::{
    event::{Reading, index::index_segments},
    https::Client,
};

/// How often the outbox is looked at without a ring: other processes fill it too.
const POLL: Duration = Duration::from_millis(250);
/// How often somebody who waits for another process looks.
const LOOK: Duration = Duration::from_millis(10);
/// Longest wait for another process to sequence what was committed.
const PATIENCE: Duration = Duration::from_secs(6);
/// Under load the work pauses this many times as long as it took, ...
const IDLE: u32 = 4;
/// ... but no longer than this: half of what a checkpoint may take.
const LONGEST: Duration = Duration::from_millis(400);
/// Logs that are sequenced at the same time, where the database has more than one writer.
const AT_ONCE: usize = 4;
/// Batches of one log before the others have their turn.
const TURN: usize = 32;
/// How often it is looked for logs whose events have no checkpoint though nothing waits in them: whoever sequenced them died or
/// failed between the two.
const SWEEP: Duration = Duration::from_secs(2);
/// Events in one search segment.
pub const SEGMENT: i64 = 4_096;

/// A log that is, or is not, ours at the moment. Its lock is the turn of whoever works on it.
type Slot = Arc<Turn<Option<Log>>>;

/// What came of a log's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turned {
    /// All that waited when it began is in the log and signed.
    Done,
    /// There may be more.
    More,
    /// Another process has the log.
    Elsewhere,
}

/// Makes the logs of this deployment, together with the other processes on the same database.
pub struct Sequencer {
    kernel: Arc<Kernel>,
    keys: Keys,
    node: Uuid,
    logs: Mutex<HashMap<Uuid, Slot>>,
    progress: watch::Sender<u64>,
    /// One segment at a time.
    indexing: Turn<()>,
    metrics: Metrics,
    reading: Arc<Reading>,
    stop: CancellationToken,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// Whether the key that signs is there; the first start makes one that is not. Errors: a key file that cannot be used.
pub fn keys_found(config: &Config) -> Result<bool> {
    Keys::found(config)
}

/// Lets what this process records sort behind what was recorded before it started, also when the clock was set back since.
/// Call it before anything is recorded.
pub async fn go_on(kernel: &Kernel) -> Result<()> {
    if let Some(newest) = store::newest(&mut kernel.db.reader().await?).await? {
        kernel.ids.not_below(newest);
    }
    Ok(())
}

impl Sequencer {
    /// Reads or makes the signing key and starts the work, which goes on until [`Sequencer::stop`].
    pub fn start(kernel: &Arc<Kernel>, meter: &Meter) -> Result<Arc<Self>> {
        let witnesses = kernel.config.audit.witnesses.iter().map(|w| Witness::parse(w));
        let witnesses = witnesses.collect::<Result<Vec<_>>>()?;
        let sequencer = Arc::new(Self {
            keys: Keys::load(&kernel.config)?,
            node: kernel.ids.new_id(kernel.clock.now()),
            kernel: Arc::clone(kernel),
            logs: Mutex::default(),
            progress: watch::Sender::new(0),
            indexing: Turn::default(),
            metrics: Metrics::new(meter),
            reading: Arc::default(),
            stop: CancellationToken::new(),
            worker: Mutex::default(),
        });
        let own = Arc::clone(&sequencer);
        // the certificate authorities are read only where somebody is called
        let client = if witnesses.is_empty() { None } else { Some(Client::new()?) };
        let publisher = Arc::clone(&sequencer).publish(client, witnesses);
        let worker = tokio::spawn(async move {
            let beside = [tokio::spawn(publisher), tokio::spawn(Arc::clone(&own).index())];
            own.work().await;
            for task in beside {
                task.abort();
            }
        });
        *sequencer.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
        Ok(sequencer)
    }

    /// Sequences what waits, gives the leases back and ends the work.
    pub async fn stop(&self) {
        self.stop.cancel();
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker
            && let Err(error) = worker.await
        {
            tracing::error!(%error, "the sequencer failed");
        }
    }

    async fn work(self: Arc<Self>) {
        let stop = &self.stop;
        let interval = Duration::from_millis(self.kernel.config.audit.checkpoint_interval_ms);
        let mut swept: Option<Instant> = None;
        while !stop.is_cancelled() {
            let begun = Instant::now();
            if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
                swept = Some(begun);
                self.sweep().await;
            }
            self.round().await;
            self.flush_reads(false).await;
            // under load, fewer and larger batches: the changes themselves come first
            let pause = interval.max((begun.elapsed() * IDLE).min(LONGEST));
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.kernel.outbox.notified() => {}
                    () = sleep(POLL) => {}
                }
            }
        }
        self.flush_reads(true).await;
        self.round().await;
        if let Err(error) = self.release().await {
            tracing::warn!(%error, "audit leases were not given back; they end by themselves");
        }
    }

    /// Records the reads that were counted; with `all`, also those whose minute is not over.
    async fn flush_reads(&self, all: bool) {
        if let Err(error) = self.reading.reads.flush(&self.kernel, all).await {
            tracing::warn!(%error, "counted reads of the audit log were not recorded; the next round tries again");
        }
    }

    /// Puts new checkpoints into the meta log and has the witnesses cosign it, at the configured interval.
    async fn publish(self: Arc<Self>, client: Option<Client>, mut witnesses: Vec<Witness>) {
        let interval = Duration::from_secs(self.kernel.config.audit.publish_interval_seconds);
        if interval.is_zero() {
            return;
        }
        loop {
            sleep(interval).await;
            if let Err(error) = self.publish_once(client.as_ref(), &mut witnesses).await
                && !matches!(error, Error::Conflict)
            {
                self.failed(&error);
            }
        }
    }

    /// One round of it.
    pub async fn publish_once(
        &self,
        client: Option<&Client>,
        witnesses: &mut [Witness],
    ) -> Result<Vec<(String, Answer)>> {
        if meta::publish(&self.kernel, meta::LOGS).await? == 0 && witnesses.is_empty() {
            return Ok(Vec::new());
        }
        let head = self.catch_up(META).await?;
        if head.size == 0 {
            return Ok(Vec::new());
        }
        let head = self.covering(META, head.size - 1, PATIENCE).await?;
        let Some(client) = client else { return Ok(Vec::new()) };
        let answers = witness::cosign_all(&self.kernel, client, witnesses, &head).await?;
        for (url, answer) in &answers {
            if let Answer::Refused(status, why) = answer {
                tracing::error!(url, status, why, "a witness did not cosign the meta log");
            }
        }
        Ok(answers)
    }

    /// Sequences every log that has something waiting. One that has very much of it takes turns with the others.
    async fn round(&self) {
        loop {
            let scopes = async { store::pending_scopes(&mut self.kernel.db.reader().await?).await };
            let more = match scopes.await {
                Ok(scopes) => self.each(scopes).await,
                Err(error) => return self.failed(&error),
            };
            if !more {
                return;
            }
        }
    }

    /// Signs what somebody sequenced and did not come to sign.
    async fn sweep(&self) {
        let scopes = async { store::unsigned_scopes(&mut self.kernel.db.reader().await?).await };
        match scopes.await {
            Ok(scopes) => {
                self.each(scopes).await;
            }
            Err(error) => self.failed(&error),
        }
    }

    /// A turn for each of these logs; returns whether one of them has more.
    async fn each(&self, scopes: Vec<Uuid>) -> bool {
        let at_once = match self.kernel.db.engine() {
            Engine::Sqlite => 1,
            Engine::Postgres => AT_ONCE,
        };
        let turns = scopes.into_iter().map(|scope| self.sequence(scope, TURN));
        // an error was counted and logged, and the next round tries again
        let more =
            |more, outcome: Result<Turned>| std::future::ready(more || matches!(outcome, Ok(Turned::More)));
        futures::stream::iter(turns).buffer_unordered(at_once).fold(false, more).await
    }

    /// Sequences what waits in one log and signs it, at most so many batches.
    async fn sequence(&self, scope: Uuid, batches: usize) -> Result<Turned> {
        let slot = self.slot(scope);
        let mut slot = slot.lock().await;
        let outcome = self.advance(&mut slot, scope, batches).await;
        if let Err(error) = &outcome {
            // what is known of the log may be wrong now: the next round reads it anew
            *slot = None;
            self.failed(error);
        }
        outcome
    }

    async fn advance(&self, slot: &mut Option<Log>, scope: Uuid, batches: usize) -> Result<Turned> {
        let kernel = &self.kernel;
        if let Some(log) = slot
            && !log.renew(kernel).await?
        {
            *slot = None;
        }
        if slot.is_none() {
            *slot = Log::take(kernel, &self.keys, self.node, scope).await?;
        }
        let Some(log) = slot else {
            self.progress.send_modify(|n| *n += 1);
            return Ok(Turned::Elsewhere);
        };
        for _ in 0..batches {
            let batch = log.extend(kernel).await?;
            self.metrics.sequenced(batch.events);
            if let Some(times) = log.sign(kernel, &self.keys).await? {
                self.metrics.signed(&times, kernel.clock.now());
                self.progress.send_modify(|n| *n += 1);
            }
            if !batch.full {
                return Ok(Turned::Done);
            }
        }
        Ok(Turned::More)
    }

    /// Builds the search index of every log's full segments, beside the sequencing.
    async fn index(self: Arc<Self>) {
        let mut progress = self.progress();
        while progress.changed().await.is_ok() {
            let scopes: Vec<_> =
                self.logs.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
            let begun = Instant::now();
            for scope in scopes {
                if let Err(error) = self.indexed(scope).await {
                    self.failed(&error);
                }
            }
            // what is not in the index yet is searched without it
            sleep((begun.elapsed() * IDLE).min(LONGEST)).await;
        }
    }

    /// Returns once every full segment of a log is in the search index.
    pub async fn indexed(&self, scope: Uuid) -> Result<()> {
        let _turn = self.indexing.lock().await;
        let head = self.head(scope).await?;
        if head.size / SEGMENT > head.segments {
            index_segments(&self.kernel, scope, head.segments, head.size).await?;
        }
        Ok(())
    }

    fn failed(&self, error: &Error) {
        let lost = matches!(error, Error::Conflict);
        self.metrics.failed(if lost { "fenced" } else { "error" });
        if lost {
            tracing::info!("another process took an audit log over");
        } else {
            tracing::error!(%error, "an audit log was not sequenced; the next round tries again");
        }
    }

    fn slot(&self, scope: Uuid) -> Slot {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(logs.entry(scope).or_default())
    }

    async fn release(&self) -> Result<()> {
        let mut tx = self.kernel.db.begin_derived();
        store::lease_release(&mut tx, self.node).await?;
        tx.finish().await
    }

    /// Returns once every event that was committed before the call has its index, and the head then. Errors:
    /// UNAVAILABLE when the process that sequences the log does not get on.
    pub async fn catch_up(&self, scope: Uuid) -> Result<LogHead> {
        let mut reader = self.kernel.db.reader().await?;
        let last = store::pending_last(&mut reader, scope).await?;
        drop(reader);
        if let Some(last) = last {
            let until = Instant::now() + PATIENCE;
            loop {
                match self.sequence(scope, usize::MAX).await {
                    Ok(Turned::Done) => break,
                    // another process has the log, or has just taken it
                    Ok(Turned::Elsewhere | Turned::More) | Err(Error::Conflict) => {}
                    Err(error) => return Err(error),
                }
                sleep(LOOK).await;
                if !store::pending_until(&mut self.kernel.db.reader().await?, scope, last).await? {
                    break;
                }
                if Instant::now() > until {
                    return Err(Error::AuditBehind);
                }
            }
        }
        self.head(scope).await
    }

    /// The head as it is; one of size 0 for a log without events.
    pub async fn head(&self, scope: Uuid) -> Result<LogHead> {
        let mut db = self.kernel.db.reader().await?;
        if let Some(found) = store::log_get(&mut db, scope).await? {
            return Ok(found);
        }
        Ok(LogHead {
            scope_id: scope,
            origin: log::origin(&self.kernel, &mut db, scope).await?,
            size: 0,
            root: tlog::EMPTY_ROOT.as_bytes().to_vec(),
            signed_size: 0,
            checkpoint: String::new(),
            sign_time: self.kernel.clock.now(),
            minimum_index: 0,
            segments: 0,
        })
    }

    /// A head whose checkpoint covers `index`; waits at most `wait`, then `UNAVAILABLE`.
    pub async fn covering(&self, scope: Uuid, index: i64, wait: Duration) -> Result<LogHead> {
        let until = Instant::now() + wait;
        loop {
            let head = self.head(scope).await?;
            if head.signed_size > index {
                return Ok(head);
            }
            if Instant::now() > until {
                return Err(Error::AuditBehind);
            }
            match self.sequence(scope, TURN).await {
                Ok(_) | Err(Error::Conflict) => sleep(LOOK).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// What this process remembers of the reading of its logs.
    pub fn reading(&self) -> &Arc<Reading> {
        &self.reading
    }

    /// Changes after every batch that this process sequenced, and while another process sequences.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Signs a statement about a log with the log's keys. `name` and `text` must be such that neither passes for a checkpoint.
    pub fn sign_statement(&self, name: &str, text: &str) -> Result<tlog::Note> {
        if tlog::Checkpoint::parse(text).is_ok() {
            return Err(Error::internal("a statement that passes for a checkpoint is not signed"));
        }
        self.keys.sign_text(name, text)
    }

    /// Verifier keys of the log with that origin, the current first.
    pub fn verifier_keys(&self, origin: &str) -> Vec<String> {
        self.keys.verifier_keys(origin)
    }
}

/// The verifier key of the log with that origin, from the text of a key file.
pub fn verifier_key(key_file: &str, origin: &str) -> Result<String> {
    Keys::parse(key_file).map(|keys| keys.verifier_keys(origin).concat())
}
