//! The snapshots that decisions are made by, one for each tenant that was asked about, kept up with the tables.
//!
//! What this process changes itself it decides by at once: a commit leaves its count with [`kernel::revision`], and a
//! snapshot that is behind is brought up before it is used. What others change in a shared database is found by a look at
//! the counts five times a second; whoever cannot wait for that sends the revision token of the change.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex as Lock, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ::decision::{Change, Facts, Snapshot, compile};
use ::edge::{Content, State};
use arc_swap::ArcSwapOption;
use kernel::{
    Kernel, Result,
    db::{Engine, Reader},
    error::Error,
    ids::TenantId,
    revision::{CATALOG, Revision, change_list, revision_get, revision_list},
};
use opentelemetry::metrics::{Counter, Histogram, Meter};
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    facts,
    log::{Book, DecisionLog},
    shadow,
};

/// How often the counts of a shared database are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a call waits for a revision that is still to come.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks while it waits.
const PAUSE: Duration = Duration::from_millis(25);
/// A snapshot that nobody asked for so long is dropped.
const IDLE: Duration = Duration::from_mins(15);

/// What the decisions about one tenant are made by.
pub struct Loaded {
    /// The rules, compiled.
    pub snapshot: Arc<Snapshot>,
    /// Up to which change.
    pub revision: Revision,
    /// The same, for callers.
    pub token: String,
    /// Where decisions by it are noted.
    pub(super) book: Arc<Book>,
}

/// One tenant's snapshot, and who may replace it.
#[derive(Default)]
struct Standing {
    loaded: ArcSwapOption<Loaded>,
    /// Held by whoever brings it up.
    turn: Mutex<()>,
    /// When the counts were last seen to be those of the snapshot, in milliseconds since the start.
    confirmed: AtomicU64,
    /// When it was last asked for, in the same measure.
    used: AtomicU64,
    /// How many edges follow it.
    watchers: AtomicUsize,
    /// The facts themselves, while edges follow.
    feed: Lock<Option<Feed>>,
}

/// The facts that a snapshot was made of, for those who decide elsewhere.
struct Feed {
    state: State,
    revision: Revision,
    /// Since which revision they were kept up change by change: what leads on from an earlier one is not known to agree.
    since: Revision,
    /// SHA-256 of the state, once it was asked for.
    digest: Option<[u8; 32]>,
}

impl Feed {
    fn new(facts: Facts, revision: Revision) -> Self {
        Self { state: State::new(facts), revision, since: revision, digest: None }
    }
}

/// How a snapshot came about.
enum Made {
    Anew(Facts),
    By(Vec<Change>),
}

/// What leads from where an edge is to the newest state.
pub struct News {
    /// The newest revision.
    pub to: Revision,
    /// SHA-256 of the state at it.
    pub digest: [u8; 32],
    /// Nothing where the edge is there already; a whole state where no changes lead from where it is.
    pub content: Content,
}

/// An edge that follows a tenant; until it is dropped, the tenant's facts are kept.
pub struct Watcher(Arc<Standing>);

impl Drop for Watcher {
    fn drop(&mut self) {
        // under the lock: what somebody who begins meanwhile is given must stay
        let mut feed = self.0.feed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.watchers.fetch_sub(1, Ordering::SeqCst) == 1 {
            *feed = None;
        }
    }
}

impl Standing {
    /// Brings the facts to where the snapshot is.
    fn fed(&self, before: Option<Revision>, revision: Revision, made: Made) {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.watchers.load(Ordering::SeqCst) == 0 {
            *feed = None;
            return;
        }
        match (feed.as_mut(), made) {
            (Some(held), Made::By(changes)) if Some(held.revision) == before => {
                held.state.apply(&changes);
                held.revision = revision;
                held.digest = None;
            }
            (_, Made::Anew(facts)) => *feed = Some(Feed::new(facts, revision)),
            // it is read when it is asked for
            (_, Made::By(_)) => *feed = None,
        }
    }
}

