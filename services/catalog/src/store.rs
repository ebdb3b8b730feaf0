//! SQL of the catalogue. Every change of a plugin or marketplace says which `update_time` it saw: two imports, or an
//! import and a kill switch, never overwrite each other unseen.

use kernel::{
    Result,
    clock::Time,
    db::{
        Executor, bulk,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    error::Error,
    execute,
    filter::{Field, Value},
    hash::telemetry_hash,
    ids::Slug,
    on,
    page::PageKey,
    stamp::changed_one,
};
use sqlx::AssertSqlSafe;

use crate::{
    model::{Marketplace, MarketplaceId, MarketplaceRef, Plugin, PluginRef, Terms},
    plan::KnownVersion,
};

macro_rules! marketplace_columns {
    () => {
        "marketplace.id, marketplace.slug, marketplace.display_name, marketplace.format, marketplace.content_sha256, \
         (SELECT COUNT(*) FROM plugin p WHERE p.marketplace_id = marketplace.id AND p.delete_time IS NULL) \
           AS plugin_count, \
         marketplace.create_time, marketplace.update_time"
    };
}

macro_rules! plugin_columns {
    () => {
        "plugin.marketplace_id, marketplace.slug AS marketplace_slug, plugin.id, plugin.slug, plugin.display_name, \
         plugin.description, plugin.category, plugin.version_id, version.version, version.stage, version.sunset_time, \
         version.content_sha256, version.apps, version.skills, version.mcp_servers, version.has_hooks, \
         plugin.create_time, plugin.update_time, plugin.delete_time"
    };
}

macro_rules! plugin_tables {
    () => {
        "plugin JOIN marketplace ON marketplace.id = plugin.marketplace_id \
         JOIN plugin_version version ON version.marketplace_id = plugin.marketplace_id \
           AND version.plugin_id = plugin.id AND version.id = plugin.version_id"
    };
}

const MARKETPLACES: ListSpec = ListSpec {
    name: "marketplaces",
    columns: marketplace_columns!(),
    from: "marketplace",
    id: "marketplace.id",
    fields: &[
        Field::text("marketplace_id", "marketplace.slug"),
        Field::text("display_name", "marketplace.display_name").unsorted(),
        Field::words("format", "marketplace.format", &["codex", "claude"]),
        Field::time("create_time", "marketplace.create_time"),
        Field::time("update_time", "marketplace.update_time"),
    ],
    order: "create_time",
    deleted: "",
};

/// Stages as they are stored.
pub(crate) const STAGES: &[&str] = &["alpha", "preview", "live", "deprecated", "withdrawn"];
/// A sunset to compare: the last microsecond of the year 9999 where there is none.
pub(crate) const SUNSET: &str = "COALESCE(version.sunset_time, 253402300799999999)";
/// Whether there are hooks, as a word.
pub(crate) const HAS_HOOKS: &str = "CASE WHEN version.has_hooks THEN 'true' ELSE 'false' END";

const PLUGINS: ListSpec = ListSpec {
    name: "plugins",
    columns: plugin_columns!(),
    from: plugin_tables!(),
    id: "plugin.id",
    fields: &[
        Field::text("plugin_id", "plugin.slug"),
        Field::text("marketplace_id", "marketplace.slug").unsorted(),
        Field::text("display_name", "plugin.display_name"),
        Field::text("description", "plugin.description").unsorted(),
        Field::text("category", "plugin.category").unsorted(),
        Field::text("version", "version.version").unsorted(),
        Field::words("stage", "version.stage", STAGES),
        Field::time("sunset_time", SUNSET).unsorted(),
        Field::words("has_hooks", HAS_HOOKS, &["true", "false"]),
        Field::set("app", "version.app_keys"),
        Field::set("connector_id", "version.connector_ids"),
        Field::set("skill", "version.skill_names"),
        Field::set("mcp_server", "version.server_keys"),
        Field::folded("text", "plugin.search_text"),
        Field::time("create_time", "plugin.create_time"),
        Field::time("update_time", "plugin.update_time"),
    ],
    order: "create_time",
    deleted: "plugin.delete_time",
};

pub async fn marketplace_insert(tx: &mut Tx<'_>, marketplace: &Marketplace) -> Result<()> {
    let query = "INSERT INTO marketplace (id, slug, display_name, format, content_sha256, create_time, update_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    execute!(
        tx,
        sqlx::query(query)
            .bind(marketplace.id)
            .bind(&marketplace.slug)
            .bind(&marketplace.display_name)
            .bind(marketplace.format.as_str())
            .bind(marketplace.content_sha256.as_bytes())
            .bind(marketplace.create_time)
            .bind(marketplace.update_time)
    )
    .map(|_| ())
    // a concurrent first import of the same marketplace won: the next attempt finds it
    .map_err(|e| e.on_unique(|| Error::Conflict))
}

