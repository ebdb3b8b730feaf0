//! SQL that decisions read.

use catalog::model::{App, JsonList, PluginRef, Stage};
use kernel::{
    Result,
    db::Executor,
    ids::{PrincipalId, Slug, TenantId},
    on,
};

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

/// The rules of a tenant that concern a plugin, a part of it, the whole marketplace that lists it or a living group that it is
/// in, oldest first.
pub async fn rule_list(db: &mut impl Executor, tenant: TenantId, plugin: &PluginRef) -> Result<Vec<Rule>> {
    // each part of the union is read by an index: a tenant can have very many rules, and few of them speak of one plugin
    let query = "SELECT e.slug, r.slug AS role_slug, e.plugin_id, e.app, e.skill, g.slug AS plugin_group, e.effect, \
         e.max_stage, e.not_before, e.not_after, s.slug AS seat_pool \
         FROM entitlement e LEFT JOIN role r ON r.tenant_id = e.tenant_id AND r.id = e.role_id \
         LEFT JOIN plugin_group g ON g.tenant_id = e.tenant_id AND g.id = e.plugin_group_id \
         LEFT JOIN seat_pool s ON s.tenant_id = e.tenant_id AND s.id = e.seat_pool_id \
         WHERE e.tenant_id = $1 AND e.id IN ( \
           SELECT w.id FROM entitlement w WHERE w.tenant_id = $1 AND w.marketplace_id = $2 AND w.plugin_id IS NULL \
           UNION ALL SELECT o.id FROM entitlement o WHERE o.tenant_id = $1 AND o.marketplace_id = $2 AND o.plugin_id = $3 \
           UNION ALL SELECT i.id FROM entitlement i WHERE i.tenant_id = $1 AND i.plugin_group_id IN \
             (SELECT m.plugin_group_id FROM plugin_group_member m WHERE m.tenant_id = $1 AND m.plugin_id = $3)) \
         AND g.delete_time IS NULL AND (e.role_id IS NULL OR r.id IS NOT NULL) ORDER BY e.create_time, e.id";
    on!(db, |c| sqlx::query_as(query)
        .bind(tenant)
        .bind(plugin.marketplace_id)
        .bind(plugin.plugin_id)
        .fetch_all(c))
}

/// The living plugin groups that a plugin is in.
pub async fn plugin_group_list(
    db: &mut impl Executor,
    tenant: TenantId,
    plugin: &PluginRef,
) -> Result<Vec<Slug>> {
    let query = "SELECT g.slug FROM plugin_group_member m \
         JOIN plugin_group g ON g.tenant_id = m.tenant_id AND g.id = m.plugin_group_id AND g.delete_time IS NULL \
         WHERE m.tenant_id = $1 AND m.plugin_id = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(plugin.plugin_id).fetch_all(c))
}

/// The living pools of which a principal holds a seat.
pub async fn seat_pool_list(
    db: &mut impl Executor,
    tenant: TenantId,
    principal: PrincipalId,
) -> Result<Vec<Slug>> {
    let query = "SELECT s.slug FROM seat_holder h \
         JOIN seat_pool s ON s.tenant_id = h.tenant_id AND s.id = h.seat_pool_id AND s.delete_time IS NULL \
         WHERE h.tenant_id = $1 AND h.principal_id = $2";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(principal).fetch_all(c))
}