/// The snapshots of this process.
pub struct Policies {
    kernel: Arc<Kernel>,
    tenants: RwLock<HashMap<TenantId, Arc<Standing>>>,
    began: Instant,
    /// Answers that could have been compared with casbin's.
    pub(super) asked: AtomicU64,
    /// Places for those that are.
    pub(super) shadows: Arc<Semaphore>,
    pub(super) metrics: Metrics,
    /// What was decided and is not on the record yet.
    pub log: Arc<DecisionLog>,
}

pub(super) struct Metrics {
    compiled: Counter<u64>,
    applied: Counter<u64>,
    time: Histogram<f64>,
    pub(super) compared: Counter<u64>,
}

impl Policies {
    /// Without any snapshot yet.
    pub fn new(kernel: &Arc<Kernel>, meter: &Meter) -> Arc<Self> {
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let time = meter.f64_histogram("provost.decision.refresh.duration").with_unit("s");
        let metrics = Metrics {
            compiled: counter("provost.decision.compiled", "Snapshots made from all facts of a tenant"),
            applied: counter(
                "provost.decision.applied",
                "Snapshots made from the one before and what changed",
            ),
            compared: counter(
                "provost.decision.shadow",
                "Decisions that casbin made a second time, by outcome: same, different, changed_meanwhile, failed, skipped",
            ),
            time: time.with_description("Time to bring a snapshot up to a change").build(),
        };
        Arc::new(Self {
            kernel: Arc::clone(kernel),
            tenants: RwLock::default(),
            began: Instant::now(),
            asked: AtomicU64::new(0),
            shadows: Arc::new(Semaphore::new(shadow::AT_ONCE)),
            metrics,
            log: Arc::new(DecisionLog::new(kernel.config.decision.allow_sample_per_mille, meter)),
        })
    }

    /// The snapshot to decide by now, up to everything that this process has changed itself and to `least`. Waits for
    /// `least` up to two seconds; then it is [`Error::PolicyBehind`].
    pub async fn current(&self, tenant: TenantId, least: Revision) -> Result<Arc<Loaded>> {
        let standing = self.standing(tenant);
        standing.used.store(self.millis(), Ordering::Relaxed);
        if let Some(loaded) = self.ready(tenant, &standing, least) {
            return Ok(loaded);
        }
        // beside: what reads the tables takes no room in the calls that need not
        Box::pin(self.brought_up(tenant, &standing, least)).await
    }

    /// The snapshot once it is up to `least`.
    async fn brought_up(
        &self,
        tenant: TenantId,
        standing: &Standing,
        least: Revision,
    ) -> Result<Arc<Loaded>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let turn = standing.turn.lock().await;
            if let Some(loaded) = self.ready(tenant, standing, least) {
                return Ok(loaded);
            }
            let loaded = self.refresh(tenant, standing).await?;
            drop(turn);
            if loaded.revision.covers(least) {
                return Ok(loaded);
            }
            if Instant::now() >= until {
                return Err(Error::PolicyBehind);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn standing(&self, tenant: TenantId) -> Arc<Standing> {
        if let Some(found) = self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(&tenant) {
            return Arc::clone(found);
        }
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tenants.entry(tenant).or_default())
    }

    /// The snapshot, if nothing newer is known of and it is not too long ago that it was compared.
    fn ready(&self, tenant: TenantId, standing: &Standing, least: Revision) -> Option<Arc<Loaded>> {
        let loaded = standing.loaded.load_full()?;
        let known = self.kernel.revisions.known(tenant.0);
        let recent = match self.kernel.db.engine() {
            // nobody else writes it
            Engine::Sqlite => true,
            Engine::Postgres => {
                let age = self.millis().saturating_sub(standing.confirmed.load(Ordering::Relaxed));
                age <= self.kernel.config.decision.max_staleness_seconds.saturating_mul(1_000)
            }
        };
        (recent && loaded.revision.covers(known) && loaded.revision.covers(least)).then_some(loaded)
    }

    /// Brings the snapshot up to the tables as they are. The caller holds the turn.
    async fn refresh(&self, tenant: TenantId, standing: &Standing) -> Result<Arc<Loaded>> {
        self.refresh_with(tenant, standing).await.map(|(loaded, _)| loaded)
    }

