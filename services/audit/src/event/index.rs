//! The search index of a log: for runs of consecutive events (segments) and every term in them, which events have it.
//!
//! Segments are written once, side by side, in the order of the log, and found by a few look-ups each: what a search
//! costs does not grow with the length of the log, but with the number of segments. So sixteen neighbours become one.
//! Everything here is derived from the log and could be made again from it.

use std::collections::{BTreeMap, HashMap, HashSet};

use kernel::{Kernel, Result, audit::subject::KeyId, clock::Time, error::Error};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    bucket,
    codec::{decode_bits, encode_bits, encode_times},
    model::keys,
    open::opened_but,
    postings::Postings,
    store::{self, Segment},
    term::Terms,
};
use crate::sequencer::SEGMENT;

/// Events read at once.
const PAGE: i64 = 512;
/// Buckets in one transaction: bounds how long SQLite's only writer is held.
const BUCKETS: usize = 64;

/// How large segments are.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Events in a segment of level 0.
    pub segment: i64,
    /// Segments of level 0 in one of level 1. One of level 1 must not have more than 65,536 events.
    pub fan: i64,
}

impl Layout {
    /// The one that is used.
    pub const LIVE: Self = Self { segment: SEGMENT, fan: 16 };

    /// Events in a segment of a level.
    pub fn size(self, level: i64) -> i64 {
        if level == 0 { self.segment } else { self.segment * self.fan }
    }

    /// Index of a segment's first event.
    pub fn start(self, segment: &Segment) -> i64 {
        self.size(segment.level) * segment.segment
    }

    /// Index behind a segment's last event.
    pub fn end(self, segment: &Segment) -> i64 {
        self.start(segment) + self.size(segment.level)
    }
}

/// Builds every full segment of the log of `scope` from segment `from` on, up to `size` events. Returns how many
/// segments the log has had then; another process may have built them.
pub async fn index_segments(kernel: &Kernel, scope: Uuid, from: i64, size: i64) -> Result<i64> {
    index(kernel, Layout::LIVE, scope, from, size).await
}

/// The same with any layout.
pub(super) async fn index(kernel: &Kernel, layout: Layout, scope: Uuid, from: i64, size: i64) -> Result<i64> {
    let mut done = from;
    while (done + 1) * layout.segment <= size {
        if !build(kernel, layout, scope, done).await? {
            return store::log_segments(&mut kernel.db.reader().await?, scope).await;
        }
        done += 1;
        if done % layout.fan == 0 {
            merge_all(kernel, layout, scope, done).await?;
        }
    }
    Ok(done)
}

/// What a segment is made of.
struct Built {
    postings: Postings,
    /// Keys that its events name, and those of them that were destroyed before anything was opened.
    keys: HashSet<KeyId>,
    erased: HashSet<KeyId>,
}

/// Builds one segment of level 0. Returns false when another process did.
async fn build(kernel: &Kernel, layout: Layout, scope: Uuid, segment: i64) -> Result<bool> {
    let Built { postings, keys, erased } = read(kernel, layout, scope, segment).await?;
    let times = postings.times().to_vec();
    let rows = beside_calls(move || Ok(bucket::pack(0, &postings.into_terms()?))).await?;
    for rows in rows.chunks(BUCKETS) {
        let mut tx = kernel.db.begin_derived();
        if store::log_index(&mut tx, scope, segment, segment).await? == 0 {
            return Ok(false);
        }
        store::posting_insert_all(&mut tx, scope, (0, segment), rows).await?;
        tx.finish().await?;
    }
    let mut tx = kernel.db.begin_derived();
    if store::log_index(&mut tx, scope, segment, segment + 1).await? == 0 {
        return Ok(false);
    }
    if destroyed(&mut tx, &keys).await? != erased {
        // somebody was erased meanwhile, and that person's words are among the terms: make them anew
        drop(tx);
        delete_terms(kernel, scope, (0, segment)).await?;
        return Box::pin(build(kernel, layout, scope, segment)).await;
    }
    if let Some((first_time, last_time)) = span(&times) {
        let row = Segment { level: 0, segment, first_time, last_time };
        let times = encode_times(&times);
        store::segment_insert(&mut tx, scope, row, &times).await?;
    }
    tx.finish().await?;
    Ok(true)
}

