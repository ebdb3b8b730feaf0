//! The use cases of meters. What a tenant defines counts from a place in its sequence on: the place is fixed under the lock under
//! which places are given, so that roller, questions and verifier, in whatever process, count the same events.

use std::collections::HashSet;

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::{Executor, list::Page, tx::Tx},
    error::Error,
    ids::{Slug, TenantId},
    name,
    page::{self, Cursor},
    scope::{Scope, ScopeKind, TenantRef},
};
use uuid::Uuid;

use super::{
    METERS, Meter,
    model::{Definition, MAX_ACTIVE, MAX_KEPT, MAX_VERSIONS, MeterPatch, Turn, UsageMeter, name_of, new_key},
    store,
};
use crate::event::store::Head;

const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "meter", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action = action("provost.usage.v1.UsageService/CreateUsageMeter", "create", Class::Write);
const GET: Action = action("provost.usage.v1.UsageService/GetUsageMeter", "get", Class::Read);
const UPDATE: Action = action("provost.usage.v1.UsageService/UpdateUsageMeter", "update", Class::Write);
const ARCHIVE: Action = action("provost.usage.v1.UsageService/ArchiveUsageMeter", "archive", Class::Write);
const LIST: Action = Action {
    scopes: &[ScopeKind::Platform, ScopeKind::Tenant],
    ..action("provost.usage.v1.UsageService/ListMeters", "list", Class::Read)
};
/// What meters can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, GET, UPDATE, ARCHIVE, LIST];

/// Defines a meter of the tenant's own; with `backfill`, it counts the events that are stored, too.
pub async fn meter_create(
    ctx: &Ctx,
    parent: &str,
    id: &str,
    new: MeterPatch,
    backfill: bool,
) -> Result<UsageMeter> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let (tenant, key) = (scope.tenant()?, new_key(id)?);
    let definition = Definition::default().patched(new)?;
    let head = store::head_turn(&mut tx, tenant.id).await?;
    if store::meter_get(&mut tx, tenant.id, &key, 0).await?.is_some() {
        return Err(Error::exists("meter", name_of(&tenant.slug, &key)));
    }
    let turn = Turn { backfill, ..turn(ctx, &mut tx, tenant.id, head, true).await? };
    let meter = UsageMeter::create(tenant, key, definition, turn);
    store::meter_insert(&mut tx, &meter).await?;
    let meter = find(&mut tx, tenant, &meter.key, 0).await?;
    tx.commit(permit.audit().target(&meter).after(&meter)).await?;
    Ok(meter)
}

/// A version of a meter, archived or not; with 0, the newest.
pub async fn meter_get(ctx: &Ctx, name: &str, version: i64) -> Result<UsageMeter> {
    let (tenant, key) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &key, version).await
}

