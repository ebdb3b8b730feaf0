//! One meter of a question: rollups below the watermark and events above it, put into windows and groups.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use kernel::{Error, Result, clock::Time, db::Executor, ids::TenantId};
use roaring::RoaringBitmap;
use tenancy::role::model::RoleFamily;
use uuid::Uuid;

use super::{
    filter::Names,
    model::{Dimension, Figure, Group, UsageQuery},
    store,
    window::{Piece, Span, cover, without},
};
use crate::{
    meter::{Aggregation, Meter, Meters},
    rollup::{
        self,
        book::{Book, Series},
        fold::{Cell, Level, Raw},
        store::Watermark,
    },
};

/// Events that are read at a time.
const PAGE: i64 = 20_000;
/// Most events that a question reads at the edges of its windows.
const MAX_EVENTS: u64 = 5_000_000;

/// Last segments of names.
#[derive(Debug, Default)]
pub struct Directory {
    /// Of roles.
    pub roles: HashMap<Uuid, String>,
    /// Families of roles.
    pub families: HashMap<Uuid, RoleFamily>,
    /// Of units.
    pub units: HashMap<Uuid, String>,
}

impl Names for Directory {
    fn role(&self, id: Uuid) -> &str {
        self.roles.get(&id).map_or("", String::as_str)
    }

    fn family(&self, id: Uuid) -> RoleFamily {
        self.families.get(&id).copied().unwrap_or_default()
    }

    fn unit(&self, id: Uuid) -> &str {
        self.units.get(&id).map_or("", String::as_str)
    }
}

/// Where a question is asked.
pub struct Place<'p> {
    /// The tenant.
    pub tenant: TenantId,
    /// How far it is rolled up.
    pub mark: Watermark,
    /// The first place that is not taken.
    pub head: i64,
    /// Names, for the filter.
    pub names: &'p Directory,
    /// The tenant's meters.
    pub meters: &'p Meters,
    /// Days whose rollups are not what the events say: they are read event by event.
    pub stale: BTreeSet<Time>,
}

/// Numbers of members by window and group.
pub type Members = BTreeMap<(usize, Group), RoaringBitmap>;

/// The figures of one meter, put together.
pub struct Collect<'q> {
    query: &'q UsageQuery,
    meter: &'q Arc<Meter>,
    place: &'q Place<'q>,
    book: Book,
    cells: BTreeMap<(usize, Group), Cell>,
    read: u64,
}

impl<'q> Collect<'q> {
    /// Collects the figures of `meter`; also returns how many events were read beside the rollups.
    pub async fn run(
        db: &mut impl Executor,
        query: &'q UsageQuery,
        meter: &'q Arc<Meter>,
        place: &'q Place<'q>,
    ) -> Result<(Vec<Figure>, u64)> {
        let mut own = Self::new(query, meter, place, Book::default());
        let (unique, tail) = (own.unique(), own.place.head > own.below());
        if !own.total() || unique {
            own.book = rollup::store::series_list(db, place.tenant, place.meters, Some(meter)).await?;
        }
        let pieces: Vec<_> = query.windows.iter().flat_map(|span| cover(*span, !own.persons())).collect();
        let pieces = without(pieces, &place.stale);
        if unique
            && (tail || query.principal.is_some() || pieces.iter().any(|p| matches!(p, Piece::Events(_))))
        {
            for (id, principal) in rollup::store::member_list(db, place.tenant).await? {
                own.book.enter_member(u32::try_from(id).unwrap_or(u32::MAX), principal);
            }
        }
        own.gather(db, pieces).await?;
        let read = own.read;
        own.figures().map(|figures| (figures, read))
    }

    /// Who was active, by window and group, as numbers of `book`, which must have all series of the meter and all members; it
    /// comes back with those that are new. Also returns how many events were read beside the rollups.
    pub async fn members(
        db: &mut impl Executor,
        query: &'q UsageQuery,
        meter: &'q Arc<Meter>,
        place: &'q Place<'q>,
        book: Book,
    ) -> Result<(Members, Book, u64)> {
        let mut own = Self::new(query, meter, place, book);
        let pieces = query.windows.iter().flat_map(|span| cover(*span, true)).collect();
        let pieces = without(pieces, &place.stale);
        own.gather(db, pieces).await?;
        let members = own.cells.into_iter().map(|(at, cell)| (at, cell.members)).collect();
        Ok((members, own.book, own.read))
    }

