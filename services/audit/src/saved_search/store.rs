//! SQL of saved searches.

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
    ids::Slug,
    insert_one, on,
    page::PageKey,
    scope::Scope,
};
use uuid::Uuid;

use super::model::{SavedSearch, SavedSearchId};

macro_rules! columns {
    () => {
        "s.scope_id, s.id, s.slug, s.display_name, s.filter, s.creator, s.create_time"
    };
}

const LIST: ListSpec = ListSpec {
    name: "saved searches",
    columns: columns!(),
    from: "saved_search s",
    id: "s.id",
    fields: &[
        Field::text("saved_search_id", "s.slug"),
        Field::text("display_name", "s.display_name").unsorted(),
        Field::time("create_time", "s.create_time"),
    ],
    order: "saved_search_id",
    deleted: "",
};

/// A search as stored; its name comes from the scope.
#[derive(sqlx::FromRow)]
struct Row {
    scope_id: Uuid,
    id: SavedSearchId,
    slug: Slug,
    display_name: String,
    filter: String,
    creator: String,
    create_time: Time,
}

impl Row {
    fn in_scope(self, scope: &Scope) -> SavedSearch {
        SavedSearch {
            scope_id: self.scope_id,
            name: scope.child("savedSearches", &self.slug),
            id: self.id,
            slug: self.slug,
            display_name: self.display_name,
            filter: self.filter,
            creator: self.creator,
            create_time: self.create_time,
        }
    }
}

/// Inserts; a taken id is `ALREADY_EXISTS`.
pub async fn saved_search_insert(tx: &mut Tx<'_>, search: &SavedSearch) -> Result<()> {
    insert_one!(
        tx,
        "INSERT INTO saved_search (scope_id, id, slug, display_name, filter, create_time, creator)",
        [
            search.scope_id,
            search.id,
            search.slug.clone(),
            search.display_name.clone(),
            search.filter.clone(),
            search.create_time,
            search.creator.clone(),
        ],
        Error::exists("saved_search", search.name())
    )
}

/// The search of that id.
pub async fn saved_search_get(
    db: &mut impl Executor,
    scope: &Scope,
    slug: &Slug,
) -> Result<Option<SavedSearch>> {
    let row: Option<Row> = on!(db, |c| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM saved_search s WHERE s.scope_id = $1 AND s.slug = $2"
    ))
    .bind(scope.id())
    .bind(slug)
    .fetch_optional(c))?;
    Ok(row.map(|r| r.in_scope(scope)))
}

/// Deletes a search; says how many rows that were.
pub async fn saved_search_delete(tx: &mut Tx<'_>, search: &SavedSearch) -> Result<u64> {
    let query = "DELETE FROM saved_search WHERE scope_id = $1 AND id = $2";
    execute!(tx, sqlx::query(query).bind(search.scope_id).bind(search.id))
}

/// One page of a scope's searches.
pub async fn saved_search_list(
    db: &mut impl Executor,
    scope: &Scope,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<SavedSearch>> {
    let keys = [("s.scope_id", Value::Id(scope.id()))];
    let page: Page<Row> = list(db, &LIST, &keys, query, key).await?;
    Ok(page.map(|row| row.in_scope(scope)))
}
