//! The use cases of retention.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::Executor,
    scope::Scope,
};

use super::{action, model::Retention, parent_of, store};
use crate::sequencer::store as logs;

pub(super) const GET: Action =
    action("provost.retention.v1.RetentionService/GetRetention", "retention", "get", Class::Read);
pub(super) const UPDATE: Action =
    action("provost.retention.v1.RetentionService/UpdateRetention", "retention", "update", Class::Write);

/// Returns how long a log's events are kept.
pub async fn retention_get(ctx: &Ctx, name: &str) -> Result<Retention> {
    let scope = ctx.scope("name", parent_of("name", "retention", name)?).await?;
    ctx.authorize(GET, &scope).await?;
    effective(&mut ctx.read().await?, &scope).await
}

/// Changes how long events of the named classes are kept. What became due by it goes with the next pruning.
pub async fn retention_update(
    ctx: &Ctx,
    name: &str,
    etag: &str,
    changes: &[(String, i64)],
) -> Result<Retention> {
    const FIELD: &str = "retention.name";
    let scope = ctx.scope(FIELD, parent_of(FIELD, "retention", name)?).await?;
    let permit = ctx.authorize(UPDATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    store::log_lock(&mut tx, scope.id()).await?;
    let before = effective(&mut tx, &scope).await?;
    before.matches(etag)?;
    let after = before.changed(changes)?;
    for (class, days) in changes {
        store::retention_put(&mut tx, scope.id(), class, *days).await?;
    }
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// What holds in a scope.
pub async fn effective(db: &mut impl Executor, scope: &Scope) -> Result<Retention> {
    let stored = store::retention_list(db, scope.id()).await?;
    let minimum_index = logs::log_get(db, scope.id()).await?.map_or(0, |head| head.minimum_index);
    Ok(Retention::effective(scope, stored, minimum_index))
}
