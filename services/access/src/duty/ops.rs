//! The use cases of duties.

use kernel::{
    Ctx, Result,
    authz::{Action, Class, Duty},
    db::list::{ListQuery, Page},
    error::Error,
    ids::{PrincipalId, Slug},
    name,
    scope::{Scope, ScopeKind},
};

use tenancy::principal::model::PrincipalKind;

use super::{model::DutyGrant, store};
use crate::token::ops::caller_is;

const EVERYWHERE: &[ScopeKind] = &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant];

const fn action(rpc: &'static str, noun: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun, verb, class, scopes: EVERYWHERE }
}
const GRANT: Action = action("provost.duty.v1.DutyService/GrantDuty", "duty", "grant", Class::Write);
const REVOKE: Action = action("provost.duty.v1.DutyService/RevokeDuty", "duty", "revoke", Class::Write);
const LIST: Action = action("provost.duty.v1.DutyService/ListDutyGrants", "duty", "list", Class::Read);
/// What duties can be asked for. Granting and revoking ask about `duty/<duty>`; a client's first owner about
/// `duty/first_owner`.
pub const ACTIONS: &[Action] = &[GRANT, REVOKE, LIST];

/// Grants a duty.
pub async fn duty_grant(ctx: &Ctx, parent: &str, principal: &str, duty: Option<Duty>) -> Result<DutyGrant> {
    let scope = ctx.scope("parent", parent).await?;
    let slug = principal_slug(&scope, principal)?;
    let holder = tenancy::principal::ops::find(&mut ctx.read().await?, scope.id(), &slug).await?;
    let own = holder.as_ref().is_some_and(|h| caller_is(ctx, h.id));
    let object = grant_object(ctx, &scope, duty).await?;
    let permit = ctx.authorize_on(GRANT, object.into(), &scope, own).await?;
    let duty = duty.ok_or_else(|| Error::invalid("duty", "is required"))?;
    let holder = holder.ok_or_else(|| Error::not_found("principal", principal))?;
    if holder.kind == PrincipalKind::Agent && duty != Duty::Member {
        let message = format!(
            "`{principal}` is an agent: it acts for its owner and may hold `member` only; grant the duty to the owner"
        );
        return Err(Error::invalid("principal", message));
    }
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    store::scope_lock(&mut tx, &scope).await?;
    if object == FIRST_OWNER && store::grant_count(&mut tx, scope.id(), Duty::Owner).await? > 0 {
        return Err(Error::Conflict);
    }
    let grant = DutyGrant::create(&scope, holder.id, &holder.slug, duty, ctx.new_id(), ctx.now())?;
    store::grant_insert(&mut tx, &grant).await?;
    tx.commit(permit.audit().target(&grant).also("principal", grant.principal.clone()).after(&grant)).await?;
    Ok(grant)
}

/// Ends a grant, unless it is the last owner's or the last platform administrator's.
pub async fn duty_revoke(ctx: &Ctx, name: &str) -> Result<DutyGrant> {
    let (parent, id) = name::parse_uuid("name", "dutyGrants", name)?;
    let scope = ctx.scope("name", parent).await?;
    let found = store::grant_get(&mut ctx.read().await?, &scope, id).await?;
    let object = found.as_ref().map_or(ANY_DUTY, |g| duty_object(g.duty));
    let own = found.as_ref().is_some_and(|g| caller_is(ctx, g.principal_id));
    let permit = ctx.authorize_on(REVOKE, object.into(), &scope, own).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    store::scope_lock(&mut tx, &scope).await?;
    let grant =
        store::grant_get(&mut tx, &scope, id).await?.ok_or_else(|| Error::not_found("duty grant", name))?;
    store::grant_delete(&mut tx, &grant).await?;
    if matches!(grant.duty, Duty::Owner | Duty::PlatformAdmin)
        && store::holder_count(&mut tx, scope.id(), grant.duty).await? == 0
    {
        let word = grant.duty.as_str();
        let message = format!(
            "`{}` is the last {word} of `{scope}`; grant the duty to somebody else first",
            grant.principal
        );
        return Err(Error::still_in_use(name, message));
    }
    tx.commit(permit.audit().target(&grant).also("principal", grant.principal.clone()).before(&grant))
        .await?;
    Ok(grant)
}

/// Lists grants in one scope.
pub async fn duty_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<DutyGrant>> {
    let scope = ctx.scope("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::grant_list(&mut ctx.read().await?, &scope, query, &ctx.kernel().page_key).await
}

/// Refuses to hand somebody else's power on: whoever makes a token for `principal` must be able to grant each of its
/// duties.
pub(crate) async fn grantable(ctx: &Ctx, scope: &Scope, principal: PrincipalId) -> Result<()> {
    for duty in store::duties_of(&mut ctx.read().await?, scope.id(), principal).await? {
        ctx.authorize_on(GRANT, duty_object(duty).into(), scope, false).await?;
    }
    Ok(())
}

const FIRST_OWNER: &str = "duty/first_owner";
/// Asked about when a request names no duty, or a grant that is not there.
const ANY_DUTY: &str = "duty/any";

/// What the policy is asked about: a partner's person may name a client's owner only while there is none.
async fn grant_object(ctx: &Ctx, scope: &Scope, duty: Option<Duty>) -> Result<&'static str> {
    let Some(duty) = duty else { return Ok(ANY_DUTY) };
    let by_partner = matches!(ctx.caller().home, Scope::Partner(_)) && matches!(scope, Scope::Tenant(_));
    if duty == Duty::Owner
        && by_partner
        && store::grant_count(&mut ctx.read().await?, scope.id(), Duty::Owner).await? == 0
    {
        return Ok(FIRST_OWNER);
    }
    Ok(duty_object(duty))
}

fn duty_object(duty: Duty) -> &'static str {
    match duty {
        Duty::PlatformAdmin => "duty/platform_admin",
        Duty::PlatformAuditor => "duty/platform_auditor",
        Duty::PartnerAdmin => "duty/partner_admin",
        Duty::Consultant => "duty/consultant",
        Duty::Owner => "duty/owner",
        Duty::Admin => "duty/admin",
        Duty::Compliance => "duty/compliance",
        Duty::Finance => "duty/finance",
        Duty::Approver => "duty/approver",
        Duty::Member => "duty/member",
    }
}

fn principal_slug(scope: &Scope, name: &str) -> Result<Slug> {
    let own = scope.child("principals", "");
    let slug = name.strip_prefix(&own).ok_or_else(|| {
        let name = kernel::ids::clip(name);
        Error::invalid("principal", format!("`{name}` is not a principal of the parent; use `{own}…`"))
    })?;
    Slug::parse_dotted("principal", slug)
}
