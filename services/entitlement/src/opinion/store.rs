//! SQL that decisions read.

use catalog::model::{MarketplaceId, PluginId};
use kernel::{Result, db::Executor, ids::TenantId, on};

use super::model::Rule;

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
