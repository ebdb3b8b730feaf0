//! SQL of stage overrides.

use kernel::{
    Result,
    audit::Resource as _,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    error::Error,
    execute,
    filter::{Field, Value},
    ids::{Slug, TenantId},
    insert_one, on,
    page::PageKey,
    stamp::changed_one,
};

use super::model::StageOverride;

macro_rules! columns {
    () => {
        "stage_override.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = stage_override.tenant_id) AS tenant_slug, \
         stage_override.id, stage_override.slug, stage_override.marketplace_id, stage_override.plugin_id, \
         stage_override.plugin, stage_override.stage, stage_override.reason, \
         (SELECT v.stage FROM plugin p JOIN plugin_version v ON v.marketplace_id = p.marketplace_id \
           AND v.plugin_id = p.id AND v.id = p.version_id WHERE p.marketplace_id = stage_override.marketplace_id \
           AND p.id = stage_override.plugin_id) AS platform_stage, \
         stage_override.revision, stage_override.create_time, stage_override.update_time"
    };
}

const LIST: ListSpec = ListSpec {
    name: "stage overrides",
    columns: columns!(),
    from: "stage_override",
    id: "stage_override.id",
    fields: &[
        Field::text("stage_override_id", "stage_override.slug"),
        Field::text("plugin", "stage_override.plugin").unsorted(),
        Field::words("stage", "stage_override.stage", &["deprecated", "preview", "alpha", "withdrawn"]),
        Field::text("reason", "stage_override.reason").unsorted(),
        Field::time("create_time", "stage_override.create_time"),
        Field::time("update_time", "stage_override.update_time"),
    ],
    order: "create_time",
    deleted: "",
};

/// Inserts a new override.
pub async fn override_insert(tx: &mut Tx<'_>, new: &StageOverride) -> Result<()> {
    insert_one!(
        tx,
        "INSERT INTO stage_override (tenant_id, id, slug, marketplace_id, plugin_id, plugin, stage, reason, revision, \
         create_time, update_time)",
        [
            new.tenant_id,
            new.id,
            new.slug.clone(),
            new.marketplace_id,
            new.plugin_id,
            new.plugin.clone(),
            new.stage.as_str().to_owned(),
            new.reason.clone(),
            new.revision,
            new.create_time,
            new.update_time,
        ],
        Error::exists("stage_override", new.name())
    )
}

/// Reads an override by the last segment of its name.
pub async fn override_get(
    db: &mut impl Executor,
    tenant: TenantId,
    slug: &Slug,
) -> Result<Option<StageOverride>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM stage_override WHERE tenant_id = $1 AND slug = $2"
    ))
    .bind(tenant)
    .bind(slug)
    .fetch_optional(c))
}

/// Reads the override of a plugin.
pub async fn override_find(
    db: &mut impl Executor,
    tenant: TenantId,
    plugin: &str,
) -> Result<Option<StageOverride>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM stage_override WHERE tenant_id = $1 AND plugin = $2"
    ))
    .bind(tenant)
    .bind(plugin)
    .fetch_optional(c))
}

/// Lists overrides of a tenant.
pub async fn override_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<StageOverride>> {
    list(db, &LIST, &[("stage_override.tenant_id", Value::Id(tenant.0))], query, key).await
}

/// Writes stage and reason of an override.
pub async fn override_update(tx: &mut Tx<'_>, new: &StageOverride) -> Result<()> {
    let query = "UPDATE stage_override SET stage = $1, reason = $2, revision = $3, update_time = $4 \
         WHERE tenant_id = $5 AND id = $6 AND revision = $7";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(new.stage.as_str())
            .bind(&new.reason)
            .bind(new.revision)
            .bind(new.update_time)
            .bind(new.tenant_id)
            .bind(new.id)
            .bind(new.revision - 1)
    )?;
    changed_one(rows)
}

/// Deletes an override in the revision that was read.
pub async fn override_delete(tx: &mut Tx<'_>, old: &StageOverride) -> Result<()> {
    let rows = execute!(
        tx,
        sqlx::query("DELETE FROM stage_override WHERE tenant_id = $1 AND id = $2 AND revision = $3")
            .bind(old.tenant_id)
            .bind(old.id)
            .bind(old.revision)
    )?;
    changed_one(rows)
}
