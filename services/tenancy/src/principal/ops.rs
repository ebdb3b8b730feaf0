//! The use cases of principals.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    clock::Time,
    db::{
        Executor,
        list::{ListQuery, Page},
        tx::Tx,
    },
    ids::{PrincipalId, Slug},
    scope::{Scope, ScopeKind},
};
use uuid::Uuid;

use super::{
    model::{NewPrincipal, Principal, PrincipalPatch},
    name::{parse, referring},
    store,
};
use crate::{
    sibling::sibling,
    unit::{self, model::Unit, store as units},
};

const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    let scopes = &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant];
    Action { rpc, noun: "principal", verb, class, scopes }
}
const CREATE: Action =
    action("provost.principal.v1.PrincipalService/CreatePrincipal", "create", Class::Write);
const GET: Action = action("provost.principal.v1.PrincipalService/GetPrincipal", "get", Class::Read);
const LIST: Action = action("provost.principal.v1.PrincipalService/ListPrincipals", "list", Class::Read);
const UPDATE: Action =
    action("provost.principal.v1.PrincipalService/UpdatePrincipal", "update", Class::Write);
const DELETE: Action =
    action("provost.principal.v1.PrincipalService/DeletePrincipal", "delete", Class::Write);
const UNDELETE: Action =
    action("provost.principal.v1.PrincipalService/UndeletePrincipal", "undelete", Class::Write);
const SUSPEND: Action =
    action("provost.principal.v1.PrincipalService/SuspendPrincipal", "suspend", Class::Write);
const RESUME: Action =
    action("provost.principal.v1.PrincipalService/ResumePrincipal", "resume", Class::Write);
/// What the policy is asked about when the principal holds a duty: whoever provisions people must not be able to take
/// away those who watch over it.
const OFFICER: &str = "principal/officer";
/// What principals can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE, SUSPEND, RESUME];

/// Creates a principal in `parent`.
pub async fn principal_create(ctx: &Ctx, parent: &str, new: NewPrincipal) -> Result<Principal> {
    let scope = ctx.scope("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let unit = unit_named(&mut tx, &scope, &new.unit).await?;
    let owner = owner_named(&mut tx, &scope, &new.owner).await?;
    let id = PrincipalId(ctx.new_id());
    let principal = Principal::create(&scope, new, unit.as_ref(), owner.as_ref(), id, ctx.now())?;
    // when both the id and the address are taken, the engines disagree on which to name
    if store::principal_get(&mut tx, scope.id(), &principal.slug).await?.is_some() {
        return Err(Error::exists("principal", principal.name()));
    }
    store::principal_insert(&mut tx, &principal).await?;
    settle(&mut tx, &principal).await?;
    tx.commit(permit.audit().target(&principal).after(&principal)).await?;
    Ok(principal)
}

/// Returns a principal, deleted or not.
pub async fn principal_get(ctx: &Ctx, name: &str) -> Result<Principal> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    ctx.authorize_own(GET, &scope, is_caller(ctx, &scope, &slug)).await?;
    stored(&mut ctx.read().await?, &scope, &slug).await
}