    /// The same, and the view of the database by which it was done.
    async fn refresh_with(&self, tenant: TenantId, standing: &Standing) -> Result<(Arc<Loaded>, Reader)> {
        let (began, millis) = (Instant::now(), self.millis());
        // what is known of before the tables are read must be in them, or it never came to be
        let known = self.kernel.revisions.known(tenant.0);
        let mut db = self.kernel.db.snapshot().await?;
        let revision = revision_get(&mut db, tenant.0).await?;
        self.kernel.revisions.settle(tenant.0, known.tenant, revision.tenant);
        self.kernel.revisions.settle(CATALOG, known.catalog, revision.catalog);
        let before = standing.loaded.load_full();
        if let Some(before) = before.as_ref().filter(|b| b.revision == revision) {
            standing.confirmed.store(millis, Ordering::Relaxed);
            return Ok((Arc::clone(before), db));
        }
        let next = match before.as_deref().filter(|b| revision.covers(b.revision)) {
            Some(before) => Self::changed(&mut db, tenant, before, revision).await?,
            None => None,
        };
        let instrument = if next.is_some() { &self.metrics.applied } else { &self.metrics.compiled };
        let (snapshot, made) = if let Some((snapshot, changes)) = next {
            (snapshot, Made::By(changes))
        } else {
            let (snapshot, facts) = Self::compiled(&mut db, tenant).await?;
            (snapshot, Made::Anew(facts))
        };
        standing.fed(before.map(|before| before.revision), revision, made);
        let (snapshot, token) = (Arc::new(snapshot), self.kernel.revisions.token(tenant.0, revision));
        let loaded = Arc::new(Loaded { snapshot, revision, token, book: self.log.book(tenant) });
        standing.loaded.store(Some(Arc::clone(&loaded)));
        standing.confirmed.store(millis, Ordering::Relaxed);
        instrument.add(1, &[]);
        self.metrics.time.record(began.elapsed().as_secs_f64(), &[]);
        Ok((loaded, db))
    }

    /// An edge begins to follow a tenant.
    pub fn watcher(&self, tenant: TenantId) -> Watcher {
        let standing = self.standing(tenant);
        standing.watchers.fetch_add(1, Ordering::SeqCst);
        Watcher(standing)
    }

    /// Whether an edge that is at `position` has something to be told: what this process has changed or seen.
    pub fn has_moved(&self, watcher: &Watcher, tenant: TenantId, position: Revision) -> bool {
        // whoever is followed is in use
        watcher.0.used.store(self.millis(), Ordering::Relaxed);
        let loaded = watcher.0.loaded.load();
        !position.covers(self.kernel.revisions.known(tenant.0))
            || loaded.as_ref().is_none_or(|loaded| loaded.revision != position)
    }

    /// What leads from `position` to the tables as they are now.
    pub async fn news(
        &self,
        watcher: &Watcher,
        tenant: TenantId,
        position: Option<Revision>,
    ) -> Result<News> {
        let standing = &watcher.0;
        standing.used.store(self.millis(), Ordering::Relaxed);
        let _turn = standing.turn.lock().await;
        let (loaded, mut db) = self.refresh_with(tenant, standing).await?;
        let to = loaded.revision;
        let lock = || standing.feed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = lock().as_ref().is_some_and(|feed| feed.revision == to);
        if !is_there {
            let facts = facts::load(&mut db, tenant).await?;
            *lock() = Some(Feed::new(facts, to));
        }
        let since = lock().as_ref().map_or(to, |feed| feed.since);
        let changes = match position {
            Some(from) if from == to => Some(Vec::new()),
            Some(from) if to.covers(from) && from.covers(since) => {
                Self::between(&mut db, tenant, from, to).await?
            }
            _ => None,
        };
        let mut feed = lock();
        let feed = feed.as_mut().ok_or_else(|| Error::internal("the facts of a followed tenant are gone"))?;
        let digest = *feed.digest.get_or_insert_with(|| feed.state.digest());
        let content = match changes {
            Some(_) if position == Some(to) => Content::Nothing,
            Some(changes) => Content::Delta(changes),
            None => Content::Snapshot(feed.state.facts()),
        };
        Ok(News { to, digest, content })
    }

