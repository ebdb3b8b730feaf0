//! The events of a pack: found in one pass over the period's part of the log, then read again for each control.

use kernel::{Ctx, Result, error::Error};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{archive::Archive, framework::Control, period::Period};
use crate::{
    event::{Filter, Searcher, Window, index::Layout, open, store},
    export::{self, Encoder as _, csv::Csv, ndjson::Ndjson, row::Row},
};

/// Most events in a pack.
const MAX: u64 = 1_000_000;
/// Events that are read again at once.
const CHUNK: usize = 256;
/// What reviewers ask for beside any control: reviews of access, and what is kept, held and erased.
const REVIEWS: &str = "action = review.* OR action = retention.* OR action = legal_hold.* OR action = privacy.* \
     OR action = audit.prune OR action = audit.as_of OR action = audit.export_evidence";

/// The part of a log that is looked at: indexes `from` to below `below`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first event of the period.
    pub from: i64,
    /// Behind the last.
    pub below: i64,
}

/// Which events of a span the pack has, as their distances from its beginning.
pub struct Found {
    /// The span.
    pub span: Span,
    /// Those in the pack.
    pub all: RoaringBitmap,
    /// Those of each control.
    pub of: Vec<RoaringBitmap>,
    /// Those that reviewers ask for.
    pub reviews: RoaringBitmap,
}

impl Span {
    /// Where the events of a period lie in the log of `scope` below `size`; empty when there are none.
    pub async fn find(
        searcher: &Searcher<'_>,
        scope: Uuid,
        period: &Period,
        (least, size): (i64, i64),
    ) -> Result<Self> {
        let filter = Filter::parse(&period.filter())?;
        let end = async |ascending| {
            let window = Window { from: least, below: size, ascending };
            let found = searcher.search(scope, &filter, window, 1).await?;
            Ok::<_, Error>(found.first().map(|event| event.row.idx))
        };
        match (end(true).await?, end(false).await?) {
            (Some(first), Some(last)) => Ok(Self { from: first, below: last.saturating_add(1) }),
            _ => Ok(Self { from: size, below: size }),
        }
    }
}

/// What the process searches with.
pub fn searcher<'s>(ctx: &'s Ctx, log: &'s crate::Sequencer) -> Searcher<'s> {
    Searcher { kernel: ctx.kernel(), tails: &log.reading().tails, layout: Layout::LIVE }
}

impl Found {
    /// Writes every event of the span that some control or reviewers ask for, once and in order, into the open file.
    pub async fn write(
        ctx: &Ctx,
        scope: Uuid,
        span: Span,
        period: &Period,
        controls: &[Control],
        archive: &mut Archive,
    ) -> Result<Self> {
        let reviews = Filter::parse(REVIEWS)?;
        let (all, of) = (RoaringBitmap::new(), vec![RoaringBitmap::new(); controls.len()]);
        let mut found = Self { span, all, of, reviews: RoaringBitmap::new() };
        let (mut next, mut text) = (span.from, Vec::new());
        while next < span.below {
            // no connection is held while the caller takes what was read
            let page = export::store::event_page(&mut ctx.read().await?, scope, next, span.below).await?;
            if page.is_empty() {
                return Err(gone(next));
            }
            for row in page {
                if row.idx != next {
                    return Err(gone(next));
                }
                next = row.idx.saturating_add(1);
                if period.holds(row.time) && found.take(&row, controls, &reviews)? {
                    Ndjson.event(&row, &mut text)?;
                }
            }
            archive.write(&text).await?;
            text.clear();
        }
        Ok(found)
    }

    /// Notes for what an event is asked for; returns whether it is.
    fn take(&mut self, row: &Row, controls: &[Control], reviews: &Filter) -> Result<bool> {
        let offset = u32::try_from(row.idx - self.span.from).map_err(Error::internal)?;
        let entry = row.value();
        let mut asked = reviews.matches(entry, row.time);
        if asked {
            self.reviews.insert(offset);
        }
        for (control, of) in controls.iter().zip(&mut self.of) {
            if control.asks_for(entry, row.time) {
                of.insert(offset);
                asked = true;
            }
        }
        if asked {
            self.all.insert(offset);
        }
        if self.all.len() > MAX {
            let message = format!("the pack would hold more than {MAX} events; ask for a shorter period");
            return Err(Error::Limit { limit: "evidence events".to_owned(), message });
        }
        Ok(asked)
    }

    /// The index of an event.
    pub fn index(&self, offset: u32) -> i64 {
        self.span.from.saturating_add(i64::from(offset))
    }

    /// Index of the first event of the pack.
    pub fn first(&self) -> Option<i64> {
        self.all.min().map(|offset| self.index(offset))
    }

    /// Index of the last event of the pack.
    pub fn last(&self) -> Option<i64> {
        self.all.max().map(|offset| self.index(offset))
    }

    /// Writes some of the events as CSV into the open file. Of a person's data it says that it is sealed or erased.
    pub async fn table(
        &self,
        ctx: &Ctx,
        scope: Uuid,
        some: &RoaringBitmap,
        archive: &mut Archive,
    ) -> Result<()> {
        let (mut csv, mut text) = (Csv::default(), Vec::new());
        let mut offsets = some.iter();
        loop {
            let indexes: Vec<_> = offsets.by_ref().take(CHUNK).map(|offset| self.index(offset)).collect();
            let Some(first) = indexes.first() else { break };
            let rows = read(ctx, scope, &indexes).await?;
            if rows.len() != indexes.len() {
                return Err(gone(*first));
            }
            rows.iter().try_for_each(|row| csv.event(row, &mut text))?;
            archive.write(&text).await?;
            text.clear();
        }
        csv.end(&mut text)?;
        archive.write(&text).await
    }
}

/// The events with these indexes, in their order, with what was erased named.
async fn read(ctx: &Ctx, scope: Uuid, indexes: &[i64]) -> Result<Vec<Row>> {
    let mut db = ctx.read().await?;
    let mut rows = store::event_at(&mut db, scope, indexes).await?;
    rows.sort_by_key(|row| row.idx);
    let mut entries: Vec<_> =
        rows.iter().map(|r| serde_json::from_str(&r.entry).unwrap_or_default()).collect();
    open::name_erased(&mut db, &mut entries).await?;
    let named = rows.into_iter().zip(entries).map(|(row, entry)| {
        let row = Row::from(row);
        row.parsed(entry);
        row
    });
    Ok(named.collect())
}

/// The bytes that are recorded of an event.
pub async fn entry(ctx: &Ctx, scope: Uuid, index: i64) -> Result<String> {
    let rows = store::event_at(&mut ctx.read().await?, scope, &[index]).await?;
    rows.into_iter().next().map(|row| row.entry).ok_or_else(|| gone(index))
}

/// Events that were there when the pack was begun are not there any more.
fn gone(index: i64) -> Error {
    let message =
        format!("the event with index {index} was pruned while the pack was written; begin the period later");
    Error::out_of_range("start_time", message)
}