/// Reads and opens the events of a segment.
async fn read(kernel: &Kernel, layout: Layout, scope: Uuid, segment: i64) -> Result<Built> {
    let terms = Terms::new(kernel, scope);
    let mut db = kernel.db.reader().await?;
    let mut built = Built { postings: Postings::default(), keys: HashSet::new(), erased: HashSet::new() };
    let (start, end) = (segment * layout.segment, (segment + 1) * layout.segment);
    // a log that grows slowly is pruned before its newest segment is full
    let mut next = store::log_minimum(&mut db, scope).await?.max(start);
    while next < end {
        let rows = store::event_range(&mut db, scope, next, end, PAGE).await?;
        let Some(first) = rows.first().filter(|row| row.idx == next) else {
            return Err(Error::internal(format!("event {next} of the audit log {scope} is missing")));
        };
        if built.postings.len() == 0 {
            built.postings.skip(usize::try_from(next - start).map_err(Error::internal)?, first.time);
        }
        let sealed = rows.iter().filter(|row| row.entry.contains("\"$s\""));
        let named = sealed.map(|row| serde_json::from_str(&row.entry).unwrap_or_default());
        let named: HashSet<_> = named.flat_map(|entry| keys(&entry)).collect();
        let fresh: HashSet<_> = named.difference(&built.keys).copied().collect();
        built.erased.extend(destroyed(&mut db, &fresh).await?);
        built.keys.extend(fresh);
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            let (sealed, opened) = opened_but(kernel, &mut db, &row.entry, &built.erased).await?;
            page.push((sealed, opened, row.time));
            next = row.idx + 1;
        }
        let (terms, mut postings) = (terms.clone(), std::mem::take(&mut built.postings));
        built.postings = beside_calls(move || {
            for (sealed, opened, time) in &page {
                postings.add(&terms, sealed, opened, *time);
            }
            Ok(postings)
        })
        .await?;
    }
    Ok(built)
}

/// Computes where no call waits for it.
async fn beside_calls<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// Those of the keys that were destroyed.
async fn destroyed(db: &mut impl kernel::db::Executor, keys: &HashSet<KeyId>) -> Result<HashSet<KeyId>> {
    let mut by_scope: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for id in keys {
        by_scope.entry(id.scope).or_default().push(id.key);
    }
    let mut found = HashSet::new();
    for (scope, keys) in by_scope {
        let destroyed = store::key_destroyed(db, scope, &keys).await?;
        found.extend(destroyed.into_iter().map(|key| KeyId { scope, key }));
    }
    Ok(found)
}

fn span(times: &[Time]) -> Option<(Time, Time)> {
    times.iter().min().copied().zip(times.iter().max().copied())
}

/// Makes one segment of level 1 of every full run of level 0, and removes what an earlier attempt left behind.
async fn merge_all(kernel: &Kernel, layout: Layout, scope: Uuid, done: i64) -> Result<()> {
    sweep(kernel, scope, done).await?;
    let mut runs: BTreeMap<i64, Vec<Segment>> = BTreeMap::new();
    for segment in store::segment_list(&mut kernel.db.reader().await?, scope).await? {
        let run = segment.segment / layout.fan;
        if segment.level == 0 && (run + 1) * layout.fan <= done {
            runs.entry(run).or_default().push(segment);
        }
    }
    for (run, mut parts) in runs {
        parts.sort_by_key(|part| part.segment);
        // what retention has cut stays as it is
        if i64::try_from(parts.len()) == Ok(layout.fan) {
            merge(kernel, layout, scope, run, &parts).await?;
        }
    }
    Ok(())
}

