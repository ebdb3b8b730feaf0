//! The use cases of plugins as tenants have them. They are read from the tables: what is bound a moment ago is in them.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::{
        Reader,
        list::{ListQuery, Page},
    },
    page,
    scope::{ScopeKind, TenantRef},
};

use super::{
    model::{self, Bound, TenantPlugin, Wish},
    store,
};
use crate::decision::facts::store::bound_list;

const fn action(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "tenant_plugin", verb, class: Class::Read, scopes: &[ScopeKind::Tenant] }
}
const GET: Action = action("provost.tenant_plugin.v1.TenantPluginService/GetTenantPlugin", "get");
const LIST: Action = action("provost.tenant_plugin.v1.TenantPluginService/ListTenantPlugins", "list");
/// What plugins of tenants can be asked for.
pub const ACTIONS: &[Action] = &[GET, LIST];

/// Returns a listed plugin as the tenant has it.
pub async fn tenant_plugin_get(ctx: &Ctx, name: &str) -> Result<TenantPlugin> {
    let (tenant, plugin) = model::parse(name)?;
    let scope = ctx.tenant("name", &tenant).await?;
    ctx.authorize(GET, &scope).await?;
    let (tenant, mut db) = (scope.tenant()?, ctx.kernel().db.snapshot().await?);
    let listed = store::listed_get(&mut db, tenant.id, &plugin).await?;
    let bound = bound(&mut db, tenant, Some(&plugin)).await?;
    let listed = listed.ok_or_else(|| model::unknown(name))?;
    TenantPlugin::new(&tenant.slug, listed, &bound, ctx.now())
}

/// Lists the listed plugins as a tenant has them.
pub async fn tenant_plugin_list(
    ctx: &Ctx,
    parent: &str,
    wish: &Wish,
    mut query: ListQuery,
) -> Result<Page<TenantPlugin>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    let (tenant, key) = (scope.tenant()?, &ctx.kernel().page_key);
    let size = usize::try_from(page::size(query.page_size)?).unwrap_or(usize::MAX);
    let mut db = ctx.kernel().db.snapshot().await?;
    let bound = bound(&mut db, tenant, None).await?;
    let mut items = Vec::new();
    // who waits for connectors is not for SQL to say: pages are read until one is full
    loop {
        query.page_size = i32::try_from(size - items.len()).unwrap_or(i32::MAX);
        let page = store::listed_page(&mut db, tenant.id, wish, &query, key).await?;
        for listed in page.items {
            let plugin = TenantPlugin::new(&tenant.slug, listed, &bound, ctx.now())?;
            items.extend(Some(plugin).filter(|plugin| wish.wants(plugin)));
        }
        query.page_token.clone_from(&page.next_page_token);
        if query.page_token.is_empty() || items.len() >= size {
            return Ok(Page { items, next_page_token: page.next_page_token });
        }
    }
}

/// The apps that the tenant has bound, of all plugins or of one.
async fn bound(db: &mut Reader, tenant: &TenantRef, only: Option<&str>) -> Result<Bound> {
    Ok(Bound(bound_list(db, tenant.id, only).await?.into_iter().collect()))
}
