//! How much memory a snapshot takes.

use crate::{snapshot::Snapshot, table::Table};

/// What a snapshot weighs, as allocated for what it holds; what the allocator adds is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Rules.
    pub rules: usize,
    /// Bytes of them: rows, texts, cells.
    pub rule_bytes: usize,
    /// Pairs of a principal and a role that it holds, by whatever way; everybody's role is not counted.
    pub edges: usize,
    /// Bytes of them: members of groups and roles, and what they come to for every principal.
    pub edge_bytes: usize,
    /// Bytes of everything else: names of principals, groups, roles and pools, seats, the catalogue.
    pub other_bytes: usize,
}

impl Snapshot {
    /// What it weighs.
    pub fn footprint(&self) -> Footprint {
        let (edge_bytes, people) = self.people.bytes();
        Footprint {
            rules: self.tables.iter().map(Table::len).sum(),
            rule_bytes: self.tables.iter().map(Table::bytes).sum(),
            edges: self.people.edges(),
            edge_bytes,
            other_bytes: people + self.catalogue.bytes(),
        }
    }
}

impl Footprint {
    /// Bytes a rule, rounded up; 0 without rules.
    pub fn bytes_per_rule(&self) -> usize {
        if self.rules == 0 { 0 } else { self.rule_bytes.div_ceil(self.rules) }
    }

    /// Bytes a pair of a principal and a role, rounded up; 0 without any.
    pub fn bytes_per_edge(&self) -> usize {
        if self.edges == 0 { 0 } else { self.edge_bytes.div_ceil(self.edges) }
    }
}
