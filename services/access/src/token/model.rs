//! What a token is, without any I/O and without its secret.

use std::time::Duration;

use kernel::{
    Result,
    audit::{Resource, subject::Subject},
    authn::{TokenKind, TokenScope},
    check::Checks,
    clock::Time,
    error::Error,
    ids::{PrincipalId, Slug, TokenId},
    scope::{Scope, ScopeKind},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest life of a token.
pub const MAX_LIFE: Duration = Duration::from_hours(365 * 24);
/// Life of a bootstrap token.
pub const BOOTSTRAP_LIFE: Duration = Duration::from_hours(24);
/// Life of the administrator's first token.
pub const FIRST_LIFE: Duration = Duration::from_hours(90 * 24);

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Resource name.
    pub name: String,
    /// Where it belongs.
    pub scope_kind: ScopeKind,
    /// Where it belongs.
    pub scope_id: Uuid,
    /// Identity.
    pub id: TokenId,
    /// Whose.
    pub principal_id: Option<PrincipalId>,
    /// Whose, by name; empty for a tenant's ingest token.
    pub principal: String,
    /// What it is for.
    pub kind: TokenKind,
    /// For people.
    pub display_name: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// When it ends.
    pub expire_time: Time,
    /// When it was created.
    pub create_time: Time,
    /// When it was revoked.
    pub revoke_time: Option<Time>,
    /// About when it was last used.
    pub last_used_time: Option<Time>,
}

/// What a caller says of a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose: a principal's name, or empty.
    pub principal: String,
    /// What it is for.
    pub kind: Option<TokenKind>,
    /// For people.
    pub display_name: String,
    /// What it may be used for.
    pub scopes: Vec<Option<TokenScope>>,
    /// When it ends.
    pub expire_time: Option<Time>,
}

/// The principal that a token is made for.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Identity.
    pub id: PrincipalId,
    /// Last segment of its name.
    pub slug: Slug,
    /// `user`, `service` or `agent`.
    pub kind: String,
}

impl Resource for Token {
    const KIND: &'static str = "token";
    const PERSONAL: &'static [&'static str] = &["display_name"];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn subject(&self) -> Option<Subject> {
        self.principal_id.map(|id| Subject { scope: self.scope_id, principal: id.0 })
    }
}

impl Token {
    /// A new token of `holder` in `scope`.
    pub fn create(
        scope: &Scope,
        holder: Option<&Holder>,
        new: NewToken,
        id: TokenId,
        now: Time,
    ) -> Result<Self> {
        let kind = new
            .kind
            .ok_or_else(|| Error::invalid("token.kind", "is required: PERSONAL, SERVICE or INGEST"))?;
        let scopes: Vec<_> = new.scopes.iter().copied().flatten().collect();
        let expire_time = new.expire_time.unwrap_or(now);
        let mut checks = Checks::new();
        checks.text("token.display_name", &new.display_name, 1, 128);
        checks.that("token.expire_time", expire_time > now, "is required and must lie ahead");
        checks.that(
            "token.expire_time",
            expire_time <= now.plus(MAX_LIFE),
            "is more than a year ahead; choose an earlier time",
        );
        checks.that(
            "token.kind",
            kind != TokenKind::Bootstrap,
            "cannot be BOOTSTRAP: a new deployment makes that one itself",
        );
        checks.that(
            "token.scopes",
            !scopes.is_empty() && scopes.len() == new.scopes.len(),
            "must hold at least one known scope",
        );
        let only_ingest = scopes == [TokenScope::Ingest];
        let ingest = kind == TokenKind::Ingest;
        checks.that(
            "token.scopes",
            ingest == only_ingest,
            "must be exactly INGEST for an ingest token, and nothing of it for others",
        );
        checks.that(
            "token.scopes",
            ingest || !scopes.contains(&TokenScope::Ingest),
            "INGEST belongs to ingest tokens only",
        );
        let fits = match holder.map(|h| h.kind.as_str()) {
            Some("user") => kind != TokenKind::Service,
            Some(_) => kind != TokenKind::Personal,
            None => ingest,
        };
        checks.that(
            "token.principal",
            fits,
            "must be a user for a personal token and a service or agent for a service token",
        );
        checks.that("token.kind", !ingest || scope.kind() == ScopeKind::Tenant, "INGEST is for tenants only");
        checks.done()?;
        Ok(Self {
            name: scope.child("tokens", id),
            scope_kind: scope.kind(),
            scope_id: scope.id(),
            id,
            principal_id: holder.map(|h| h.id),
            principal: holder.map_or_else(String::new, |h| scope.child("principals", &h.slug)),
            kind,
            display_name: new.display_name,
            scopes,
            expire_time,
            create_time: now,
            revoke_time: None,
            last_used_time: None,
        })
    }

