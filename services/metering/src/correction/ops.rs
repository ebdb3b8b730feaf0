//! The use cases of corrections. What is staged is in [`super::stage`].

use kernel::{
    Ctx, Error, Result,
    authz::{Action, Class},
    db::{
        list::{ListQuery, Page},
        tx::Tx,
    },
    ids::{TenantId, clip},
    name::parse_uuid,
    scope::{Scope, ScopeKind},
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    effect::effects,
    model::{By, Correction, Frame, Kind, MAX_BACKFILL, MAX_OPEN},
    pick::{self, EventRef, Picked},
    stage::{self, Amendment},
    store,
    void::{self, Of},
};
use crate::{event::store::places_take, meter::store::meters_of};

const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "usage_correction", verb, class, scopes: &[ScopeKind::Tenant] }
}
const VOID: Action = action("provost.usage.v1.UsageCorrectionService/VoidUsageEvents", "void", Class::Write);
const AMEND: Action =
    action("provost.usage.v1.UsageCorrectionService/AmendUsageEvents", "amend", Class::Write);
const OPEN: Action =
    action("provost.usage.v1.UsageCorrectionService/CreateUsageBackfill", "open", Class::Write);
pub(super) const STAGE: Action =
    action("provost.usage.v1.UsageCorrectionService/StageUsageEvents", "stage", Class::Write);
const COMMIT: Action =
    action("provost.usage.v1.UsageCorrectionService/CommitUsageBackfill", "commit", Class::Write);
const ABANDON: Action =
    action("provost.usage.v1.UsageCorrectionService/AbandonUsageBackfill", "abandon", Class::Write);
const REVERT: Action =
    action("provost.usage.v1.UsageCorrectionService/RevertUsageCorrection", "revert", Class::Write);
const GET: Action = action("provost.usage.v1.UsageCorrectionService/GetUsageCorrection", "get", Class::Read);
const LIST: Action =
    action("provost.usage.v1.UsageCorrectionService/ListUsageCorrections", "list", Class::Read);
/// What corrections can be asked for.
pub const ACTIONS: &[Action] = &[VOID, AMEND, OPEN, STAGE, COMMIT, ABANDON, REVERT, GET, LIST];

/// A correction as the record has it: with the places of the events that were named.
#[derive(Serialize)]
struct Recorded<'c> {
    #[serde(flatten)]
    correction: &'c Correction,
    events: Vec<i64>,
}

fn by(ctx: &Ctx, reason: String) -> By {
    By { actor: ctx.caller().actor().name, reason, now: ctx.now() }
}

fn home(scope: &Scope) -> Result<(TenantId, String)> {
    Ok((scope.tenant()?.id, scope.to_string()))
}

/// Holds the tenant's events: from here on nobody else gives or takes back any, or changes the meters, before this transaction has
/// ended. Returns the revision of the meters.
async fn hold(tx: &mut Tx<'_>, tenant: TenantId) -> Result<i64> {
    places_take(tx, tenant, 0).await.map(|head| head.meters)
}

/// Takes events back.
pub async fn events_void(
    ctx: &Ctx,
    parent: &str,
    refs: Result<Vec<EventRef>>,
    reason: String,
) -> Result<Correction> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(VOID, &scope).await?;
    let refs = refs?;
    pick::check("events", &refs)?;
    let correction = Correction::immediate(home(&scope)?, ctx.new_id(), Kind::Void, by(ctx, reason))?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    hold(&mut tx, correction.tenant_id).await?;
    let picked = pick::standing(&mut tx, correction.tenant_id, "events", &refs).await?;
    let done = replaced(ctx, &mut tx, correction, &picked).await?;
    store::correction_insert(&mut tx, &done).await?;
    tx.commit(permit.audit().target(&done).after(&recorded(&done, &picked))).await?;
    Ok(done)
}

