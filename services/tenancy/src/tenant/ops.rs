//! The use cases of tenants.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
        tx::Tx,
    },
    ids::{Slug, TenantId},
    name,
    scope::{Scope, ScopeKind},
};

use super::{
    contract::{Contract, NewContract},
    model::{NewTenant, Step, Tenant, TenantPatch, TenantState},
    store,
};
use crate::partner::store as partners;

const TENANT: &[ScopeKind] = &[ScopeKind::Tenant];
const fn action(rpc: &'static str, verb: &'static str, class: Class, scopes: &'static [ScopeKind]) -> Action {
    Action { rpc, noun: "tenant", verb, class, scopes }
}
const CREATE: Action =
    action("provost.tenant.v1.TenantService/CreateTenant", "create", Class::Write, &[ScopeKind::Partner]);
const GET: Action = action("provost.tenant.v1.TenantService/GetTenant", "get", Class::Read, TENANT);
const LIST: Action = action(
    "provost.tenant.v1.TenantService/ListTenants",
    "list",
    Class::Read,
    &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant],
);
const UPDATE: Action = action("provost.tenant.v1.TenantService/UpdateTenant", "update", Class::Write, TENANT);
const DELETE: Action = action("provost.tenant.v1.TenantService/DeleteTenant", "delete", Class::Write, TENANT);
const UNDELETE: Action =
    action("provost.tenant.v1.TenantService/UndeleteTenant", "undelete", Class::Write, TENANT);
const CONTRACT: Action =
    action("provost.tenant.v1.TenantService/ContractTenant", "contract", Class::Write, TENANT);
const START_PILOT: Action =
    action("provost.tenant.v1.TenantService/StartPilot", "start_pilot", Class::Write, TENANT);
const GO_LIVE: Action = action("provost.tenant.v1.TenantService/GoLive", "go_live", Class::Write, TENANT);
const SUSPEND: Action =
    action("provost.tenant.v1.TenantService/SuspendTenant", "suspend", Class::Write, TENANT);
const RESUME: Action = action("provost.tenant.v1.TenantService/ResumeTenant", "resume", Class::Write, TENANT);
const CLOSE: Action = action("provost.tenant.v1.TenantService/CloseTenant", "close", Class::Write, TENANT);
/// What tenants can be asked for.
pub const ACTIONS: &[Action] =
    &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE, CONTRACT, START_PILOT, GO_LIVE, SUSPEND, RESUME, CLOSE];

/// Creates a tenant in the pipeline of the partner that it names.
pub async fn tenant_create(ctx: &Ctx, new: NewTenant) -> Result<Tenant> {
    let scope = ctx.partner("tenant.partner", &new.partner).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let Scope::Partner(partner) = &scope else { return Err(Error::internal("a partner's scope is none")) };
    let tenant = Tenant::create(partner, new, TenantId(ctx.new_id()), ctx.now())?;
    store::tenant_insert(&mut tx, &tenant).await?;
    settle(&mut tx, None, &tenant).await?;
    tx.commit(permit.audit().target(&tenant).after(&tenant).also_in(tenant.id.0)).await?;
    Ok(tenant)
}

/// Returns a tenant, deleted or not.
pub async fn tenant_get(ctx: &Ctx, name: &str) -> Result<Tenant> {
    let tenant = find(&mut ctx.read().await?, name).await?;
    ctx.authorize(GET, &tenant.scope()).await?;
    Ok(tenant)
}

/// Lists the tenants that the caller may know of: all for the platform's people, a partner's for its own, and one's own.
pub async fn tenant_list(ctx: &Ctx, query: &ListQuery) -> Result<Page<Tenant>> {
    let within = &ctx.caller().home;
    ctx.authorize(LIST, within).await?;
    store::tenant_list(&mut ctx.read().await?, within, query, &ctx.kernel().page_key).await
}

/// Changes the words of a tenant.
pub async fn tenant_update(ctx: &Ctx, name: &str, etag: &str, patch: TenantPatch) -> Result<Tenant> {
    change(ctx, UPDATE, name, etag, |tenant| tenant.patched(patch, ctx.now())).await
}

