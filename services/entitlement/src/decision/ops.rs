//! The use case of decisions.

use catalog::model::PluginRef;
use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::Reader,
    ids::{PrincipalId, Slug},
    name,
    scope::{Scope, ScopeKind, TenantRef},
};
use tenancy::{
    holding::roles_with_included,
    principal::{self, model::Principal},
};

use super::{
    model::{Decision, Reason, Rule, Verdict},
    store,
    verdict::{self, Asked, Facts, Wanted},
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

async fn verdict(ctx: &Ctx, tenant: &TenantRef, who: &Slug, plugin: &str) -> Result<Verdict> {
    let mut tables = Tables { db: ctx.read().await?, tenant };
    verdict::verdict(&mut tables, who, plugin, ctx.now()).await
}

/// The facts as they are now.
struct Tables<'t> {
    db: Reader,
    tenant: &'t TenantRef,
}

impl Facts for Tables<'_> {
    type Plugin = PluginRef;

    fn tenant(&self) -> &Slug {
        &self.tenant.slug
    }

    fn is_frozen(&self) -> bool {
        matches!(self.tenant.state.as_str(), "suspended" | "closed")
    }

    async fn principal(&mut self, slug: &Slug) -> Result<Option<Asked>> {
        let found = principal::ops::find(&mut self.db, self.tenant.id.0, slug).await?;
        let asked = |p: Principal| Asked {
            id: p.id,
            slug: p.slug,
            kind: p.kind,
            state: p.state,
            owner: p.owner_slug,
        };
        Ok(found.map(asked))
    }

    async fn plugin(&mut self, name: &str) -> Result<Option<(Wanted, PluginRef)>> {
        let found = catalog::ops::plugin_find(&mut self.db, name).await?;
        let wanted = |p: &PluginRef| Wanted {
            marketplace: p.marketplace_slug.clone(),
            plugin: p.plugin_slug.clone(),
            stage: p.stage,
        };
        Ok(found.map(|p| (wanted(&p), p)))
    }

    async fn roles(&mut self, principal: PrincipalId) -> Result<Vec<Slug>> {
        let held = roles_with_included(&mut self.db, self.tenant.id, principal).await?;
        Ok(held.into_iter().map(|role| role.slug).collect())
    }

    async fn rules(&mut self, plugin: &PluginRef) -> Result<Vec<Rule>> {
        store::rule_list(&mut self.db, self.tenant.id, plugin.marketplace_id, plugin.plugin_id).await
    }
}
