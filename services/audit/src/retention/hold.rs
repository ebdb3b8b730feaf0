//! The use cases of legal holds.

use kernel::{
    Ctx, Error, Result,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
    },
    ids::Slug,
    name,
    scope::Scope,
};
use tenancy::principal::{self, model::Principal};

use super::{action, model::LegalHold, store};

pub(super) const CREATE: Action =
    action("provost.retention.v1.RetentionService/CreateLegalHold", "legal_hold", "create", Class::Write);
pub(super) const LIST: Action =
    action("provost.retention.v1.RetentionService/ListLegalHolds", "legal_hold", "list", Class::Read);
pub(super) const RELEASE: Action =
    action("provost.retention.v1.RetentionService/ReleaseLegalHold", "legal_hold", "release", Class::Write);

/// Holds the log of `parent`, or the part that `principal` (a name, or empty) has in it.
pub async fn hold_create(
    ctx: &Ctx,
    parent: &str,
    id: &str,
    reason: String,
    principal: &str,
) -> Result<LegalHold> {
    let scope = ctx.scope("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    store::log_lock(&mut tx, scope.id()).await?;
    let principal = held(&mut tx, &scope, parent, principal).await?;
    let hold = LegalHold::create(&scope, ctx.new_id(), id, reason, principal.as_ref(), ctx.now())?;
    store::hold_insert(&mut tx, &hold).await?;
    tx.commit(permit.audit().target(&hold).after(&hold)).await?;
    Ok(hold)
}

/// Lists holds of `parent`, also released ones.
pub async fn hold_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<LegalHold>> {
    let scope = ctx.scope("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::hold_list(&mut ctx.read().await?, scope.id(), query, &ctx.kernel().page_key).await
}

/// Ends a hold.
pub async fn hold_release(ctx: &Ctx, name: &str, etag: &str) -> Result<LegalHold> {
    let (parent, slug) = parse("name", name)?;
    let scope = ctx.scope("name", &parent).await?;
    let permit = ctx.authorize(RELEASE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let found = store::hold_get(&mut tx, scope.id(), &slug).await?;
    let before = found.ok_or_else(|| Error::not_found("legal hold", name))?;
    before.matches(etag)?;
    let after = before.released(ctx.now())?;
    store::hold_release(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// The principal of `parent`, deleted or not, whom a hold is about; none for an empty name. One of another parent is not
/// found, whether it exists or not.
async fn held(
    db: &mut impl Executor,
    scope: &Scope,
    parent: &str,
    principal: &str,
) -> Result<Option<Principal>> {
    if principal.is_empty() {
        return Ok(None);
    }
    let (home, slug) = principal::name::parse("legal_hold.principal", principal)?;
    let own = home == parent;
    let found = if own { principal::store::principal_get(db, scope.id(), &slug).await? } else { None };
    found.map(Some).ok_or_else(|| Error::not_found("principal", principal))
}

/// The parent and the slug in a hold's name.
fn parse(field: &str, text: &str) -> Result<(String, Slug)> {
    match text.split('/').next() {
        Some("tenants") => {
            let [tenant, slug] = name::parse(field, "tenants/{}/legalHolds/{}", text)?;
            Ok((format!("tenants/{tenant}"), slug))
        }
        Some("partners") => {
            let [partner, slug] = name::parse(field, "partners/{}/legalHolds/{}", text)?;
            Ok((format!("partners/{partner}"), slug))
        }
        _ => name::parse(field, "legalHolds/{}", text).map(|[slug]| (String::new(), slug)),
    }
}
