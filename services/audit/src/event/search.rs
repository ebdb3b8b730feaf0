//! Finding events: the plan is looked up chunk by chunk, from the end that is asked for first, and what may match is read
//! and checked. How many statements that takes depends on how much is found, not on how long the log is.

use std::collections::HashMap;

use kernel::{Kernel, Result, db::Executor, error::Error};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    bucket,
    codec::{decode_bits, decode_times},
    filter::Filter,
    index::Layout,
    model::{Opened, Row},
    open::matching,
    plan::{Plan, Slice},
    store::{self, Segment},
    tail::Tails,
    term::{Kind, Terms},
};

/// Segments in the first look-up; each next one takes four times as many.
const FIRST: usize = 4;
/// Rows that one look-up may find: bounds its memory, a few KiB a row.
const ROWS: usize = 1_024;
/// Candidates that are read at once, at least and at most.
const READ: (usize, usize) = (64, 1_000);

/// Which part of a log is searched, and from which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First index.
    pub from: i64,
    /// Behind the last index.
    pub below: i64,
    /// The oldest first.
    pub ascending: bool,
}

impl Window {
    /// What is left behind the event at `index`.
    #[must_use]
    pub fn behind(self, index: i64) -> Self {
        if self.ascending {
            Self { from: index.saturating_add(1), ..self }
        } else {
            Self { below: index, ..self }
        }
    }

    fn clipped(self, from: i64, below: i64) -> Self {
        Self { from: self.from.max(from), below: self.below.min(below), ..self }
    }

    fn is_empty(self) -> bool {
        self.from >= self.below
    }

    /// The offsets from `base` that are in it.
    fn offsets(self, base: i64) -> RoaringBitmap {
        let offset = |index: i64| u32::try_from((index - base).max(0)).unwrap_or(u32::MAX);
        let mut all = RoaringBitmap::new();
        all.insert_range(offset(self.from)..offset(self.below));
        all
    }
}

/// Searches logs of one kernel.
#[derive(Clone, Copy)]
pub struct Searcher<'s> {
    /// The process.
    pub kernel: &'s Kernel,
    /// What is remembered of the newest events.
    pub tails: &'s Tails,
    /// How segments are laid out.
    pub layout: Layout,
}

