//! Tokens on the wire.

use std::sync::Arc;

use kernel::{
    Kernel, Result,
    authn::{Caller, TokenKind, TokenScope},
    clock::Time,
    list_query,
    scope::Scope,
};
use proto::token::v1::{self as pb, token_service_server::TokenService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    bootstrap,
    model::{NewToken, Token},
    ops,
};

/// `provost.token.v1.TokenService`.
pub struct TokenRpc(pub Arc<Kernel>);

#[async_trait]
impl TokenService for TokenRpc {
    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::token_create(&ctx, &r.parent, new(r.token.unwrap_or_default())?).await.map(created)
            })
            .await
    }

    async fn list_tokens(
        &self,
        request: Request<pb::ListTokensRequest>,
    ) -> Result<Response<pb::ListTokensResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::token_list(&ctx, &r.parent, &list_query!(r)).await?;
                let tokens = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListTokensResponse { tokens, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::Token>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::token_revoke(&ctx, &r.name).await }).await
    }

    async fn bootstrap(
        &self,
        request: Request<pb::BootstrapRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                bootstrap::bootstrap(&ctx, r.principal_id, r.display_name, r.email).await.map(created)
            })
            .await
    }

    async fn who_am_i(
        &self,
        request: Request<pb::WhoAmIRequest>,
    ) -> Result<Response<pb::WhoAmIResponse>, Status> {
        self.0.serve(request, |ctx, _| async move { ops::whoami(&ctx).await.map(|who| caller(&who)) }).await
    }
}

fn new(token: pb::Token) -> Result<NewToken> {
    Ok(NewToken {
        kind: kind_in(token.kind()),
        scopes: token.scopes().map(scope_in).collect(),
        expire_time: token.expire_time.map(Time::try_from).transpose()?,
        principal: token.principal,
        display_name: token.display_name,
    })
}

fn created((token, secret): (Token, String)) -> pb::CreateTokenResponse {
    pb::CreateTokenResponse { token: Some(token.into()), secret }
}

fn caller(caller: &Caller) -> pb::WhoAmIResponse {
    let scope = match &caller.home {
        Scope::Platform => "platform".to_owned(),
        other => other.to_string(),
    };
    let principal = caller.principal.as_ref().map(|p| caller.home.child("principals", &p.slug));
    pb::WhoAmIResponse {
        principal: principal.unwrap_or_default(),
        kind: kind_out(caller.kind).into(),
        scopes: caller.scopes.iter().map(|s| scope_out(*s).into()).collect(),
        expire_time: Some(caller.expire_time.into()),
        duties: caller.duties.iter().map(|d| format!("{}@{scope}", d.as_str())).collect(),
    }
}

impl From<Token> for pb::Token {
    fn from(token: Token) -> Self {
        Self {
            name: token.name,
            principal: token.principal,
            kind: kind_out(token.kind).into(),
            display_name: token.display_name,
            scopes: token.scopes.iter().map(|s| scope_out(*s).into()).collect(),
            expire_time: Some(token.expire_time.into()),
            create_time: Some(token.create_time.into()),
            revoke_time: token.revoke_time.map(Into::into),
            last_used_time: token.last_used_time.map(Into::into),
        }
    }
}

fn kind_in(kind: pb::TokenKind) -> Option<TokenKind> {
    match kind {
        pb::TokenKind::Unspecified => None,
        pb::TokenKind::Personal => Some(TokenKind::Personal),
        pb::TokenKind::Service => Some(TokenKind::Service),
        pb::TokenKind::Ingest => Some(TokenKind::Ingest),
        pb::TokenKind::Bootstrap => Some(TokenKind::Bootstrap),
    }
}

fn kind_out(kind: TokenKind) -> pb::TokenKind {
    match kind {
        TokenKind::Personal => pb::TokenKind::Personal,
        TokenKind::Service => pb::TokenKind::Service,
        TokenKind::Ingest => pb::TokenKind::Ingest,
        TokenKind::Bootstrap => pb::TokenKind::Bootstrap,
    }
}

fn scope_in(scope: pb::TokenScope) -> Option<TokenScope> {
    match scope {
        pb::TokenScope::Unspecified => None,
        pb::TokenScope::All => Some(TokenScope::All),
        pb::TokenScope::Read => Some(TokenScope::Read),
        pb::TokenScope::Decide => Some(TokenScope::Decide),
        pb::TokenScope::Ingest => Some(TokenScope::Ingest),
    }
}

fn scope_out(scope: TokenScope) -> pb::TokenScope {
    match scope {
        TokenScope::All => pb::TokenScope::All,
        TokenScope::Read => pb::TokenScope::Read,
        TokenScope::Decide => pb::TokenScope::Decide,
        TokenScope::Ingest => pb::TokenScope::Ingest,
    }
}
