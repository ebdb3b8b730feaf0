//! The use cases of saved searches.

use kernel::{
    Ctx, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::list::{ListQuery, Page},
    error::Error,
    scope::ScopeKind,
};
use proto::audit::v1 as pb;

use super::{
    model::{SavedSearch, SavedSearchId, parse},
    store,
};
use crate::event::Filter;

const EVERYWHERE: &[ScopeKind] = &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant];
const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "saved_search", verb, class, scopes: EVERYWHERE }
}
const CREATE: Action = action("provost.audit.v1.AuditService/CreateSavedSearch", "create", Class::Write);
const LIST: Action = action("provost.audit.v1.AuditService/ListSavedSearches", "list", Class::Read);
const DELETE: Action = action("provost.audit.v1.AuditService/DeleteSavedSearch", "delete", Class::Write);
/// What saved searches can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, LIST, DELETE];

/// Keeps a filter under a name, if it is one that a search would take.
pub async fn create(ctx: &Ctx, parent: &str, id: String, new: pb::SavedSearch) -> Result<SavedSearch> {
    let scope = ctx.scope("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    Filter::parse(&new.filter)?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let (creator, identity) = (ctx.caller().actor().name, SavedSearchId(ctx.new_id()));
    let search = SavedSearch::create(&scope, &id, new, creator, identity, ctx.now())?;
    store::saved_search_insert(&mut tx, &search).await?;
    tx.commit(permit.audit().target(&search).after(&search)).await?;
    Ok(search)
}

/// Lists what is kept in `parent`.
pub async fn list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<SavedSearch>> {
    let scope = ctx.scope("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::saved_search_list(&mut ctx.read().await?, &scope, query, &ctx.kernel().page_key).await
}

/// Deletes a saved search for good and returns what it was.
pub async fn delete(ctx: &Ctx, name: &str) -> Result<SavedSearch> {
    let (parent, slug) = parse(name)?;
    let scope = ctx.scope("name", parent).await?;
    let permit = ctx.authorize(DELETE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let found = store::saved_search_get(&mut tx, &scope, &slug).await?;
    let before = found.ok_or_else(|| Error::not_found("saved_search", name))?;
    if store::saved_search_delete(&mut tx, &before).await? == 0 {
        return Err(Error::not_found("saved_search", before.name()));
    }
    tx.commit(permit.audit().target(&before).before(&before)).await?;
    Ok(before)
}