    /// The token that a new deployment makes for itself.
    pub fn bootstrap(id: TokenId, now: Time) -> Self {
        Self {
            name: Scope::Platform.child("tokens", id),
            scope_kind: ScopeKind::Platform,
            scope_id: Scope::Platform.id(),
            id,
            principal_id: None,
            principal: String::new(),
            kind: TokenKind::Bootstrap,
            display_name: "bootstrap".to_owned(),
            scopes: vec![TokenScope::All],
            expire_time: now.plus(BOOTSTRAP_LIFE),
            create_time: now,
            revoke_time: None,
            last_used_time: None,
        }
    }

    /// The token, revoked.
    pub fn revoked(&self, now: Time) -> Result<Self> {
        if self.revoke_time.is_some() {
            return Err(Error::illegal_state(&self.name, format!("`{}` is already revoked", self.name)));
        }
        Ok(Self { revoke_time: Some(now), ..self.clone() })
    }

    /// The scopes as stored: words separated by spaces.
    pub fn scope_words(&self) -> String {
        let words: Vec<_> = self.scopes.iter().map(|s| s.as_str()).collect();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_795_000_000_000_000);

    fn new() -> NewToken {
        NewToken {
            principal: "principals/ada".to_owned(),
            kind: Some(TokenKind::Personal),
            display_name: "laptop".to_owned(),
            scopes: vec![Some(TokenScope::All)],
            expire_time: Some(NOW.plus(MAX_LIFE)),
        }
    }

    fn create(new: NewToken, kind: &str) -> Result<Token> {
        let holder = Holder {
            id: PrincipalId(Uuid::nil()),
            slug: Slug::parse("id", "ada").unwrap(),
            kind: kind.to_owned(),
        };
        Token::create(&Scope::Platform, Some(&holder), new, TokenId(Uuid::nil()), NOW)
    }

    #[test]
    fn a_year_is_the_longest_life_and_an_expiry_is_required() {
        assert!(create(new(), "user").is_ok());
        let late = NewToken { expire_time: Some(NOW.plus(MAX_LIFE + Duration::from_micros(1))), ..new() };
        assert!(create(late, "user").is_err());
        assert!(create(NewToken { expire_time: Some(NOW), ..new() }, "user").is_err());
        assert!(create(NewToken { expire_time: None, ..new() }, "user").is_err());
    }

    #[test]
    fn kinds_fit_their_principals_and_scopes_their_kinds() {
        assert!(create(new(), "service").is_err());
        assert!(create(NewToken { kind: Some(TokenKind::Service), ..new() }, "service").is_ok());
        assert!(create(NewToken { kind: Some(TokenKind::Bootstrap), ..new() }, "user").is_err());
        assert!(create(NewToken { kind: Some(TokenKind::Ingest), ..new() }, "user").is_err());
        assert!(create(NewToken { scopes: vec![Some(TokenScope::Ingest)], ..new() }, "user").is_err());
        assert!(create(NewToken { scopes: vec![], ..new() }, "user").is_err());
        assert!(create(NewToken { scopes: vec![None], ..new() }, "user").is_err());
    }
}
