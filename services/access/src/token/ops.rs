//! The use cases of tokens.

use kernel::{
    Ctx, Result,
    authn::{Secret, TokenKind},
    authz::{Action, Class},
    db::list::{ListQuery, Page},
    error::Error,
    ids::{Slug, TokenId},
    name,
    scope::{Scope, ScopeKind},
};

use super::{
    model::{Holder, NewToken, Token},
    store,
};
use crate::duty;

const EVERYWHERE: &[ScopeKind] = &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant];

const fn action(rpc: &'static str, noun: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun, verb, class, scopes: EVERYWHERE }
}
const CREATE_PERSONAL: Action =
    action("provost.token.v1.TokenService/CreateToken", "token/personal", "create", Class::Write);
const CREATE_SERVICE: Action =
    action("provost.token.v1.TokenService/CreateToken", "token/service", "create", Class::Write);
const CREATE_INGEST: Action =
    action("provost.token.v1.TokenService/CreateToken", "token/ingest", "create", Class::Write);
const REVOKE_PERSONAL: Action =
    action("provost.token.v1.TokenService/RevokeToken", "token/personal", "revoke", Class::Write);
const REVOKE_SERVICE: Action =
    action("provost.token.v1.TokenService/RevokeToken", "token/service", "revoke", Class::Write);
const REVOKE_INGEST: Action =
    action("provost.token.v1.TokenService/RevokeToken", "token/ingest", "revoke", Class::Write);
const LIST: Action = action("provost.token.v1.TokenService/ListTokens", "token", "list", Class::Read);
const WHOAMI: Action = Action {
    rpc: "provost.token.v1.TokenService/WhoAmI",
    noun: "self",
    verb: "whoami",
    class: Class::Read,
    scopes: &[ScopeKind::Platform],
};
/// What tokens can be asked for.
pub const ACTIONS: &[Action] = &[
    CREATE_PERSONAL,
    CREATE_SERVICE,
    CREATE_INGEST,
    REVOKE_PERSONAL,
    REVOKE_SERVICE,
    REVOKE_INGEST,
    LIST,
    WHOAMI,
    super::bootstrap::BOOTSTRAP,
];

/// Creates a token; the secret is empty when only permission and input were checked.
pub async fn token_create(ctx: &Ctx, parent: &str, new: NewToken) -> Result<(Token, String)> {
    let scope = ctx.scope("parent", parent).await?;
    let holder = holder_find(ctx, &scope, &new.principal).await?;
    let own = holder.as_ref().is_some_and(|h| is_caller(ctx, h));
    let action = match new.kind {
        Some(TokenKind::Ingest) => CREATE_INGEST,
        Some(TokenKind::Service) => CREATE_SERVICE,
        _ => CREATE_PERSONAL,
    };
    let permit = ctx.authorize_own(action, &scope, own).await?;
    let holder = match holder {
        None if !new.principal.is_empty() => return Err(Error::not_found("principal", &new.principal)),
        other => other,
    };
    if let Some(holder) = holder.as_ref().filter(|_| !own && action != CREATE_INGEST) {
        duty::ops::grantable(ctx, &scope, holder.id).await?;
    }
    let token = Token::create(&scope, holder.as_ref(), new, TokenId(ctx.new_id()), ctx.now())?;
    let secret = Secret::generate(token.kind)?;
    let mut tx = ctx.begin(&permit).await?;
    store::token_insert(&mut tx, &token, &secret.digest).await?;
    tx.commit(permit.audit().target(&token).after(&token)).await?;
    let shown = if ctx.validate_only() { String::new() } else { secret.text };
    Ok((token, shown))
}

/// Lists tokens of one scope.
pub async fn token_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Token>> {
    let scope = ctx.scope("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::token_list(&mut ctx.read().await?, &scope, query, &ctx.kernel().page_key).await
}

/// Revokes a token.
pub async fn token_revoke(ctx: &Ctx, name: &str) -> Result<Token> {
    let (parent, id) = name::parse_uuid("name", "tokens", name)?;
    let scope = ctx.scope("name", parent).await?;
    let found = store::token_get(&mut ctx.read().await?, &scope, id).await?;
    let own = found.as_ref().and_then(|t| t.principal_id).is_some_and(|p| caller_is(ctx, p));
    let action = match found.as_ref().map(|t| t.kind) {
        Some(TokenKind::Ingest) => REVOKE_INGEST,
        Some(TokenKind::Service) => REVOKE_SERVICE,
        _ => REVOKE_PERSONAL,
    };
    let permit = ctx.authorize_own(action, &scope, own).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before =
        store::token_get(&mut tx, &scope, id).await?.ok_or_else(|| Error::not_found("token", name))?;
    let after = before.revoked(ctx.now())?;
    if store::token_revoke(&mut tx, scope.id(), after.id, ctx.now()).await? == 0 {
        return Err(Error::Conflict);
    }
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Says who the caller is.
pub async fn whoami(ctx: &Ctx) -> Result<kernel::authn::Caller> {
    ctx.authorize(WHOAMI, &Scope::Platform).await?;
    Ok(ctx.caller().clone())
}

/// The living principal of the scope that `name` names; none for an empty name or a stranger.
async fn holder_find(ctx: &Ctx, scope: &Scope, name: &str) -> Result<Option<Holder>> {
    let Some(slug) = holder_slug(scope, name)? else { return Ok(None) };
    let found = tenancy::principal::ops::find(&mut ctx.read().await?, scope.id(), &slug).await?;
    Ok(found.map(|p| Holder { id: p.id, slug: p.slug, kind: p.kind.as_str().to_owned() }))
}

fn holder_slug(scope: &Scope, name: &str) -> Result<Option<Slug>> {
    if name.is_empty() {
        return Ok(None);
    }
    let own = scope.child("principals", "");
    let slug = name.strip_prefix(&own).ok_or_else(|| {
        Error::invalid(
            "token.principal",
            format!("`{}` is not a principal of the parent; use `{own}…`", kernel::ids::clip(name)),
        )
    })?;
    Slug::parse_dotted("token.principal", slug).map(Some)
}

fn is_caller(ctx: &Ctx, holder: &Holder) -> bool {
    caller_is(ctx, holder.id)
}

pub(crate) fn caller_is(ctx: &Ctx, id: kernel::ids::PrincipalId) -> bool {
    ctx.caller().principal.as_ref().is_some_and(|p| p.id == id)
}
