//! The write transaction: begun with a permit, ended by one `commit` that takes the audit record.

use serde::de::DeserializeOwned;
use sqlx::AssertSqlSafe;

use super::{
    Conn, Db, Engine, Executor, Known,
    batch::{Insert, OUTBOX, Record},
};
pub use super::{lite::LiteTx, pg::PgTx};
use crate::{
    audit::{Audit, Event, subject::FreshKey},
    authz::Permit,
    clock::Time,
    ctx::Ctx,
    error::{Error, Result},
    execute, hash,
    ids::EventId,
    on, revision,
    scope::Scope,
};

/// How long a request_id is remembered.
const REMEMBERED: std::time::Duration = std::time::Duration::from_hours(24);
/// Results of requests that are deleted in one transaction: bounds how long SQLite's only writer is held.
const FORGOTTEN_AT_ONCE: i64 = 512;

/// A transaction of either engine.
pub enum EngineTx {
    /// A turn in SQLite's group.
    Sqlite(LiteTx),
    /// A PostgreSQL transaction.
    Postgres(PgTx),
}

/// A write transaction. Dropping it undoes everything.
pub struct Tx<'x> {
    engine: EngineTx,
    ctx: &'x Ctx,
    scope: Scope,
    /// The result of the first call with this request_id, as JSON.
    replay: Option<String>,
    /// What was recorded beside the record of the commit.
    beside: Vec<Event>,
    /// What else this process forgets or remembers when it ends.
    known: Vec<Known>,
}

impl Executor for Tx<'_> {
    fn conn(&mut self) -> impl Future<Output = Result<Conn<'_>>> + Send {
        self.engine.conn()
    }

    fn ended(&mut self, error: Option<&Error>) {
        self.engine.ended(error);
    }

    fn engine(&self) -> Engine {
        self.engine.engine()
    }
}

impl EngineTx {
    /// Commits without an audit record: only for what is not state (samples), for what is derived from the log, and for
    /// the deployment's own key.
    pub async fn finish(self) -> Result<()> {
        self.commit(Box::new(|_| {})).await
    }

    async fn commit(self, known: Known) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit(known).await,
            Self::Postgres(tx) => tx.commit(known).await,
        }
    }

    async fn rollback(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await,
        }
    }
}

impl EngineTx {
    /// Whether a statement waits for the commit.
    fn is_holding(&self) -> bool {
        match self {
            Self::Sqlite(tx) => tx.is_holding(),
            Self::Postgres(tx) => tx.is_holding(),
        }
    }
}

impl Executor for EngineTx {
    async fn conn(&mut self) -> Result<Conn<'_>> {
        match self {
            Self::Sqlite(tx) => tx.conn().await.map(Conn::Sqlite),
            Self::Postgres(tx) => tx.conn().await.map(Conn::Postgres),
        }
    }

    fn ended(&mut self, error: Option<&Error>) {
        if let Self::Postgres(tx) = self {
            tx.ended(error);
        }
    }

    fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }
}

impl<'x> Tx<'x> {
    /// Begins; looks up the caller's request_id, if there is one.
    pub(crate) async fn begin(ctx: &'x Ctx, permit: &Permit) -> Result<Self> {
        let engine = ctx.kernel().db.begin();
        let mut tx = Self {
            engine,
            ctx,
            scope: permit.scope().clone(),
            replay: None,
            beside: Vec::new(),
            known: Vec::new(),
        };
        tx.replay = tx.first_result().await?;
        Ok(tx)
    }

