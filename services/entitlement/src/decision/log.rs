//! The record of decisions: every no, a sample of the yeses, and how many there were of each reason.
//!
//! A decision is noted in memory and never waits for the record of it. What was noted is written once a second and when the
//! server stops, a tenant's as one event `decision.log` or, where one is not enough, a few: class `decision`, which retention
//! keeps for at least 184 days. Equal questions of one second are one line with a count. What a power cut takes is the last
//! second; what there was no room for is counted, and the next event says how many that were.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::decision::Reason;
use kernel::{
    Kernel, Result,
    authz::{Action, Class},
    clock::Time,
    ids::{Slug, TenantId},
    revision::Revision,
    scope::Scope,
};
use opentelemetry::{KeyValue, metrics::Meter};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::model::{Decision, Wanted, target_name};

/// What the process itself records; no RPC asks for it.
const LOG: Action = Action { rpc: "", noun: "decision", verb: "log", class: Class::Decide, scopes: &[] };

/// How often what was noted is written.
const EVERY: Duration = Duration::from_secs(1);
/// Different questions that are noted for a tenant between two writes; further ones are counted.
const ROOM: usize = 4_096;
/// The same for all tenants together.
const ROOM_OF_ALL: u64 = 65_536;
/// Characters of a target that a line has; keys of apps can be of any length.
const NAME: usize = 512;
/// Rules that a line names.
const RULES: usize = 16;
/// Bytes of the lines of one event, well below what an entry can hold.
const LINES: usize = 24 * 1024;
/// Reasons there are.
const REASONS: usize = Reason::ALL.len();

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
    /// Decisions of all tenants since the start, by reason.
    answered: [AtomicU64; REASONS],
}

/// One tenant's part.
pub struct Book {
    shared: Arc<Shared>,
    scope: OnceLock<Scope>,
    /// Decisions since the start, by reason.
    answered: [AtomicU64; REASONS],
    noted: Mutex<Noted>,
    /// Held by whoever writes: when a flush is over, what was noted before it is written.
    turn: tokio::sync::Mutex<()>,
}

/// What waits to be written.
#[derive(Default)]
struct Noted {
    lines: HashMap<Question, Line>,
    /// Decisions to note for which there was no room.
    unlisted: u64,
    /// What of [`Book::answered`] is on the record.
    written: [u64; REASONS],
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    principal: Slug,
    plugin: String,
    reason: Reason,
}

#[derive(Clone)]
struct Line {
    rules: Vec<String>,
    revision: Option<Revision>,
    first: Time,
    count: u64,
}

/// One line of the event, as it is recorded.
#[derive(Serialize)]
struct Recorded<'l> {
    principal: &'l str,
    plugin: &'l str,
    reason: &'static str,
    /// The rules that it rests on.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entitlements: &'l [String],
    /// Counts of the tenant's changes and of the catalogue's.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// When it was first asked.
    time: Time,
    /// How often.
    count: u64,
}

