//! A tenant's state for those who decide elsewhere: signed, and sent again as it changes.
//!
//! A message is made when the one before was taken, of whatever is newest then: whoever is slow gets fewer and larger ones,
//! and nothing is kept for it here.

use std::{sync::Arc, time::Duration};

use ::edge::{Content, Signed, Statement, sign};
use futures::{Stream, stream};
use kernel::{
    Ctx, Error, Result,
    authz::{Action, Class},
    clock::Time,
    config::Config,
    db::Engine,
    hash::hex,
    keyfile,
    revision::Revision,
    scope::{Scope, ScopeKind, TenantRef},
};
use proto::decision::v1 as pb;
use tlog::{Ed25519Signer, Signer};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::live::{News, Policies, Watcher};

const fn action(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "decision", verb, class: Class::Decide, scopes: &[ScopeKind::Tenant] }
}
const WATCH: Action = action("provost.decision.v1.DecisionService/Watch", "watch");
const GET_KEYS: Action = action("provost.decision.v1.DecisionService/GetDecisionKeys", "get_keys");
/// What edges can ask for.
pub const ACTIONS: &[Action] = &[WATCH, GET_KEYS];

/// Most edges that follow one process.
const MOST: usize = 1_000;
/// When an edge that found no place should come back.
const COME_BACK: Duration = Duration::from_secs(5);
/// How often a shared database's counts, as this process has seen them, are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Name of the key's file in the data directory.
const FILE: &str = "decision.key";
/// What stands behind the deployment's name in the name of its keys.
const NAME: &str = "/decisions";

/// Who signs, and until when.
pub struct Signing {
    /// The keys, the current first.
    keys: Vec<Ed25519Signer>,
    places: Arc<Semaphore>,
    interval: Duration,
    staleness: Duration,
    /// Ends all streams when the server stops.
    stop: CancellationToken,
}

impl Signing {
    /// Reads the configured keys; makes the current one when its file is missing.
    pub fn load(config: &Config, stop: CancellationToken) -> Result<Arc<Self>> {
        let settings = &config.decision;
        let current = if settings.key_file.as_os_str().is_empty() {
            config.server.data_dir.join(FILE)
        } else {
            settings.key_file.clone()
        };
        let mut seeds = vec![keyfile::load(&current, "decision.key_file")?];
        if !settings.previous_key_file.as_os_str().is_empty() {
            let previous = keyfile::load_existing(&settings.previous_key_file, "decision.previous_key_file")?;
            seeds.push(previous);
        }
        let name = format!("{}{NAME}", config.audit.host);
        let keys = seeds.iter().map(|seed| Ed25519Signer::from_seed(&name, seed).map_err(Error::internal));
        Ok(Arc::new(Self {
            keys: keys.collect::<Result<_>>()?,
            places: Arc::new(Semaphore::new(MOST)),
            interval: Duration::from_secs(settings.watch_interval_seconds),
            staleness: Duration::from_secs(settings.edge_staleness_seconds),
            stop,
        }))
    }

    fn sign(&self, statement: Statement, content: &Content) -> Result<Signed> {
        let signers: Vec<_> = self.keys.iter().map(|key| key as &dyn Signer).collect();
        sign(statement, content, &signers).map_err(Error::internal)
    }
}

/// The keys that sign `parent`'s state, as verifiers take them.
pub async fn keys_get(ctx: &Ctx, signing: &Signing, parent: &str) -> Result<pb::DecisionKeys> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(GET_KEYS, &scope).await?;
    let verifier_keys = signing.keys.iter().map(|key| key.vkey().to_string()).collect();
    Ok(pb::DecisionKeys { verifier_keys, store_epoch: ctx.kernel().revisions.epoch().to_string() })
}