    fn new(query: &'q UsageQuery, meter: &'q Arc<Meter>, place: &'q Place<'q>, book: Book) -> Self {
        Self { query, meter, place, book, cells: BTreeMap::new(), read: 0 }
    }

    async fn gather(&mut self, db: &mut impl Executor, pieces: Vec<Piece>) -> Result<()> {
        for piece in joined(pieces) {
            match piece {
                Piece::Days(span) => self.rollups(db, true, span).await?,
                Piece::Quarters(span) => self.rollups(db, false, span).await?,
                Piece::Events(span) => self.events(db, span).await?,
            }
        }
        self.tail(db).await
    }

    fn unique(&self) -> bool {
        self.meter.unique()
    }

    /// Whether events are asked for their types.
    fn typed(&self) -> bool {
        !self.meter.built_in()
    }

    /// Whether the answer is made of figures by principal.
    fn persons(&self) -> bool {
        self.query.by_person() && !self.unique()
    }

    /// Whether everything is together.
    fn total(&self) -> bool {
        self.query.group_by.is_empty() && self.query.filter.is_open() && !self.persons()
    }

    /// The first place that is in no rollup.
    fn below(&self) -> i64 {
        let mark = &self.place.mark;
        if self.unique() || self.persons() { mark.members_seq } else { mark.sums_seq }
    }

    async fn rollups(&mut self, db: &mut impl Executor, days: bool, span: Span) -> Result<()> {
        let level = match (days, self.total(), self.persons()) {
            (_, _, true) => Level::Person,
            (true, true, _) => Level::TotalDay,
            (true, false, _) => Level::Day,
            (false, true, _) => Level::TotalQuarter,
            (false, false, _) => Level::Quarter,
        };
        let only = self.query.principal.filter(|_| self.persons());
        let (tenant, times) = (self.place.tenant, (span.start, span.end));
        for row in rollup::store::rollup_list(db, tenant, self.meter, level, times, only).await? {
            let group = match row.series_id {
                0 => Some(Group::default()),
                id => self.book.get(id).and_then(|series| self.group(series, Some(row.principal_id))),
            };
            if let (Some(window), Some(group)) = (self.window(row.bucket), group) {
                if row.is_full() {
                    return Err(too_large(self.meter));
                }
                let mut cell = row.cell()?;
                self.only(&mut cell);
                self.cells.entry((window, group)).or_default().add(&cell);
            }
        }
        Ok(())
    }

