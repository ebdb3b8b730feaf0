//! The use cases of the catalogue. It belongs to the platform: every tenant reads the same one.

use kernel::{
    Ctx, Result,
    authz::{Action, Class, Permit},
    db::{
        Executor,
        list::{ListQuery, Page},
        tx::Tx,
    },
    error::Error,
    name,
    scope::{Scope, ScopeKind},
};

use crate::{
    model::{
        ImportReport, Listing, Marketplace, MarketplaceId, MarketplaceRef, NewStage, Plugin, PluginRef, Stage,
    },
    plan::{Plan, Planner},
    store,
    tree::Tree,
    vendor::{self, Import},
};

pub(crate) const fn action(
    rpc: &'static str,
    noun: &'static str,
    verb: &'static str,
    class: Class,
) -> Action {
    Action { rpc, noun, verb, class, scopes: &[ScopeKind::Platform] }
}
const IMPORT: Action =
    action("provost.catalog.v1.CatalogService/ImportMarketplace", "marketplace", "import", Class::Write);
/// What an import does to plugins, recorded beside it.
const IMPORT_PLUGINS: Action =
    action("provost.catalog.v1.CatalogService/ImportMarketplace", "plugin", "import", Class::Write);
const GET: Action =
    action("provost.catalog.v1.CatalogService/GetMarketplace", "marketplace", "get", Class::Read);
const LIST: Action =
    action("provost.catalog.v1.CatalogService/ListMarketplaces", "marketplace", "list", Class::Read);
const GET_PLUGIN: Action =
    action("provost.catalog.v1.CatalogService/GetPlugin", "plugin", "get", Class::Read);
const LIST_PLUGINS: Action =
    action("provost.catalog.v1.CatalogService/ListPlugins", "plugin", "list", Class::Read);
/// Also what becomes of a plugin when its current version is staged.
pub(crate) const SET_STAGE: Action =
    action("provost.catalog.v1.CatalogService/SetPluginStage", "plugin", "set_stage", Class::Write);
/// What the catalogue can be asked for.
pub const ACTIONS: &[Action] = &[IMPORT, IMPORT_PLUGINS, GET, LIST, GET_PLUGIN, LIST_PLUGINS, SET_STAGE];

/// Whether the caller may import: asked before the directory is read.
pub async fn marketplace_import_permit(ctx: &Ctx) -> Result<Permit> {
    ctx.authorize(IMPORT, &Scope::Platform).await
}

/// Brings the catalogue to what the directory holds; plugins not seen before start in `initial_stage`, or live, because
/// their vendor published them. All of it or nothing; a directory that was imported before changes nothing and leaves no
/// audit event.
pub async fn marketplace_import(
    ctx: &Ctx,
    tree: &Tree,
    initial_stage: Option<Stage>,
) -> Result<ImportReport> {
    let permit = marketplace_import_permit(ctx).await?;
    let plugins = ctx.authorize(IMPORT_PLUGINS, &Scope::Platform).await?;
    // read before the transaction begins: on SQLite it holds up every other writer
    let import = vendor::read(tree)?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = store::marketplace_get(&mut tx, &import.marketplace.slug).await?;
    let content_sha256 = import.sha256();
    if let Some(same) = before.as_ref().filter(|m| m.content_sha256 == content_sha256) {
        let report = report(&import, same.clone(), Plan::default());
        tx.abandon().await?;
        return Ok(report);
    }
    let mut marketplace = match &before {
        None => import.marketplace.first(content_sha256, MarketplaceId(ctx.new_id()), ctx.now()),
        Some(before) => import.marketplace.next(before, content_sha256, ctx.now())?,
    };
    match &before {
        None => store::marketplace_insert(&mut tx, &marketplace).await?,
        Some(before) => store::marketplace_update(&mut tx, before.update_time, &marketplace).await?,
    }
    let plan = plan(ctx, &mut tx, &marketplace, &import, initial_stage.unwrap_or(Stage::Live)).await?;
    write(&mut tx, &plan).await?;
    for listing in Listing::split(&plan.written()) {
        tx.record(plugins.audit().target(&marketplace).after(&listing)).await?;
    }
    marketplace.plugin_count += plan.growth();
    let report = report(&import, marketplace, plan);
    tx.commit(permit.audit().target(&report.marketplace).after(&report)).await?;
    Ok(report)
}

/// Compares the directory with what is in the tables.
async fn plan(
    ctx: &Ctx,
    tx: &mut Tx<'_>,
    marketplace: &Marketplace,
    import: &Import,
    initial_stage: Stage,
) -> Result<Plan> {
    let planner = Planner {
        marketplace,
        plugins: store::plugin_all(tx, marketplace.id).await?,
        versions: store::plugin_version_all(tx, marketplace.id).await?,
        initial_stage,
        ids: &ctx.kernel().ids,
        now: ctx.now(),
    };
    Ok(planner.plan(import))
}

