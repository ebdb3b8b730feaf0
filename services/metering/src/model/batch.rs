//! One request: its records read, its events keyed, and what the store made of them.

use std::collections::{BTreeMap, HashMap};

use kernel::ids::TenantId;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::UsageEventId;
use crate::{
    claim::told_twice,
    client,
    event::{
        key::{Digest, dedupe_key, payload_key},
        model::{Code, Holder, Rejection, UsageEvent, Window},
    },
    meter,
    otlp::Request,
};

/// What became of a request, record by record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IngestReport {
    /// Stored now.
    pub accepted: u64,
    /// Known already with the same content: nothing to do.
    pub duplicates: u64,
    /// Known already with other content: not counted.
    pub conflicts: u64,
    /// No events, or events that say nothing about use.
    pub ignored: u64,
    /// Refused: position in the request, code, message.
    #[serde(serialize_with = "counts")]
    pub rejected: Vec<(usize, Code, String)>,
}

/// How many of each code, as the audit record has it.
fn counts<S: Serializer>(rejected: &[(usize, Code, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut counts = BTreeMap::<Code, u64>::new();
    for (_, code, _) in rejected {
        *counts.entry(*code).or_default() += 1;
    }
    counts.serialize(serializer)
}

impl IngestReport {
    /// Records that were sent to be counted and are not.
    pub fn refused(&self) -> u64 {
        self.conflicts.saturating_add(self.rejected.len() as u64)
    }

    /// Why, in a sentence: each code once, with how often and the first record that it met. Empty when none was.
    pub fn message(&self) -> String {
        let mut by_code = BTreeMap::<Code, (u64, usize, &str)>::new();
        for (index, code, message) in &self.rejected {
            by_code.entry(*code).or_insert((0, *index, message)).0 += 1;
        }
        let mut parts: Vec<_> = by_code
            .into_iter()
            .map(|(code, (count, index, message))| {
                format!("{count} {} (record {index}: {message})", code.as_str())
            })
            .collect();
        if self.conflicts > 0 {
            parts.push(format!("{} CONFLICT (known already with other content)", self.conflicts));
        }
        parts.join("; ")
    }
}

/// The events of a request, and what became of its other records.
#[derive(Debug, Default)]
pub struct Batch {
    /// What was sent, in order.
    pub events: Vec<UsageEvent>,
    /// What was made of it: its sessions.
    pub derived: Vec<UsageEvent>,
    /// Counts of the rest.
    pub report: IngestReport,
}

impl Batch {
    /// Reads all records; what happened outside the window is rejected.
    pub fn read(request: &Request<'_>, window: &Window) -> Self {
        let reading = client::read(request, window);
        let mut batch = Self { derived: reading.derived, ..Self::default() };
        batch.report.ignored = reading.ignored;
        for (index, item) in reading.items {
            match item {
                Ok(event) => batch.events.push(event),
                Err(Rejection { code, message, .. }) => batch.report.rejected.push((index, code, message)),
            }
        }
        batch
    }

    /// What is to be stored.
    pub fn rows(
        self,
        tenant: TenantId,
        holder: Holder,
        mut new_id: impl FnMut() -> Uuid,
    ) -> (Vec<Row>, IngestReport) {
        let derived = self.derived.into_iter().map(|e| (true, e));
        let events = self.events.into_iter().map(|e| (false, e));
        let mut rows: Vec<_> = events
            .chain(derived)
            .map(|(derived, event)| Row {
                key: dedupe_key(tenant, &event.source, &event.id),
                payload: payload_key(&event, holder.principal),
                id: UsageEventId(new_id()),
                derived,
                event,
            })
            .collect();
        // two requests that overlap take their keys in the same order, so that neither waits for the other in a circle
        rows.sort_by_key(|r| r.key);
        (rows, self.report)
    }
}

/// An event on its way into the store.
#[derive(Debug)]
pub struct Row {
    /// What makes it the same event.
    pub key: Digest,
    /// What makes it say the same.
    pub payload: Digest,
    /// Its identity, should it be stored.
    pub id: UsageEventId,
    /// Made by us out of others; the sender does not hear of it.
    pub derived: bool,
    /// The event.
    pub event: UsageEvent,
}

impl Row {
    /// What it adds to which meter; `counted`: whether what is told in several ways counts in its way.
    pub fn amounts(&self, counted: bool) -> impl Iterator<Item = (&'static str, i64)> {
        self.event.values.iter().filter(move |(name, _)| counted || !told_twice(name)).filter_map(
            |(name, value)| meter::find(name).and_then(|meter| Some((meter.key, value.at_scale(0)?))),
        )
    }
}

/// What the store holds under a key.
#[derive(Debug, sqlx::FromRow)]
pub struct Stored {
    /// The key.
    pub dedupe_key: Vec<u8>,
    /// Identity of the event that came first.
    pub id: UsageEventId,
    /// What it says.
    pub payload_key: Vec<u8>,
}

/// Tells the rows that were stored just now from those whose key was taken, and counts both.
pub fn sort_out<'r>(rows: &'r [Row], stored: &[Stored], report: &mut IngestReport) -> Vec<&'r Row> {
    let by_key: HashMap<_, _> = stored.iter().map(|s| (s.dedupe_key.as_slice(), s)).collect();
    let mut new = Vec::new();
    for row in rows {
        let first = by_key.get(row.key.as_bytes());
        let count = match first {
            Some(first) if first.id == row.id => {
                new.push(row);
                &mut report.accepted
            }
            Some(first) if first.payload_key == row.payload.as_bytes() => &mut report.duplicates,
            _ => &mut report.conflicts,
        };
        if !row.derived {
            *count += 1;
        }
    }
    new
}
