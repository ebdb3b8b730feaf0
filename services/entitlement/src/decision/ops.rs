//! The use cases of decisions.

use std::sync::Arc;

use kernel::{
    Ctx, Error, Result,
    authz::{Action, Class},
    clock::Time,
    ids::{Slug, clip},
    name,
    page::{self, Cursor},
    revision::Revision,
    scope::{Scope, ScopeKind, TenantRef},
};

use super::{
    account::Account,
    live::{Loaded, Policies},
    model::{Decision, UsablePlugin, Wanted, usable},
    shadow,
};
use crate::stage_override::{model::StageOverride, store::override_find};

const fn action(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "decision", verb, class: Class::Decide, scopes: &[ScopeKind::Tenant] }
}
const CHECK: Action = action("provost.decision.v1.DecisionService/Check", "check");
const BATCH: Action = action("provost.decision.v1.DecisionService/BatchCheck", "batch_check");
const USABLE: Action = action("provost.decision.v1.DecisionService/ListUsable", "list_usable");
const PRINCIPALS: Action = action("provost.decision.v1.DecisionService/ListPrincipals", "list_principals");
const EXPLAIN: Action = action("provost.decision.v1.DecisionService/Explain", "explain");
/// What decisions can be asked for.
pub const ACTIONS: &[Action] = &[CHECK, BATCH, USABLE, PRINCIPALS, EXPLAIN];

/// Most questions of one batch.
pub const MOST: usize = 1_000;

/// A call that was let in, and what it decides by.
pub(super) struct Asked {
    scope: Scope,
    /// Without it every answer is no.
    pub loaded: Result<Arc<Loaded>>,
}

impl Asked {
    pub fn tenant(&self) -> Result<&TenantRef> {
        self.scope.tenant()
    }
}

/// Decides whether `principal` may use `plugin` now. Whatever goes wrong after the caller was let in is a no.
pub async fn check(
    ctx: &Ctx,
    policies: &Policies,
    principal: &str,
    plugin: &str,
    token: &str,
) -> Result<Decision> {
    let (tenant, who) = principal_parse("principal", principal)?;
    let wanted = Wanted::parse("plugin", plugin)?;
    let asked = enter(ctx, policies, CHECK, &tenant, &[&who], token).await?;
    let decision = decide(policies, &asked, &who, &wanted, ctx.now())?;
    if let Ok(loaded) = &asked.loaded {
        shadow::sample(ctx, policies, asked.tenant()?, loaded, &who, &wanted, &decision);
    }
    Ok(decision)
}

/// Decides many questions of one tenant, all by one snapshot.
pub async fn check_batch(
    ctx: &Ctx,
    policies: &Policies,
    parent: &str,
    items: &[(String, String)],
    token: &str,
) -> Result<Vec<Decision>> {
    let questions = questions(parent, items);
    let whom: Vec<_> = questions.iter().flatten().map(|(who, _)| who).collect();
    // who may not ask is told so, and not what is wrong with the questions
    let asked = enter(ctx, policies, BATCH, parent, &whom, token).await?;
    questions?.iter().map(|(who, wanted)| decide(policies, &asked, who, wanted, ctx.now())).collect()
}

fn questions(parent: &str, items: &[(String, String)]) -> Result<Vec<(Slug, Wanted)>> {
    if items.is_empty() || items.len() > MOST {
        let message = format!("has {}; send 1 to 1,000 questions a batch", items.len());
        return Err(Error::invalid("items", message));
    }
    let question = |(at, (principal, plugin)): (usize, &(String, String))| {
        let field = format!("items[{at}].principal");
        let (tenant, who) = principal_parse(&field, principal)?;
        if tenant != parent {
            let message = format!("`{}` is not of `{}`", clip(principal), clip(parent));
            return Err(Error::invalid(&field, message));
        }
        Ok((who, Wanted::parse(&format!("items[{at}].plugin"), plugin)?))
    };
    items.iter().enumerate().map(question).collect()
}

/// Everything that `principal` may use now, and the revision of the rules.
pub async fn usable_list(
    ctx: &Ctx,
    policies: &Policies,
    principal: &str,
    token: &str,
) -> Result<(Vec<UsablePlugin>, String)> {
    let (tenant, who) = principal_parse("principal", principal)?;
    let asked = enter(ctx, policies, USABLE, &tenant, &[&who], token).await?;
    let loaded = asked.loaded?;
    Ok((usable(&loaded, &who, ctx.now()), loaded.token.clone()))
}