/// Takes events back and puts others in their place.
pub async fn events_amend(
    ctx: &Ctx,
    parent: &str,
    amendments: Result<Vec<(EventRef, Amendment)>>,
    reason: String,
) -> Result<Correction> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(AMEND, &scope).await?;
    let (refs, amendments): (Vec<_>, Vec<_>) = amendments?.into_iter().unzip();
    pick::check("amendments", &refs)?;
    let correction = Correction::immediate(home(&scope)?, ctx.new_id(), Kind::Amend, by(ctx, reason))?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let revision = hold(&mut tx, correction.tenant_id).await?;
    let meters = meters_of(&mut tx, correction.tenant_id, revision).await?;
    let picked = pick::standing(&mut tx, correction.tenant_id, "amendments", &refs).await?;
    let staged = stage::amended(ctx, &correction, &meters, &picked, amendments)?;
    // first the row, which what is staged belongs to
    store::staged_insert_all(&mut tx, of(&correction), ctx.now(), &staged).await?;
    let count = i64::try_from(staged.len()).unwrap_or(i64::MAX);
    let correction = Correction { staged_count: count, ..correction };
    let done = replaced(ctx, &mut tx, correction, &picked).await?;
    store::correction_insert(&mut tx, &done).await?;
    tx.commit(permit.audit().target(&done).after(&recorded(&done, &picked))).await?;
    Ok(done)
}

fn of(correction: &Correction) -> Of {
    (correction.tenant_id, correction.id)
}

fn recorded<'c>(correction: &'c Correction, picked: &[Picked]) -> Recorded<'c> {
    Recorded { correction, events: picked.iter().map(|e| e.seq).collect() }
}

/// Takes the picked events back and puts what is staged in their place.
async fn replaced(
    ctx: &Ctx,
    tx: &mut Tx<'_>,
    correction: Correction,
    picked: &[Picked],
) -> Result<Correction> {
    let seqs: Vec<_> = picked.iter().map(|e| e.seq).collect();
    let taken = void::void_insert_all(tx, of(&correction), ctx.now(), &seqs).await?;
    settle(ctx, tx, correction, taken).await
}

/// Puts what is staged into places, marks the days that are not what their rollups say, and says what it comes to.
async fn settle(ctx: &Ctx, tx: &mut Tx<'_>, correction: Correction, taken: u64) -> Result<Correction> {
    let of = of(&correction);
    let mut added = 0;
    if correction.staged_count > 0 {
        let first = places_take(tx, of.0, correction.staged_count).await?.next_seq;
        added = void::staged_place(tx, of, first).await?;
        store::staged_delete(tx, of).await?;
    }
    void::days_mark(tx, of, ctx.new_id()).await?;
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Ok(Correction {
        taken_count: count(taken),
        added_count: count(added),
        skipped_count: correction.staged_count - count(added),
        effects: effects(tx, of).await?,
        ..correction
    })
}

/// Opens a backfill.
pub async fn backfill_open(
    ctx: &Ctx,
    parent: &str,
    frame: Result<Frame>,
    reason: String,
) -> Result<Correction> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(OPEN, &scope).await?;
    let backfill = Correction::backfill(home(&scope)?, ctx.new_id(), frame?, by(ctx, reason))?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    hold(&mut tx, backfill.tenant_id).await?;
    if store::open_count(&mut tx, backfill.tenant_id).await? >= MAX_OPEN {
        let message = format!("{MAX_OPEN} backfills of `{scope}` are open; commit or abandon one first");
        return Err(Error::Limit { limit: "usage.open_backfills".to_owned(), message });
    }
    store::correction_insert(&mut tx, &backfill).await?;
    tx.commit(permit.audit().target(&backfill).after(&backfill)).await?;
    Ok(backfill)
}

/// The tenant and the id in a correction's name.
pub(super) async fn named(ctx: &Ctx, name: &str) -> Result<(Scope, Uuid)> {
    let (parent, id) = parse_uuid("name", "usageCorrections", name)?;
    Ok((ctx.tenant("name", parent).await?, id))
}

