//! SQL of versions. The plugin's row stands for all its versions where changes meet.

use kernel::{
    Result,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    on,
    page::PageKey,
    stamp::changed_one,
};

use super::model::{Named, PluginVersion};
use crate::model::{Plugin, PluginId};

macro_rules! columns {
    () => {
        "version.marketplace_id, marketplace.slug AS marketplace_slug, version.plugin_id, plugin.slug AS plugin_slug, \
         version.id, version.content_sha256, version.version, version.stage, version.sunset_time, version.apps, \
         version.skills, version.mcp_servers, version.has_hooks, version.id = plugin.version_id AS is_current, \
         version.create_time"
    };
}

macro_rules! tables {
    () => {
        "plugin_version version \
         JOIN plugin ON plugin.marketplace_id = version.marketplace_id AND plugin.id = version.plugin_id \
         JOIN marketplace ON marketplace.id = version.marketplace_id"
    };
}

const VERSIONS: ListSpec = ListSpec {
    name: "plugin_versions",
    columns: columns!(),
    from: tables!(),
    id: "version.id",
    fields: &[
        Field::text("version", "version.version"),
        Field::words("stage", "version.stage", crate::store::STAGES),
        Field::time("sunset_time", crate::store::SUNSET).unsorted(),
        Field::words(
            "current",
            "CASE WHEN version.id = plugin.version_id THEN 'true' ELSE 'false' END",
            &["true", "false"],
        ),
        Field::words("has_hooks", crate::store::HAS_HOOKS, &["true", "false"]),
        Field::set("app", "version.app_keys"),
        Field::set("connector_id", "version.connector_ids"),
        Field::set("skill", "version.skill_names"),
        Field::set("mcp_server", "version.server_keys"),
        Field::time("create_time", "version.create_time"),
    ],
    order: "create_time",
    deleted: "",
};

/// At most two of the versions that a name stands for.
pub async fn version_find(db: &mut impl Executor, named: &Named) -> Result<Vec<PluginVersion>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM ",
        tables!(),
        " WHERE marketplace.slug = $1 AND plugin.slug = $2 AND version.content_sha256 >= $3 \
         AND version.content_sha256 <= $4 ORDER BY version.content_sha256 LIMIT 2"
    ))
    .bind(&named.marketplace)
    .bind(&named.plugin)
    .bind(named.least.as_bytes())
    .bind(named.greatest.as_bytes())
    .fetch_all(c))
}

pub async fn version_list(
    db: &mut impl Executor,
    plugin: &Plugin,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<PluginVersion>> {
    let PluginId(id) = plugin.id;
    let keys = [
        ("version.marketplace_id", Value::Id(plugin.marketplace_id.0)),
        ("version.plugin_id", Value::Id(id)),
    ];
    list(db, &VERSIONS, &keys, query, key).await
}

/// Writes the stage of a version.
pub async fn version_update(tx: &mut Tx<'_>, version: &PluginVersion) -> Result<()> {
    let query = "UPDATE plugin_version SET stage = $1, sunset_time = $2 \
         WHERE marketplace_id = $3 AND plugin_id = $4 AND id = $5";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(version.stage.as_str())
            .bind(version.sunset_time)
            .bind(version.marketplace_id)
            .bind(version.plugin_id)
            .bind(version.id)
    )?;
    changed_one(rows)
}