impl Searcher<'_> {
    /// The first `limit` events of the log of `scope` in `window` that match. The window must not reach below the log's
    /// minimum index or beyond its size.
    pub async fn search(
        &self,
        scope: Uuid,
        filter: &Filter,
        mut window: Window,
        limit: usize,
    ) -> Result<Vec<Opened>> {
        let plan = Plan::new(filter, &Terms::new(self.kernel, scope));
        let (mut found, mut read) = (Vec::new(), limit.clamp(READ.0, READ.1));
        while found.len() < limit && !window.is_empty() {
            let mut db = self.kernel.db.reader().await?;
            let candidates = self.candidates(&mut db, scope, &plan, window, read).await?;
            let Some(last) = candidates.last() else { break };
            let exhausted = candidates.len() < read;
            // nearly all candidates match, so that no more are opened than asked for
            window = window.behind(*last);
            for row in rows(&mut db, scope, &candidates).await? {
                if found.len() == limit {
                    break;
                }
                found.extend(matching(self.kernel, &mut db, filter, row).await?);
            }
            if exhausted {
                break;
            }
            read = (read * 4).min(READ.1);
        }
        Ok(found)
    }

    /// The indexes of the first `want` events that may match.
    async fn candidates(
        &self,
        db: &mut impl Executor,
        scope: Uuid,
        plan: &Plan,
        window: Window,
        want: usize,
    ) -> Result<Vec<i64>> {
        let mut segments = store::segment_list(db, scope).await?;
        let covered = segments.iter().map(|s| self.layout.end(s)).max().unwrap_or(0);
        segments.retain(|s| {
            let within = !window.clipped(self.layout.start(s), self.layout.end(s)).is_empty();
            within && plan.decided((s.first_time, s.last_time)) != Some(false)
        });
        segments.sort_by_key(|s| self.layout.start(s));
        let mut found = Found { indexes: Vec::new(), want, window };
        if window.ascending {
            self.in_segments(db, scope, plan, &segments, &mut found).await?;
            self.in_tail(db, scope, plan, covered, &mut found).await?;
        } else {
            segments.reverse();
            self.in_tail(db, scope, plan, covered, &mut found).await?;
            self.in_segments(db, scope, plan, &segments, &mut found).await?;
        }
        Ok(found.indexes)
    }

    async fn in_tail(
        &self,
        db: &mut impl Executor,
        scope: Uuid,
        plan: &Plan,
        covered: i64,
        found: &mut Found,
    ) -> Result<()> {
        let part = found.window.clipped(covered, i64::MAX);
        if found.is_full() || part.is_empty() {
            return Ok(());
        }
        // retention may have cut into it
        let cut = if covered < found.window.from { store::log_minimum(db, scope).await? } else { 0 };
        let base = covered.max(cut);
        let mut slice = self.tails.slice(self.kernel, db, scope, (base, part.below), plan).await?;
        slice.all = part.offsets(base);
        found.add(plan, &slice);
        Ok(())
    }

    async fn in_segments(
        &self,
        db: &mut impl Executor,
        scope: Uuid,
        plan: &Plan,
        segments: &[Segment],
        found: &mut Found,
    ) -> Result<()> {
        let (mut rest, mut size) = (segments, FIRST);
        while let Some(first) = rest.first()
            && !found.is_full()
        {
            let most = size.min(ROWS / (plan.terms().len() + 1)).max(1);
            let same = rest.iter().take(most).take_while(|s| s.level == first.level).count();
            let (chunk, others) = rest.split_at(same);
            let mut terms = self.look_up(db, scope, first.level, chunk, plan.terms()).await?;
            for segment in chunk {
                if found.is_full() {
                    break;
                }
                let terms = terms.remove(&segment.segment).unwrap_or_default();
                let slice = self.slice(db, scope, plan, *segment, terms, found.window).await?;
                found.add(plan, &slice);
            }
            (rest, size) = (others, size * 4);
        }
        Ok(())
    }

    async fn slice(
        &self,
        db: &mut impl Executor,
        scope: Uuid,
        plan: &Plan,
        segment: Segment,
        terms: HashMap<i64, RoaringBitmap>,
        window: Window,
    ) -> Result<Slice> {
        let base = self.layout.start(&segment);
        let span = (segment.first_time, segment.last_time);
        let all = window.clipped(base, self.layout.end(&segment)).offsets(base);
        let mut slice = Slice { base, all, terms, span: Some(span), times: Vec::new() };
        // times are large: they are read where something is left for them to decide
        if plan.needs_times(span) && !plan.candidates(&slice).is_empty() {
            let bytes = store::segment_times(db, scope, segment.level, segment.segment).await?;
            let length = usize::try_from(self.layout.segment).unwrap_or(usize::MAX);
            slice.times = decode_times(&bytes.ok_or(Error::Conflict)?, length)?;
        }
        Ok(slice)
    }

    /// The terms of some segments of one level.
    pub(super) async fn look_up(
        &self,
        db: &mut impl Executor,
        scope: Uuid,
        level: i64,
        segments: &[Segment],
        terms: &[i64],
    ) -> Result<HashMap<i64, HashMap<i64, RoaringBitmap>>> {
        let mut found: HashMap<i64, HashMap<i64, RoaringBitmap>> = HashMap::new();
        if terms.is_empty() {
            return Ok(found);
        }
        let wanted: Vec<_> = segments.iter().map(|s| s.segment).collect();
        // a segment of level 0 has the term that all events have, unless it was merged since the segments were listed
        let every = Terms::new(self.kernel, scope).term(Kind::Every, "");
        let mut terms = terms.to_vec();
        if level == 0 {
            terms.push(every);
        }
        let buckets = bucket::buckets(level, &terms);
        for (segment, _, row) in store::posting_get(db, scope, level, &wanted, &buckets).await? {
            for (term, bits) in bucket::unpack(&row)?.into_iter().filter(|(term, _)| terms.contains(term)) {
                found.entry(segment).or_default().insert(term, decode_bits(bits)?);
            }
        }
        let whole = |segment| found.get(segment).is_some_and(|terms| terms.contains_key(&every));
        if level == 0 && !wanted.iter().all(whole) {
            return Err(Error::Conflict);
        }
        Ok(found)
    }
}

/// Indexes that were found so far, in the order of the window.
struct Found {
    indexes: Vec<i64>,
    want: usize,
    window: Window,
}

impl Found {
    fn is_full(&self) -> bool {
        self.indexes.len() >= self.want
    }

    fn add(&mut self, plan: &Plan, slice: &Slice) {
        let left = self.want.saturating_sub(self.indexes.len());
        let index = |offset: u32| slice.base + i64::from(offset);
        let candidates = plan.candidates(slice);
        if self.window.ascending {
            self.indexes.extend(candidates.iter().take(left).map(index));
        } else {
            self.indexes.extend(candidates.iter().rev().take(left).map(index));
        }
    }
}

/// The events with these indexes, in this order. One that was pruned meanwhile is left out.
async fn rows(db: &mut impl Executor, scope: Uuid, indexes: &[i64]) -> Result<Vec<Row>> {
    let found = store::event_at(db, scope, indexes).await?;
    let mut found: HashMap<_, _> = found.into_iter().map(|row| (row.idx, row)).collect();
    Ok(indexes.iter().filter_map(|index| found.remove(index)).collect())
}
