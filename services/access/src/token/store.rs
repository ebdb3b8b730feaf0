//! SQL of tokens.

use kernel::{
    Result,
    audit::sealed::ERASED,
    authn::{TokenKind, TokenScope},
    clock::Time,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    error::Error,
    execute,
    filter::{Field, Value},
    ids::{PrincipalId, Slug, TokenId},
    on,
    page::PageKey,
    scope::Scope,
};
use uuid::Uuid;

use super::model::Token;

macro_rules! columns {
    () => {
        "t.id, t.principal_id, p.slug AS principal_slug, t.kind, t.display_name, t.scopes, t.expire_time, \
         t.create_time, t.revoke_time, t.last_used_time"
    };
}
macro_rules! tables {
    () => {
        "api_token t LEFT JOIN principal p ON p.scope_id = t.scope_id AND p.id = t.principal_id"
    };
}

const LIST: ListSpec = ListSpec {
    name: "tokens",
    columns: columns!(),
    from: tables!(),
    id: "t.id",
    fields: &[
        Field::words("kind", "t.kind", &["personal", "service", "ingest", "bootstrap"]),
        Field::text("principal_id", "p.slug").unsorted(),
        Field::text("display_name", "t.display_name").unsorted(),
        Field::time("create_time", "t.create_time"),
        Field::time("expire_time", "t.expire_time"),
        Field::time("revoke_time", "t.revoke_time").unsorted(),
    ],
    order: "create_time",
    deleted: "",
};

/// A token as stored; its names come from the scope.
#[derive(sqlx::FromRow)]
struct TokenRow {
    id: TokenId,
    principal_id: Option<PrincipalId>,
    principal_slug: Option<Slug>,
    kind: String,
    display_name: String,
    scopes: String,
    expire_time: Time,
    create_time: Time,
    revoke_time: Option<Time>,
    last_used_time: Option<Time>,
}

impl TokenRow {
    fn in_scope(self, scope: &Scope) -> Result<Token> {
        let kind = TokenKind::parse(&self.kind)
            .ok_or_else(|| Error::internal("unknown token kind in the database"))?;
        Ok(Token {
            name: scope.child("tokens", self.id),
            scope_kind: scope.kind(),
            scope_id: scope.id(),
            id: self.id,
            principal_id: self.principal_id,
            principal: self.principal_slug.map_or_else(String::new, |s| scope.child("principals", s)),
            kind,
            display_name: self.display_name,
            scopes: TokenScope::parse_list(&self.scopes),
            expire_time: self.expire_time,
            create_time: self.create_time,
            revoke_time: self.revoke_time,
            last_used_time: self.last_used_time,
        })
    }
}

/// Inserts a token and the digest under which its secret is found.
pub async fn token_insert(tx: &mut Tx<'_>, token: &Token, digest: &[u8; 32]) -> Result<()> {
    let query = "INSERT INTO api_token (scope_id, id, scope_kind, principal_id, kind, display_name, scopes, \
         expire_time, create_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(token.scope_id)
            .bind(token.id)
            .bind(token.scope_kind.as_str())
            .bind(token.principal_id)
            .bind(token.kind.as_str())
            .bind(&token.display_name)
            .bind(token.scope_words())
            .bind(token.expire_time)
            .bind(token.create_time)
    )?;
    let query = "INSERT INTO api_token_key (sha256, scope_id, token_id) VALUES ($1, $2, $3)";
    execute!(tx, sqlx::query(query).bind(digest.as_slice()).bind(token.scope_id).bind(token.id)).map(|_| ())
}

/// A token of the scope.
pub async fn token_get(db: &mut impl Executor, scope: &Scope, id: Uuid) -> Result<Option<Token>> {
    let row: Option<TokenRow> = on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM ",
        tables!(),
        " WHERE t.scope_id = $1 AND t.id = $2"
    ))
    .bind(scope.id())
    .bind(id)
    .fetch_optional(c))?;
    row.map(|r| r.in_scope(scope)).transpose()
}

/// Marks a token revoked; returns how many rows changed: none when it is revoked already.
pub async fn token_revoke(tx: &mut Tx<'_>, scope: Uuid, id: TokenId, at: Time) -> Result<u64> {
    let query =
        "UPDATE api_token SET revoke_time = $1 WHERE scope_id = $2 AND id = $3 AND revoke_time IS NULL";
    execute!(tx, sqlx::query(query).bind(at).bind(scope).bind(id))
}

/// Revokes every token of a principal and blanks what it called them; returns how many there are.
pub async fn token_erase_all(tx: &mut Tx<'_>, scope: Uuid, principal: PrincipalId, at: Time) -> Result<u64> {
    let query = "UPDATE api_token SET display_name = $1, revoke_time = COALESCE(revoke_time, $2) \
         WHERE scope_id = $3 AND principal_id = $4";
    execute!(tx, sqlx::query(query).bind(ERASED).bind(at).bind(scope).bind(principal))
}

/// How many bootstrap tokens could still be used at `now`.
pub async fn bootstrap_count(db: &mut impl Executor, now: Time) -> Result<i64> {
    on!(db, |c| {
        sqlx::query_scalar(
        "SELECT COUNT(*) FROM api_token WHERE scope_id = $1 AND kind = 'bootstrap' AND revoke_time IS NULL AND expire_time > $2"
    )
    .bind(Uuid::nil())
    .bind(now)
    .fetch_one(c)
    })
}

/// Tokens of the scope.
pub async fn token_list(
    db: &mut impl Executor,
    scope: &Scope,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Token>> {
    let keys = [("t.scope_id", Value::Id(scope.id()))];
    let page: Page<TokenRow> = list(db, &LIST, &keys, query, key).await?;
    let items: Result<Vec<_>> = page.items.into_iter().map(|r| r.in_scope(scope)).collect();
    Ok(Page { items: items?, next_page_token: page.next_page_token })
}
