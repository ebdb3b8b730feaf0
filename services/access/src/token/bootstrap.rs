//! The first minutes of a deployment: one token that makes the first administrator and dies.

use std::sync::Arc;

use kernel::{
    Ctx, Kernel, Result,
    authn::{Secret, TokenKind, TokenScope},
    authz::{Action, Class, Duty},
    error::{Credential, Error},
    ids::{PrincipalId, TokenId},
    scope::{Scope, ScopeKind},
};
use tenancy::principal::model::{NewPrincipal, Principal, PrincipalKind};

use super::{
    model::{FIRST_LIFE, Holder, NewToken, Token},
    store,
};
use crate::duty;

/// The one thing that a bootstrap token can do.
pub const BOOTSTRAP: Action = Action {
    rpc: "provost.token.v1.TokenService/Bootstrap",
    noun: "bootstrap",
    verb: "bootstrap",
    class: Class::Write,
    scopes: &[ScopeKind::Platform],
};

/// Makes a bootstrap token when the deployment has neither an administrator nor such a token; returns its secret.
pub async fn ensure(kernel: &Arc<Kernel>) -> Result<Option<Secret>> {
    let ctx = kernel.system();
    let mut reader = ctx.read().await?;
    let admins = duty::store::holder_count(&mut reader, Scope::Platform.id(), Duty::PlatformAdmin).await?;
    let tokens = store::bootstrap_count(&mut reader, ctx.now()).await?;
    drop(reader);
    if admins + tokens > 0 {
        return Ok(None);
    }
    let permit = ctx.authorize_own(BOOTSTRAP, &Scope::Platform, true).await?;
    let token = Token::bootstrap(TokenId(ctx.new_id()), ctx.now());
    let secret = Secret::generate(TokenKind::Bootstrap)?;
    let mut tx = ctx.begin(&permit).await?;
    store::token_insert(&mut tx, &token, &secret.digest).await?;
    tx.commit(permit.audit().target(&token).after(&token)).await?;
    Ok(Some(secret))
}

/// Creates the first platform administrator with a personal token of 90 days, and ends the bootstrap token.
pub async fn bootstrap(
    ctx: &Ctx,
    id: String,
    display_name: String,
    email: String,
) -> Result<(Token, String)> {
    let scope = Scope::Platform;
    let by_bootstrap = ctx.caller().kind == TokenKind::Bootstrap;
    let permit = ctx.authorize_own(BOOTSTRAP, &scope, by_bootstrap).await?;
    let mut tx = ctx.begin(&permit).await?;
    if store::token_revoke(&mut tx, scope.id(), ctx.caller().token, ctx.now()).await? == 0 {
        return Err(Error::Unauthenticated(Credential::Unknown));
    }
    let new =
        NewPrincipal { id, kind: Some(PrincipalKind::User), display_name, email, ..NewPrincipal::default() };
    let admin = Principal::create(&scope, new, None, None, PrincipalId(ctx.new_id()), ctx.now())?;
    tenancy::principal::store::principal_insert(&mut tx, &admin).await?;
    let grant = duty::model::DutyGrant::create(
        &scope,
        admin.id,
        &admin.slug,
        Duty::PlatformAdmin,
        ctx.new_id(),
        ctx.now(),
    )?;
    duty::store::grant_insert(&mut tx, &grant).await?;
    let holder = Holder { id: admin.id, slug: admin.slug.clone(), kind: admin.kind.as_str().to_owned() };
    let token = NewToken {
        principal: String::new(),
        kind: Some(TokenKind::Personal),
        display_name: "first administrator".to_owned(),
        scopes: vec![Some(TokenScope::All)],
        expire_time: Some(ctx.now().plus(FIRST_LIFE)),
    };
    let token = Token::create(&scope, Some(&holder), token, TokenId(ctx.new_id()), ctx.now())?;
    let secret = Secret::generate(TokenKind::Personal)?;
    store::token_insert(&mut tx, &token, &secret.digest).await?;
    let record = permit
        .audit()
        .target(&admin)
        .also("duty_grant", grant.name.clone())
        .also("token", token.name.clone());
    tx.commit(record.after(&admin)).await?;
    Ok((token, secret.text))
}
