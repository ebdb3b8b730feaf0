//! What a comparison found.

use std::{collections::BTreeMap, fmt};

use kernel::{hash, ids::clip};
use serde::Serialize;
use serde_json::Value;

/// Differences that a report names; all of them are counted.
const MAX: usize = 1_000;

/// What a comparison of a scope's tables with its log found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scope, by name.
    pub scope: String,
    /// Events of the log that were folded, those that wait for their index not counted.
    pub events: i64,
    /// Rows of the tables that were compared.
    pub rows: usize,
    /// How many differences there are.
    pub count: usize,
    /// The first thousand of them.
    pub differences: Vec<Difference>,
    /// Tells what was found from what another comparison found; says nothing of the values.
    pub digest: String,
    /// Whether it was not found before.
    pub is_new: bool,
    #[serde(skip)]
    key: [u8; 32],
    #[serde(skip)]
    chain: [u8; 32],
}

/// One place where table and log are not the same. A person's data is not repeated in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The row, by the name of what it is.
    pub row: String,
    /// The column, or nothing for the row as a whole.
    pub field: String,
    /// What the table has.
    pub live: String,
    /// What the log says.
    pub recorded: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, row, field, live, recorded } = self;
        let dot = if field.is_empty() { "" } else { "." };
        write!(f, "{table}{dot}{field} of {row}: the table has {live}, the log says {recorded}")
    }
}

impl Report {
    /// Nothing found yet. `key`: under which findings are digested.
    pub fn new(scope: String, events: i64, key: [u8; 32]) -> Self {
        let chain = hash::mac(&key, b"");
        let digest = hash::hex(&chain);
        let (rows, count, differences, is_new) = (0, 0, Vec::new(), false);
        Self { scope, events, rows, count, differences, digest, is_new, key, chain }
    }

    /// Whether tables and log agree.
    pub fn agrees(&self) -> bool {
        self.count == 0
    }

    /// Notes a difference; `values` are those of table and log as they are, for the digest.
    pub fn found(&mut self, difference: Difference, values: [&Value; 2]) {
        let Difference { table, row, field, .. } = &difference;
        let [live, recorded] = values;
        let line = format!("{table}\n{row}\n{field}\n{live}\n{recorded}");
        self.chain = hash::mac(&self.key, &[&self.chain[..], line.as_bytes()].concat());
        self.digest = hash::hex(&self.chain);
        self.count += 1;
        if self.differences.len() < MAX {
            self.differences.push(difference);
        }
    }

    /// How many of the named differences are in which table: `principal 2, role 1`.
    pub fn tables(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for difference in &self.differences {
            *counts.entry(difference.table).or_default() += 1;
        }
        counts.iter().map(|(table, n)| format!("{table} {n}")).collect::<Vec<_>>().join(", ")
    }
}

/// A value for people.
pub fn shown(value: &Value, personal: bool) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        _ if personal => "personal data".to_owned(),
        Value::String(text) => format!("`{}`", clip(text)),
        other => format!("`{}`", clip(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(values: &[(&str, &str)]) -> Report {
        let mut report = Report::new("tenants/acme".to_owned(), 7, [7; 32]);
        for (live, recorded) in values {
            let (live, recorded) = (json!(live), json!(recorded));
            let difference = Difference {
                table: "principal",
                row: "tenants/acme/principals/x".to_owned(),
                field: "email".to_owned(),
                live: shown(&live, true),
                recorded: shown(&recorded, true),
            };
            report.found(difference, [&live, &recorded]);
        }
        report
    }

    #[test]
    fn findings_are_told_apart_though_a_persons_data_is_not_repeated() {
        let (one, other) = (report(&[("a@x", "b@x")]), report(&[("c@x", "b@x")]));
        assert_eq!(one.differences, other.differences);
        assert_ne!(one.digest, other.digest);
        assert_eq!(one.digest, report(&[("a@x", "b@x")]).digest);
        assert!(!serde_json::to_string(&one).unwrap().contains("@x"));
        let text = "principal.email of tenants/acme/principals/x: the table has personal data, the log says an empty text";
        assert_eq!(report(&[("a@x", "")]).differences[0].to_string(), text);
        assert!(report(&[]).agrees() && !one.agrees());
    }

    #[test]
    fn everything_is_counted_and_the_first_thousand_are_named() {
        let many: Vec<_> = (0..1_500).map(|_| ("a", "b")).collect();
        let report = report(&many);
        assert_eq!(
            (report.count, report.differences.len(), report.tables().as_str()),
            (1_500, 1_000, "principal 1000")
        );
    }
}
