//! SQL of the catalogue as a tenant has it.

use kernel::{Result, db::Executor, ids::TenantId, on};

use super::model::Listed;

/// All listed plugins, or the one of a name, with the tenant's overrides.
pub async fn listed_list(
    db: &mut impl Executor,
    tenant: TenantId,
    only: Option<&str>,
) -> Result<Vec<Listed>> {
    macro_rules! listed {
        () => {
            "SELECT m.slug AS marketplace, p.slug AS plugin, v.stage, v.sunset_time, v.apps, o.slug AS override_slug, \
             o.stage AS override_stage FROM plugin p JOIN marketplace m ON m.id = p.marketplace_id \
             JOIN plugin_version v ON v.marketplace_id = p.marketplace_id AND v.plugin_id = p.id AND v.id = p.version_id \
             LEFT JOIN stage_override o ON o.tenant_id = $1 AND o.marketplace_id = p.marketplace_id \
             AND o.plugin_id = p.id WHERE p.delete_time IS NULL"
        };
    }
    match only {
        None => on!(db, |c| sqlx::query_as(listed!()).bind(tenant).fetch_all(c)),
        Some(only) => {
            let [marketplace, plugin] = kernel::name::parse("name", "marketplaces/{}/plugins/{}", only)?;
            on!(db, |c| sqlx::query_as(concat!(listed!(), " AND m.slug = $2 AND p.slug = $3"))
                .bind(tenant)
                .bind(&marketplace)
                .bind(&plugin)
                .fetch_all(c))
        }
    }
}