    /// The result of the first call with this request_id; the use case returns it as it is and changes nothing.
    pub fn replayed<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.replay.as_deref().map(|json| serde_json::from_str(json).map_err(Error::internal)).transpose()
    }

    async fn first_result(&mut self) -> Result<Option<String>> {
        let (id, payload) = (self.ctx.request_id(), self.ctx.payload());
        if id.is_empty() {
            return Ok(None);
        }
        let (scope, since) = (self.scope.id(), self.ctx.now().minus(REMEMBERED));
        let found: Option<(Vec<u8>, String)> = on!(&mut self.engine, |c| {
            sqlx::query_as(
            "SELECT payload_sha256, result FROM request_result WHERE scope_id = $1 AND request_id = $2 AND create_time > $3"
        )
        .bind(scope)
        .bind(id)
        .bind(since)
        .fetch_optional(c)
        })?;
        match found {
            None => Ok(None),
            Some((first, result)) if first == payload => Ok(Some(result)),
            Some(_) => Err(Error::RequestIdReused(id.to_owned())),
        }
    }

    /// Writes one more audit record: for a change whose parts have a record each. The commit takes the record of the whole.
    pub async fn record(&mut self, audit: Audit) -> Result<()> {
        self.record_for(self.ctx, audit).await
    }

    /// Writes the audit record of another call whose change shares this transaction.
    pub async fn record_for(&mut self, ctx: &Ctx, audit: Audit) -> Result<()> {
        let fresh = self.fresh();
        let event = audit.seal(ctx, &mut self.engine, fresh).await?;
        for log in event.logs().iter().filter(|_| self.ctx.kernel().records()) {
            event_insert(&mut self.engine, *log, &event).await?;
        }
        self.beside.push(event);
        Ok(())
    }

    /// Leaves something to do once it is known how the commit ended, before anybody is told, and also when the caller has
    /// gone away by then: to forget what the change makes untrue. A dry run does none of it.
    pub fn once_known(&mut self, known: impl FnOnce(&Result<()>) + Send + 'static) {
        self.known.push(Box::new(known));
    }

    /// Keys that the records so far have made.
    fn fresh(&mut self) -> Vec<FreshKey> {
        self.beside.last_mut().map_or_else(Vec::new, |event| std::mem::take(&mut event.fresh))
    }

    /// Writes the audit record and the request's result, and commits all of it or nothing. With `validate_only`
    /// everything has been run and is now undone.
    pub async fn commit(mut self, audit: Audit) -> Result<EventId> {
        let fresh = self.fresh();
        let change = audit.policy_change();
        let event = audit.seal(self.ctx, &mut self.engine, fresh).await?;
        if self.engine.is_holding()
            && change.is_none()
            && let [log] = event.logs()
            && self.ctx.kernel().records()
        {
            return self.commit_held(*log, event).await;
        }
        for log in event.logs().iter().filter(|_| self.ctx.kernel().records()) {
            event_insert(&mut self.engine, *log, &event).await?;
        }
        if !self.ctx.request_id().is_empty() {
            self.result_insert(event.result()).await?;
        }
        // last, because writers of the scope wait for each other from here on
        let revision = match &change {
            Some((scope, kind, name)) => {
                Some((*scope, revision::advance(&mut self.engine, *scope, kind, name).await?))
            }
            None => None,
        };
        if self.ctx.validate_only() {
            self.engine.rollback().await?;
            return Ok(event.id);
        }
        // the record of the whole is the one that the answer names
        let id = event.id;
        self.beside.push(event);
        let known = self.ctx.kernel().when_known(self.beside, revision, self.known);
        self.engine.commit(known).await?;
        self.ctx.committed(id, revision);
        Ok(id)
    }

    /// Inserts one row; see [`insert_one!`](crate::insert_one).
    #[doc(hidden)]
    pub async fn insert_one(&mut self, insert: Insert) -> Result<()> {
        // it can wait when nothing has been sent, and nothing but the audit record will be
        let alone = self.ctx.request_id().is_empty() && !self.ctx.validate_only();
        let untouched = match &self.engine {
            EngineTx::Sqlite(tx) => tx.is_untouched(),
            EngineTx::Postgres(tx) => tx.is_untouched(),
        };
        match &mut self.engine {
            EngineTx::Sqlite(tx) => tx.hold(insert),
            EngineTx::Postgres(tx) => tx.hold(insert),
        }
        if alone && untouched {
            return Ok(());
        }
        let done = self.engine.conn().await.map(|_| ());
        self.engine.ended(done.as_ref().err());
        done
    }

    async fn commit_held(self, log: uuid::Uuid, event: Event) -> Result<EventId> {
        let id = event.id;
        let record = Some(Record { log, id, entry: event.entry.clone() });
        let known = self.ctx.kernel().when_known(vec![event], None, self.known);
        match self.engine {
            EngineTx::Postgres(tx) => tx.commit_with(record, known).await?,
            EngineTx::Sqlite(tx) => tx.commit_with(record, known).await?,
        }
        self.ctx.committed(id, None);
        Ok(id)
    }

    /// Ends without having changed anything: for a call that finds nothing to do.
    pub async fn abandon(self) -> Result<()> {
        self.engine.rollback().await
    }

    async fn result_insert(&mut self, result: &str) -> Result<()> {
        let ctx = self.ctx;
        // an entry older than a day gives its place to the new one
        let query = "INSERT INTO request_result (scope_id, request_id, payload_sha256, result, create_time) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scope_id, request_id) DO UPDATE SET \
             payload_sha256 = excluded.payload_sha256, result = excluded.result, create_time = excluded.create_time \
             WHERE request_result.create_time <= $6";
        let changed = execute!(
            &mut self.engine,
            sqlx::query(query)
                .bind(self.scope.id())
                .bind(ctx.request_id())
                .bind(ctx.payload())
                .bind(result)
                .bind(ctx.now())
                .bind(ctx.now().minus(REMEMBERED))
        )?;
        // the same request_id was committed between our look-up and now: look again
        if changed == 0 { Err(Error::Conflict) } else { Ok(()) }
    }
}