/// Sends the state of the tenant that `parent` names, from where the caller is.
pub async fn watch(
    ctx: Arc<Ctx>,
    policies: Arc<Policies>,
    signing: Arc<Signing>,
    parent: String,
    from: Option<pb::PolicyPosition>,
) -> Result<impl Stream<Item = Result<pb::WatchResponse>> + Send + 'static> {
    let scope = ctx.tenant("parent", &parent).await?;
    ctx.authorize(WATCH, &scope).await?;
    let place = Arc::clone(&signing.places).try_acquire_owned();
    let place = place.map_err(|_| Error::Overloaded { retry_after: COME_BACK })?;
    let tenant = scope.tenant()?.clone();
    let epoch = ctx.kernel().revisions.epoch().to_string();
    let position = from
        .filter(|from| from.store_epoch == epoch)
        .map(|from| Revision { tenant: from.tenant_revision, catalog: from.catalog_revision });
    let watcher = policies.watcher(tenant.id);
    let follow = Follow {
        ctx,
        policies,
        signing,
        watcher,
        scope,
        tenant,
        epoch,
        position,
        told: None,
        asked: Instant::now(),
        _place: place,
    };
    Ok(stream::try_unfold(follow, |mut follow| async move {
        Ok(follow.next().await?.map(|message| (message, follow)))
    }))
}

/// One edge that follows a tenant.
struct Follow {
    ctx: Arc<Ctx>,
    policies: Arc<Policies>,
    signing: Arc<Signing>,
    watcher: Watcher,
    scope: Scope,
    tenant: TenantRef,
    epoch: String,
    /// Where it is; none where only a whole state helps.
    position: Option<Revision>,
    /// When something was sent last.
    told: Option<Instant>,
    /// When the caller's right was asked for last.
    asked: Instant,
    _place: OwnedSemaphorePermit,
}

impl Follow {
    /// The next message; none when the server stops.
    async fn next(&mut self) -> Result<Option<pb::WatchResponse>> {
        loop {
            if self.signing.stop.is_cancelled() {
                return Ok(None);
            }
            self.ask_again().await?;
            let due = self.told.is_none_or(|told| told.elapsed() >= self.signing.interval);
            let moved =
                self.position.is_none_or(|at| self.policies.has_moved(&self.watcher, self.tenant.id, at));
            if due || moved {
                // what was the newest state then is so at least since now
                let now = self.ctx.kernel().clock.now();
                let news = self.policies.news(&self.watcher, self.tenant.id, self.position).await?;
                if due || news.content != Content::Nothing {
                    return self.tell(&news, now).map(Some);
                }
            }
            self.wait().await;
        }
    }

    fn tell(&mut self, news: &News, now: Time) -> Result<pb::WatchResponse> {
        let revision = |r: Revision| ::edge::Revision { tenant: r.tenant, catalog: r.catalog };
        let whole = matches!(news.content, Content::Snapshot(_));
        let statement = Statement {
            epoch: self.epoch.clone(),
            tenant: self.tenant.slug.to_string(),
            from: self.position.filter(|_| !whole).map(revision),
            to: revision(news.to),
            state: hex(&news.digest),
            payload: None,
            issued_at: now.micros(),
            not_after: now.plus(self.signing.staleness).micros(),
        };
        let (note, payload) = self.signing.sign(statement, &news.content)?.into_parts();
        self.position = Some(news.to);
        self.told = Some(Instant::now());
        Ok(pb::WatchResponse { note, payload })
    }

    /// Until this process has changed something, or it is time to look anyway.
    async fn wait(&self) {
        let elapsed = self.told.map_or(Duration::ZERO, |told| told.elapsed());
        let left = self.signing.interval.saturating_sub(elapsed.min(self.asked.elapsed()));
        // a change between the look and here rings a bell that nobody hears: the look is soon again
        let longest = match self.ctx.kernel().db.engine() {
            Engine::Sqlite => LOOK * 4,
            Engine::Postgres => LOOK,
        };
        tokio::select! {
            _ = timeout(left.min(longest), self.ctx.kernel().revisions.advanced.notified()) => {}
            () = self.signing.stop.cancelled() => {}
        }
    }

    /// A stream outlives tokens and duties: from time to time the caller is let in anew.
    async fn ask_again(&mut self) -> Result<()> {
        if self.asked.elapsed() >= self.signing.interval {
            self.ctx.renewed().await?.authorize(WATCH, &self.scope).await?;
            self.asked = Instant::now();
        }
        Ok(())
    }
}
