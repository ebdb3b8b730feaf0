//! The use cases of plugins as tenants have them. They are read from the tables: what is bound a moment ago is in them.

use std::collections::HashSet;

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    clock::Time,
    db::{Reader, list::Page},
    ids::Slug,
    page::{self, Cursor},
    scope::{Scope, ScopeKind, TenantRef},
};

use super::{
    model::{self, TenantPlugin, Wish},
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
    let mut db = ctx.kernel().db.snapshot().await?;
    let found = read(&mut db, scope.tenant()?, Some(&plugin), ctx.now()).await?.pop();
    found.ok_or_else(|| model::unknown(name))
}

/// Lists the listed plugins as a tenant has them, by name.
pub async fn tenant_plugin_list(
    ctx: &Ctx,
    parent: &str,
    wish: &Wish,
    (page_size, page_token): (i32, &str),
) -> Result<Page<TenantPlugin>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    let size = usize::try_from(page::size(page_size)?).unwrap_or(usize::MAX);
    let (question, key) = (question(&scope, wish), &ctx.kernel().page_key);
    let after = match page_token {
        "" => String::new(),
        token => key.open(&question, token)?.text,
    };
    let mut db = ctx.kernel().db.snapshot().await?;
    let mut items = read(&mut db, scope.tenant()?, None, ctx.now()).await?;
    let below = wish.marketplace.as_ref().map(|slug| format!("marketplaces/{slug}/"));
    items.retain(|p| {
        below.as_ref().is_none_or(|below| p.plugin.starts_with(below)) && p.name > after && wish.wants(p)
    });
    items.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let more = items.len() > size;
    items.truncate(size);
    let next_page_token = match items.last().filter(|_| more) {
        Some(last) => key.seal(&question, Cursor { text: last.name.clone(), int: 0, id: scope.id() })?,
        None => String::new(),
    };
    Ok(Page { items, next_page_token })
}

/// What a page token is bound to.
fn question(scope: &Scope, wish: &Wish) -> String {
    let of = wish.marketplace.as_ref().map_or("", Slug::as_str);
    format!("plugins of {}|{of}|{:?}", scope.id(), wish.is_ready)
}

async fn read(
    db: &mut Reader,
    tenant: &TenantRef,
    only: Option<&str>,
    now: Time,
) -> Result<Vec<TenantPlugin>> {
    let listed = store::listed_list(db, tenant.id, only).await?;
    let bound: HashSet<(String, String)> = bound_list(db, tenant.id, only).await?.into_iter().collect();
    let is_bound = |plugin: &str, app: &str| bound.contains(&(plugin.to_owned(), app.to_owned()));
    listed.into_iter().map(|listed| TenantPlugin::new(&tenant.slug, listed, is_bound, now)).collect()
}
