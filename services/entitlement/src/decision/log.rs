//! The record of decisions: every no, a sample of the yeses, and how many there were of each reason; and of lists of what
//! somebody may use, or of who may use something: every one that nothing is on, a sample of the others, and how many there
//! were. Whatever asks, over gRPC or over AuthZEN, is on it.
//!
//! A decision is noted in memory and never waits for the record of it. What was noted is written once a second and when the
//! server stops, a tenant's as one event `decision.log` or, where one is not enough, a few: class `decision`, which retention
//! keeps for at least 184 days. Equal questions of one second are one line with a count. What a power cut takes is the last
//! second; what there was no room for is counted, and the next event says how many that were.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::decision::Target;
use kernel::{
    Kernel, Result,
    authz::{Action, Class},
    clock::Time,
    ids::TenantId,
    revision::Revision,
    scope::Scope,
};
use opentelemetry::{KeyValue, metrics::Meter};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::{
    count::{Counters, Counts, answered, listed, since},
    line::{Entry, Line, Noted, Question, RULES},
};
use super::model::target_name;

mod count;
mod line;

pub use self::{
    count::{List, Why},
    line::Answer,
};

/// What the process itself records; no RPC asks for it.
const LOG: Action = Action { rpc: "", noun: "decision", verb: "log", class: Class::Decide, scopes: &[] };

/// How often what was noted is written.
const EVERY: Duration = Duration::from_secs(1);
/// Characters of a name that a line has; keys of apps can be of any length.
const NAME: usize = 512;

/// What was decided in this process and is not on the record yet, by tenant.
pub struct DecisionLog {
    books: RwLock<HashMap<TenantId, Arc<Book>>>,
    shared: Arc<Shared>,
}

/// What all books go by.
struct Shared {
    /// Of a thousand yeses, how many are noted.
    sample: u64,
    /// Lines of all books.
    lines: AtomicU64,
    /// Answers of all tenants since the start.
    counters: Counters,
}

/// One tenant's part.
pub struct Book {
    shared: Arc<Shared>,
    scope: OnceLock<Scope>,
    /// Answers since the start.
    counters: Counters,
    noted: Mutex<Noted>,
    /// Held by whoever writes: when a flush is over, what was noted before it is written.
    turn: tokio::sync::Mutex<()>,
}

/// One answer, to be noted.
#[derive(Clone, Copy)]
pub struct Note<'n> {
    /// Id of the principal; empty where none is asked about, or where what was asked about cannot be one.
    pub principal: &'n str,
    /// What was asked for, if it is something that there can be.
    pub target: Option<Target<&'n str>>,
    /// What came of it.
    pub answer: Answer,
    /// By which revision of the rules; none where they could not be read.
    pub revision: Option<Revision>,
    /// When.
    pub time: Time,
}

impl DecisionLog {
    /// An empty one. `sample`: of a thousand yeses, how many are noted.
    pub fn new(sample: u16, meter: &Meter) -> Self {
        let shared = Arc::new(Shared {
            sample: u64::from(sample),
            lines: AtomicU64::new(0),
            counters: Counters::new(),
        });
        let decisions = Arc::clone(&shared);
        // read when somebody looks: a decision pays for no label
        meter
            .u64_observable_counter("provost.decision.answered")
            .with_description("Decisions by reason, whatever asked for them")
            .with_callback(move |observer| {
                for (reason, count) in answered(&decisions.counters.read()) {
                    observer.observe(count, &[KeyValue::new("reason", reason)]);
                }
            })
            .build();
        let lists = Arc::clone(&shared);
        meter
            .u64_observable_counter("provost.decision.listed")
            .with_description("Lists of what somebody may use, or of who may use something")
            .with_callback(move |observer| {
                for (list, count) in listed(&lists.counters.read()) {
                    observer.observe(count, &[KeyValue::new("list", list)]);
                }
            })
            .build();
        Self { books: RwLock::default(), shared }
    }

    /// The part of one tenant.
    pub fn book(&self, tenant: TenantId) -> Arc<Book> {
        if let Some(found) = self.books.read().unwrap_or_else(PoisonError::into_inner).get(&tenant) {
            return Arc::clone(found);
        }
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(books.entry(tenant).or_insert_with(|| Arc::new(Book::new(&self.shared))))
    }

    /// Writes what was noted, every tenant's by itself.
    ///
    /// # Errors
    ///
    /// The last failure; what was not written is tried again with the next flush.
    pub async fn flush(&self, kernel: &Arc<Kernel>) -> Result<()> {
        let books: Vec<_> =
            self.books.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        let mut outcome = Ok(());
        for book in books {
            if let Err(error) = book.flush(kernel).await {
                outcome = Err(error);
            }
        }
        let mut all = self.books.write().unwrap_or_else(PoisonError::into_inner);
        // nobody can note into a book that nobody has
        all.retain(|_, book| Arc::strong_count(book) > 1 || !book.is_written());
        outcome
    }

