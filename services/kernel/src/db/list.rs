//! One way to list: filter, order, keyset page. A store's list function is a [`ListSpec`] and a row type.

use sqlx::{FromRow, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use super::Executor;
use crate::{
    error::{Error, Result},
    filter::{Field, Kind, Sql, Value},
    hash, on,
    page::{Cursor, PageKey, size},
};

/// What a list is made of.
#[derive(Debug)]
pub struct ListSpec {
    /// Name of the list, part of what a page token is bound to.
    pub name: &'static str,
    /// Columns of the row type.
    pub columns: &'static str,
    /// FROM and what follows up to, but without, the WHERE.
    pub from: &'static str,
    /// Identity column, of type UUID: breaks ties in the order.
    pub id: &'static str,
    /// What can be filtered and ordered by.
    pub fields: &'static [Field],
    /// Order when the caller does not say: `create_time`.
    pub order: &'static str,
    /// Column that is set when a row is deleted; empty when rows are not deleted softly.
    pub deleted: &'static str,
}

/// What the caller asked for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// AIP-160 filter.
    pub filter: String,
    /// `field [desc]`.
    pub order_by: String,
    /// Page size as asked.
    pub page_size: i32,
    /// Token of the previous page.
    pub page_token: String,
    /// Also deleted ones.
    pub show_deleted: bool,
}

/// A list request's paging, filter and order as a [`ListQuery`]: all list requests carry fields of the same names.
/// `list_query!(request, show_deleted)` for requests that can ask for deleted rows too.
#[macro_export]
macro_rules! list_query {
    ($request:expr) => {
        $crate::db::list::ListQuery {
            filter: $request.filter.clone(),
            order_by: $request.order_by.clone(),
            page_size: $request.page_size,
            page_token: $request.page_token.clone(),
            show_deleted: false,
        }
    };
    ($request:expr, show_deleted) => {
        $crate::db::list::ListQuery { show_deleted: $request.show_deleted, ..$crate::list_query!($request) }
    };
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Continues; empty on the last page.
    pub next_page_token: String,
}

impl<T> Page<T> {
    /// The same page of something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next_page_token: self.next_page_token }
    }
}

/// A row and where it stands in the order.
#[derive(FromRow)]
struct Placed<T> {
    #[sqlx(flatten)]
    row: T,
    place_text: String,
    place_int: i64,
    place_id: Uuid,
}

/// Lists rows whose `keys` (column, value) are equal, as `query` asks, with page tokens under `key`.
pub async fn list<T>(
    db: &mut impl Executor,
    spec: &ListSpec,
    keys: &[(&'static str, Value)],
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<T>>
where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let (order, descending) = order(spec, &query.order_by)?;
    let limit = size(query.page_size)?;
    let question = question(spec, keys, query);
    let after = match query.page_token.as_str() {
        "" => None,
        token => Some(key.open(&question, token)?),
    };
    let sql = statement(spec, keys, query, order, descending, after, limit)?;
    let mut rows: Vec<Placed<T>> = on!(db, |c| bound(&sql).fetch_all(c))?;
    let more = rows.len() as u64 > limit.unsigned_abs();
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_page_token = match rows.last() {
        Some(last) if more => {
            let cursor = Cursor { text: last.place_text.clone(), int: last.place_int, id: last.place_id };
            key.seal(&question, cursor)?
        }
        _ => String::new(),
    };
    Ok(Page { items: rows.into_iter().map(|r| r.row).collect(), next_page_token })
}

/// The statement with its parameters, for the driver that the connection chooses.
fn bound<DB, T>(sql: &Sql) -> sqlx::query::QueryAs<'_, DB, T, <DB as sqlx::Database>::Arguments>
where
    DB: sqlx::Database,
    T: for<'r> FromRow<'r, DB::Row>,
    String: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    i64: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    Uuid: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
{
    // the text is ours: filter::sql turns every word of the caller into a parameter
    let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql.text.clone()));
    for value in &sql.values {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Int(int) => query.bind(*int),
            Value::Id(id) => query.bind(*id),
        };
    }
    query
}

/// What a page token is bound to.
fn question(spec: &ListSpec, keys: &[(&'static str, Value)], query: &ListQuery) -> String {
    let parts = format!("{}|{keys:?}|{}|{}|{}", spec.name, query.filter, query.order_by, query.show_deleted);
    hash::short_hex(parts.as_bytes())
}

/// The order field and whether it descends.
fn order<'s>(spec: &'s ListSpec, order_by: &str) -> Result<(&'s Field, bool)> {
    let text = if order_by.trim().is_empty() { spec.order } else { order_by };
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default();
    let descending = match (words.next(), words.next()) {
        (None | Some("asc"), None) => Some(false),
        (Some("desc"), None) => Some(true),
        _ => None,
    };
    let field = spec.fields.iter().find(|f| f.name == name && f.sortable);
    field.zip(descending).ok_or_else(|| {
        let names: Vec<_> =
            spec.fields.iter().filter(|f| f.sortable).map(|f| format!("`{}`", f.name)).collect();
        let text = crate::ids::clip(text);
        Error::invalid(
            "order_by",
            format!("`{text}` is not an order; use one of {}, with or without ` desc`", names.join(", ")),
        )
    })
}

fn statement(
    spec: &ListSpec,
    keys: &[(&'static str, Value)],
    query: &ListQuery,
    order: &Field,
    descending: bool,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Sql> {
    let numeric = matches!(order.kind, Kind::Time | Kind::Int);
    let (column, id) = (order.column, spec.id);
    let mut sql = Sql::default();
    let place = if numeric {
        format!("'' AS place_text, {column} AS place_int")
    } else {
        format!("{column} AS place_text, CAST(0 AS BIGINT) AS place_int")
    };
    sql.push(&format!("SELECT {}, {place}, {id} AS place_id FROM {} WHERE 1 = 1", spec.columns, spec.from));
    for (key, value) in keys {
        sql.push(&format!(" AND {key} = "));
        sql.bind(value.clone());
    }
    if !spec.deleted.is_empty() && !query.show_deleted {
        sql.push(&format!(" AND {} IS NULL", spec.deleted));
    }
    sql.and_filter(&query.filter, spec.fields)?;
    let (sign, direction) = if descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some(cursor) = after {
        let value = if numeric { Value::Int(cursor.int) } else { Value::Text(cursor.text) };
        sql.push(&format!(" AND ({column} {sign} "));
        sql.bind(value.clone());
        sql.push(&format!(" OR ({column} = "));
        sql.bind(value);
        sql.push(&format!(" AND {id} {sign} "));
        sql.bind(Value::Id(cursor.id));
        sql.push("))");
    }
    sql.push(&format!(" ORDER BY {column} {direction}, {id} {direction} LIMIT {}", limit.saturating_add(1)));
    Ok(sql)
}
