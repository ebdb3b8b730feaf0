//! SQL of observations.

use kernel::{
    Result,
    clock::Time,
    db::{
        Executor, bulk,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    ids::{PrincipalId, TenantId},
    on,
    page::PageKey,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::model::{PluginSeen, PluginSighting, SettingsObservation, SettingsSeen, UnapprovedPlugin};

/// Who has something, with what it is and from when till when.
#[derive(Debug)]
pub struct Span<'o, T> {
    /// Identity, should it be new.
    pub id: Uuid,
    /// The assistant.
    pub client: &'o str,
    /// Nil for a tenant's own token.
    pub principal: PrincipalId,
    /// What.
    pub what: &'o T,
    /// When first.
    pub first: Time,
    /// When last.
    pub last: Time,
}

/// The catalogue's plugin of that hash. One that is no longer listed is none.
macro_rules! listed {
    () => {
        "FROM plugin c JOIN marketplace m ON m.id = c.marketplace_id \
         WHERE c.telemetry_hash = s.plugin_hash AND c.delete_time IS NULL"
    };
}

const UNAPPROVED: ListSpec = ListSpec {
    name: "unapproved plugins",
    columns: "u.client, u.plugin_hash, u.plugin, u.first_time, u.last_time, \
         (SELECT COUNT(DISTINCT g.principal_id) FROM plugin_sighting g WHERE g.tenant_id = u.tenant_id \
           AND g.plugin_hash = u.plugin_hash AND g.client = u.client) AS principal_count",
    from: concat!(
        "(SELECT s.* FROM seen_plugin s WHERE NOT s.bundled AND NOT EXISTS (SELECT 1 ",
        listed!(),
        ")) u"
    ),
    id: "u.id",
    fields: &[
        Field::text("plugin", "u.plugin"),
        Field::text("plugin_hash", "u.plugin_hash"),
        Field::text("client", "u.client"),
        Field::time("first_time", "u.first_time"),
        Field::time("last_time", "u.last_time"),
    ],
    order: "first_time",
    deleted: "",
};

const SIGHTINGS: ListSpec = ListSpec {
    name: "plugin sightings",
    columns: "g.principal, g.client, g.plugin_hash, g.plugin, g.catalog_plugin, g.bundled, g.version, g.first_time, \
         g.last_time",
    from: concat!(
        "(SELECT s.tenant_id, s.id, s.client, s.plugin_hash, s.version, s.first_time, s.last_time, p.plugin, p.bundled, \
          COALESCE((SELECT h.slug FROM principal h WHERE h.scope_id = s.tenant_id AND h.id = s.principal_id), '') \
            AS principal, \
          COALESCE((SELECT MIN('marketplaces/' || m.slug || '/plugins/' || c.slug) ",
        listed!(),
        "), '') AS catalog_plugin FROM plugin_sighting s JOIN seen_plugin p ON p.tenant_id = s.tenant_id \
          AND p.plugin_hash = s.plugin_hash AND p.client = s.client) g"
    ),
    id: "g.id",
    fields: &[
        Field::text("principal", "g.principal"),
        Field::text("plugin", "g.plugin"),
        Field::text("plugin_hash", "g.plugin_hash"),
        Field::text("catalog_plugin", "g.catalog_plugin"),
        Field::text("client", "g.client"),
        Field::text("version", "g.version").unsorted(),
        Field::time("first_time", "g.first_time"),
        Field::time("last_time", "g.last_time"),
    ],
    order: "first_time",
    deleted: "",
};

const SETTINGS: ListSpec = ListSpec {
    name: "settings observations",
    columns: "g.principal, g.client, g.resolved_sha256, g.served_sha256, g.sources, g.helper_state, g.first_time, \
         g.last_time",
    from: "(SELECT s.*, COALESCE((SELECT h.slug FROM principal h WHERE h.scope_id = s.tenant_id \
         AND h.id = s.principal_id), '') AS principal FROM settings_observation s) g",
    id: "g.id",
    fields: &[
        Field::text("principal", "g.principal"),
        Field::text("client", "g.client"),
        Field::text("resolved_sha256", "g.resolved_sha256"),
        Field::text("sources", "g.sources").unsorted(),
        Field::text("helper_state", "g.helper_state").unsorted(),
        Field::time("first_time", "g.first_time"),
        Field::time("last_time", "g.last_time"),
    ],
    order: "first_time",
    deleted: "",
};

/// How what is known grows by what was seen.
macro_rules! grown {
    ($table:literal) => {
        concat!(
            "first_time = CASE WHEN excluded.first_time < ",
            $table,
            ".first_time THEN excluded.first_time ELSE ",
            $table,
            ".first_time END, last_time = CASE WHEN excluded.last_time > ",
            $table,
            ".last_time THEN excluded.last_time ELSE ",
            $table,
            ".last_time END"
        )
    };
}

/// Stores plugins by what they are. A name that was once told stays.
pub async fn seen_plugin_put_all(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    plugins: &[Span<'_, PluginSeen>],
) -> Result<()> {
    for (chunk, values) in bulk(tx.engine(), plugins, 8) {
        let text = format!(
            "INSERT INTO {} VALUES {values}{}",
            "seen_plugin (tenant_id, id, client, plugin_hash, plugin, bundled, first_time, last_time)",
            concat!(
                " ON CONFLICT (tenant_id, plugin_hash, client) DO UPDATE SET \
                 plugin = CASE WHEN excluded.plugin = '' THEN seen_plugin.plugin ELSE excluded.plugin END, \
                 bundled = excluded.bundled, ",
                grown!("seen_plugin")
            )
        );
        execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for span in chunk {
                query = query
                    .bind(tenant)
                    .bind(span.id)
                    .bind(span.client)
                    .bind(&span.what.hash)
                    .bind(&span.what.plugin)
                    .bind(span.what.bundled)
                    .bind(span.first)
                    .bind(span.last);
            }
            query
        })?;
    }
    Ok(())
}