    /// Writes every second until `stop`. What comes after is for a last [`DecisionLog::flush`].
    pub fn spawn(self: &Arc<Self>, kernel: &Arc<Kernel>, stop: CancellationToken) -> JoinHandle<()> {
        let (log, kernel) = (Arc::clone(self), Arc::clone(kernel));
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(EVERY) => {}
                }
                if let Err(error) = log.flush(&kernel).await {
                    tracing::warn!(%error, "decisions were not recorded; the next second tries again");
                }
            }
        })
    }
}

impl Book {
    fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            scope: OnceLock::new(),
            counters: Counters::new(),
            noted: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Notes one answer. For a yes that is not of the sample this is one addition; the names of its rules are not even made.
    pub fn note(&self, scope: &Scope, note: Note<'_>, rules: impl IntoIterator<Item = String>) {
        let before = self.counters.count(note.answer.counter());
        self.scope.get_or_init(|| scope.clone());
        if note.answer.is_sampled() && !self.shared.samples(before) {
            return;
        }
        // decisions are asked for in tenants alone
        let Ok(tenant) = scope.tenant() else { return };
        let clipped = |name: String| name.chars().take(NAME).collect();
        let question = Question {
            principal: clipped(note.principal.to_owned()),
            plugin: note.target.map(|t| clipped(target_name(&tenant.slug, t))).unwrap_or_default(),
            answer: note.answer,
        };
        let rules = rules.into_iter().take(RULES).collect();
        let line = Line { rules, revision: note.revision, first: note.time, count: 1 };
        self.lock().add(question, line, &self.shared.lines);
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_written(&self) -> bool {
        let noted = self.lock();
        noted.lines.is_empty() && noted.unlisted == 0 && noted.written == self.counters.read()
    }

    /// Writes what was noted until now.
    async fn flush(&self, kernel: &Arc<Kernel>) -> Result<()> {
        let Some(scope) = self.scope.get() else { return Ok(()) };
        let _turn = self.turn.lock().await;
        let counts = self.counters.read();
        let (lines, unlisted, written) = {
            let mut noted = self.lock();
            let written = std::mem::replace(&mut noted.written, counts);
            (std::mem::take(&mut noted.lines), std::mem::take(&mut noted.unlisted), written)
        };
        self.shared.lines.fetch_sub(lines.len() as u64, Ordering::Relaxed);
        let since = since(&counts, &written);
        self.shared.counters.add(&since);
        let total = since.iter().sum::<u64>();
        if lines.is_empty() && unlisted == 0 && total == 0 {
            return Ok(());
        }
        let mut lines: Vec<_> = lines.into_iter().collect();
        lines.sort_by(|(a, first), (b, other)| {
            (first.first, &a.principal, &a.plugin).cmp(&(other.first, &b.principal, &b.plugin))
        });
        let mut entry = Entry::new(&since, unlisted);
        let (mut begin, mut first) = (0, true);
        while first || begin < lines.len() {
            let end = entry.fill(lines.get(begin..).unwrap_or_default()) + begin;
            let acts = if first { total } else { 1 };
            if let Err(error) = record(kernel, scope, &entry, acts).await {
                self.put_back(lines.split_off(begin), first.then_some((since, unlisted)));
                return Err(error);
            }
            (begin, first, entry) = (end, false, Entry::default());
        }
        Ok(())
    }

    /// What could not be written waits for the next flush.
    fn put_back(&self, lines: Vec<(Question, Line)>, counts: Option<(Counts, u64)>) {
        let mut noted = self.lock();
        for (question, line) in lines {
            noted.add(question, line, &self.shared.lines);
        }
        if let Some((unwritten, unlisted)) = counts {
            noted.unlisted += unlisted;
            noted.written = since(&noted.written, &unwritten);
            self.shared.counters.take(&unwritten);
        }
    }
}

impl Shared {
    /// Whether the yes that comes after `before` others is one of the sample: evenly spread, the first in every so many.
    fn samples(&self, before: u64) -> bool {
        before.wrapping_mul(self.sample) % 1_000 < self.sample
    }
}

async fn record(kernel: &Arc<Kernel>, scope: &Scope, entry: &Entry, acts: u64) -> Result<()> {
    let ctx = kernel.system();
    let permit = ctx.authorize(LOG, scope).await?;
    let audit = permit.audit().also("decision_log", scope.to_string()).after(entry).counting(acts.max(1));
    ctx.record(audit).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_thousand_yeses_as_many_are_noted_as_are_asked_for() {
        for sample in [0, 1, 10, 333, 999, 1_000] {
            let shared = Shared { sample, lines: AtomicU64::new(0), counters: Counters::new() };
            for start in [0, 1_000, 123_000] {
                let noted = (start..start + 1_000).filter(|&before| shared.samples(before)).count();
                assert_eq!(noted as u64, sample);
            }
        }
    }
}
