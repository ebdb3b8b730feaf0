//! SQL of connector bindings.

use catalog::model::{App, JsonList, MarketplaceId, PluginId};
use kernel::{
    Result,
    audit::Resource as _,
    clock::Time,
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

use super::model::{Binding, BindingId, State};

macro_rules! columns {
    () => {
        "connector_binding.tenant_id, \
         (SELECT t.slug FROM tenant t WHERE t.id = connector_binding.tenant_id) AS tenant_slug, connector_binding.id, \
         connector_binding.slug, connector_binding.marketplace_id, connector_binding.plugin_id, connector_binding.plugin, \
         connector_binding.app, connector_binding.connector_id, connector_binding.revision, \
         connector_binding.create_time, connector_binding.update_time, \
         COALESCE((SELECT v.apps FROM plugin p JOIN plugin_version v ON v.marketplace_id = p.marketplace_id \
           AND v.plugin_id = p.id AND v.id = p.version_id WHERE p.marketplace_id = connector_binding.marketplace_id \
           AND p.id = connector_binding.plugin_id AND p.delete_time IS NULL), '[]') AS apps"
    };
}

const LIST: ListSpec = ListSpec {
    name: "connector bindings",
    columns: columns!(),
    from: "connector_binding",
    id: "connector_binding.id",
    fields: &[
        Field::text("connector_binding_id", "connector_binding.slug"),
        Field::text("plugin", "connector_binding.plugin").unsorted(),
        Field::text("app", "connector_binding.app").unsorted(),
        Field::text("connector_id", "connector_binding.connector_id").unsorted(),
        Field::time("create_time", "connector_binding.create_time"),
        Field::time("update_time", "connector_binding.update_time"),
    ],
    order: "create_time",
    deleted: "",
};

/// A binding beside the apps of its plugin's current version.
#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: TenantId,
    tenant_slug: Slug,
    id: BindingId,
    slug: Slug,
    marketplace_id: MarketplaceId,
    plugin_id: PluginId,
    plugin: String,
    app: String,
    connector_id: String,
    revision: i64,
    create_time: Time,
    update_time: Time,
    #[sqlx(try_from = "String")]
    apps: JsonList<App>,
}

impl From<Row> for Binding {
    fn from(row: Row) -> Self {
        Self {
            state: State::of(&row.app, &row.apps),
            tenant_id: row.tenant_id,
            tenant_slug: row.tenant_slug,
            id: row.id,
            slug: row.slug,
            marketplace_id: row.marketplace_id,
            plugin_id: row.plugin_id,
            plugin: row.plugin,
            app: row.app,
            connector_id: row.connector_id,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

/// Inserts a new binding.
pub async fn binding_insert(tx: &mut Tx<'_>, new: &Binding) -> Result<()> {
    insert_one!(
        tx,
        "INSERT INTO connector_binding (tenant_id, id, slug, marketplace_id, plugin_id, plugin, app, connector_id, \
         revision, create_time, update_time)",
        [
            new.tenant_id,
            new.id,
            new.slug.clone(),
            new.marketplace_id,
            new.plugin_id,
            new.plugin.clone(),
            new.app.clone(),
            new.connector_id.clone(),
            new.revision,
            new.create_time,
            new.update_time,
        ],
        Error::exists("connector_binding", new.name())
    )
}

/// Reads a binding by the last segment of its name.
pub async fn binding_get(db: &mut impl Executor, tenant: TenantId, slug: &Slug) -> Result<Option<Binding>> {
    let row: Option<Row> = on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM connector_binding WHERE tenant_id = $1 AND slug = $2"
    ))
    .bind(tenant)
    .bind(slug)
    .fetch_optional(c))?;
    Ok(row.map(Into::into))
}

/// The last segment of the name of the binding of an app.
pub async fn binding_find(
    db: &mut impl Executor,
    tenant: TenantId,
    plugin: &str,
    app: &str,
) -> Result<Option<String>> {
    let query = "SELECT slug FROM connector_binding WHERE tenant_id = $1 AND plugin = $2 AND app = $3";
    on!(db, |c| sqlx::query_scalar(query).bind(tenant).bind(plugin).bind(app).fetch_optional(c))
}

/// Lists bindings of a tenant.
pub async fn binding_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Binding>> {
    let page: Page<Row> =
        list(db, &LIST, &[("connector_binding.tenant_id", Value::Id(tenant.0))], query, key).await?;
    Ok(page.map(Into::into))
}

/// Writes the connector of a binding.
pub async fn binding_update(tx: &mut Tx<'_>, new: &Binding) -> Result<()> {
    let query = "UPDATE connector_binding SET connector_id = $1, revision = $2, update_time = $3 \
         WHERE tenant_id = $4 AND id = $5 AND revision = $6";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&new.connector_id)
            .bind(new.revision)
            .bind(new.update_time)
            .bind(new.tenant_id)
            .bind(new.id)
            .bind(new.revision - 1)
    )?;
    changed_one(rows)
}

/// Deletes a binding in the revision that was read.
pub async fn binding_delete(tx: &mut Tx<'_>, old: &Binding) -> Result<()> {
    let rows = execute!(
        tx,
        sqlx::query("DELETE FROM connector_binding WHERE tenant_id = $1 AND id = $2 AND revision = $3")
            .bind(old.tenant_id)
            .bind(old.id)
            .bind(old.revision)
    )?;
    changed_one(rows)
}
