//! The request context: who calls, when, and the doors to permits and transactions.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use proto::RpcRequest;
use tokio::sync::Notify;
use tonic::{Request, Response, Status, metadata::MetadataValue};
use uuid::Uuid;

use crate::{
    audit::{Audit, Event, subject::SubjectKeys},
    authn::{Authenticator, Caller},
    authz::{Action, Permit, Policy, Question},
    clock::{Clock, Time},
    config::Config,
    db::{
        Db, Engine, Known, Reader,
        cache::{RowCache, TENANT},
        retry,
        tx::{Tx, payload_digest, record_alone},
    },
    error::{Error, Result},
    ids::{EventId, Ids},
    page::PageKey,
    revision::{CATALOG, Revision, Revisions},
    scope::{Scope, partner_find, tenant_find},
    secret::{self, Deployment},
    storage::Storage,
};

/// Header of a mutation's answer that names its audit event.
pub const AUDIT_EVENT_HEADER: &str = "provost-audit-event";
/// Header of a mutation's answer with the revision token of what it changed, where decisions rest on that.
pub const REVISION_HEADER: &str = "provost-revision";

/// Everything that lives as long as the process.
pub struct Kernel {
    /// Settings.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Room for it.
    pub storage: Arc<Storage>,
    /// Time.
    pub clock: Clock,
    /// New identities.
    pub ids: Ids,
    /// Duties.
    pub policy: Arc<Policy>,
    /// Credentials.
    pub authn: Authenticator,
    /// Key of page tokens, the same on every node.
    pub page_key: PageKey,
    /// Rows that were read, while they are true.
    pub rows: RowCache,
    /// How often what decisions rest on has changed.
    pub revisions: Revisions,
    /// Keys of the persons in audit records.
    pub subjects: SubjectKeys,
    /// Key from which further ones are derived for one purpose each, the same on every node.
    root_key: Vec<u8>,
    /// Rings when an audit event was committed.
    pub outbox: Notify,
    #[cfg(feature = "stub-audit")]
    stubbed: std::sync::atomic::AtomicBool,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("engine", &self.db.engine()).finish_non_exhaustive()
    }
}

/// What the outer layer knows of a call before it is decoded; travels in the request's extensions.
#[derive(Clone, Debug, Default)]
pub struct CallInfo {
    /// Identity of the call: incident id of our own faults.
    pub id: Uuid,
    /// W3C trace id, or empty.
    pub trace_id: String,
    /// The caller's address, or empty.
    pub ip: String,
    /// What the caller's program calls itself, at most 256 characters, or empty.
    pub user_agent: String,
}

impl Kernel {
    /// Puts the parts together. The database must be migrated.
    pub async fn new(config: Config, db: Db, clock: Clock) -> Result<Arc<Self>> {
        let policy = Policy::built_in().await?;
        let Deployment { root_key: root, epoch } = secret::deployment(&db, clock.now()).await?;
        let quota = config.audit.storage_quota_mib << 20;
        let storage = Arc::new(Storage::new(&config.server.data_dir, &db, quota).await);
        let shared = (db.engine() == Engine::Postgres).then(|| config.token_cache());
        Ok(Arc::new(Self {
            page_key: PageKey::new(crate::hash::mac(&root, b"page token").to_vec()),
            revisions: Revisions::new(crate::hash::mac(&root, b"revision token"), epoch),
            subjects: SubjectKeys::new(crate::hash::mac(&root, b"subject key"), shared),
            outbox: Notify::new(),
            #[cfg(feature = "stub-audit")]
            stubbed: std::sync::atomic::AtomicBool::new(false),
            authn: Authenticator::new(&config),
            ids: Ids::default(),
            rows: RowCache::new(shared),
            root_key: root,
            policy,
            storage,
            config,
            db,
            clock,
        }))
    }

    /// A key for one purpose, the same on every node of the deployment.
    pub fn key_for(&self, purpose: &str) -> [u8; 32] {
        crate::hash::mac(&self.root_key, purpose.as_bytes())
    }

    /// Leaves the outbox row out of every commit from now on, or not: only to measure what it costs.
    #[cfg(feature = "stub-audit")]
    pub fn stub_audit(&self, stubbed: bool) {
        self.stubbed.store(stubbed, std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether the outbox row is written: always, but in the bench.
    #[cfg_attr(
        not(feature = "stub-audit"),
        expect(clippy::unused_self, reason = "the bench can change the answer")
    )]
    pub(crate) fn records(&self) -> bool {
        #[cfg(feature = "stub-audit")]
        if self.stubbed.load(std::sync::atomic::Ordering::Relaxed) {
            return false;
        }
        true
    }

