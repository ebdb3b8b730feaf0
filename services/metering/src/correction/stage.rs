//! Events on their way into a correction: what is staged for a backfill, and what an amendment puts in the place of another event.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use kernel::{Ctx, Error, Result, clock::Time};
use serde::Serialize;

use super::{
    model::{Correction, MAX_BACKFILL},
    ops::{self, STAGE},
    pick::Picked,
    store::{self, Staged},
};
use crate::{
    event::{
        decimal::Decimal,
        key::{Digest, dedupe_key, payload_key},
        model::{self, Code, Dims, Holder, MAX_BATCH, Rejection, Status, UsageEvent, Window, amounts_json},
        ops::{Holders, Incoming},
        report::Report,
        store::head_get,
        writer::Refused,
    },
    meter::{Meters, store::meters_of},
};

/// What an event should have said.
#[derive(Clone, Debug)]
pub struct Amendment {
    /// All of its quantities.
    pub values: Vec<(Cow<'static, str>, Decimal)>,
    /// All of its dimensions; none leaves them as they are.
    pub dims: Option<Dims>,
    /// When it happened; none leaves it as it is.
    pub time: Option<Time>,
}

/// Events that take the place of those picked.
pub fn amended(
    ctx: &Ctx,
    correction: &Correction,
    meters: &Meters,
    picked: &[Picked],
    amendments: Vec<Amendment>,
) -> Result<Vec<Staged>> {
    let window = reach(ctx, correction);
    let mut staged = Vec::with_capacity(picked.len());
    for (n, (target, amendment)) in picked.iter().zip(amendments).enumerate() {
        let moved = amendment.time.is_some();
        let dims = match amendment.dims {
            Some(dims) => dims,
            None => Dims(serde_json::from_str(&target.dims).map_err(Error::internal)?),
        };
        let event = UsageEvent {
            source: target.source.clone().into(),
            id: target.event_id.clone(),
            event_type: target.event_type.clone().into(),
            client: target.client.clone().into(),
            time: amendment.time.unwrap_or(target.time),
            timed: true,
            session: None,
            dims,
            values: amendment.values,
            attributes: String::new(),
            claim: None,
            observation: None,
        };
        let checked = model::check(&event)
            .and_then(|()| meters.check(&event))
            .and_then(|()| if moved { window.check(event.time) } else { Ok(()) });
        checked.map_err(|why| {
            let field = if why.field.is_empty() { String::new() } else { format!(".{}", why.field) };
            Error::invalid(&format!("amendments[{n}]{field}"), why.message)
        })?;
        let holder = Holder { principal: target.principal_id, role: target.role_id, unit: target.unit_id };
        // the event may have been stored under a key of its own; it is told from others by its source and id
        let key = Digest::from_bytes(&target.dedupe_key)
            .ok_or_else(|| Error::internal(format!("event {} has a broken key", target.seq)))?;
        let row = row(correction, i64::try_from(n).unwrap_or(i64::MAX) + 1, key, &event, holder);
        staged.push(Staged { replaces: Some(target.seq), ..row });
    }
    Ok(staged)
}

/// When events of a correction may have happened: as long ago as events are kept, and not later than events that come in.
fn reach(ctx: &Ctx, correction: &Correction) -> Window {
    let config = &ctx.kernel().config.usage;
    let days = u64::try_from(super::model::MAX_DAYS).unwrap_or(u64::MAX);
    let back = std::time::Duration::from_secs(days.saturating_mul(86_400));
    let oldest = correction.range.map_or_else(|| ctx.now().minus(back), |range| range.0);
    Window::of(oldest, ctx.now().plus(std::time::Duration::from_secs(config.accept_future_seconds)))
}

fn row(correction: &Correction, n: i64, key: Digest, event: &UsageEvent, holder: Holder) -> Staged {
    let (dims, amounts) = (event.dims.to_json(), amounts_json(&event.values));
    Staged {
        n,
        key,
        own_key: Digest::of(&[key.as_bytes(), correction.id.as_bytes()]),
        payload: payload_key(event, holder.principal, &dims, &amounts),
        source: event.source.to_string(),
        event_id: event.id.clone(),
        event_type: event.event_type.to_string(),
        client: event.client.to_string(),
        principal: holder.principal,
        role: holder.role,
        unit: holder.unit,
        time: event.time,
        dims,
        amounts,
        replaces: None,
    }
}

/// What became of a batch, as the record has it.
#[derive(Serialize)]
struct Recorded<'r> {
    #[serde(flatten)]
    report: &'r Report,
    staged_count: i64,
}

