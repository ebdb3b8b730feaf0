//! The use cases of usage.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    clock::Time,
    db::{Executor, tx::Tx},
    error::Error,
    ids::{PrincipalId, Slug, TenantId, clip},
    scope::{Scope, ScopeKind},
};
use tenancy::{
    holding::roles_of,
    principal::{name::parse, store::principal_get},
};

use crate::{
    claim::{Claimant, claims_settle},
    event::model::UsageEvent,
    meter::{METERS, Meter},
    model::{Batch, Figure, Holder, IngestReport, Row, UsageQuery, Window, counted_role, sort_out},
    observation::{Seen, observations_store},
    otlp::{Request, Signal},
    store,
};

/// Telemetry comes over plain HTTP and over a service of OpenTelemetry's, so these have no method of ours.
const fn ingest(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "usage", verb, class: Class::Ingest, scopes: &[ScopeKind::Tenant] }
}
const LOGS: Action = ingest("POST /v1/logs", "logs");
const METRICS: Action = ingest("POST /v1/metrics", "metrics");
const TRACES: Action = ingest("POST /v1/traces", "traces");
const QUERY: Action = Action {
    rpc: "provost.usage.v1.UsageService/QueryUsage",
    noun: "usage",
    verb: "query",
    class: Class::Read,
    scopes: &[ScopeKind::Tenant],
};
const LIST_METERS: Action = Action {
    rpc: "provost.usage.v1.UsageService/ListMeters",
    noun: "meter",
    verb: "list",
    class: Class::Read,
    scopes: &[ScopeKind::Platform],
};
/// What usage can be asked for.
pub const ACTIONS: &[Action] = &[LOGS, METRICS, TRACES, QUERY, LIST_METERS];

/// Stores the events among the items of a request, each once, and says what became of every item. Tenant and principal
/// are those of the credential; what the items say of themselves is not trusted. Either everything that is new is
/// stored when this returns, or nothing.
pub async fn usage_ingest(ctx: &Ctx, request: &Request<'_>) -> Result<IngestReport> {
    let scope = &ctx.caller().home;
    let action = match request.signal {
        Signal::Logs => LOGS,
        Signal::Metrics => METRICS,
        Signal::Traces => TRACES,
    };
    let permit = ctx.authorize_own(action, scope, true).await?;
    let Scope::Tenant(tenant) = scope else {
        let message = "belongs to no tenant; send telemetry with an ingest token of the tenant";
        return Err(Error::invalid("authorization", message));
    };
    // read before the transaction: the embedded database has one writer, and others wait for it
    let batch = Batch::read(request, &Window::around(ctx.now(), &ctx.kernel().config.usage));
    if batch.events.is_empty() {
        return Ok(batch.report);
    }
    let mut tx = ctx.begin(&permit).await?;
    let holder = holder(&mut tx, tenant.id, ctx.caller().principal.as_ref().map(|p| p.id)).await?;
    let (rows, mut report) = batch.rows(tenant.id, holder, || ctx.new_id());
    store::event_insert(&mut tx, tenant.id, holder, ctx.now(), &rows).await?;
    let stored = store::event_find(&mut tx, tenant.id, &rows).await?;
    let new = sort_out(&rows, &stored, &mut report);
    if new.is_empty() {
        tx.abandon().await?;
        return Ok(report);
    }
    let new = settle(&mut tx, tenant.id, ctx.now(), holder, new).await?;
    store::amount_insert(&mut tx, tenant.id, holder, &new).await?;
    let seen: Vec<_> = new.iter().filter_map(|(row, _)| seen(row, holder)).collect();
    observations_store(&mut tx, tenant.id, || ctx.new_id(), &seen).await?;
    tx.commit(permit.audit().also("tenant", scope.to_string()).after(&report)).await?;
    Ok(report)
}