/// Lists principals of `parent`.
pub async fn principal_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Principal>> {
    let scope = ctx.scope("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::principal_list(&mut ctx.read().await?, scope.id(), query, &ctx.kernel().page_key).await
}

/// Changes words, address or unit of a principal.
pub async fn principal_update(ctx: &Ctx, name: &str, etag: &str, patch: PrincipalPatch) -> Result<Principal> {
    let unit = patch.unit.clone().unwrap_or_default();
    change(ctx, UPDATE, name, etag, &unit, |p, unit| p.patched(patch, unit, ctx.now())).await
}

/// Deletes a principal; what it holds stays and counts for nothing until it is undeleted.
pub async fn principal_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Principal> {
    change(ctx, DELETE, name, etag, "", |p, _| p.deleted(ctx.now())).await
}

/// Brings a deleted principal back.
pub async fn principal_undelete(ctx: &Ctx, name: &str, etag: &str) -> Result<Principal> {
    change(ctx, UNDELETE, name, etag, "", |p, _| p.undeleted(ctx.now())).await
}

/// Stops a principal from acting; effective on its next call.
pub async fn principal_suspend(ctx: &Ctx, name: &str, etag: &str) -> Result<Principal> {
    change(ctx, SUSPEND, name, etag, "", |p, _| p.suspended(ctx.now())).await
}

/// Lets a suspended principal act again.
pub async fn principal_resume(ctx: &Ctx, name: &str, etag: &str) -> Result<Principal> {
    change(ctx, RESUME, name, etag, "", |p, _| p.resumed(ctx.now())).await
}

/// The living principal of that id in the scope (nil for the platform), if there is one.
pub async fn find(db: &mut impl Executor, scope_id: Uuid, slug: &Slug) -> Result<Option<Principal>> {
    let found = store::principal_get(db, scope_id, slug).await?;
    Ok(found.filter(|p| p.stamp.delete_time.is_none()))
}

/// Takes everything personal out of the row of a deleted principal, inside the transaction of its erasure; returns it as it
/// was and as it is. Errors: NOT_FOUND, FAILED_PRECONDITION (not deleted, or erased already).
pub async fn principal_erase(
    tx: &mut Tx<'_>,
    scope: &Scope,
    slug: &Slug,
    now: Time,
) -> Result<[Principal; 2]> {
    let before = stored(tx, scope, slug).await?;
    let after = before.erased(now)?;
    store::principal_update(tx, &after).await?;
    Ok([before, after])
}

/// What all changes share: read, compare etags, apply, write, settle, record. `unit` is the new unit's name, or empty.
async fn change(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    unit: &str,
    apply: impl FnOnce(&Principal, Option<&Unit>) -> Result<Principal>,
) -> Result<Principal> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    let officer = store::principal_is_officer(&mut ctx.read().await?, scope.id(), &slug).await?;
    let object = if officer { OFFICER } else { action.noun };
    let permit = ctx.authorize_on(action, object.into(), &scope, is_caller(ctx, &scope, &slug)).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = stored(&mut tx, &scope, &slug).await?;
    before.stamp.matches(etag, name)?;
    let unit = unit_named(&mut tx, &scope, unit).await?;
    let after = apply(&before, unit.as_ref())?;
    store::principal_update(&mut tx, &after).await?;
    settle(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// What a living principal refers to lives, and nothing living refers to a deleted one. Checked after the write, which
/// holds the row, so that two concurrent changes cannot both pass.
async fn settle(tx: &mut Tx<'_>, after: &Principal) -> Result<()> {
    let name = after.name();
    if !after.may_act() {
        store::keepers_hold(tx, after.scope_id).await?;
        if store::principal_is_last_keeper(tx, after.scope_id, after.id).await? {
            let message = format!(
                "`{name}` is the last who can administer here; grant its duty to somebody else first"
            );
            return Err(Error::still_in_use(name, message));
        }
    }
    if after.stamp.delete_time.is_some() {
        let agents = store::principal_count_owned(tx, after.scope_id, after.id).await?;
        if agents > 0 {
            let message = format!("`{name}` still owns agents ({agents}); delete them first");
            return Err(Error::still_in_use(name, message));
        }
        return Ok(());
    }
    if let Some(unit) = after.unit_id
        && !units::unit_hold(tx, kernel::ids::TenantId(after.scope_id), unit).await?
    {
        let message = format!("unit `{}` is deleted; undelete it first, or use another", after.unit());
        return Err(Error::illegal_state(after.unit(), message));
    }
    if let Some(owner) = after.owner_id
        && !store::principal_hold(tx, after.scope_id, owner).await?
    {
        let message = format!("owner `{}` is deleted; undelete it first", after.owner());
        return Err(Error::illegal_state(after.owner(), message));
    }
    Ok(())
}

/// A principal of the scope, deleted or not, or `NOT_FOUND`.
async fn stored(db: &mut impl Executor, scope: &Scope, slug: &Slug) -> Result<Principal> {
    let found = store::principal_get(db, scope.id(), slug).await?;
    found.ok_or_else(|| Error::not_found("principal", scope.child("principals", slug)))
}

/// The unit that a principal's `unit` names; none for an empty text.
async fn unit_named(db: &mut impl Executor, scope: &Scope, text: &str) -> Result<Option<Unit>> {
    const FIELD: &str = "principal.unit";
    let Some(tenant) = referring(scope, FIELD, text)? else { return Ok(None) };
    let slug = sibling(tenant, FIELD, "unit", text)?;
    unit::ops::find(db, tenant, &slug).await.map(Some)
}

/// The principal that an agent's `owner` names; none for an empty text.
async fn owner_named(db: &mut impl Executor, scope: &Scope, text: &str) -> Result<Option<Principal>> {
    const FIELD: &str = "principal.owner";
    let Some(tenant) = referring(scope, FIELD, text)? else { return Ok(None) };
    let slug = sibling(tenant, FIELD, "principal", text)?;
    stored(db, scope, &slug).await.map(Some)
}

fn is_caller(ctx: &Ctx, scope: &Scope, slug: &Slug) -> bool {
    let caller = ctx.caller();
    caller.home.id() == scope.id() && caller.principal.as_ref().is_some_and(|p| p.slug == *slug)
}
