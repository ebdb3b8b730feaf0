//! The columns of the tabular formats: one list for CSV and Parquet.

use std::borrow::Cow;

use kernel::clock::Time;
use serde_json::Value;

use super::row::{self, Row};

/// How a column is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Int,
    /// A time, microseconds since the epoch in UTC.
    Time,
    /// Text that repeats from event to event; empty where an event has none.
    Word,
    /// Text that hardly repeats; empty where an event has none.
    Text,
    /// 32 bytes.
    Hash,
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'r> {
    /// A whole number.
    Int(i64),
    /// A time.
    Time(Time),
    /// Text.
    Text(Cow<'r, str>),
    /// 32 bytes.
    Hash(tlog::Hash),
}

/// One column.
pub struct Column {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// What is in it, for readers of the file.
    pub comment: &'static str,
}

const fn column(name: &'static str, kind: Kind, comment: &'static str) -> Column {
    Column { name, kind, comment }
}

/// Every column, in order.
pub const COLUMNS: [Column; 16] = [
    column("index", Kind::Int, "place in the log, from 0, without a gap"),
    column("id", Kind::Text, "id of the event, a UUIDv7"),
    column("time", Kind::Time, "when, UTC"),
    column("action", Kind::Word, "what, as noun.verb"),
    column("outcome", Kind::Word, "ok, denied or failed"),
    column("event_class", Kind::Word, "admin_write, admin_read, decision, auth, audit_read or system"),
    column("actor", Kind::Word, "who: a principal's name, or system"),
    column("partner", Kind::Word, "on whose mandate a partner's person acted in a client"),
    column("targets", Kind::Text, "on what: resource names, separated by a space"),
    column("request_id", Kind::Text, "the request_id or, without one, the call's own id"),
    column("trace_id", Kind::Text, "W3C trace id"),
    column("ip", Kind::Word, "(sealed) where an address is recorded: files hold no personal data"),
    column("user_agent", Kind::Word, "(sealed) where a user agent is recorded"),
    column("count", Kind::Int, "how many acts the event stands for"),
    column("changes", Kind::Text, "JSON array of {f: pointer, o: old, n: new}; personal values are (sealed)"),
    column("leaf_hash", Kind::Hash, "RFC 6962 leaf hash of the recorded bytes"),
];

/// The cells of one event, as [`COLUMNS`] has them.
pub fn cells(row: &Row) -> [Cell<'_>; COLUMNS.len()] {
    let entry = row.value();
    let text = |pointer: &str| Cell::Text(row::text(entry, pointer).into());
    let personal = |name: &str| Cell::Text(row::personal(entry, name).into());
    let names: Vec<_> = row::targets(entry).map(|(_, name)| name).collect();
    let changes = row::changes(entry).map_or_else(String::new, |changes| changes.to_string());
    [
        Cell::Int(row.idx),
        Cell::Text(row.id.to_string().into()),
        Cell::Time(row.time),
        text("/act"),
        text("/out"),
        text("/cls"),
        text("/actor/p"),
        text("/via/partner"),
        Cell::Text(names.join(" ").into()),
        text("/req"),
        text("/trace"),
        personal("ip"),
        personal("ua"),
        Cell::Int(count(entry)),
        Cell::Text(changes.into()),
        Cell::Hash(row.leaf_hash()),
    ]
}

/// How many acts an entry stands for.
pub fn count(entry: &Value) -> i64 {
    entry.get("n").and_then(Value::as_i64).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::sample_row;

    #[test]
    fn every_cell_has_its_columns_type() {
        let row = sample_row(3);
        for (cell, column) in cells(&row).iter().zip(&COLUMNS) {
            let fits = match cell {
                Cell::Int(_) => column.kind == Kind::Int,
                Cell::Time(_) => column.kind == Kind::Time,
                Cell::Text(_) => matches!(column.kind, Kind::Word | Kind::Text),
                Cell::Hash(_) => column.kind == Kind::Hash,
            };
            assert!(fits, "{}: {cell:?}", column.name);
        }
    }
}