/// What one event says.
#[derive(Default, Serialize)]
struct Entry<'l> {
    /// Decisions by reason, since the event before.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    answered: BTreeMap<&'static str, u64>,
    /// Every no.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied: Vec<Recorded<'l>>,
    /// A sample of the yeses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_sample: Vec<Recorded<'l>>,
    /// Decisions that should be lines and are not, because there were too many at once.
    #[serde(skip_serializing_if = "is_zero")]
    unlisted: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl DecisionLog {
    /// An empty one. `sample`: of a thousand yeses, how many are noted.
    pub fn new(sample: u16, meter: &Meter) -> Self {
        let shared = Arc::new(Shared {
            sample: u64::from(sample),
            lines: AtomicU64::new(0),
            answered: std::array::from_fn(|_| AtomicU64::new(0)),
        });
        let counted = Arc::clone(&shared);
        // read when somebody looks: a decision pays for no label
        meter
            .u64_observable_counter("provost.decision.answered")
            .with_description("Decisions by reason, from Check, BatchCheck and Explain")
            .with_callback(move |observer| {
                for (reason, count) in Reason::ALL.iter().zip(&counted.answered) {
                    observer
                        .observe(count.load(Ordering::Relaxed), &[KeyValue::new("reason", reason.as_str())]);
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
            answered: std::array::from_fn(|_| AtomicU64::new(0)),
            noted: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Notes one decision. For a yes that is not of the sample this is one addition.
    pub fn note(
        &self,
        scope: &Scope,
        (who, wanted): (&Slug, &Wanted),
        decision: &Decision,
        revision: Option<Revision>,
    ) {
        let Some(counter) = self.answered.get(decision.reason as usize) else { return };
        let before = counter.fetch_add(1, Ordering::Relaxed);
        self.scope.get_or_init(|| scope.clone());
        if decision.allowed && !self.shared.samples(before) {
            return;
        }
        // decisions are asked for in tenants alone
        let Ok(tenant) = scope.tenant() else { return };
        let mut plugin = target_name(&tenant.slug, wanted.target());
        if let Some((end, _)) = plugin.char_indices().nth(NAME) {
            plugin.truncate(end);
        }
        let question = Question { principal: who.clone(), plugin, reason: decision.reason };
        let line = || {
            let rules = decision.entitlements.iter().take(RULES).cloned().collect();
            Line { rules, revision, first: decision.decide_time, count: 1 }
        };
        self.lock().add(question, (decision.decide_time, 1), &self.shared, line);
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decisions since the start.
    fn counts(&self) -> [u64; REASONS] {
        std::array::from_fn(|at| self.answered.get(at).map_or(0, |count| count.load(Ordering::Relaxed)))
    }

    fn is_written(&self) -> bool {
        let noted = self.lock();
        noted.lines.is_empty() && noted.unlisted == 0 && noted.written == self.counts()
    }

    /// Writes what was noted until now.
    async fn flush(&self, kernel: &Arc<Kernel>) -> Result<()> {
        let Some(scope) = self.scope.get() else { return Ok(()) };
        let _turn = self.turn.lock().await;
        let counts = self.counts();
        let (lines, unlisted, written) = {
            let mut noted = self.lock();
            let written = std::mem::replace(&mut noted.written, counts);
            (std::mem::take(&mut noted.lines), std::mem::take(&mut noted.unlisted), written)
        };
        self.shared.lines.fetch_sub(lines.len() as u64, Ordering::Relaxed);
        let since: Vec<_> = counts.iter().zip(written).map(|(now, before)| now - before).collect();
        for (total, since) in self.shared.answered.iter().zip(&since) {
            total.fetch_add(*since, Ordering::Relaxed);
        }
        if lines.is_empty() && unlisted == 0 && since.iter().all(|count| *count == 0) {
            return Ok(());
        }
        let mut lines: Vec<_> = lines.into_iter().collect();
        lines.sort_by(|(a, first), (b, other)| {
            (first.first, &a.principal, &a.plugin).cmp(&(other.first, &b.principal, &b.plugin))
        });
        let named = Reason::ALL.iter().map(|reason| reason.as_str()).zip(since.iter().copied());
        let answered = named.filter(|(_, count)| *count > 0).collect();
        let (mut begin, mut counts) = (0, Some((answered, unlisted)));
        while counts.is_some() || begin < lines.len() {
            let first = counts.is_some();
            let acts = if first { since.iter().sum() } else { 1 };
            let (answered, unlisted) = counts.take().unwrap_or_default();
            let mut entry = Entry { answered, unlisted, ..Entry::default() };
            let end = entry.fill(lines.get(begin..).unwrap_or_default()) + begin;
            if let Err(error) = record(kernel, scope, &entry, acts).await {
                drop(entry);
                self.put_back(lines.split_off(begin), first.then_some((since, unlisted)));
                return Err(error);
            }
            begin = end;
        }
        Ok(())
    }

    /// What could not be written waits for the next flush.
    fn put_back(&self, lines: Vec<(Question, Line)>, counts: Option<(Vec<u64>, u64)>) {
        let mut noted = self.lock();
        for (question, line) in lines {
            noted.add(question, (line.first, line.count), &self.shared, || line);
        }
        if let Some((since, unlisted)) = counts {
            noted.unlisted += unlisted;
            for (at, count) in since.into_iter().enumerate() {
                if let (Some(written), Some(total)) =
                    (noted.written.get_mut(at), self.shared.answered.get(at))
                {
                    *written -= count;
                    total.fetch_sub(count, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Shared {
    /// Whether the yes that comes after `before` others is one of the sample: evenly spread, the first in every so many.
    fn samples(&self, before: u64) -> bool {
        before.wrapping_mul(self.sample) % 1_000 < self.sample
    }
}

impl Noted {
    /// Counts a question that was asked `count` times from `first` on; `line` is made where it has none yet.
    fn add(
        &mut self,
        question: Question,
        (first, count): (Time, u64),
        shared: &Shared,
        line: impl FnOnce() -> Line,
    ) {
        if let Some(known) = self.lines.get_mut(&question) {
            known.count += count;
            known.first = known.first.min(first);
            return;
        }
        if self.lines.len() >= ROOM || shared.lines.load(Ordering::Relaxed) >= ROOM_OF_ALL {
            self.unlisted += count;
            return;
        }
        shared.lines.fetch_add(1, Ordering::Relaxed);
        self.lines.insert(question, line());
    }
}

impl<'l> Entry<'l> {
    /// Takes as many of `lines` as fit, at least one, and says how many.
    fn fill(&mut self, lines: &'l [(Question, Line)]) -> usize {
        let mut bytes = 0;
        for (taken, (question, line)) in lines.iter().enumerate() {
            let recorded = Recorded {
                principal: question.principal.as_str(),
                plugin: &question.plugin,
                reason: question.reason.as_str(),
                entitlements: &line.rules,
                revision: line.revision.map(|r| format!("{}.{}", r.tenant, r.catalog)),
                time: line.first,
                count: line.count,
            };
            let Ok(text) = serde_json::to_string(&recorded) else { continue };
            bytes += text.len();
            if bytes > LINES && taken > 0 {
                return taken;
            }
            if question.reason == Reason::Allowed {
                self.allowed_sample.push(recorded);
            } else {
                self.denied.push(recorded);
            }
        }
        lines.len()
    }
}

async fn record(kernel: &Arc<Kernel>, scope: &Scope, entry: &Entry<'_>, acts: u64) -> Result<()> {
    let ctx = kernel.system();
    let permit = ctx.authorize(LOG, scope).await?;
    let audit = permit.audit().also("decision_log", scope.to_string()).after(entry).counting(acts.max(1));
    ctx.record(audit).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(sample: u64) -> Shared {
        Shared { sample, lines: AtomicU64::new(0), answered: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    fn question(n: usize) -> Question {
        let principal = Slug::parse("principal", &format!("p{n}")).unwrap();
        Question { principal, plugin: "marketplaces/m/plugins/p".to_owned(), reason: Reason::ExplicitDeny }
    }

    const ONCE: (Time, u64) = (Time::from_micros(7), 1);

    fn line(rules: Vec<String>) -> Line {
        Line { rules, revision: None, first: Time::from_micros(7), count: 1 }
    }

    #[test]
    fn of_a_thousand_yeses_as_many_are_noted_as_are_asked_for() {
        for sample in [0, 1, 10, 333, 999, 1_000] {
            let shared = shared(sample);
            for start in [0, 1_000, 123_000] {
                let noted = (start..start + 1_000).filter(|&before| shared.samples(before)).count();
                assert_eq!(noted as u64, sample);
            }
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let (shared, mut noted) = (shared(0), Noted::default());
        for n in 0..ROOM + 3 {
            noted.add(question(n), ONCE, &shared, || line(Vec::new()));
        }
        // known questions still count, on their own line
        noted.add(question(0), ONCE, &shared, || line(Vec::new()));
        assert_eq!((noted.lines.len(), noted.unlisted), (ROOM, 3));
        assert_eq!(noted.lines[&question(0)].count, 2);
        // other tenants have taken all the room there is
        let mut other = Noted::default();
        shared.lines.store(ROOM_OF_ALL, Ordering::Relaxed);
        other.add(question(1), ONCE, &shared, || line(Vec::new()));
        assert_eq!((other.lines.len(), other.unlisted), (0, 1));
    }

    #[test]
    fn an_event_takes_as_many_lines_as_fit_and_never_none() {
        let long = vec!["x".repeat(2_000); RULES];
        let lines: Vec<_> = (0..3).map(|n| (question(n), line(long.clone()))).collect();
        let mut entry = Entry::default();
        assert_eq!(entry.fill(&lines), 1, "one that is too large goes alone");
        let lines: Vec<_> = (0..1_000).map(|n| (question(n), line(Vec::new()))).collect();
        let mut entry = Entry::default();
        let taken = entry.fill(&lines);
        assert!((100..1_000).contains(&taken) && entry.denied.len() == taken, "{taken}");
        assert!(serde_json::to_string(&entry).unwrap().len() < LINES + 2_048);
        assert_eq!(Entry::default().fill(&[]), 0);
    }
}