/// Merges neighbours. Until the last step nobody sees the new segment; from then on nobody sees the old ones.
async fn merge(kernel: &Kernel, layout: Layout, scope: Uuid, run: i64, parts: &[Segment]) -> Result<()> {
    let segments: Vec<_> = parts.iter().map(|part| part.segment).collect();
    for part in bucket::parts(0) {
        let mut tx = kernel.db.begin_derived();
        store::log_lock(&mut tx, scope).await?;
        let rows = store::posting_range(&mut tx, scope, 0, &segments, part).await?;
        let rows = beside_calls(move || Ok(bucket::pack(1, &joined(layout, &rows)?))).await?;
        store::posting_insert_all(&mut tx, scope, (1, run), &rows).await?;
        tx.finish().await?;
    }
    let mut tx = kernel.db.begin_derived();
    store::log_lock(&mut tx, scope).await?;
    let mut times = Vec::new();
    for part in parts {
        match store::segment_times(&mut tx, scope, 0, part.segment).await? {
            Some(part) => times.extend(part),
            // another process merged them
            None => return Ok(()),
        }
    }
    let bounds = parts.iter().flat_map(|part| [part.first_time, part.last_time]).collect::<Vec<_>>();
    if let Some((first_time, last_time)) = span(&bounds) {
        let row = Segment { level: 1, segment: run, first_time, last_time };
        store::segment_insert(&mut tx, scope, row, &times).await?;
        store::segment_delete(&mut tx, scope, 0, run * layout.fan, (run + 1) * layout.fan - 1).await?;
    }
    tx.finish().await?;
    for segment in segments {
        delete_terms(kernel, scope, (0, segment)).await?;
    }
    Ok(())
}

/// The terms of neighbours as those of one segment. Rows come by segment.
fn joined(layout: Layout, rows: &[store::Found]) -> Result<bucket::Postings> {
    let mut terms: BTreeMap<i64, RoaringBitmap> = BTreeMap::new();
    for (segment, _, row) in rows {
        let shift = u32::try_from(segment % layout.fan * layout.segment).map_err(Error::internal)?;
        for (term, bits) in bucket::unpack(row)? {
            let bits = decode_bits(bits)?;
            terms.entry(term).or_default().extend(bits.iter().map(|bit| bit + shift));
        }
    }
    terms.into_iter().map(|(term, bits)| Ok((term, encode_bits(bits)?))).collect()
}

/// Removes terms of merged segments that a process left behind when it was killed: those before the first segment of
/// level 0 that is one still.
async fn sweep(kernel: &Kernel, scope: Uuid, done: i64) -> Result<()> {
    loop {
        let mut db = kernel.db.reader().await?;
        let Some(first) = store::posting_segment_first(&mut db, scope, 0).await? else { return Ok(()) };
        let living = store::segment_list(&mut db, scope).await?;
        drop(db);
        if first >= done || living.iter().any(|s| s.level == 0 && s.segment == first) {
            return Ok(());
        }
        delete_terms(kernel, scope, (0, first)).await?;
    }
}

/// Removes the terms of one segment.
async fn delete_terms(kernel: &Kernel, scope: Uuid, segment: (i64, i64)) -> Result<()> {
    let parts = if segment.0 == 0 { vec![(i64::MIN, i64::MAX)] } else { bucket::parts(1).collect() };
    for part in parts {
        let mut tx = kernel.db.begin_derived();
        store::posting_delete(&mut tx, scope, segment, part).await?;
        tx.finish().await?;
    }
    Ok(())
}

/// Removes the segments whose events all lie below `minimum_index`: retention has pruned them.
pub async fn prune_segments(kernel: &Kernel, scope: Uuid, minimum_index: i64) -> Result<()> {
    prune(kernel, Layout::LIVE, scope, minimum_index).await
}

/// The same with any layout.
pub(super) async fn prune(kernel: &Kernel, layout: Layout, scope: Uuid, minimum_index: i64) -> Result<()> {
    let segments = store::segment_list(&mut kernel.db.reader().await?, scope).await?;
    for gone in segments.iter().filter(|segment| layout.end(segment) <= minimum_index) {
        let mut tx = kernel.db.begin_derived();
        store::segment_delete(&mut tx, scope, gone.level, gone.segment, gone.segment).await?;
        tx.finish().await?;
        delete_terms(kernel, scope, (gone.level, gone.segment)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_segment_fits_into_its_offsets() {
        assert_eq!(Layout::LIVE.size(1), 65_536);
    }
}