/// Deletes what is remembered of the scope's request_ids for longer than a day.
pub async fn forget_results(db: &Db, scope: uuid::Uuid, now: Time) -> Result<()> {
    let query = "DELETE FROM request_result WHERE scope_id = $1 AND request_id IN (SELECT request_id FROM request_result \
         WHERE scope_id = $1 AND create_time <= $2 ORDER BY create_time LIMIT $3)";
    loop {
        let mut tx = db.begin_derived();
        let until = now.minus(REMEMBERED);
        let deleted = execute!(&mut tx, sqlx::query(query).bind(scope).bind(until).bind(FORGOTTEN_AT_ONCE))?;
        tx.finish().await?;
        if deleted == 0 {
            return Ok(());
        }
    }
}

/// Records a refusal in a small transaction of its own, before the refusal leaves.
pub(crate) async fn record_alone(ctx: &Ctx, audit: Audit) -> Result<()> {
    let mut engine = ctx.kernel().db.begin();
    let event = audit.seal(ctx, &mut engine, Vec::new()).await?;
    for log in event.logs() {
        event_insert(&mut engine, *log, &event).await?;
    }
    let id = event.id;
    engine.commit(ctx.kernel().when_known(vec![event], None, Vec::new())).await?;
    ctx.committed(id, None);
    Ok(())
}

/// Puts one event into one log's outbox.
async fn event_insert(db: &mut impl Executor, log: uuid::Uuid, event: &Event) -> Result<()> {
    let query = format!("{OUTBOX} VALUES ($1, $2, $3)");
    execute!(db, sqlx::query(AssertSqlSafe(query.clone())).bind(log).bind(event.id).bind(&event.entry))
        .map(|_| ())
}

/// The SHA-256 that tells one payload of a request_id from another: over the method and the encoded message.
pub fn payload_digest(method: &str, message: &impl prost::Message) -> Vec<u8> {
    let mut bytes = method.as_bytes().to_vec();
    bytes.push(0);
    message.encode(&mut bytes).ok();
    hash::sha256(&bytes).to_vec()
}