    /// The snapshot after what has changed since; none where everything has to be read.
    async fn changed(
        db: &mut Reader,
        tenant: TenantId,
        before: &Loaded,
        now: Revision,
    ) -> Result<Option<(Snapshot, Vec<Change>)>> {
        let Some(changes) = Self::between(db, tenant, before.revision, now).await? else { return Ok(None) };
        match before.snapshot.apply(&changes) {
            Ok(next) => Ok(Some((next, changes))),
            Err(error) => {
                tracing::warn!(%tenant, %error, "changes do not fit the snapshot; it is made anew");
                Ok(None)
            }
        }
    }

    /// What leads from one revision to another; none where everything has to be read.
    async fn between(
        db: &mut Reader,
        tenant: TenantId,
        from: Revision,
        to: Revision,
    ) -> Result<Option<Vec<Change>>> {
        let of_tenant = change_list(db, tenant.0, from.tenant).await?;
        let of_catalog = change_list(db, CATALOG, from.catalog).await?;
        let counts = |changes: &[_], from: i64, to: i64| i64::try_from(changes.len()) == Ok(to - from);
        if !counts(&of_tenant, from.tenant, to.tenant) || !counts(&of_catalog, from.catalog, to.catalog) {
            return Ok(None);
        }
        let Some(mut changes) = facts::changes(db, tenant, &of_tenant).await? else { return Ok(None) };
        let Some(more) = facts::catalog_changes(db, tenant, &of_catalog).await? else { return Ok(None) };
        changes.extend(more);
        Ok(Some(changes))
    }

    async fn compiled(db: &mut Reader, tenant: TenantId) -> Result<(Snapshot, Facts)> {
        let facts = facts::load(db, tenant).await?;
        // a tenant with very many rules takes a while
        let compiled = tokio::task::spawn_blocking(move || (compile(&facts), facts)).await;
        let (snapshot, facts) = compiled.map_err(Error::internal)?;
        Ok((snapshot.map_err(Error::internal)?, facts))
    }

    /// Looks at the counts of a shared database until `stop`, and brings the snapshots up that are behind.
    pub fn spawn_follower(self: &Arc<Self>, stop: CancellationToken) -> JoinHandle<()> {
        let policies = Arc::clone(self);
        tokio::spawn(async move {
            let pause = match policies.kernel.db.engine() {
                // nothing changes behind our back: only what is idle is dropped
                Engine::Sqlite => IDLE,
                Engine::Postgres => LOOK,
            };
            while !stop.is_cancelled() {
                policies.follow().await;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        })
    }

    async fn follow(&self) {
        let standings = self.in_use();
        if self.kernel.db.engine() == Engine::Sqlite {
            return;
        }
        if let Err(error) = self.compare(&standings).await {
            tracing::warn!(%error, "the snapshots were not compared with the tables");
        }
    }

    /// Drops what is idle, and says what is not.
    fn in_use(&self) -> Vec<(TenantId, Arc<Standing>)> {
        let idle = self.millis().saturating_sub(u64::try_from(IDLE.as_millis()).unwrap_or(u64::MAX));
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|_, standing| standing.used.load(Ordering::Relaxed) >= idle);
        tenants.iter().map(|(id, standing)| (*id, Arc::clone(standing))).collect()
    }

    /// Compares the counts of snapshots with those in the database.
    async fn compare(&self, standings: &[(TenantId, Arc<Standing>)]) -> Result<()> {
        let millis = self.millis();
        let scopes: Vec<_> = standings.iter().map(|(id, _)| id.0).chain([CATALOG]).collect();
        let counts = revision_list(&mut self.kernel.db.reader().await?, &scopes).await?;
        for (scope, count) in &counts {
            self.kernel.revisions.heard(*scope, *count);
        }
        let of = |scope| counts.get(&scope).copied().unwrap_or(0);
        for (tenant, standing) in standings {
            // one that was never loaded was never asked for with success
            let Some(loaded) = standing.loaded.load_full() else { continue };
            if loaded.revision == (Revision { tenant: of(tenant.0), catalog: of(CATALOG) }) {
                standing.confirmed.store(millis, Ordering::Relaxed);
            } else {
                let _turn = standing.turn.lock().await;
                self.refresh(*tenant, standing).await?;
            }
        }
        Ok(())
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
