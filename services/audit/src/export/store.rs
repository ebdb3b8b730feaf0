//! SQL of the export.

use futures::TryStreamExt as _;
use kernel::{Result, db::Executor, on};
use uuid::Uuid;

use super::row::Row;

/// Rows of one page.
pub const PAGE_ROWS: i64 = 2_000;
/// A page ends with the row that brings it over this many bytes of entries.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Events from index `from` to below `below` in order: one page, by rows or by bytes, whichever is full first.
pub async fn event_page(db: &mut impl Executor, log: Uuid, from: i64, below: i64) -> Result<Vec<Row>> {
    let query = "SELECT idx, id, time, entry FROM audit_event WHERE scope_id = $1 AND idx >= $2 AND idx < $3 \
         ORDER BY idx LIMIT $4";
    on!(db, |c| async {
        let mut rows =
            sqlx::query_as::<_, Row>(query).bind(log).bind(from).bind(below).bind(PAGE_ROWS).fetch(c);
        let (mut page, mut bytes) = (Vec::new(), 0);
        while bytes < PAGE_BYTES
            && let Some(row) = rows.try_next().await?
        {
            bytes += row.entry.len();
            page.push(row);
        }
        Ok::<_, sqlx::Error>(page)
    })
}
