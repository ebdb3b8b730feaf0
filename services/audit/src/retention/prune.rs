//! Pruning: whole bundles go from the front of a log, the hashes of their events stay, and so does every proof above.
//!
//! Moving the minimum index is the act: audited, in one transaction, under the log's lock. Deleting what lies below it is
//! clearing up, in small transactions, taken up again by the next run when the process dies in between.

use std::{sync::Arc, time::Duration};

use kernel::{
    Ctx, Error, Kernel, Result,
    authz::{Action, Class},
    db::{Executor, retry, tx::forget_results},
    scope::Scope,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    action,
    model::{Retention, Rule},
    ops::effective,
    store,
};
use crate::{
    event::index::prune_segments,
    fold::Fold,
    sequencer::{LogHead, store as logs},
};

/// Of the process itself; no RPC asks for it.
pub(crate) const PRUNE: Action = action("", "audit", "prune", Class::Write);
/// Events that go together.
const BUNDLE: i64 = tlog::TILE_WIDTH as i64;
/// Most bundles in one run; the rest waits for the next one.
const MAX_BUNDLES: i64 = 4_096;
/// Rows of events in one clearing transaction: bounds how long SQLite's only writer is held.
const CLEAR: i64 = 4_096;
/// Time between two runs.
const EVERY: Duration = Duration::from_hours(1);

/// Prunes every log now and then until `stop`, and deletes results of requests that are not remembered any more.
pub fn spawn_pruner(kernel: &Arc<Kernel>, stop: CancellationToken) -> JoinHandle<()> {
    let kernel = Arc::clone(kernel);
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            prune_all(&kernel, &stop).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    })
}

async fn prune_all(kernel: &Arc<Kernel>, stop: &CancellationToken) {
    let scopes = async { store::log_list(&mut kernel.db.reader().await?).await };
    let scopes = scopes.await.unwrap_or_else(|error| {
        tracing::error!(%error, "no log was pruned; the next run tries again");
        Vec::new()
    });
    for scope in scopes {
        if stop.is_cancelled() {
            return;
        }
        if let Err(error) = prune(kernel, scope).await {
            tracing::error!(%scope, %error, "a log was not pruned; the next run tries again");
        }
        // whoever has a log has results of requests too
        if let Err(error) = forget_results(&kernel.db, scope, kernel.clock.now()).await {
            tracing::error!(%scope, %error, "results of old requests were not deleted; the next run tries again");
        }
    }
}

/// Removes from the front of the scope's log the whole bundles in which every event has had its time and nothing is held,
/// at most about a million events; returns the new minimum index.
pub async fn prune(kernel: &Arc<Kernel>, scope: Uuid) -> Result<i64> {
    let ctx = kernel.system();
    let minimum = retry::on_conflict(|| advance(&ctx, scope)).await?;
    clear(kernel, scope, minimum).await?;
    prune_segments(kernel, scope, minimum).await?;
    Ok(minimum)
}

/// Finds out how far the log may be pruned and moves the minimum index there; does nothing else.
async fn advance(ctx: &Ctx, id: Uuid) -> Result<i64> {
    let mut db = ctx.read().await?;
    let Some(head) = logs::log_get(&mut db, id).await? else { return Ok(0) };
    let Some(scope) = store::scope_get(&mut db, id).await? else { return Ok(head.minimum_index) };
    let before = effective(&mut db, &scope).await?;
    let rule = rule(&mut db, &scope, &before).await?;
    let end = frontier(ctx, &mut db, &head, &rule).await?;
    if end == head.minimum_index {
        return Ok(end);
    }
    // the state is a fold of the log: what goes stays in it as what it came to
    let fold = Fold::below(&mut db, (id, &scope.to_string()), end).await?;
    drop(db);
    let permit = ctx.authorize(PRUNE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if store::log_prune(&mut tx, id, head.minimum_index, end).await? == 0 {
        return Err(Error::Conflict);
    }
    // the log's row is ours now: a hold or a longer retention that came in between is seen here, a later one comes too late
    let after = effective(&mut tx, &scope).await?;
    if rule != self::rule(&mut tx, &scope, &after).await? {
        return Err(Error::Conflict);
    }
    fold.keep(&mut tx, id).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    tracing::info!(scope = %scope, from = head.minimum_index, to = end, "events were pruned");
    Ok(end)
}

async fn rule(db: &mut impl Executor, scope: &Scope, retention: &Retention) -> Result<Rule> {
    let holds = store::hold_standing(db, scope.id()).await?;
    let keys = store::hold_key_list(db, scope.id()).await?;
    Ok(Rule::new(retention, &holds, &keys))
}

/// The end of the last bundle that may go: all before it may go too, and it is under a checkpoint.
async fn frontier(ctx: &Ctx, db: &mut impl Executor, head: &LogHead, rule: &Rule) -> Result<i64> {
    let mut end = head.minimum_index;
    for _ in 0..MAX_BUNDLES {
        let next = end + BUNDLE;
        if next > head.signed_size {
            break;
        }
        let events = store::event_range(db, head.scope_id, end, next).await?;
        let complete = i64::try_from(events.len()) == Ok(BUNDLE);
        if !complete || events.iter().any(|e| rule.keeps(e.time, &e.entry, ctx.now())) {
            break;
        }
        end = next;
    }
    Ok(end)
}

/// Deletes the events below `minimum`.
async fn clear(kernel: &Kernel, scope: Uuid, minimum: i64) -> Result<()> {
    loop {
        let first = store::event_first(&mut kernel.db.reader().await?, scope).await?;
        let Some(first) = first.filter(|first| *first < minimum) else { return Ok(()) };
        let end = minimum.min(first + CLEAR);
        retry::on_conflict(|| async {
            let mut tx = kernel.db.begin_derived();
            store::event_delete(&mut tx, scope, end).await?;
            tx.finish().await
        })
        .await?;
    }
}
