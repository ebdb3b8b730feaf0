//! The use cases of versions.

use kernel::{
    Ctx, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
    },
    error::Error,
    ids::clip,
    name,
    scope::Scope,
};

use super::{
    model::{Named, PluginVersion},
    store,
};
use crate::{
    diff::{Content, DiffKind, PluginDiff, Room},
    model::NewStage,
    ops::{SET_STAGE, action},
    store::{plugin_get, plugin_update},
};

const GET: Action =
    action("provost.catalog.v1.CatalogService/GetPluginVersion", "plugin_version", "get", Class::Read);
const LIST: Action =
    action("provost.catalog.v1.CatalogService/ListPluginVersions", "plugin_version", "list", Class::Read);
const DIFF: Action =
    action("provost.catalog.v1.CatalogService/DiffPluginVersions", "plugin_version", "diff", Class::Read);
const SET_VERSION_STAGE: Action = action(
    "provost.catalog.v1.CatalogService/SetPluginVersionStage",
    "plugin_version",
    "set_stage",
    Class::Write,
);
/// What versions can be asked for.
pub const ACTIONS: &[Action] = &[GET, LIST, DIFF, SET_VERSION_STAGE];

/// Returns a version, also one of a plugin that is no longer listed.
pub async fn version_get(ctx: &Ctx, name: &str) -> Result<PluginVersion> {
    let named = Named::parse("name", name)?;
    ctx.authorize(GET, &Scope::Platform).await?;
    find(&mut ctx.read().await?, "name", &named, name).await
}

/// Lists the versions of `parent`.
pub async fn version_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<PluginVersion>> {
    let [marketplace, slug] = name::parse("parent", "marketplaces/{}/plugins/{}", parent)?;
    ctx.authorize(LIST, &Scope::Platform).await?;
    let mut db = ctx.read().await?;
    let found = plugin_get(&mut db, &marketplace, &slug).await?;
    let plugin = found.ok_or_else(|| Error::not_found("plugin", parent))?;
    store::version_list(&mut db, &plugin, query, &ctx.kernel().page_key).await
}

/// Tells two versions of one plugin apart; the plugin's name beside it.
pub async fn version_diff(ctx: &Ctx, old: &str, new: &str) -> Result<(String, PluginDiff)> {
    let (first, second) = (Named::parse("old_version", old)?, Named::parse("new_version", new)?);
    ctx.authorize(DIFF, &Scope::Platform).await?;
    if (&first.marketplace, &first.plugin) != (&second.marketplace, &second.plugin) {
        return Err(Error::invalid("new_version", "is a version of another plugin; name two of the same"));
    }
    let mut db = ctx.read().await?;
    let old = find(&mut db, "old_version", &first, old).await?;
    let new = find(&mut db, "new_version", &second, new).await?;
    let plugin = format!("marketplaces/{}/plugins/{}", new.marketplace_slug, new.plugin_slug);
    let contents = (Some(Content::from(&old)), Some(Content::from(&new)));
    let slug = new.plugin_slug.clone();
    Ok((plugin, PluginDiff::new(slug, DiffKind::Changed, contents.0, contents.1, &mut Room::default())))
}

/// Moves a version to another stage. The current one's is the plugin's, and is recorded as such.
pub async fn version_set_stage(ctx: &Ctx, name: &str, new: NewStage) -> Result<PluginVersion> {
    let named = Named::parse("name", name)?;
    let permit = ctx.authorize(SET_VERSION_STAGE, &Scope::Platform).await?;
    let of_plugin = ctx.authorize(SET_STAGE, &Scope::Platform).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let new = new.check(ctx.now())?;
    let before = find(&mut tx, "name", &named, name).await?;
    let after = before.staged(new);
    let found = plugin_get(&mut tx, &named.marketplace, &named.plugin).await?;
    let plugin = found.ok_or_else(|| Error::not_found("plugin", name))?;
    let changed = if before.is_current { plugin.staged(new, ctx.now()) } else { plugin.touched(ctx.now()) };
    // whoever imports or stages the plugin meanwhile has seen another time
    plugin_update(&mut tx, plugin.update_time, &changed).await?;
    store::version_update(&mut tx, &after).await?;
    if before.is_current {
        tx.record(of_plugin.audit().target(&changed).before(&plugin).after(&changed)).await?;
    }
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// The only version that a name stands for.
async fn find(db: &mut impl Executor, field: &str, named: &Named, name: &str) -> Result<PluginVersion> {
    let mut found = store::version_find(db, named).await?;
    match (found.pop(), found.pop()) {
        (None, _) => Err(Error::not_found(PluginVersion::KIND, name)),
        (Some(only), None) => Ok(only),
        (Some(one), Some(other)) => Err(Error::invalid(
            field,
            format!(
                "`{}` stands for several versions, among them `{}` and `{}`; give more digits",
                clip(name),
                other.content_sha256,
                one.content_sha256
            ),
        )),
    }
}