    /// What this process does once it is known how a transaction with these events ended: it ends what was remembered of
    /// the scopes that were written to, also when the end is not known for sure, and lets those know that wait for changes.
    pub(crate) fn when_known(
        self: &Arc<Self>,
        events: Vec<Event>,
        advanced: Option<(Uuid, i64)>,
        more: Vec<Known>,
    ) -> Known {
        let kernel = Arc::clone(self);
        Box::new(move |outcome| {
            if let Some((scope, revision)) = advanced {
                kernel.revisions.heard(scope, revision);
            }
            for event in &events {
                kernel.wrote(event);
            }
            for known in more {
                known(outcome);
            }
            if outcome.is_err() {
                return;
            }
            for event in &events {
                kernel.subjects.committed(&event.fresh);
            }
            if advanced.is_some() {
                kernel.revisions.advanced.notify_waiters();
            }
            kernel.outbox.notify_one();
        })
    }

    fn wrote(&self, event: &Event) {
        // usage comes in all the time and changes no row that is remembered
        if event.noun == "usage" {
            return;
        }
        self.authn.touched(event.noun);
        for scope in event.logs() {
            self.rows.changed(*scope);
        }
        if matches!(event.noun, "tenant" | "partner") {
            self.rows.changed(Uuid::nil());
        }
    }

    /// A context for work of the process itself.
    pub fn system(self: &Arc<Self>) -> Ctx {
        let info = CallInfo { id: self.ids.new_id(self.clock.now()), ..CallInfo::default() };
        Ctx::new(Arc::clone(self), Arc::new(Caller::system()), info)
    }

    /// The context of a call with an `authorization` header.
    pub async fn enter(self: &Arc<Self>, authorization: Option<&str>, info: CallInfo) -> Result<Ctx> {
        let caller = self.authn.caller(&self.db, authorization, self.clock.now()).await?;
        Ok(Ctx::new(Arc::clone(self), caller, info))
    }

    /// The context of a call by whoever knows the path of the mirror link `id` of `home`.
    pub fn enter_by_link(self: &Arc<Self>, id: Uuid, home: Scope, expire_time: Time, info: CallInfo) -> Ctx {
        Ctx::new(Arc::clone(self), Arc::new(Caller::link(id, home, expire_time)), info)
    }

    /// Serves one unary RPC: authenticates, runs the use case (again when it lost to a concurrent one), encodes the
    /// answer or the error.
    pub async fn serve<Q, R, A, F>(
        self: &Arc<Self>,
        mut request: Request<Q>,
        run: impl Fn(Arc<Ctx>, Q) -> F,
    ) -> Result<Response<A>, Status>
    where
        Q: RpcRequest + Clone,
        A: From<R>,
        F: Future<Output = Result<R>> + Send,
    {
        let info = self.call_info(&mut request);
        let incident = info.id;
        let outcome = async {
            let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok());
            let mut ctx = self.enter(header, info).await?;
            ctx.idempotent(request.get_ref())?;
            let (ctx, message) = (Arc::new(ctx), request.into_inner());
            let attempt = || retry::on_conflict(|| run(Arc::clone(&ctx), message.clone()));
            let answer = match attempt().await {
                // a retry that runs beside its first call can meet what that call has just done: then it was answered
                Err(error) if ctx.is_retry_safe() && error.may_be_own_doing() => attempt().await?,
                first => first?,
            };
            Ok((ctx, answer))
        };
        match outcome.await {
            Ok((ctx, answer)) => Ok(ctx.respond(answer.into())),
            Err(error) => Err(Error::into_status(error, &incident.to_string())),
        }
    }

    /// Serves one RPC that answers with a stream: authenticates and runs the use case; an error that comes later ends the
    /// stream.
    pub async fn serve_stream<Q, A, S, F>(
        self: &Arc<Self>,
        mut request: Request<Q>,
        run: impl FnOnce(Arc<Ctx>, Q) -> F,
    ) -> Result<Response<BoxStream<'static, Result<A, Status>>>, Status>
    where
        S: Stream<Item = Result<A>> + Send + 'static,
        F: Future<Output = Result<S>> + Send,
    {
        let info = self.call_info(&mut request);
        let incident = info.id.to_string();
        let begun = async {
            let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok());
            let ctx = Arc::new(self.enter(header, info).await?);
            run(ctx, request.into_inner()).await
        };
        match begun.await {
            Ok(answers) => {
                let answers = answers.map(move |item| item.map_err(|error| error.into_status(&incident)));
                Ok(Response::new(answers.boxed()))
            }
            Err(error) => Err(Error::into_status(error, &incident)),
        }
    }

    /// Takes what the outer layer noted, or makes a fresh note where there is none.
    pub fn call_info<Q>(&self, request: &mut Request<Q>) -> CallInfo {
        request
            .extensions_mut()
            .remove()
            .unwrap_or_else(|| CallInfo { id: self.ids.new_id(self.clock.now()), ..CallInfo::default() })
    }
}

