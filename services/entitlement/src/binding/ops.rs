//! The use cases of connector bindings.

use kernel::{
    Ctx, Result,
    audit::Audit,
    authz::{Action, Class, Permit},
    db::{
        Executor,
        list::{ListQuery, Page},
    },
    error::Error,
    ids::Slug,
    name,
    scope::{ScopeKind, TenantRef},
};

use super::{
    model::{self, Binding, BindingId, NewBinding, check_connector},
    store,
};

const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "connector_binding", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action = action(
    "provost.connector_binding.v1.ConnectorBindingService/CreateConnectorBinding",
    "create",
    Class::Write,
);
const GET: Action =
    action("provost.connector_binding.v1.ConnectorBindingService/GetConnectorBinding", "get", Class::Read);
const LIST: Action =
    action("provost.connector_binding.v1.ConnectorBindingService/ListConnectorBindings", "list", Class::Read);
const UPDATE: Action = action(
    "provost.connector_binding.v1.ConnectorBindingService/UpdateConnectorBinding",
    "update",
    Class::Write,
);
const DELETE: Action = action(
    "provost.connector_binding.v1.ConnectorBindingService/DeleteConnectorBinding",
    "delete",
    Class::Write,
);
/// What connector bindings can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, GET, LIST, UPDATE, DELETE];

/// Binds a connector in `parent`.
pub async fn binding_create(ctx: &Ctx, parent: &str, new: NewBinding) -> Result<Binding> {
    let scope = ctx.tenant("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    check_connector(&new.connector_id)?;
    let [marketplace, slug] =
        name::parse("connector_binding.plugin", "marketplaces/{}/plugins/{}", &new.plugin)?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let tenant = scope.tenant()?;
    let found = catalog::store::plugin_get(&mut tx, &marketplace, &slug).await?;
    let plugin = found.filter(|plugin| plugin.delete_time.is_none());
    let plugin = plugin.ok_or_else(|| Error::not_found("plugin", &new.plugin))?;
    let made = Binding::create(tenant, new, &plugin, BindingId(ctx.new_id()), ctx.now())?;
    if let Some(other) = store::binding_find(&mut tx, tenant.id, &made.plugin, &made.app).await? {
        let name = model::name(&tenant.slug, &other);
        let hint = "the app is bound already; update or delete that binding";
        return Err(Error::Exists { kind: "connector_binding", name, hint });
    }
    store::binding_insert(&mut tx, &made).await?;
    tx.commit(audit(&permit, &made).after(&made)).await?;
    Ok(made)
}

/// Returns a binding.
pub async fn binding_get(ctx: &Ctx, name: &str) -> Result<Binding> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    find(&mut ctx.read().await?, scope.tenant()?, &slug).await
}

/// Lists bindings of `parent`.
pub async fn binding_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Binding>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::binding_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Binds another connector in the place of the one that is bound.
pub async fn binding_update(
    ctx: &Ctx,
    name: &str,
    etag: &str,
    connector_id: Option<String>,
) -> Result<Binding> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(UPDATE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.matches(etag)?;
    let after = before.patched(connector_id, ctx.now())?;
    store::binding_update(&mut tx, &after).await?;
    tx.commit(audit(&permit, &after).before(&before).after(&after)).await?;
    Ok(after)
}

/// Deletes a binding for good and returns what it was; the audit log keeps it.
pub async fn binding_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Binding> {
    let (tenant, slug) = parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    let permit = ctx.authorize(DELETE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, scope.tenant()?, &slug).await?;
    before.matches(etag)?;
    store::binding_delete(&mut tx, &before).await?;
    tx.commit(audit(&permit, &before).before(&before)).await?;
    Ok(before)
}

/// A record that names the identity too, by which the log is replayed: a name can be given again after a delete.
fn audit(permit: &Permit, binding: &Binding) -> Audit {
    let audit = permit.audit().target(binding).also("uid", binding.id.to_string());
    audit.deciding("plugin", binding.plugin.clone())
}

/// The tenant's name and the binding's slug.
fn parse(name: &str) -> Result<(String, Slug)> {
    let [tenant, slug] = name::parse("name", "tenants/{}/connectorBindings/{}", name)?;
    Ok((format!("tenants/{tenant}"), slug))
}

/// A binding of the tenant, or `NOT_FOUND`.
async fn find(db: &mut impl Executor, tenant: &TenantRef, slug: &Slug) -> Result<Binding> {
    let found = store::binding_get(db, tenant.id, slug).await?;
    found.ok_or_else(|| Error::not_found("connector_binding", model::name(&tenant.slug, slug.as_str())))
}