/// Takes events into an open backfill; says what became of each, in order.
pub async fn events_stage(
    ctx: &Arc<Ctx>,
    name: &str,
    items: Vec<Result<Incoming, Refused>>,
) -> Result<Vec<Status>> {
    let (scope, id) = ops::named(ctx, name).await?;
    let permit = ctx.authorize(STAGE, &scope).await?;
    if items.len() > MAX_BATCH {
        let message = format!("has {} events; send at most {MAX_BATCH} at a time", items.len());
        return Err(Error::Limit { limit: "usage.batch".to_owned(), message });
    }
    let tenant = scope.tenant()?.id;
    let mut tx = ctx.begin(&permit).await?;
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let first = store::staged_places_take(&mut tx, tenant, id, count).await?;
    let before = ops::found(&mut tx, &scope, id, name).await?;
    before.open()?;
    let first = first.ok_or(Error::Conflict)?;
    let revision = head_get(&mut tx, tenant).await?.meters;
    let meters = meters_of(&mut tx, tenant, revision).await?;
    let mut holders = Holders::free(ctx, scope.clone(), tenant);
    let mut checked = Vec::with_capacity(items.len());
    for (n, item) in (first..).zip(items) {
        checked.push(match item {
            Ok(incoming) => admit(ctx, &before, &meters, &mut holders, &incoming).await?.map(|holder| {
                let event = &incoming.event;
                row(&before, n, dedupe_key(tenant, &event.source, &event.id), event, holder)
            }),
            Err(refused) => Err(refused.why),
        });
    }
    let rows = firsts(&checked);
    let stored = store::staged_insert_all(&mut tx, (tenant, id), ctx.now(), &rows).await?;
    let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
    let found = store::staged_find_all(&mut tx, (tenant, id), &keys).await?;
    let statuses = outcome(&checked, &found);
    let staged_count = before.staged_count + i64::try_from(stored).unwrap_or(i64::MAX);
    if staged_count > MAX_BACKFILL {
        let message = format!(
            "would hold {staged_count} events; a backfill takes at most {MAX_BACKFILL}: commit this one and open another"
        );
        return Err(Error::Limit { limit: "usage.staged_events".to_owned(), message });
    }
    if stored == 0 {
        tx.abandon().await?;
        return Ok(statuses);
    }
    let update_time = ctx.now().max(before.update_time);
    let after = Correction { staged_count, revision: before.revision + 1, update_time, ..before };
    store::correction_update(&mut tx, &after).await?;
    let report = Report::of(&statuses);
    tx.commit(permit.audit().target(&after).after(&Recorded { report: &report, staged_count })).await?;
    Ok(statuses)
}

/// Whether an event may be staged, and to whom it is attributed.
async fn admit(
    ctx: &Ctx,
    backfill: &Correction,
    meters: &Meters,
    holders: &mut Holders,
    incoming: &Incoming,
) -> Result<Result<Holder, Rejection>> {
    let event = &incoming.event;
    let checks = || {
        model::check(event)?;
        meters.check(event)?;
        if let Some((field, message)) = backfill.foreign(event) {
            let code = if field == "time" && !event.timed { Code::MissingTime } else { Code::Malformed };
            return Err(Rejection::of(code, field, message));
        }
        reach(ctx, backfill).check(event.time)
    };
    match checks() {
        Ok(()) => holders.of(&incoming.subject).await,
        Err(why) => Ok(Err(why)),
    }
}

/// The first event of every key.
fn firsts(checked: &[Result<Staged, Rejection>]) -> Vec<Staged> {
    let mut seen = std::collections::HashSet::new();
    checked.iter().flatten().filter(|row| seen.insert(row.key)).cloned().collect()
}

fn outcome(checked: &[Result<Staged, Rejection>], found: &[(Vec<u8>, i64, Vec<u8>)]) -> Vec<Status> {
    let known: HashMap<&[u8], (i64, &[u8])> =
        found.iter().map(|(key, n, says)| (key.as_slice(), (*n, says.as_slice()))).collect();
    let status = |item: &Result<Staged, Rejection>| match item {
        Err(why) => Status::Rejected(why.clone()),
        Ok(row) => match known.get(row.key.as_bytes()) {
            Some((n, _)) if *n == row.n => Status::Accepted(*n),
            Some((n, says)) if *says == row.payload.as_bytes() => Status::Duplicate(*n),
            Some((n, _)) => Status::Conflict(*n),
            // every key was staged or found
            None => Status::Duplicate(0),
        },
    };
    checked.iter().map(status).collect()
}