pub async fn marketplace_update(tx: &mut Tx<'_>, seen: Time, marketplace: &Marketplace) -> Result<()> {
    let query = "UPDATE marketplace SET display_name = $1, content_sha256 = $2, update_time = $3 \
         WHERE id = $4 AND update_time = $5";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&marketplace.display_name)
            .bind(marketplace.content_sha256.as_bytes())
            .bind(marketplace.update_time)
            .bind(marketplace.id)
            .bind(seen)
    )?;
    changed_one(rows)
}

pub async fn marketplace_get(db: &mut impl Executor, slug: &Slug) -> Result<Option<Marketplace>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        marketplace_columns!(),
        " FROM marketplace WHERE slug = $1"
    ))
    .bind(slug)
    .fetch_optional(c))
}

pub async fn marketplace_list(
    db: &mut impl Executor,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Marketplace>> {
    list(db, &MARKETPLACES, &[], query, key).await
}

pub async fn marketplace_find(db: &mut impl Executor, slug: &Slug) -> Result<Option<MarketplaceRef>> {
    on!(db, |c| sqlx::query_as("SELECT id, slug FROM marketplace WHERE slug = $1")
        .bind(slug)
        .fetch_optional(c))
}

pub async fn plugin_insert(tx: &mut Tx<'_>, plugins: &[Plugin]) -> Result<()> {
    for (rows, values) in bulk(tx.engine(), plugins, 11) {
        let query = format!(
            "INSERT INTO plugin (marketplace_id, id, slug, display_name, description, category, version_id, \
             create_time, update_time, search_text, telemetry_hash) VALUES {values}"
        );
        execute!(tx, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for row in rows {
                statement = statement
                    .bind(row.marketplace_id)
                    .bind(row.id)
                    .bind(&row.slug)
                    .bind(&row.display_name)
                    .bind(&row.description)
                    .bind(&row.category)
                    .bind(row.version_id)
                    .bind(row.create_time)
                    .bind(row.update_time)
                    .bind(row.search_text())
                    .bind(telemetry_hash(row.slug.as_str(), row.marketplace_slug.as_str()));
            }
            statement
        })?;
    }
    Ok(())
}

/// Makes the current version of each plugin a row.
pub async fn plugin_version_insert(tx: &mut Tx<'_>, plugins: &[Plugin]) -> Result<()> {
    for (rows, values) in bulk(tx.engine(), plugins, 16) {
        let query = format!(
            "INSERT INTO plugin_version (marketplace_id, plugin_id, id, content_sha256, version, stage, apps, skills, \
             mcp_servers, has_hooks, create_time, sunset_time, app_keys, connector_ids, skill_names, server_keys) VALUES {values}"
        );
        execute!(tx, {
            let mut statement = sqlx::query(AssertSqlSafe(query.clone()));
            for row in rows {
                let terms = Terms::of(&row.apps.0, &row.skills.0, &row.mcp_servers.0);
                statement = statement
                    .bind(row.marketplace_id)
                    .bind(row.id)
                    .bind(row.version_id)
                    .bind(row.content_sha256.as_bytes())
                    .bind(&row.version)
                    .bind(row.stage.as_str())
                    .bind(row.apps.to_text()?)
                    .bind(row.skills.to_text()?)
                    .bind(row.mcp_servers.to_text()?)
                    .bind(row.has_hooks)
                    .bind(row.update_time)
                    .bind(row.sunset_time)
                    .bind(terms.app_keys)
                    .bind(terms.connector_ids)
                    .bind(terms.skill_names)
                    .bind(terms.server_keys);
            }
            statement
        })?;
    }
    Ok(())
}