/// A page of names.
pub struct Names {
    /// Of principals, sorted.
    pub names: Vec<String>,
    /// Empty on the last page.
    pub next_page_token: String,
    /// Revision of the rules.
    pub revision_token: String,
}

/// Who of `parent` may use `plugin` now.
pub async fn principal_list(
    ctx: &Ctx,
    policies: &Policies,
    parent: &str,
    plugin: &str,
    (page_size, page_token): (i32, &str),
    token: &str,
) -> Result<Names> {
    let wanted = Wanted::parse("plugin", plugin)?;
    let size = usize::try_from(page::size(page_size)?).unwrap_or(usize::MAX);
    let asked = enter(ctx, policies, PRINCIPALS, parent, &[], token).await?;
    let (question, key) = (format!("who of {parent} may use {plugin}"), &ctx.kernel().page_key);
    let after = match page_token {
        "" => String::new(),
        token => key.open(&question, token)?.text,
    };
    let (id, loaded) = (asked.scope.id(), asked.loaded?);
    let mut able = loaded.snapshot.principals(wanted.target(), ctx.now().micros());
    able.retain(|slug| *slug > after.as_str());
    able.sort_unstable();
    let last = able.get(size.saturating_sub(1)).filter(|_| able.len() > size);
    let next_page_token = match last {
        Some(last) => key.seal(&question, Cursor { text: (*last).to_owned(), int: 0, id })?,
        None => String::new(),
    };
    let names = able.iter().take(size).map(|slug| format!("{parent}/principals/{slug}")).collect();
    Ok(Names { names, next_page_token, revision_token: loaded.token.clone() })
}

/// Decides, with all that led to it.
pub async fn explain(
    ctx: &Ctx,
    policies: &Policies,
    principal: &str,
    plugin: &str,
    token: &str,
) -> Result<Account> {
    let (tenant, who) = principal_parse("principal", principal)?;
    let wanted = Wanted::parse("plugin", plugin)?;
    let asked = enter(ctx, policies, EXPLAIN, &tenant, &[&who], token).await?;
    let tenant = asked.tenant()?.clone();
    let own = override_find(&mut ctx.read().await?, tenant.id, &wanted.plugin_name()).await?;
    let held = own.filter(StageOverride::counts).map(|own| own.slug);
    let loaded = asked.loaded?;
    let account = Account::give(&tenant.slug, &loaded, &who, &wanted, held.as_ref(), ctx.now());
    loaded.book.note(&asked.scope, (&who, &wanted), &account.decision, Some(loaded.revision));
    Ok(account)
}

/// Decides, and notes what for the record.
fn decide(policies: &Policies, asked: &Asked, who: &Slug, wanted: &Wanted, now: Time) -> Result<Decision> {
    let tenant = asked.tenant()?;
    let Ok(loaded) = &asked.loaded else {
        let decision = Decision::unavailable(now);
        policies.log.book(tenant.id).note(&asked.scope, (who, wanted), &decision, None);
        return Ok(decision);
    };
    let decision = Decision::make(&tenant.slug, loaded, who, wanted, now);
    loaded.book.note(&asked.scope, (who, wanted), &decision, Some(loaded.revision));
    Ok(decision)
}

/// Authorizes the caller to ask about `whom`, and gets what to decide by.
pub(super) async fn enter(
    ctx: &Ctx,
    policies: &Policies,
    action: Action,
    tenant: &str,
    whom: &[&Slug],
    token: &str,
) -> Result<Asked> {
    let scope = ctx.tenant("principal", tenant).await?;
    let own = !whom.is_empty() && whom.iter().all(|who| is_caller(ctx, &scope, who));
    ctx.authorize_own(action, &scope, own).await?;
    let least: Revision = ctx.kernel().revisions.open(scope.id(), token)?;
    let loaded = policies.current(scope.tenant()?.id, least).await;
    match &loaded {
        Err(Error::PolicyBehind) => return Err(Error::PolicyBehind),
        Err(error) => tracing::error!(%error, tenant, "no decision can be made, answering no"),
        Ok(_) => {}
    }
    Ok(Asked { scope, loaded })
}

/// Whether the caller asks about itself.
fn is_caller(ctx: &Ctx, scope: &Scope, who: &Slug) -> bool {
    let caller = ctx.caller();
    caller.home.id() == scope.id() && caller.principal.as_ref().is_some_and(|p| p.slug == *who)
}

/// The tenant's name and the principal's slug.
fn principal_parse(field: &str, text: &str) -> Result<(String, Slug)> {
    let [tenant, who] = name::parse(field, "tenants/{}/principals/{}", text)?;
    Ok((format!("tenants/{tenant}"), who))
}
