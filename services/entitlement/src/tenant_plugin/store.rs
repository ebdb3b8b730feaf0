//! SQL of the catalogue as a tenant has it.

use kernel::{
    Result,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
    },
    filter::{Field, Value},
    ids::TenantId,
    name, on,
    page::PageKey,
};

use super::model::{Listed, Wish};

macro_rules! columns {
    () => {
        "m.slug AS marketplace, p.slug AS plugin, v.stage, v.sunset_time, v.apps, o.slug AS override_slug, \
         o.stage AS override_stage"
    };
}

/// Every plugin beside every tenant: the tenant is a key of each query.
macro_rules! from {
    () => {
        "tenant t CROSS JOIN plugin p JOIN marketplace m ON m.id = p.marketplace_id \
         JOIN plugin_version v ON v.marketplace_id = p.marketplace_id AND v.plugin_id = p.id AND v.id = p.version_id \
         LEFT JOIN stage_override o ON o.tenant_id = t.id AND o.marketplace_id = p.marketplace_id \
         AND o.plugin_id = p.id"
    };
}

const LIST: ListSpec = ListSpec {
    // as the wish calls it
    name: "",
    columns: columns!(),
    from: from!(),
    id: "p.id",
    fields: &[
        Field::text("plugin", "'marketplaces/' || m.slug || '/plugins/' || p.slug"),
        Field::text("marketplace_id", "m.slug").unsorted(),
        Field::text("plugin_id", "p.slug"),
        Field::words("platform_stage", "v.stage", &["alpha", "preview", "live", "deprecated", "withdrawn"]),
        Field::time("create_time", "p.create_time"),
    ],
    order: "plugin",
    deleted: "p.delete_time",
};

/// One page of the listed plugins with a tenant's overrides; of a marketplace alone, if that is wished.
pub async fn listed_page(
    db: &mut impl Executor,
    tenant: TenantId,
    wish: &Wish,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Listed>> {
    let mut keys = vec![("t.id", Value::Id(tenant.0))];
    keys.extend(wish.marketplace.as_ref().map(|slug| ("m.slug", Value::Text(slug.to_string()))));
    // a token goes on with the same wish only
    list(db, &ListSpec { name: wish.list_name(), ..LIST }, &keys, query, key).await
}

/// The listed plugin of a name with a tenant's override.
pub async fn listed_get(db: &mut impl Executor, tenant: TenantId, plugin: &str) -> Result<Option<Listed>> {
    let [marketplace, plugin] = name::parse("name", "marketplaces/{}/plugins/{}", plugin)?;
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM ",
        from!(),
        " WHERE t.id = $1 AND m.slug = $2 AND p.slug = $3 AND p.delete_time IS NULL"
    ))
    .bind(tenant)
    .bind(&marketplace)
    .bind(&plugin)
    .fetch_optional(c))
}