pub async fn plugin_update(tx: &mut Tx<'_>, seen: Time, plugin: &Plugin) -> Result<()> {
    let query = "UPDATE plugin SET display_name = $1, description = $2, category = $3, version_id = $4, \
         update_time = $5, delete_time = $6, search_text = $7 \
         WHERE marketplace_id = $8 AND id = $9 AND update_time = $10";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&plugin.display_name)
            .bind(&plugin.description)
            .bind(&plugin.category)
            .bind(plugin.version_id)
            .bind(plugin.update_time)
            .bind(plugin.delete_time)
            .bind(plugin.search_text())
            .bind(plugin.marketplace_id)
            .bind(plugin.id)
            .bind(seen)
    )?;
    changed_one(rows)
}

/// Writes the stage of the plugin's current version.
pub async fn plugin_version_update(tx: &mut Tx<'_>, plugin: &Plugin) -> Result<()> {
    let query = "UPDATE plugin_version SET stage = $1, sunset_time = $2 \
         WHERE marketplace_id = $3 AND plugin_id = $4 AND id = $5";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(plugin.stage.as_str())
            .bind(plugin.sunset_time)
            .bind(plugin.marketplace_id)
            .bind(plugin.id)
            .bind(plugin.version_id)
    )?;
    changed_one(rows)
}

pub async fn plugin_get(db: &mut impl Executor, marketplace: &Slug, slug: &Slug) -> Result<Option<Plugin>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        plugin_columns!(),
        " FROM ",
        plugin_tables!(),
        " WHERE marketplace.slug = $1 AND plugin.slug = $2"
    ))
    .bind(marketplace)
    .bind(slug)
    .fetch_optional(c))
}

/// All plugins that the marketplace ever listed.
pub async fn plugin_all(db: &mut impl Executor, marketplace: MarketplaceId) -> Result<Vec<Plugin>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        plugin_columns!(),
        " FROM ",
        plugin_tables!(),
        " WHERE plugin.marketplace_id = $1"
    ))
    .bind(marketplace)
    .fetch_all(c))
}

/// All versions that the marketplace's plugins ever had.
pub async fn plugin_version_all(
    db: &mut impl Executor,
    marketplace: MarketplaceId,
) -> Result<Vec<KnownVersion>> {
    on!(db, |c| {
        sqlx::query_as(
        "SELECT plugin_id, id, content_sha256, stage, sunset_time FROM plugin_version WHERE marketplace_id = $1"
    )
    .bind(marketplace)
    .fetch_all(c)
    })
}

pub async fn plugin_list(
    db: &mut impl Executor,
    marketplace: Option<MarketplaceId>,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Plugin>> {
    let one = marketplace.map(|id| ("plugin.marketplace_id", Value::Id(id.0)));
    list(db, &PLUGINS, one.as_slice(), query, key).await
}

pub async fn plugin_find(
    db: &mut impl Executor,
    marketplace: &Slug,
    slug: &Slug,
) -> Result<Option<PluginRef>> {
    on!(db, |c| sqlx::query_as(concat!(
        "SELECT plugin.marketplace_id, plugin.id AS plugin_id, marketplace.slug AS marketplace_slug, \
         plugin.slug AS plugin_slug, version.stage, version.sunset_time FROM ",
        plugin_tables!(),
        " WHERE marketplace.slug = $1 AND plugin.slug = $2 AND plugin.delete_time IS NULL"
    ))
    .bind(marketplace)
    .bind(slug)
    .fetch_optional(c))
}