/// One call.
pub struct Ctx {
    kernel: Arc<Kernel>,
    caller: Arc<Caller>,
    now: Time,
    info: CallInfo,
    request_id: String,
    payload: Vec<u8>,
    validate_only: bool,
    event: OnceLock<EventId>,
    revision: OnceLock<String>,
    /// Whether the policy said no.
    refused: AtomicBool,
}

impl Ctx {
    fn new(kernel: Arc<Kernel>, caller: Arc<Caller>, info: CallInfo) -> Self {
        Self {
            now: kernel.clock.now(),
            kernel,
            caller,
            info,
            request_id: String::new(),
            payload: Vec::new(),
            validate_only: false,
            event: OnceLock::new(),
            revision: OnceLock::new(),
            refused: AtomicBool::new(false),
        }
    }

    /// The same call as if it came now, with what is now true of its caller: for streams, which outlive tokens and duties.
    pub async fn renewed(&self) -> Result<Self> {
        let kernel = &self.kernel;
        let caller = kernel.authn.again(&kernel.db, &self.caller, kernel.clock.now()).await?;
        Ok(Self::new(Arc::clone(kernel), caller, self.info.clone()))
    }

    /// Takes over the request's idempotency key and dry-run wish.
    pub fn idempotent(&mut self, message: &impl RpcRequest) -> Result<()> {
        let payload = match message.request_id() {
            "" => Vec::new(),
            _ => payload_digest(std::any::type_name_of_val(message), message),
        };
        self.with_request(message.request_id(), message.validate_only(), payload)
    }

    /// The same for a call whose payload is a stream: `payload_digest` tells one payload under `request_id` from another.
    pub fn with_request(
        &mut self,
        request_id: &str,
        validate_only: bool,
        payload_digest: Vec<u8>,
    ) -> Result<()> {
        self.validate_only = validate_only;
        if request_id.is_empty() {
            return Ok(());
        }
        let id: Uuid = request_id.parse().map_err(|_| {
            Error::invalid("request_id", format!("`{}` is not a UUID", crate::ids::clip(request_id)))
        })?;
        self.request_id = id.to_string();
        self.payload = payload_digest;
        Ok(())
    }

    /// The answer with the headers that name its audit event and its revision, if there are any.
    pub fn respond<A>(&self, answer: A) -> Response<A> {
        let mut response = Response::new(answer);
        let event = self.event.get().map(|event| (AUDIT_EVENT_HEADER, event.to_string()));
        let revision = self.revision.get().map(|token| (REVISION_HEADER, token.clone()));
        for (name, text) in event.into_iter().chain(revision) {
            if let Ok(value) = MetadataValue::try_from(text) {
                response.metadata_mut().insert(name, value);
            }
        }
        response
    }

    /// Asks the policy for the action in the scope; a refusal is recorded before it is returned.
    pub async fn authorize(&self, action: Action, scope: &Scope) -> Result<Permit> {
        self.authorize_on(action, action.noun.into(), scope, false).await
    }

    /// Like [`Ctx::authorize`] for an object that may belong to the caller.
    pub async fn authorize_own(&self, action: Action, scope: &Scope, own: bool) -> Result<Permit> {
        self.authorize_on(action, action.noun.into(), scope, own).await
    }