/// Defines a meter anew: a further version counts from now on.
pub async fn meter_update(ctx: &Ctx, name: &str, etag: &str, patch: MeterPatch) -> Result<UsageMeter> {
    let (parent, key) = parse(name)?;
    let scope = ctx.tenant("name", &parent).await?;
    let permit = ctx.authorize(UPDATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let head = store::head_turn(&mut tx, tenant.id).await?;
    let before = find(&mut tx, tenant, &key, 0).await?;
    before.matches(etag)?;
    before.alive()?;
    if before.version >= MAX_VERSIONS {
        let message =
            format!("`{name}` has {MAX_VERSIONS} versions; archive it and create a meter with another key");
        return Err(Error::Limit { limit: "meter.versions".to_owned(), message });
    }
    let definition = before.definition.patched(patch)?;
    let turn = turn(ctx, &mut tx, tenant.id, head, false).await?;
    let (ended, next) = before.followed(definition, turn);
    store::meter_end(&mut tx, &ended).await?;
    store::meter_insert(&mut tx, &next).await?;
    let after = find(&mut tx, tenant, &key, 0).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Ends a meter; its figures stay.
pub async fn meter_archive(ctx: &Ctx, name: &str, etag: &str) -> Result<UsageMeter> {
    let (parent, key) = parse(name)?;
    let scope = ctx.tenant("name", &parent).await?;
    let permit = ctx.authorize(ARCHIVE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let head = store::head_turn(&mut tx, tenant.id).await?;
    let before = find(&mut tx, tenant, &key, 0).await?;
    before.matches(etag)?;
    before.alive()?;
    let after = before.archived(head.next_seq, ctx.now());
    store::meter_end(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// What a new version begins with. Errors: LIMIT_EXCEEDED when the tenant has as many meters as it can have.
async fn turn(ctx: &Ctx, tx: &mut Tx<'_>, tenant: TenantId, head: Head, further: bool) -> Result<Turn> {
    let (active, kept, highest) = store::meter_counts(tx, tenant).await?;
    if further && (active >= MAX_ACTIVE || kept >= MAX_KEPT) {
        let message = if active >= MAX_ACTIVE {
            format!("the tenant has {active} meters that count, the most it can have; archive one first")
        } else {
            format!(
                "the tenant has {kept} meters, archived ones included, the most it can have; update one of them"
            )
        };
        return Err(Error::Limit { limit: "meters".to_owned(), message });
    }
    let creator = ctx.caller().principal.as_ref().map(|p| p.id);
    Ok(Turn { next_seq: head.next_seq, backfill: false, number: highest + 1, now: ctx.now(), creator })
}

/// The tenant's name and the key.
fn parse(name: &str) -> Result<(String, Slug)> {
    let [tenant, key] = name::parse("name", "tenants/{}/usageMeters/{}", name)?;
    Ok((format!("tenants/{tenant}"), key))
}

async fn find(db: &mut impl Executor, tenant: &TenantRef, key: &Slug, version: i64) -> Result<UsageMeter> {
    let found = store::meter_get(db, tenant.id, key, version).await?;
    found.ok_or_else(|| Error::not_found("meter", name_of(&tenant.slug, key)))
}

/// What a list has.
#[derive(Clone, Debug)]
pub enum Listed {
    /// Comes with the program.
    BuiltIn(&'static Meter),
    /// The tenant's own.
    Own(Box<UsageMeter>),
}

impl Listed {
    fn key(&self) -> (&str, i64) {
        match self {
            Self::BuiltIn(meter) => (&meter.key, meter.version),
            Self::Own(meter) => (meter.key.as_str(), meter.version),
        }
    }
}

/// What is listed beside the built-in meters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// Archived ones.
    pub archived: bool,
    /// Every version, not only the newest.
    pub versions: bool,
}

/// A page of the built-in meters and those of `parent`, if it is not empty, sorted by key and version.
pub async fn meters_list(
    ctx: &Ctx,
    parent: &str,
    shown: Shown,
    (page_size, page_token): (i32, &str),
) -> Result<Page<Listed>> {
    let mut items: Vec<_> = METERS.iter().map(Listed::BuiltIn).collect();
    if parent.is_empty() {
        ctx.authorize(LIST, &Scope::Platform).await?;
    } else {
        let scope = ctx.tenant("parent", parent).await?;
        ctx.authorize(LIST, &scope).await?;
        let own = store::meter_list(&mut ctx.read().await?, scope.tenant()?.id).await?;
        let gone: HashSet<Slug> =
            own.iter().filter(|m| m.archive_time.is_some()).map(|m| m.key.clone()).collect();
        let shows = |m: &UsageMeter| {
            // the newest version is the one that counts, or the one that was archived
            let newest = m.end_seq.is_none() || m.archive_time.is_some();
            (newest || shown.versions) && (shown.archived || !gone.contains(&m.key))
        };
        items.extend(own.into_iter().filter(shows).map(|m| Listed::Own(Box::new(m))));
    }
    items.sort_by(|a, b| a.key().cmp(&b.key()));
    let question = format!("meters {parent} {} {}", shown.archived, shown.versions);
    let (size, key) = (usize::try_from(page::size(page_size)?).unwrap_or(usize::MAX), &ctx.kernel().page_key);
    if !page_token.is_empty() {
        let after = key.open(&question, page_token)?;
        items.retain(|m| m.key() > (&after.text, after.int));
    }
    let more = items.len() > size;
    items.truncate(size);
    let next_page_token = match items.last().filter(|_| more) {
        Some(last) => {
            let (text, int) = last.key();
            key.seal(&question, Cursor { text: text.to_owned(), int, id: Uuid::nil() })?
        }
        None => String::new(),
    };
    Ok(Page { items, next_page_token })
}