/// Which of the new events count what is told in several ways.
async fn settle<'r>(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    now: Time,
    holder: Holder,
    new: Vec<&'r Row>,
) -> Result<Vec<(&'r Row, bool)>> {
    let claimants: Vec<_> = new
        .iter()
        .filter_map(|row| {
            let claim = row.event.claim.as_ref()?;
            Some(Claimant { principal: holder.principal, client: &row.event.client, claim })
        })
        .collect();
    let mut settled = claims_settle(tx, tenant, now, &claimants).await?.into_iter();
    let counted = |row: &Row| row.event.claim.is_none() || settled.next().unwrap_or_default();
    let counted: Vec<_> = new.iter().copied().map(counted).collect();
    Ok(new.into_iter().zip(counted).collect())
}

fn seen(row: &Row, holder: Holder) -> Option<Seen<'_>> {
    let UsageEvent { client, time, observation, .. } = &row.event;
    let observation = observation.as_ref()?;
    Some(Seen { principal: holder.principal, client, time: *time, observation })
}

/// To whom the usage of `principal` is attributed now. An agent without a role or a unit of its own counts where its
/// owner does.
async fn holder(db: &mut impl Executor, tenant: TenantId, principal: Option<PrincipalId>) -> Result<Holder> {
    let Some(id) = principal else { return Ok(Holder::default()) };
    let (mut holder, owner) = own(db, tenant, id).await?;
    if let Some(owner) = owner
        && (holder.role.is_none() || holder.unit.is_none())
    {
        let (owners, _) = own(db, tenant, owner).await?;
        holder = Holder { role: holder.role.or(owners.role), unit: holder.unit.or(owners.unit), ..holder };
    }
    Ok(holder)
}

/// What a principal holds itself, and its owner, if it is an agent.
async fn own(
    db: &mut impl Executor,
    tenant: TenantId,
    id: PrincipalId,
) -> Result<(Holder, Option<PrincipalId>)> {
    let facts = store::principal_facts(db, tenant, id).await?;
    let role = counted_role(&roles_of(db, tenant, id).await?);
    let unit = facts.and_then(|f| f.unit_id);
    Ok((Holder { principal: Some(id), role, unit }, facts.and_then(|f| f.owner_id)))
}

/// Figures of the tenant `parent`, or of its `principal`, sorted by meter and group. Every event received before the call is
/// in them.
pub async fn usage_query(
    ctx: &Ctx,
    parent: &str,
    principal: &str,
    query: &UsageQuery,
) -> Result<Vec<Figure>> {
    let scope = ctx.tenant("parent", parent).await?;
    let slug = one_of(&scope, principal)?;
    let caller = ctx.caller();
    let own = caller.home.id() == scope.id()
        && caller.principal.as_ref().is_some_and(|p| Some(&p.slug) == slug.as_ref());
    ctx.authorize_own(QUERY, &scope, own).await?;
    let mut db = ctx.read().await?;
    let holder = match &slug {
        None => None,
        Some(slug) => {
            let found = principal_get(&mut db, scope.id(), slug).await?;
            Some(found.ok_or_else(|| Error::not_found("principal", clip(principal)))?.id)
        }
    };
    let mut figures = store::amount_sum(&mut db, scope.tenant()?.id, holder, query).await?;
    if figures.len() > store::MAX_FIGURES {
        return Err(Error::Limit {
            limit: "usage.rows".to_owned(),
            message: format!(
                "the answer has more than {} rows; ask for fewer meters, a shorter interval or fewer dimensions",
                store::MAX_FIGURES
            ),
        });
    }
    figures.sort();
    Ok(figures)
}

/// The slug of the scope's principal that `name` names; none when it is empty.
fn one_of(scope: &Scope, name: &str) -> Result<Option<Slug>> {
    const FIELD: &str = "principal";
    if name.is_empty() {
        return Ok(None);
    }
    let (parent, slug) = parse(FIELD, name)?;
    if parent != scope.to_string() {
        return Err(Error::invalid(FIELD, format!("`{}` is no principal of `{scope}`", clip(name))));
    }
    Ok(Some(slug))
}

/// The built-in meters, sorted by key.
pub async fn meter_list(ctx: &Ctx) -> Result<&'static [Meter]> {
    ctx.authorize(LIST_METERS, &Scope::Platform).await?;
    Ok(METERS)
}