    /// Like [`Ctx::authorize`] with an object path of its own, such as `duty/owner`.
    pub async fn authorize_on(
        &self,
        action: Action,
        object: Cow<'static, str>,
        scope: &Scope,
        own: bool,
    ) -> Result<Permit> {
        let permit = Permit { action, scope: scope.clone(), caller: Arc::clone(&self.caller) };
        let question = Question {
            duties: self.caller.duties_in(scope),
            kind: scope.kind(),
            object,
            class: action.class,
            verb: action.verb,
            own,
        };
        let sees = self.caller.sees(scope);
        let covered = self.caller.covers(&action);
        if sees && covered && self.kernel.policy.allows(&question, self.now) {
            return Ok(permit);
        }
        // what the caller may not know of is recorded on the platform's log, not in the log of a stranger
        let log = if sees { scope.clone() } else { Scope::Platform };
        self.refused.store(true, Ordering::Relaxed);
        let denied = Audit::new(action, log, self.caller.actor()).denied(scope.to_string());
        // beside: what is rare takes no room in the calls that are let in
        Box::pin(self.record(denied)).await?;
        Err(match (sees, covered) {
            (false, _) => match scope {
                Scope::Tenant(_) => Error::not_found("tenant", scope),
                _ => Error::not_found("partner", scope),
            },
            (true, false) => Error::TokenScope { action: action.name() },
            (true, true) => Error::DutyMissing { action: action.name(), scope: scope.to_string() },
        })
    }

    /// Begins a write transaction. A frozen tenant takes no changes but those that end its freeze or take rights away.
    pub async fn begin(&self, permit: &Permit) -> Result<Tx<'_>> {
        permit.thawed()?;
        self.kernel.storage.admits(&permit.action)?;
        Tx::begin(self, permit).await
    }

    /// A row of a scope for a read by name: remembered while it is true, or else from `load`.
    pub async fn row<T, F>(
        &self,
        kind: &'static str,
        scope: &Scope,
        id: &str,
        load: impl FnOnce() -> F,
    ) -> Result<Arc<T>>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T>>,
    {
        self.kernel.rows.get(kind, scope.id(), id, load).await
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Reader> {
        self.kernel.db.reader().await
    }

    /// The tenant that `text` (`tenants/{t}`) names, as a scope; `field` names it in errors.
    pub async fn tenant(&self, field: &str, text: &str) -> Result<Scope> {
        let find = || async { tenant_find(&mut self.read().await?, field, text).await };
        let tenant = self.kernel.rows.get(TENANT, Uuid::nil(), text, find).await?;
        Ok(Scope::Tenant(tenant.as_ref().clone()))
    }

    /// The partner that `text` (`partners/{p}`) names, as a scope; `field` names it in errors.
    pub async fn partner(&self, field: &str, text: &str) -> Result<Scope> {
        partner_find(&mut self.read().await?, field, text).await.map(Scope::Partner)
    }

    /// The scope that `text` (empty, `partners/{p}` or `tenants/{t}`) names; `field` names it in errors.
    pub async fn scope(&self, field: &str, text: &str) -> Result<Scope> {
        if text.starts_with("tenants/") {
            return self.tenant(field, text).await;
        }
        Scope::find(&mut self.read().await?, field, text).await
    }

    /// Notes for the answer what was committed.
    pub(crate) fn committed(&self, event: EventId, advanced: Option<(Uuid, i64)>) {
        // a retried use case commits once
        let _ = self.event.set(event);
        if let Some((scope, count)) = advanced {
            let revision = if scope == CATALOG {
                Revision { tenant: 0, catalog: count }
            } else {
                Revision { tenant: count, catalog: 0 }
            };
            let _ = self.revision.set(self.kernel.revisions.token(scope, revision));
        }
    }

    /// Records an act that changes nothing, such as an audited read, before its answer leaves.
    pub async fn record(&self, audit: Audit) -> Result<()> {
        retry::on_conflict(|| record_alone(self, audit.clone())).await
    }

    /// The process.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// When: the same instant throughout the call.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A new identity.
    pub fn new_id(&self) -> Uuid {
        self.kernel.ids.new_id(self.now)
    }

    /// The caller's idempotency key, or empty.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Whether a repeated run may find the first one's result; after a refusal, which is recorded, it finds nothing else.
    fn is_retry_safe(&self) -> bool {
        !self.request_id.is_empty() && !self.refused.load(Ordering::Relaxed)
    }

    /// Digest of the request under that key.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The idempotency key or, without one, the call's own id.
    pub fn request_label(&self) -> Cow<'_, str> {
        if self.request_id.is_empty() {
            return self.info.id.to_string().into();
        }
        self.request_id.as_str().into()
    }

    /// Whether only permission and input are to be checked.
    pub fn validate_only(&self) -> bool {
        self.validate_only
    }

    /// What the outer layer noted of the call.
    pub fn call(&self) -> &CallInfo {
        &self.info
    }

    /// W3C trace id, or empty.
    pub fn trace_id(&self) -> &str {
        &self.info.trace_id
    }
}
