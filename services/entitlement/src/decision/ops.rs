//! The use case of decisions.

use catalog::model::PluginRef;
use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    clock::Time,
    db::Executor,
    ids::Slug,
    name,
    scope::{Scope, ScopeKind, TenantRef},
};
use tenancy::{
    holding::roles_with_included,
    principal::{
        self,
        model::{Principal, PrincipalKind, PrincipalState},
    },
};

use super::{
    model::{Decision, Question, Reason, Verdict, decide},
    store,
};

const CHECK: Action = Action {
    rpc: "provost.decision.v1.DecisionService/Check",
    noun: "decision",
    verb: "check",
    class: Class::Decide,
    scopes: &[ScopeKind::Tenant],
};
/// What decisions can be asked for.
pub const ACTIONS: &[Action] = &[CHECK];

/// Decides whether `principal` may use `plugin` now. Whatever goes wrong after the caller was let in is a no.
pub async fn check(ctx: &Ctx, principal: &str, plugin: &str) -> Result<Decision> {
    let [tenant, who] = name::parse("principal", "tenants/{}/principals/{}", principal)?;
    let [_, _] = name::parse("plugin", "marketplaces/{}/plugins/{}", plugin)?;
    let scope = ctx.tenant("principal", &format!("tenants/{tenant}")).await?;
    ctx.authorize_own(CHECK, &scope, is_caller(ctx, &scope, &who)).await?;
    let tenant = scope.tenant()?;
    let verdict = verdict(ctx, tenant, &who, plugin).await.unwrap_or_else(|error| {
        tracing::error!(%error, tenant = %tenant.slug, "no decision could be made, answering no");
        Verdict::no(Reason::PolicyUnavailable)
    });
    Ok(verdict.decision(tenant, ctx.now()))
}

/// Whether the caller asks about itself.
fn is_caller(ctx: &Ctx, scope: &Scope, who: &Slug) -> bool {
    let caller = ctx.caller();
    caller.home.id() == scope.id() && caller.principal.as_ref().is_some_and(|p| p.slug == *who)
}

/// The first of: tenant closed to use, principal unknown or suspended, plugin unknown or withdrawn, what the rules say.
async fn verdict(ctx: &Ctx, tenant: &TenantRef, who: &Slug, plugin: &str) -> Result<Verdict> {
    if matches!(tenant.state.as_str(), "suspended" | "closed") {
        return Ok(Verdict::no(Reason::TenantSuspended));
    }
    let mut db = ctx.read().await?;
    let Some(principal) = principal::ops::find(&mut db, tenant.id.0, who).await? else {
        return Ok(Verdict::no(Reason::UnknownPrincipal));
    };
    if principal.state == PrincipalState::Suspended {
        return Ok(Verdict::no(Reason::PrincipalSuspended));
    }
    let Some(plugin) = catalog::ops::plugin_find(&mut db, plugin).await? else {
        return Ok(Verdict::no(Reason::UnknownPlugin));
    };
    let own = by_rules(&mut db, tenant, &principal, &plugin, ctx.now()).await?;
    if principal.kind != PrincipalKind::Agent || !own.allowed() {
        return Ok(own);
    }
    Ok(own.and_owner(by_owner(&mut db, tenant, &principal, &plugin, ctx.now()).await?))
}

/// What an agent's owner may.
async fn by_owner(
    db: &mut impl Executor,
    tenant: &TenantRef,
    agent: &Principal,
    plugin: &PluginRef,
    now: Time,
) -> Result<Verdict> {
    let owner = match &agent.owner_slug {
        Some(slug) => principal::ops::find(db, tenant.id.0, slug).await?,
        None => None,
    };
    match owner {
        None => Ok(Verdict::no(Reason::UnknownPrincipal)),
        Some(owner) if owner.state == PrincipalState::Suspended => {
            Ok(Verdict::no(Reason::PrincipalSuspended))
        }
        Some(owner) => by_rules(db, tenant, &owner, plugin, now).await,
    }
}

/// What the rules say of one principal and one plugin.
async fn by_rules(
    db: &mut impl Executor,
    tenant: &TenantRef,
    principal: &Principal,
    plugin: &PluginRef,
    now: Time,
) -> Result<Verdict> {
    let held = roles_with_included(db, tenant.id, principal.id).await?;
    let held: Vec<_> = held.into_iter().map(|role| role.slug).collect();
    let mut rules = store::rule_list(db, tenant.id, plugin.marketplace_id, plugin.plugin_id).await?;
    rules.retain(|rule| rule.role_slug.as_ref().is_none_or(|role| held.contains(role)));
    let question = Question {
        tenant: &tenant.slug,
        principal: &principal.slug,
        roles: &held,
        // no rule asks for a seat before there are seat pools
        seat: false,
        marketplace: &plugin.marketplace_slug,
        plugin: &plugin.plugin_slug,
        stage: plugin.stage,
        now,
    };
    decide(&rules, &question).await
}
