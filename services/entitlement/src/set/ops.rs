//! The use cases of sets, the same for every kind.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::Action,
    db::{
        Executor,
        list::{ListQuery, Page},
        tx::Tx,
    },
    ids::Slug,
    scope::TenantRef,
};

use super::{
    model::{Kind, NewSet, Set, SetPatch, name, parse},
    store,
};
use crate::entitlement::ops::in_use;

/// Creates a set in `parent`.
pub async fn set_create<K: Kind>(ctx: &Ctx, parent: &str, new: NewSet) -> Result<Set<K>> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(K::VERBS.create, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let set = Set::create(scope.tenant()?, new, ctx.new_id(), ctx.now())?;
    store::set_insert(&mut tx, &set).await?;
    tx.commit(permit.audit().target(&set).after(&set)).await?;
    Ok(set)
}

/// Returns a set, deleted or not.
pub async fn set_get<K: Kind>(ctx: &Ctx, name: &str) -> Result<Set<K>> {
    let (tenant, slug) = parse::<K>("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(K::VERBS.get, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &slug).await
}

/// Lists sets of `parent`.
pub async fn set_list<K: Kind>(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Set<K>>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(K::VERBS.list, &scope).await?;
    store::set_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Changes the words of a set.
pub async fn set_update<K: Kind>(ctx: &Ctx, name: &str, etag: &str, patch: SetPatch) -> Result<Set<K>> {
    change(ctx, K::VERBS.update, name, etag, |set| set.patched(patch, ctx.now())).await
}

/// Deletes a set that no rule names; what is in it stays for when it is undeleted.
pub async fn set_delete<K: Kind>(ctx: &Ctx, name: &str, etag: &str) -> Result<Set<K>> {
    change(ctx, K::VERBS.delete, name, etag, |set| set.deleted(ctx.now())).await
}

/// Brings a deleted set back.
pub async fn set_undelete<K: Kind>(ctx: &Ctx, name: &str, etag: &str) -> Result<Set<K>> {
    change(ctx, K::VERBS.undelete, name, etag, |set| set.undeleted(ctx.now())).await
}

/// What update, delete and undelete share: read, compare etags, apply, write, record.
async fn change<K: Kind>(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    apply: impl FnOnce(&Set<K>) -> Result<Set<K>>,
) -> Result<Set<K>> {
    let (tenant, slug) = parse::<K>("name", name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(action, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.stamp.matches(etag, name)?;
    let after = apply(&before)?;
    store::set_update(&mut tx, &after).await?;
    settle(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Nothing that is deleted is named by a rule. Checked after the write, which holds the row, so that no rule that names it is made
/// meanwhile.
async fn settle<K: Kind>(tx: &mut Tx<'_>, after: &Set<K>) -> Result<()> {
    if after.stamp.delete_time.is_none() {
        return Ok(());
    }
    let rules = store::set_rule_list(tx, after).await?;
    in_use(&after.name(), &after.tenant_slug, &rules)
}

/// A set of the tenant, deleted or not, or `NOT_FOUND`.
pub async fn find<K: Kind>(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<Set<K>> {
    let found = store::set_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found(K::WORDS, name::<K>(&tenant.slug, slug.as_str())))
}