/// Stores who has which version of them.
pub async fn plugin_sighting_put_all(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    sightings: &[Span<'_, PluginSeen>],
) -> Result<()> {
    for (chunk, values) in bulk(tx.engine(), sightings, 8) {
        let text = format!(
            "INSERT INTO {} VALUES {values}{}",
            "plugin_sighting (tenant_id, id, client, plugin_hash, principal_id, version, first_time, last_time)",
            concat!(
                " ON CONFLICT (tenant_id, plugin_hash, client, principal_id, version) DO UPDATE SET ",
                grown!("plugin_sighting")
            )
        );
        execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for span in chunk {
                query = query
                    .bind(tenant)
                    .bind(span.id)
                    .bind(span.client)
                    .bind(&span.what.hash)
                    .bind(span.principal)
                    .bind(&span.what.version)
                    .bind(span.first)
                    .bind(span.last);
            }
            query
        })?;
    }
    Ok(())
}

/// Stores which settings somebody's assistant follows.
pub async fn settings_put_all(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    settings: &[Span<'_, SettingsSeen>],
) -> Result<()> {
    for (chunk, values) in bulk(tx.engine(), settings, 9) {
        let text = format!(
            "INSERT INTO {} VALUES {values}{}",
            "settings_observation (tenant_id, id, client, principal_id, resolved_sha256, sources, helper_state, \
             first_time, last_time)",
            concat!(
                " ON CONFLICT (tenant_id, principal_id, client, resolved_sha256, sources, helper_state) DO UPDATE SET ",
                grown!("settings_observation")
            )
        );
        execute!(tx, {
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for span in chunk {
                query = query
                    .bind(tenant)
                    .bind(span.id)
                    .bind(span.client)
                    .bind(span.principal)
                    .bind(&span.what.resolved_sha256)
                    .bind(&span.what.sources)
                    .bind(&span.what.helper_state)
                    .bind(span.first)
                    .bind(span.last);
            }
            query
        })?;
    }
    Ok(())
}

/// How many rows of each kind stand under a principal's name: sightings, settings.
pub async fn observation_count(
    db: &mut impl Executor,
    tenant: TenantId,
    principal: PrincipalId,
) -> Result<(i64, i64)> {
    let query = "SELECT (SELECT COUNT(*) FROM plugin_sighting g WHERE g.tenant_id = $1 AND g.principal_id = $2), \
         (SELECT COUNT(*) FROM settings_observation o WHERE o.tenant_id = $1 AND o.principal_id = $2)";
    on!(db, |c| sqlx::query_as(query).bind(tenant).bind(principal).fetch_one(c))
}

/// Lists plugins that nobody put into the catalogue.
pub async fn unapproved_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<UnapprovedPlugin>> {
    list(db, &UNAPPROVED, &[("u.tenant_id", Value::Id(tenant.0))], query, key).await
}

/// Lists who has which plugins.
pub async fn plugin_sighting_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<PluginSighting>> {
    list(db, &SIGHTINGS, &[("g.tenant_id", Value::Id(tenant.0))], query, key).await
}

/// Lists which settings assistants follow.
pub async fn settings_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<SettingsObservation>> {
    list(db, &SETTINGS, &[("g.tenant_id", Value::Id(tenant.0))], query, key).await
}