/// Deletes a tenant that never had a pilot; its people cannot authenticate until it is undeleted.
pub async fn tenant_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Tenant> {
    change(ctx, DELETE, name, etag, |tenant| tenant.deleted(ctx.now())).await
}

/// Brings a deleted tenant back.
pub async fn tenant_undelete(ctx: &Ctx, name: &str, etag: &str) -> Result<Tenant> {
    change(ctx, UNDELETE, name, etag, |tenant| tenant.undeleted(ctx.now())).await
}

/// PIPELINE -> CONTRACTED with what was signed.
pub async fn tenant_contract(ctx: &Ctx, name: &str, etag: &str, new: NewContract) -> Result<Tenant> {
    change(ctx, CONTRACT, name, etag, |tenant| tenant.contracted(Contract::checked(new)?, ctx.now())).await
}

/// CONTRACTED -> PILOT.
pub async fn tenant_start_pilot(ctx: &Ctx, name: &str, etag: &str) -> Result<Tenant> {
    change(ctx, START_PILOT, name, etag, |tenant| tenant.stepped(Step::StartPilot, ctx.now())).await
}

/// PILOT -> LIVE, when somebody holds a role.
pub async fn tenant_go_live(ctx: &Ctx, name: &str, etag: &str) -> Result<Tenant> {
    change(ctx, GO_LIVE, name, etag, |tenant| tenant.stepped(Step::GoLive, ctx.now())).await
}

/// LIVE -> SUSPENDED.
pub async fn tenant_suspend(ctx: &Ctx, name: &str, etag: &str) -> Result<Tenant> {
    change(ctx, SUSPEND, name, etag, |tenant| tenant.stepped(Step::Suspend, ctx.now())).await
}

/// SUSPENDED -> LIVE.
pub async fn tenant_resume(ctx: &Ctx, name: &str, etag: &str) -> Result<Tenant> {
    change(ctx, RESUME, name, etag, |tenant| tenant.stepped(Step::Resume, ctx.now())).await
}

/// SUSPENDED -> CLOSED, from which its data is erased in time.
pub async fn tenant_close(ctx: &Ctx, name: &str, etag: &str) -> Result<Tenant> {
    let keep = ctx.kernel().config.erase_after();
    change(ctx, CLOSE, name, etag, |tenant| tenant.closed(keep, ctx.now())).await
}

/// What all changes share: read, compare etags, apply, write, settle, record.
async fn change(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    apply: impl FnOnce(&Tenant) -> Result<Tenant>,
) -> Result<Tenant> {
    let scope = find(&mut ctx.read().await?, name).await?.scope();
    let permit = ctx.authorize(action, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, name).await?;
    before.stamp.matches(etag, name)?;
    let after = apply(&before)?;
    store::tenant_update(&mut tx, &after).await?;
    settle(&mut tx, Some(&before), &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// A tenant that appears has a living partner, and one that goes live has somebody who holds a role. Checked after the
/// write; the partner is held, so that it cannot be deleted meanwhile.
async fn settle(tx: &mut Tx<'_>, before: Option<&Tenant>, after: &Tenant) -> Result<()> {
    let appears = after.stamp.delete_time.is_none() && before.is_none_or(|b| b.stamp.delete_time.is_some());
    if appears && !partners::partner_hold(tx, after.partner.id).await? {
        let partner = format!("partners/{}", after.partner.slug);
        let message = format!("`{partner}` is deleted; undelete it first");
        return Err(Error::illegal_state(partner, message));
    }
    let goes_live = before.is_some_and(|b| b.state == TenantState::Pilot) && after.state == TenantState::Live;
    if goes_live && !store::tenant_has_role_holder(tx, after.id).await? {
        let name = after.name();
        let message = format!("nobody holds a role in `{name}`; add a member to one of its roles first");
        return Err(Error::illegal_state(name, message));
    }
    Ok(())
}

/// The tenant of that name, deleted or not, or `NOT_FOUND`. Scopes are found among the living only; a deleted tenant is
/// still read and undeleted.
async fn find(db: &mut impl Executor, name: &str) -> Result<Tenant> {
    let [slug]: [Slug; 1] = name::parse("name", "tenants/{}", name)?;
    store::tenant_get(db, &slug).await?.ok_or_else(|| Error::not_found("tenant", name))
}
