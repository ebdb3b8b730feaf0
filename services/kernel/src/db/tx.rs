//! The write transaction: begun with a permit, ended by one `commit` that takes the audit record.

use serde::de::DeserializeOwned;
use sqlx::Postgres;

use super::{Conn, Executor, group::WriterTx};
use crate::{
    audit::{Audit, Event},
    authz::Permit,
    ctx::Ctx,
    error::{Error, Result},
    execute, hash,
    ids::EventId,
    on,
    scope::Scope,
};

/// How long a request_id is remembered.
const REMEMBERED: std::time::Duration = std::time::Duration::from_hours(24);

/// A transaction of either engine.
pub enum EngineTx {
    /// A turn in SQLite's group.
    Sqlite(WriterTx),
    /// A PostgreSQL transaction.
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// A write transaction. Dropping it undoes everything.
pub struct Tx<'x> {
    engine: EngineTx,
    ctx: &'x Ctx,
    scope: Scope,
    /// The result of the first call with this request_id, as JSON.
    replay: Option<String>,
}

impl Executor for Tx<'_> {
    fn conn(&mut self) -> Conn<'_> {
        self.engine.conn()
    }
}

impl EngineTx {
    /// Commits without an audit record: only for what is not state (samples) and for the deployment's own key.
    pub(crate) async fn finish(self) -> Result<()> {
        self.commit().await
    }

    async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(turn) => turn.commit().await,
            Self::Postgres(tx) => Ok(tx.commit().await?),
        }
    }

    async fn rollback(self) -> Result<()> {
        match self {
            Self::Sqlite(turn) => turn.rollback().await,
            Self::Postgres(tx) => Ok(tx.rollback().await?),
        }
    }
}

impl Executor for EngineTx {
    fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(turn) => Conn::Sqlite(turn.conn()),
            Self::Postgres(tx) => Conn::Postgres(tx),
        }
    }
}

impl<'x> Tx<'x> {
    /// Begins; looks up the caller's request_id, if there is one.
    pub(crate) async fn begin(ctx: &'x Ctx, permit: &Permit) -> Result<Self> {
        let engine = ctx.kernel().db.begin().await?;
        let mut tx = Self { engine, ctx, scope: permit.scope().clone(), replay: None };
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

    /// Writes the audit record and the request's result, and commits all of it or nothing. With `validate_only`
    /// everything has been run and is now undone.
    pub async fn commit(mut self, audit: Audit) -> Result<EventId> {
        let event = audit.seal(self.ctx)?;
        for log in event.logs() {
            event_insert(&mut self.engine, log, &event).await?;
        }
        if !self.ctx.request_id().is_empty() {
            self.result_insert(event.result()).await?;
        }
        if self.ctx.validate_only() {
            self.engine.rollback().await?;
            return Ok(event.id);
        }
        let outcome = self.engine.commit().await;
        self.ctx.wrote(&event);
        outcome?;
        self.ctx.committed(&event);
        Ok(event.id)
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

/// Records a refusal in a small transaction of its own, before the refusal leaves.
pub(crate) async fn record_alone(ctx: &Ctx, audit: Audit) -> Result<()> {
    let event = audit.seal(ctx)?;
    let mut engine = ctx.kernel().db.begin().await?;
    for log in event.logs() {
        event_insert(&mut engine, log, &event).await?;
    }
    engine.commit().await
}

/// Puts one event into one log's outbox.
async fn event_insert(db: &mut impl Executor, log: uuid::Uuid, event: &Event) -> Result<()> {
    let query = "INSERT INTO audit_pending (scope_id, id, time, action, outcome, event_class, actor, partner, target, \
         request_id, trace_id, entry) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    execute!(
        db,
        sqlx::query(query)
            .bind(log)
            .bind(event.id)
            .bind(event.time)
            .bind(&event.action)
            .bind(event.outcome)
            .bind(event.class)
            .bind(&event.actor)
            .bind(&event.partner)
            .bind(&event.target)
            .bind(&event.request_id)
            .bind(&event.trace_id)
            .bind(&event.entry)
    )
    .map(|_| ())
}

/// The SHA-256 that tells one payload of a request_id from another: over the method and the encoded message.
pub fn payload_digest(method: &str, message: &impl prost::Message) -> Vec<u8> {
    let mut bytes = method.as_bytes().to_vec();
    bytes.push(0);
    message.encode(&mut bytes).ok();
    hash::sha256(&bytes).to_vec()
}
