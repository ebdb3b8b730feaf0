//! SQL that decisions read.

use catalog::model::{App, JsonList, MarketplaceId, PluginId, PluginRef, Stage};
use kernel::{Result, db::Executor, ids::TenantId, on};

use super::model::Rule;

/// What a tenant has of its own for a plugin.
pub struct Own {
    /// The stage that it holds the plugin to.
    pub stage: Option<Stage>,
    /// The plugin's apps.
    apps: JsonList<App>,
    /// Keys of those that are bound.
    bound: Vec<String>,
}

impl Own {
    /// Whether every connector that the plugin needs is bound.
    pub fn is_ready(&self) -> bool {
        self.apps.0.iter().all(|app| !app.templated || self.bound.contains(&app.key))
    }
}

/// What a tenant has of its own for a listed plugin.
pub async fn own_get(db: &mut impl Executor, tenant: TenantId, plugin: &PluginRef) -> Result<Own> {
    let (marketplace, id) = (plugin.marketplace_id, plugin.plugin_id);
    let query = "SELECT v.apps FROM plugin p JOIN plugin_version v ON v.marketplace_id = p.marketplace_id \
         AND v.plugin_id = p.id AND v.id = p.version_id WHERE p.marketplace_id = $1 AND p.id = $2";
    let apps: String = on!(db, |c| sqlx::query_scalar(query).bind(marketplace).bind(id).fetch_one(c))?;
    let query =
        "SELECT app FROM connector_binding WHERE tenant_id = $1 AND marketplace_id = $2 AND plugin_id = $3";
    let bound = on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(marketplace).bind(id).fetch_all(c))?;
    let query =
        "SELECT stage FROM stage_override WHERE tenant_id = $1 AND marketplace_id = $2 AND plugin_id = $3";
    let stage: Option<String> =
        on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(marketplace).bind(id).fetch_optional(c))?;
    Ok(Own { stage: stage.map(Stage::try_from).transpose()?, apps: apps.try_into()?, bound })
}

/// The rules of a tenant that concern a plugin as a whole or the whole marketplace that lists it, oldest first.
pub async fn rule_list(
    db: &mut impl Executor,
    tenant: TenantId,
    marketplace: MarketplaceId,
    plugin: PluginId,
) -> Result<Vec<Rule>> {
    let query = "SELECT e.slug, r.slug AS role_slug, e.plugin_id, e.effect, e.max_stage, e.not_before, e.not_after \
         FROM entitlement e LEFT JOIN role r ON r.tenant_id = e.tenant_id AND r.id = e.role_id \
         WHERE e.tenant_id = $1 AND e.marketplace_id = $2 AND (e.plugin_id IS NULL OR e.plugin_id = $3) \
         AND e.target NOT LIKE '%/apps/%' AND e.target NOT LIKE '%/skills/%' \
         AND (e.role_id IS NULL OR r.id IS NOT NULL) ORDER BY e.create_time, e.id";
    on!(db, |c| sqlx::query_as(query).bind(tenant).bind(marketplace).bind(plugin).fetch_all(c))
}
