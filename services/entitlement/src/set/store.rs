//! SQL of sets: one text for all kinds, but for the name of the table. Soft deletion and updates all go through `set_update`.

use kernel::{
    Error, Result,
    audit::Resource as _,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
        tx::Tx,
    },
    execute,
    filter::{Field, Value},
    ids::{Slug, TenantId},
    on,
    page::PageKey,
    stamp::changed_one,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::model::{Kind, Set};

const COLUMNS: &str = "g.tenant_id, (SELECT t.slug FROM tenant t WHERE t.id = g.tenant_id) AS tenant_slug, g.id, g.slug, \
     g.display_name, g.description, g.revision, g.create_time, g.update_time, g.delete_time";

/// How a kind of set is listed: `fields` are [`fields`], `from` is the table as `g`.
pub const fn list_spec(name: &'static str, from: &'static str, fields: &'static [Field]) -> ListSpec {
    let (columns, id, order, deleted) = (COLUMNS, "g.id", "create_time", "g.delete_time");
    ListSpec { name, columns, from, id, fields, order, deleted }
}

/// What a kind of set is filtered and ordered by; `id` is what requests call the last segment of its name.
pub const fn fields(id: &'static str) -> [Field; 5] {
    [
        Field::text(id, "g.slug"),
        Field::text("display_name", "g.display_name"),
        Field::text("description", "g.description").unsorted(),
        Field::time("create_time", "g.create_time"),
        Field::time("update_time", "g.update_time"),
    ]
}

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn set_insert<K: Kind>(tx: &mut Tx<'_>, set: &Set<K>) -> Result<()> {
    let query = format!(
        "INSERT INTO {} (tenant_id, id, slug, display_name, description, revision, create_time, update_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        K::NOUN
    );
    execute!(
        tx,
        sqlx::query(AssertSqlSafe(query.clone()))
            .bind(set.tenant_id)
            .bind(set.id)
            .bind(&set.slug)
            .bind(&set.display_name)
            .bind(&set.description)
            .bind(set.stamp.revision)
            .bind(set.stamp.create_time)
            .bind(set.stamp.update_time)
    )
    .map(|_| ())
    .map_err(|e| e.on_unique(|| Error::exists(K::WORDS, set.name())))
}

/// The set of that id, deleted or not.
pub async fn set_get<K: Kind>(
    db: &mut impl Executor,
    tenant: TenantId,
    slug: &Slug,
) -> Result<Option<Set<K>>> {
    let query = format!("SELECT {COLUMNS} FROM {} g WHERE g.tenant_id = $1 AND g.slug = $2", K::NOUN);
    on!(db, |c| sqlx::query_as(AssertSqlSafe(query.clone())).bind(tenant).bind(slug).fetch_optional(c))
}

/// Writes all that can change, against the revision before.
pub async fn set_update<K: Kind>(tx: &mut Tx<'_>, set: &Set<K>) -> Result<()> {
    let query = format!(
        "UPDATE {} SET display_name = $1, description = $2, revision = $3, update_time = $4, delete_time = $5 \
         WHERE tenant_id = $6 AND id = $7 AND revision = $8",
        K::NOUN
    );
    let rows = execute!(
        tx,
        sqlx::query(AssertSqlSafe(query.clone()))
            .bind(&set.display_name)
            .bind(&set.description)
            .bind(set.stamp.revision)
            .bind(set.stamp.update_time)
            .bind(set.stamp.delete_time)
            .bind(set.tenant_id)
            .bind(set.id)
            .bind(set.stamp.revision - 1)
    )?;
    changed_one(rows)
}

/// One page of a tenant's sets.
pub async fn set_list<K: Kind>(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Set<K>>> {
    list(db, &K::LIST, &[("g.tenant_id", Value::Id(tenant.0))], query, key).await
}

/// The rules that name the set, oldest first: at most six, to be named.
pub async fn set_rule_list<K: Kind>(db: &mut impl Executor, set: &Set<K>) -> Result<Vec<Slug>> {
    let query = format!(
        "SELECT slug FROM entitlement WHERE tenant_id = $1 AND {}_id = $2 ORDER BY create_time, id LIMIT 6",
        K::NOUN
    );
    on!(db, |c| sqlx::query_scalar(AssertSqlSafe(query.clone()))
        .bind(set.tenant_id)
        .bind(set.id)
        .fetch_all(c))
}

/// Holds a set until the transaction ends, so that it is not deleted meanwhile; whether it lives.
pub async fn set_hold<K: Kind>(tx: &mut Tx<'_>, tenant: TenantId, id: Uuid) -> Result<bool> {
    let query = format!(
        "UPDATE {} SET revision = revision WHERE tenant_id = $1 AND id = $2 AND delete_time IS NULL",
        K::NOUN
    );
    Ok(execute!(tx, sqlx::query(AssertSqlSafe(query.clone())).bind(tenant).bind(id))? == 1)
}
