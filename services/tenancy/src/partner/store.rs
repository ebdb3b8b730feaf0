//! SQL of partners. Soft deletion and updates all go through `partner_update`.

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
    ids::{PartnerId, Slug},
    insert_one, on,
    page::PageKey,
    scope::Scope,
    stamp::changed_one,
};

use super::model::{Partner, Standing};

const LIST: ListSpec = ListSpec {
    name: "partners",
    columns: "id, slug, display_name, revision, create_time, update_time, delete_time",
    from: "partner",
    id: "partner.id",
    fields: &[
        Field::text("partner_id", "partner.slug"),
        Field::text("display_name", "partner.display_name"),
        Field::time("create_time", "partner.create_time"),
        Field::time("update_time", "partner.update_time"),
    ],
    order: "create_time",
    deleted: "partner.delete_time",
};

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn partner_insert(tx: &mut Tx<'_>, partner: &Partner) -> Result<()> {
    insert_one!(
        tx,
        "INSERT INTO partner (id, slug, display_name, revision, create_time, update_time)",
        [
            partner.id,
            partner.slug.clone(),
            partner.display_name.clone(),
            partner.stamp.revision,
            partner.stamp.create_time,
            partner.stamp.update_time,
        ],
        Error::exists("partner", partner.name())
    )
}

/// The partner of that id, deleted or not.
pub async fn partner_get(db: &mut impl Executor, slug: &Slug) -> Result<Option<Partner>> {
    let query = "SELECT id, slug, display_name, revision, create_time, update_time, delete_time FROM partner WHERE slug = $1";
    on!(db, |c| sqlx::query_as(query).bind(slug).fetch_optional(c))
}

/// Writes all that can change, against the revision before.
pub async fn partner_update(tx: &mut Tx<'_>, partner: &Partner) -> Result<()> {
    let query = "UPDATE partner SET display_name = $1, revision = $2, update_time = $3, delete_time = $4 \
         WHERE id = $5 AND revision = $6";
    let rows = execute!(
        tx,
        sqlx::query(query)
            .bind(&partner.display_name)
            .bind(partner.stamp.revision)
            .bind(partner.stamp.update_time)
            .bind(partner.stamp.delete_time)
            .bind(partner.id)
            .bind(partner.stamp.revision - 1)
    )?;
    changed_one(rows)
}

/// Keeps a living partner as it is until the transaction ends; `false` when it is deleted.
pub async fn partner_hold(tx: &mut Tx<'_>, id: PartnerId) -> Result<bool> {
    let query = "UPDATE partner SET revision = revision WHERE id = $1 AND delete_time IS NULL";
    Ok(execute!(tx, sqlx::query(query).bind(id))? == 1)
}

/// How each living client of the partner stands.
pub async fn partner_select_standings(db: &mut impl Executor, id: PartnerId) -> Result<Vec<Standing>> {
    let query = "SELECT id, state, contract FROM tenant WHERE partner_id = $1 AND delete_time IS NULL";
    on!(db, |c| sqlx::query_as(query).bind(id).fetch_all(c))
}

/// One page of the partners that somebody at home in `within` may list: all, or the one.
pub async fn partner_list(
    db: &mut impl Executor,
    within: &Scope,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Partner>> {
    let keys = match within {
        Scope::Platform => Vec::new(),
        other => vec![("partner.id", Value::Id(other.id()))],
    };
    list(db, &LIST, &keys, query, key).await
}