    /// Events below the watermark at the edge of a window.
    async fn events(&mut self, db: &mut impl Executor, span: Span) -> Result<()> {
        let mut after = (i64::MIN, 0);
        loop {
            let page = store::event_list_by_time(
                db,
                self.place.tenant,
                self.typed(),
                span,
                self.below(),
                after,
                PAGE,
            )
            .await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.time.micros(), last.seq);
            self.read += page.len() as u64;
            if self.read > MAX_EVENTS {
                return Err(Error::Limit {
                    limit: "usage.events".to_owned(),
                    message: format!(
                        "the windows cut through days and would take more than {MAX_EVENTS} events to answer; \
                         ask for whole days of UTC, or for a shorter interval"
                    ),
                });
            }
            for event in &page {
                self.add(event);
            }
        }
    }

    /// Events above the watermark.
    async fn tail(&mut self, db: &mut impl Executor) -> Result<()> {
        let mut from = self.below();
        while from < self.place.head {
            let until = self.place.head.min(from + PAGE);
            let page = rollup::store::raw_list(db, self.place.tenant, self.typed(), (from, until)).await?;
            self.read += page.len() as u64;
            for event in &page {
                self.add(event);
            }
            from = until;
        }
        Ok(())
    }

    fn add(&mut self, event: &Raw) {
        let Some(window) = self.window(event.time) else { return };
        if self.query.principal.is_some() && self.query.principal != event.principal_id {
            return;
        }
        let Some(share) = event.share(self.meter) else { return };
        let cell = Cell::of(share, &mut self.book);
        let group = if self.total() {
            Some(Group::default())
        } else {
            let id = self.book.series(self.meter, event, &event.dims());
            self.book.get(id).and_then(|series| self.group(series, event.principal_id))
        };
        if let Some(group) = group {
            self.cells.entry((window, group)).or_default().add(&cell);
        }
    }

    /// Of what is counted once, only the asked principal.
    fn only(&self, cell: &mut Cell) {
        if let (true, Some(principal)) = (self.unique(), self.query.principal) {
            let own: RoaringBitmap = self.book.number(principal).into_iter().collect();
            cell.members &= own;
            cell.events = i64::from(!cell.members.is_empty());
        }
    }

    /// The group of a series; none when the filter does not let it through.
    fn group(&self, series: &Series, principal: Option<Uuid>) -> Option<Group> {
        if !self.query.filter.lets(series, self.place.names) {
            return None;
        }
        let mut group = Group::default();
        for dimension in &self.query.group_by {
            match dimension {
                Dimension::Role => group.role = series.role,
                Dimension::RoleFamily => {
                    group.family =
                        Some(series.role.map(|id| self.place.names.family(id)).unwrap_or_default());
                }
                Dimension::Unit => group.unit = series.unit,
                Dimension::Principal => group.principal = principal.filter(|id| !id.is_nil()),
                Dimension::Client => group.client.clone_from(&series.client),
                Dimension::Dim(dim) => {
                    let value = series.dims.get(&**dim).cloned().unwrap_or_default();
                    group.dims.insert(Arc::clone(dim), value);
                }
            }
        }
        Some(group)
    }

    fn window(&self, time: Time) -> Option<usize> {
        let windows = &self.query.windows;
        let at = windows.partition_point(|span| span.end <= time);
        windows.get(at).filter(|span| span.has(time)).map(|_| at)
    }

    fn figures(self) -> Result<Vec<Figure>> {
        let (unique, meter) = (self.unique(), self.meter);
        let mut figures = Vec::with_capacity(self.cells.len());
        for ((window, group), cell) in self.cells {
            let value = value(meter.aggregation, &cell).ok_or_else(|| too_large(meter))?;
            let Some(window) = self.query.windows.get(window).copied() else { continue };
            // of one principal nobody knows: what is counted once is kept without how often it came
            let events = if unique && self.query.principal.is_some() { 0 } else { cell.events };
            if !unique || value > 0 {
                let sum = (meter.aggregation == Aggregation::Avg).then_some(cell.sum);
                figures.push(Figure { meter: Arc::clone(meter), window, group, value, events, sum });
            }
        }
        Ok(figures)
    }
}

/// What a cell says, in base units; none when that is more than fits.
fn value(aggregation: Aggregation, cell: &Cell) -> Option<i64> {
    let value = match aggregation {
        Aggregation::Sum => cell.sum,
        Aggregation::Count => cell.events.into(),
        Aggregation::UniqueCount => cell.members.len().into(),
        Aggregation::Max | Aggregation::Min | Aggregation::Latest => cell.pick?.value.into(),
        Aggregation::Avg => half_even(cell.sum, cell.events.into()),
    };
    i64::try_from(value).ok().filter(|value| value.unsigned_abs() < i64::MAX.unsigned_abs())
}

/// `sum` / `count`, rounded to the nearest whole number, and to the even one of two.
fn half_even(sum: i128, count: i128) -> i128 {
    if count == 0 {
        return 0;
    }
    let (whole, rest) = (sum.div_euclid(count), sum.rem_euclid(count));
    match (rest * 2).cmp(&count) {
        Ordering::Greater => whole + 1,
        Ordering::Equal if whole % 2 != 0 => whole + 1,
        Ordering::Equal | Ordering::Less => whole,
    }
}

fn too_large(meter: &Meter) -> Error {
    Error::Limit {
        limit: "usage.sum".to_owned(),
        message: format!("a figure of `{}` is larger than 64 bits hold; ask for shorter windows", meter.key),
    }
}

/// Pieces of the same kind that follow each other are one.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Days(last)), Piece::Days(next))
            | (Some(Piece::Quarters(last)), Piece::Quarters(next))
            | (Some(Piece::Events(last)), Piece::Events(next))
                if last.end == next.start =>
            {
                last.end = next.end;
            }
            _ => joined.push(piece),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_rounded_half_to_even_on_both_sides_of_zero() {
        for (sum, count, average) in [
            (5, 2, 2),
            (7, 2, 4),
            (-5, 2, -2),
            (-7, 2, -4),
            (1, 3, 0),
            (2, 3, 1),
            (-2, 3, -1),
            (0, 5, 0),
            (10, 4, 2),
            (11, 4, 3),
        ] {
            assert_eq!(half_even(sum, count), average, "{sum} / {count}");
        }
    }
}
