//! What became of a request, in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{CONFLICT, Status};

/// Counts by outcome, as the audit record has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Stored now.
    pub accepted: u64,
    /// Known already with the same content.
    pub duplicates: u64,
    /// Known already with other content: not counted.
    pub conflicts: u64,
    /// Refused, by code.
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Of these outcomes.
    pub fn of<'s>(statuses: impl IntoIterator<Item = &'s Status>) -> Self {
        let mut report = Self::default();
        for status in statuses {
            match status {
                Status::Accepted(_) => report.accepted += 1,
                Status::Duplicate(_) => report.duplicates += 1,
                Status::Conflict(_) => report.conflicts += 1,
                Status::Rejected(why) => *report.rejected.entry(why.code.as_str()).or_default() += 1,
            }
        }
        report
    }

    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        for (code, count) in &other.rejected {
            *self.rejected.entry(code).or_default() += count;
        }
    }

    /// Whether it leaves anything behind.
    pub fn changes(&self) -> bool {
        self.accepted + self.refused() > 0
    }

    /// Events that were sent to be counted and are not.
    pub fn refused(&self) -> u64 {
        self.conflicts + self.rejected.values().sum::<u64>()
    }
}

/// Why events were refused, in a sentence: each code once, with how often and the first event that it met. Empty when none was.
pub fn reasons(statuses: &[Status]) -> String {
    let mut by_code = BTreeMap::<&str, (u64, usize, &str)>::new();
    for (index, status) in statuses.iter().enumerate() {
        let (code, message) = match status {
            Status::Rejected(why) => (why.code.as_str(), why.message.as_str()),
            Status::Conflict(_) => (CONFLICT, "known already with other content"),
            Status::Accepted(_) | Status::Duplicate(_) => continue,
        };
        by_code.entry(code).or_insert((0, index, message)).0 += 1;
    }
    let parts = by_code
        .into_iter()
        .map(|(code, (count, index, message))| format!("{count} {code} (record {index}: {message})"));
    parts.collect::<Vec<_>>().join("; ")
}