async fn write(tx: &mut Tx<'_>, plan: &Plan) -> Result<()> {
    store::plugin_insert(tx, &plan.inserts).await?;
    store::plugin_version_insert(tx, &plan.versions).await?;
    for (seen, plugin) in &plan.updates {
        store::plugin_update(tx, *seen, plugin).await?;
    }
    for plugin in &plan.stages {
        store::plugin_version_update(tx, plugin).await?;
    }
    Ok(())
}

fn report(import: &Import, marketplace: Marketplace, plan: Plan) -> ImportReport {
    let count = |part: fn(&vendor::PluginImport) -> usize| {
        i64::try_from(import.plugins.iter().map(part).sum::<usize>()).unwrap_or(i64::MAX)
    };
    ImportReport {
        marketplace,
        plugins: count(|_| 1),
        apps: count(|p| p.apps.len()),
        skills: count(|p| p.skills.len()),
        mcp_servers: count(|p| p.mcp_servers.len()),
        added: plan.added,
        changed: plan.changed,
        removed: plan.removed,
        skipped: import.skipped.clone(),
        diffs: plan.diffs,
    }
}

/// Returns a marketplace.
pub async fn marketplace_get(ctx: &Ctx, name: &str) -> Result<Marketplace> {
    let [slug] = name::parse("name", "marketplaces/{}", name)?;
    ctx.authorize(GET, &Scope::Platform).await?;
    let found = store::marketplace_get(&mut ctx.read().await?, &slug).await?;
    found.ok_or_else(|| Error::not_found("marketplace", name))
}

/// Lists marketplaces.
pub async fn marketplace_list(ctx: &Ctx, query: &ListQuery) -> Result<Page<Marketplace>> {
    ctx.authorize(LIST, &Scope::Platform).await?;
    store::marketplace_list(&mut ctx.read().await?, query, &ctx.kernel().page_key).await
}

/// The marketplace that `name` (`marketplaces/{m}`) names, for other slices.
pub async fn marketplace_find(db: &mut impl Executor, name: &str) -> Result<Option<MarketplaceRef>> {
    let [slug] = name::parse("name", "marketplaces/{}", name)?;
    store::marketplace_find(db, &slug).await
}

/// Returns a plugin, listed or not.
pub async fn plugin_get(ctx: &Ctx, name: &str) -> Result<Plugin> {
    let [marketplace, slug] = name::parse("name", "marketplaces/{}/plugins/{}", name)?;
    ctx.authorize(GET_PLUGIN, &Scope::Platform).await?;
    let found = store::plugin_get(&mut ctx.read().await?, &marketplace, &slug).await?;
    found.ok_or_else(|| Error::not_found("plugin", name))
}

/// Lists the plugins of `parent`, or of all marketplaces.
pub async fn plugin_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<Plugin>> {
    let one = match parent {
        "marketplaces/-" => None,
        _ => Some(name::parse::<1>("parent", "marketplaces/{}", parent)?),
    };
    ctx.authorize(LIST_PLUGINS, &Scope::Platform).await?;
    let mut db = ctx.read().await?;
    let marketplace = match one {
        None => None,
        Some([slug]) => {
            let found = store::marketplace_find(&mut db, &slug).await?;
            Some(found.ok_or_else(|| Error::not_found("marketplace", parent))?.id)
        }
    };
    store::plugin_list(&mut db, marketplace, query, &ctx.kernel().page_key).await
}

/// The listed plugin that `name` (`marketplaces/{m}/plugins/{p}`) names, for other slices.
pub async fn plugin_find(db: &mut impl Executor, name: &str) -> Result<Option<PluginRef>> {
    let [marketplace, slug] = name::parse("name", "marketplaces/{}/plugins/{}", name)?;
    store::plugin_find(db, &marketplace, &slug).await
}

/// Moves a plugin's current version to another stage. Also a plugin that is no longer listed: it may still be installed
/// somewhere, and withdrawing it must not wait for its vendor.
pub async fn plugin_set_stage(ctx: &Ctx, name: &str, new: NewStage) -> Result<Plugin> {
    let [marketplace, slug] = name::parse("name", "marketplaces/{}/plugins/{}", name)?;
    let permit = ctx.authorize(SET_STAGE, &Scope::Platform).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let new = new.check(ctx.now())?;
    let found = store::plugin_get(&mut tx, &marketplace, &slug).await?;
    let before = found.ok_or_else(|| Error::not_found("plugin", name))?;
    let after = before.staged(new, ctx.now());
    store::plugin_update(&mut tx, before.update_time, &after).await?;
    store::plugin_version_update(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}
