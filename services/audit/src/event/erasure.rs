//! What the erasure of a person asks of the search index: which events hold data of that person, and that nothing leads
//! from the person's words and addresses to those events any more.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use kernel::{Result, audit::subject::KeyId, db::Executor, error::Error};
use serde_json::Value;
use uuid::Uuid;

use super::{
    bucket,
    codec::{decode_bits, encode_bits},
    index::Layout,
    model::Entry,
    open::{opened, opened_but},
    search::Searcher,
    store,
    term::{Kind, Terms, spell_personal},
};
use crate::sequencer::LogHead;

/// Events read at once.
const PAGE: i64 = 256;
/// Segments or buckets looked up at once.
const TERMS: usize = 64;

/// Sets of events by segment (level, number) and term.
type Sets = BTreeMap<(i64, i64), BTreeMap<i64, Vec<u32>>>;

impl Searcher<'_> {
    /// The indexes of the events of a log that hold something sealed with `key`, the oldest first.
    pub async fn events_of_key(
        &self,
        db: &mut impl Executor,
        key: KeyId,
        head: &LogHead,
    ) -> Result<Vec<i64>> {
        let (scope, layout) = (head.scope_id, self.layout);
        let term = Terms::new(self.kernel, scope).term(Kind::Key, &key.to_string());
        let segments = store::segment_list(db, scope).await?;
        let mut found = Vec::new();
        for level in [0, 1] {
            let segments: Vec<_> = segments.iter().filter(|s| s.level == level).copied().collect();
            for chunk in segments.chunks(TERMS) {
                let mut terms = self.look_up(db, scope, level, chunk, &[term]).await?;
                for segment in chunk {
                    let bits = terms.remove(&segment.segment).and_then(|mut terms| terms.remove(&term));
                    let start = layout.start(segment);
                    found.extend(bits.unwrap_or_default().iter().map(|offset| start + i64::from(offset)));
                }
            }
        }
        let covered = segments.iter().map(|s| layout.end(s)).max().unwrap_or(0);
        let named = format!("\"k\":\"{key}\"");
        let mut next = covered.max(head.minimum_index);
        loop {
            let rows = store::event_range(db, scope, next, head.size, PAGE).await?;
            let Some(last) = rows.last() else { break };
            next = last.idx + 1;
            found.extend(rows.iter().filter(|row| row.entry.contains(&named)).map(|row| row.idx));
        }
        found.retain(|index| *index >= head.minimum_index);
        found.sort_unstable();
        Ok(found)
    }

    /// Takes the events at `indexes` out of the terms that what is sealed with `key` gave them. Call it in the
    /// transaction of the erasure, before the key is destroyed; and [`super::Tails::forget`] once that is committed.
    pub async fn unindex_subject(
        &self,
        tx: &mut impl Executor,
        scope: Uuid,
        key: KeyId,
        indexes: &[i64],
    ) -> Result<()> {
        // whoever builds or merges segments waits, and finds the key destroyed
        store::log_lock(tx, scope).await?;
        let mut removed = Sets::new();
        for chunk in indexes.chunks(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
            for row in store::event_at(tx, scope, chunk).await? {
                for term in self.personal_terms(tx, scope, key, &row.entry).await? {
                    note(&mut removed, self.layout, row.idx, term)?;
                }
            }
        }
        for (segment, terms) in removed {
            remove(tx, scope, segment, &terms).await?;
        }
        Ok(())
    }

    /// The terms that an event has only for what is sealed with `key`.
    async fn personal_terms(
        &self,
        db: &mut impl Executor,
        scope: Uuid,
        key: KeyId,
        entry: &str,
    ) -> Result<Vec<i64>> {
        let terms = Terms::new(self.kernel, scope);
        let of = |entry: &Value| {
            let mut found = BTreeSet::new();
            spell_personal(Entry(entry), &mut |kind, value: &str| {
                found.insert(terms.term(kind, value));
            });
            found
        };
        let (_, with) = opened(self.kernel, db, entry).await?;
        let (_, without) = opened_but(self.kernel, db, entry, &HashSet::from([key])).await?;
        Ok(of(&with).difference(&of(&without)).copied().collect())
    }
}

/// Notes an event and a term in the segments of either level that may hold them, whether they can be seen yet or not.
fn note(sets: &mut Sets, layout: Layout, index: i64, term: i64) -> Result<()> {
    for level in [0, 1] {
        let size = layout.size(level);
        let offset = u32::try_from(index % size).map_err(Error::internal)?;
        sets.entry((level, index / size)).or_default().entry(term).or_default().push(offset);
    }
    Ok(())
}

async fn remove(
    tx: &mut impl Executor,
    scope: Uuid,
    segment: (i64, i64),
    terms: &BTreeMap<i64, Vec<u32>>,
) -> Result<()> {
    let names: Vec<_> = terms.keys().copied().collect();
    for buckets in bucket::buckets(segment.0, &names).chunks(TERMS) {
        for (_, number, row) in store::posting_get(tx, scope, segment.0, &[segment.1], buckets).await? {
            let mut left = bucket::Postings::new();
            for (term, bits) in bucket::unpack(&row)? {
                let Some(offsets) = terms.get(&term) else {
                    left.insert(term, bits.to_vec());
                    continue;
                };
                let mut bits = decode_bits(bits)?;
                for offset in offsets {
                    bits.remove(*offset);
                }
                if !bits.is_empty() {
                    left.insert(term, encode_bits(bits)?);
                }
            }
            match bucket::pack(segment.0, &left).first() {
                Some((_, row)) => store::posting_put(tx, scope, segment, number, row).await?,
                None => store::posting_delete(tx, scope, segment, (number, number)).await?,
            };
        }
    }
    Ok(())
}
