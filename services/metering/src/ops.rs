//! The use cases of usage.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::{Executor, list::Page},
    error::Error,
    ids::{PrincipalId, Slug, TenantId, clip},
    page::{self, Cursor},
    scope::{Scope, ScopeKind},
};
use tenancy::{
    holding::roles_of,
    principal::{name::parse, store::principal_get},
};
use uuid::Uuid;

use crate::{
    meter::{METERS, Meter},
    model::{Batch, Figure, Holder, IngestReport, UsageQuery, Window, counted_role, sort_out},
    otlp::Logs,
    store,
};

/// Telemetry comes over plain HTTP, so this one has no method name.
const INGEST: Action = Action {
    rpc: "POST /v1/logs",
    noun: "usage",
    verb: "logs",
    class: Class::Ingest,
    scopes: &[ScopeKind::Tenant],
};
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
pub const ACTIONS: &[Action] = &[INGEST, QUERY, LIST_METERS];

/// Stores the events among the records of `logs`, each once, and says what became of every record. Tenant and principal
/// are those of the credential; what the records say of themselves is not trusted. Either everything that is new is
/// stored when this returns, or nothing.
pub async fn usage_ingest(ctx: &Ctx, logs: &Logs<'_>) -> Result<IngestReport> {
    let scope = &ctx.caller().home;
    let permit = ctx.authorize_own(INGEST, scope, true).await?;
    let Scope::Tenant(tenant) = scope else {
        let message = "belongs to no tenant; send telemetry with an ingest token of the tenant";
        return Err(Error::invalid("authorization", message));
    };
    // read before the transaction: the embedded database has one writer, and others wait for it
    let batch = Batch::read(logs, &Window::around(ctx.now(), &ctx.kernel().config.usage));
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
    store::amount_insert(&mut tx, tenant.id, holder, &new).await?;
    tx.commit(permit.audit().also("tenant", scope.to_string()).after(&report)).await?;
    Ok(report)
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

/// A page of the built-in meters, sorted by key.
pub async fn meter_list(ctx: &Ctx, page_size: i32, page_token: &str) -> Result<Page<Meter>> {
    const QUESTION: &str = "meters";
    ctx.authorize(LIST_METERS, &Scope::Platform).await?;
    let (size, key) = (usize::try_from(page::size(page_size)?).unwrap_or(usize::MAX), &ctx.kernel().page_key);
    let after = match page_token {
        "" => String::new(),
        token => key.open(QUESTION, token)?.text,
    };
    let mut items: Vec<_> = METERS.iter().copied().filter(|m| *m.key > *after).collect();
    let more = items.len() > size;
    items.truncate(size);
    let next_page_token = match items.last().filter(|_| more) {
        Some(last) => key.seal(QUESTION, Cursor { text: last.key.to_owned(), int: 0, id: Uuid::nil() })?,
        None => String::new(),
    };
    Ok(Page { items, next_page_token })
}
