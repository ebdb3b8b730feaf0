//! The use cases of decisions.

use std::sync::Arc;

use kernel::{
    Ctx, Error, Result,
    authz::{Action, Class},
    ids::{Slug, clip},
    name,
    page::{self, Cursor},
    scope::ScopeKind,
};

use super::{
    account::Account,
    asked::{Asked, enter, enter_by_rules, one_of},
    live::{Loaded, Policies},
    log::{Answer, List, Why},
    model::{Decision, UsablePlugin, Wanted, plugin_name, usable},
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

/// Decides whether `principal` may use `plugin` now. Whatever goes wrong after the caller was let in is a no.
pub async fn check(
    ctx: &Ctx,
    policies: &Arc<Policies>,
    principal: &str,
    plugin: &str,
    token: &str,
) -> Result<Decision> {
    let (tenant, who) = principal_parse("principal", principal)?;
    let wanted = Wanted::parse("plugin", plugin)?;
    enter(ctx, policies, CHECK, &tenant, &[&who], token).await?.decide(&who, &wanted)
}

/// Decides many questions of one tenant, all by one snapshot.
pub async fn check_batch(
    ctx: &Ctx,
    policies: &Arc<Policies>,
    parent: &str,
    items: &[(String, String)],
    token: &str,
) -> Result<Vec<Decision>> {
    let questions = questions(parent, items);
    let whom: Vec<_> = questions.iter().flatten().map(|(who, _)| who).collect();
    // who may not ask is told so, and not what is wrong with the questions
    let asked = enter(ctx, policies, BATCH, parent, &whom, token).await?;
    questions?.iter().map(|(who, wanted)| asked.decide(who, wanted)).collect()
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
    policies: &Arc<Policies>,
    principal: &str,
    token: &str,
) -> Result<(Vec<UsablePlugin>, String)> {
    let (tenant, who) = principal_parse("principal", principal)?;
    let (asked, loaded) = enter_by_rules(ctx, policies, USABLE, &tenant, &[&who], token).await?;
    let plugins = usable(&loaded, &who, asked.now);
    let why = loaded.snapshot.barred(who.as_str()).map(Why::Rules);
    asked.note(who.as_str(), None, Answer::List { list: List::Plugins, found: plugins.len(), why }, None)?;
    asked.compare(|snapshot, turn| {
        let name = plugin_name(one_of(snapshot.plugin_ids(), turn)?);
        let allowed = plugins.iter().any(|usable| usable.plugin == name);
        Some((who.clone(), Wanted::parse("plugin", &name).ok()?, allowed))
    })?;
    Ok((plugins, loaded.token.clone()))
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
    policies: &Arc<Policies>,
    parent: &str,
    plugin: &str,
    (page_size, page_token): (i32, &str),
    token: &str,
) -> Result<Names> {
    let wanted = Wanted::parse("plugin", plugin)?;
    let size = usize::try_from(page::size(page_size)?).unwrap_or(usize::MAX);
    let (asked, loaded) = enter_by_rules(ctx, policies, PRINCIPALS, parent, &[], token).await?;
    let (question, key) = (format!("who of {parent} may use {plugin}"), &ctx.kernel().page_key);
    let after = match page_token {
        "" => String::new(),
        token => key.open(&question, token)?.text,
    };
    let able = able(&asked, &loaded, &wanted)?;
    let rest = able.get(able.partition_point(|slug| *slug <= after.as_str())..).unwrap_or_default();
    let last = rest.get(size.saturating_sub(1)).filter(|_| rest.len() > size);
    let next_page_token = match last {
        Some(last) => {
            key.seal(&question, Cursor { text: (*last).to_owned(), int: 0, id: asked.scope().id() })?
        }
        None => String::new(),
    };
    let names = rest.iter().take(size).map(|slug| format!("{parent}/principals/{slug}")).collect();
    Ok(Names { names, next_page_token, revision_token: loaded.token.clone() })
}

/// Who may use it, sorted.
fn able<'l>(asked: &Asked, loaded: &'l Loaded, wanted: &Wanted) -> Result<Vec<&'l str>> {
    let now = asked.now.micros();
    let mut able = loaded.snapshot.principals(wanted.target(), now);
    able.sort_unstable();
    let why = loaded.snapshot.closed(wanted.target(), now).map(Why::Rules);
    let answer = Answer::List { list: List::Principals, found: able.len(), why };
    asked.note("", Some(wanted.target()), answer, None)?;
    asked.compare(|snapshot, turn| {
        let who = one_of(snapshot.principal_ids(), turn)?;
        let allowed = able.binary_search(&who).is_ok();
        Some((Slug::parse("principal", who).ok()?, wanted.clone(), allowed))
    })?;
    Ok(able)
}

/// Decides, with all that led to it.
pub async fn explain(
    ctx: &Ctx,
    policies: &Arc<Policies>,
    principal: &str,
    plugin: &str,
    token: &str,
) -> Result<Account> {
    let (tenant, who) = principal_parse("principal", principal)?;
    let wanted = Wanted::parse("plugin", plugin)?;
    let (asked, loaded) = enter_by_rules(ctx, policies, EXPLAIN, &tenant, &[&who], token).await?;
    let tenant = asked.tenant()?.clone();
    let own = override_find(&mut ctx.read().await?, tenant.id, &wanted.plugin_name()).await?;
    let held = own.filter(StageOverride::counts).map(|own| own.slug);
    let account = Account::give(&tenant.slug, &loaded, &who, &wanted, held.as_ref(), asked.now);
    asked.decided(&who, &wanted, &account.decision)?;
    Ok(account)
}

/// The tenant's name and the principal's slug.
fn principal_parse(field: &str, text: &str) -> Result<(String, Slug)> {
    let [tenant, who] = name::parse(field, "tenants/{}/principals/{}", text)?;
    Ok((format!("tenants/{tenant}"), who))
}