pub(super) async fn found(tx: &mut Tx<'_>, scope: &Scope, id: Uuid, name: &str) -> Result<Correction> {
    let found = store::correction_get(tx, scope.tenant()?.id, id).await?;
    found.ok_or_else(|| Error::not_found("usage correction", clip(name)))
}

/// Puts a backfill into force, at one moment.
pub async fn backfill_commit(ctx: &Ctx, name: &str, etag: &str) -> Result<Correction> {
    let (scope, id) = named(ctx, name).await?;
    let permit = ctx.authorize(COMMIT, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?.id;
    hold(&mut tx, tenant).await?;
    // whoever stages is waited for, and finds it committed afterwards
    store::staged_places_take(&mut tx, tenant, id, 0).await?;
    let before = found(&mut tx, &scope, id, name).await?;
    before.matches(etag)?;
    let after = before.committed(ctx.now())?;
    let taken = if after.replace { void::void_insert_range(&mut tx, &after, ctx.now()).await? } else { 0 };
    if i64::try_from(taken).unwrap_or(i64::MAX) > MAX_BACKFILL {
        let message = format!(
            "replaces {taken} events; at most {MAX_BACKFILL} are replaced at a time, so cut the interval, or name client and source"
        );
        return Err(Error::Limit { limit: "usage.replaced_events".to_owned(), message });
    }
    let after = settle(ctx, &mut tx, after, taken).await?;
    store::correction_update(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Gives a backfill up.
pub async fn backfill_abandon(ctx: &Ctx, name: &str, etag: &str, reason: String) -> Result<Correction> {
    let (scope, id) = named(ctx, name).await?;
    let permit = ctx.authorize(ABANDON, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    store::staged_places_take(&mut tx, scope.tenant()?.id, id, 0).await?;
    let before = found(&mut tx, &scope, id, name).await?;
    before.matches(etag)?;
    let after = before.abandoned(by(ctx, reason))?;
    store::staged_delete(&mut tx, of(&after)).await?;
    store::correction_update(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Undoes a correction.
pub async fn correction_revert(ctx: &Ctx, name: &str, etag: &str, reason: String) -> Result<Correction> {
    let (scope, id) = named(ctx, name).await?;
    let permit = ctx.authorize(REVERT, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    hold(&mut tx, scope.tenant()?.id).await?;
    let before = found(&mut tx, &scope, id, name).await?;
    before.matches(etag)?;
    let after = before.reverted(by(ctx, reason))?;
    let of = of(&after);
    if let Some(later) = void::successor_find(&mut tx, of).await? {
        let message = format!(
            "correction `{later}` took back events that `{name}` added, and put others in their place; revert that one first"
        );
        return Err(Error::illegal_state(name, message));
    }
    void::void_undo(&mut tx, of, ctx.now()).await?;
    void::added_void(&mut tx, of, ctx.now()).await?;
    if let Some((source, event)) = void::twice_find(&mut tx, of).await? {
        let message = format!(
            "event `{}` of `{}` would count twice: another correction has put it in since; revert that one first",
            clip(&event),
            clip(&source)
        );
        return Err(Error::illegal_state(name, message));
    }
    void::days_mark(&mut tx, of, ctx.new_id()).await?;
    store::correction_update(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// A correction.
pub async fn correction_get(ctx: &Ctx, name: &str) -> Result<Correction> {
    let (scope, id) = named(ctx, name).await?;
    ctx.authorize(GET, &scope).await?;
    let found = store::correction_get(&mut ctx.read().await?, scope.tenant()?.id, id).await?;
    found.ok_or_else(|| Error::not_found("usage correction", clip(name)))
}

/// A page of corrections.
pub async fn correction_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Correction>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    let tenant = scope.tenant()?.id;
    store::correction_list(&mut ctx.read().await?, tenant, query, &ctx.kernel().page_key).await
}
