//! From events to figures: which sums an event adds to, and by how much. Pure: the roller, the tail of a query and the verifier
//! are all made of it, so that they cannot disagree.

use std::{borrow::Cow, collections::HashMap};

use kernel::clock::Time;
use roaring::RoaringBitmap;
use serde::Deserialize;
use uuid::Uuid;

use super::book::Book;
use crate::{
    event::decimal::Decimal,
    meter::{self, ACTIVE_PRINCIPALS, Aggregation, Meter, Meters, ValuePath},
};

/// A quarter of an hour: no time zone is off by less.
pub const QUARTER: i64 = 900_000_000;
/// A day of UTC.
pub const DAY: i64 = 86_400_000_000;

/// A stored event, as far as figures depend on it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Raw {
    /// Its place.
    pub seq: i64,
    /// What happened; empty where only built-in meters are asked for, which do not care.
    pub event_type: String,
    /// The assistant.
    pub client: String,
    /// To whom it is attributed.
    pub principal_id: Option<Uuid>,
    /// Under which role.
    pub role_id: Option<Uuid>,
    /// Under which unit.
    pub unit_id: Option<Uuid>,
    /// When it happened.
    pub time: Time,
    /// What it can be told apart by, JSON.
    pub dims: String,
    /// What was counted, JSON.
    pub amounts: String,
}

/// What an event says to a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So much, in base units.
    Amount(i64),
    /// That it happened.
    Event,
    /// What a meter may go by.
    Pick(Pick),
    /// Who is behind it.
    Principal(Uuid),
}

/// Of several events, the one that a meter goes by is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pick {
    /// MAX: the value, MIN: the value negated, LATEST: the time.
    pub by: i64,
    /// LATEST: the place. Otherwise 0.
    pub seq: i64,
    /// What it says, in base units.
    pub value: i64,
}

/// Quantities of an event by name, borrowed from its JSON.
type Quantities<'e> = HashMap<Cow<'e, str>, Decimal>;

impl Raw {
    /// What the event says to which meters. A quantity that no meter asks for says nothing.
    pub fn shares<'m>(&self, meters: &'m Meters) -> Vec<(&'m Meter, Share)> {
        let quantities = self.quantities();
        let mut shares = Vec::with_capacity(quantities.len() + 1);
        for (name, value) in &quantities {
            let meter = meter::of_quantity(name).and_then(|m| meters.get(m.number));
            if let Some(meter) = meter
                && let Some(share) = self.amount(meter, *value)
            {
                shares.push((&**meter, share));
            }
        }
        if self.principal_id.is_some()
            && let Some(meter) = meter::find(ACTIVE_PRINCIPALS).and_then(|m| meters.get(m.number))
        {
            shares.extend(self.principal_id.map(|id| (&**meter, Share::Principal(id))));
        }
        for meter in meters.of_event(&self.event_type, self.seq).filter(|m| m.has_rolled(self.seq)) {
            shares.extend(self.said(meter, &quantities).map(|share| (&**meter, share)));
        }
        shares
    }

    /// What it says to one meter.
    pub fn share(&self, meter: &Meter) -> Option<Share> {
        if !meter.takes(&self.event_type, self.seq) {
            return None;
        }
        let quantities = match &meter.value {
            ValuePath::Quantity(_) => self.quantities(),
            ValuePath::Principal | ValuePath::Event => HashMap::new(),
        };
        self.said(meter, &quantities)
    }

    fn said(&self, meter: &Meter, quantities: &Quantities<'_>) -> Option<Share> {
        match &meter.value {
            ValuePath::Event => Some(Share::Event),
            ValuePath::Principal => self.principal_id.map(Share::Principal),
            ValuePath::Quantity(name) => self.amount(meter, *quantities.get(&**name)?),
        }
    }

    fn amount(&self, meter: &Meter, value: Decimal) -> Option<Share> {
        let value = value.at_scale(meter.scale)?;
        if value < 0 && !meter.negative {
            // it came in before the meter that does not take it
            return None;
        }
        let pick = |by, seq| Some(Share::Pick(Pick { by, seq, value }));
        match meter.aggregation {
            Aggregation::Max => pick(value, 0),
            // no value is the smallest number: there would be no opposite
            Aggregation::Min => pick(value.checked_neg()?, 0),
            Aggregation::Latest => pick(self.time.micros(), self.seq),
            Aggregation::Count => Some(Share::Event),
            // nothing used is no use of a built-in kind, however it is told
            Aggregation::Sum if meter.built_in() && value == 0 => None,
            Aggregation::Sum | Aggregation::Avg | Aggregation::UniqueCount => Some(Share::Amount(value)),
        }
    }

    fn quantities(&self) -> Quantities<'_> {
        /// Whole numbers as numbers, others as texts.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Amount<'a> {
            Whole(i64),
            #[serde(borrow)]
            Text(Cow<'a, str>),
        }
        if self.amounts == "{}" {
            return HashMap::new();
        }
        // it was written by us; a row that somebody broke counts nothing, and the verifier says so
        let read: HashMap<Cow<'_, str>, Amount<'_>> = serde_json::from_str(&self.amounts).unwrap_or_default();
        let exact = |(name, amount)| {
            let value = match amount {
                Amount::Whole(value) => Decimal::from(value),
                Amount::Text(text) => Decimal::parse(&text)?,
            };
            Some((name, value))
        };
        read.into_iter().filter_map(exact).collect()
    }

    /// Its dimensions.
    pub fn dims(&self) -> HashMap<Cow<'_, str>, Cow<'_, str>> {
        if self.dims == "{}" {
            return HashMap::new();
        }
        serde_json::from_str(&self.dims).unwrap_or_default()
    }
}

/// How finely a sum is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Everything together, by quarter of an hour.
    TotalQuarter,
    /// Everything together, by day.
    TotalDay,
    /// By series and quarter of an hour.
    Quarter,
    /// By series and day.
    Day,
    /// By series, principal and day.
    Person,
}

impl Level {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TotalQuarter => "total_quarter",
            Self::TotalDay => "total_day",
            Self::Quarter => "quarter",
            Self::Day => "day",
            Self::Person => "person",
        }
    }

    /// How long its buckets are, in microseconds.
    pub fn length(self) -> i64 {
        match self {
            Self::TotalQuarter | Self::Quarter => QUARTER,
            Self::TotalDay | Self::Day | Self::Person => DAY,
        }
    }

    /// The bucket that `time` is in.
    pub fn bucket(self, time: Time) -> Time {
        let length = self.length();
        Time::from_micros(time.micros().div_euclid(length) * length)
    }
}

/// Which sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The meter and its version, by number.
    pub meter: u32,
    /// How finely.
    pub level: Level,
    /// The start of the bucket.
    pub bucket: Time,
    /// The series; 0 for everything together.
    pub series: i64,
    /// The principal at [`Level::Person`], nil where nobody in particular is behind the events; elsewhere nil.
    pub principal: Uuid,
}

/// A sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// How many events are in it.
    pub events: i64,
    /// What they add up to, in base units.
    pub sum: i128,
    /// What is counted once, by number.
    pub members: RoaringBitmap,
    /// Of the events, the one that the meter goes by.
    pub pick: Option<Pick>,
}

impl Cell {
    /// Adds another. In whatever order cells are added, and in whatever groups, the outcome is the same; what was added can be taken away
    /// again only from `events` and `sum`.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.sum += other.sum;
        self.members |= &other.members;
        self.pick = self.pick.max(other.pick);
    }

    /// What one event comes to.
    pub fn of(share: Share, book: &mut Book) -> Self {
        let one = Self { events: 1, ..Self::default() };
        match share {
            Share::Event => one,
            Share::Amount(amount) => Self { sum: amount.into(), ..one },
            Share::Pick(pick) => Self { pick: Some(pick), ..one },
            Share::Principal(id) => Self { members: [book.member(id)].into_iter().collect(), ..one },
        }
    }
}

/// Sums by key.
pub type Cells = HashMap<Key, Cell>;

/// The sums of some events: those that add up, and who is behind them.
#[derive(Debug, Default)]
pub struct Groups {
    /// Figures that add up.
    pub sums: Cells,
    /// By principal, and what is counted once.
    pub members: Cells,
}

/// Which of the two are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Both.
    All,
    /// Only who is behind the figures.
    Members,
}

impl Groups {
    /// Adds an event to the figures of all `meters` that count it.
    pub fn add(&mut self, meters: &Meters, book: &mut Book, event: &Raw, tier: Tier) {
        let dims = event.dims();
        for (meter, share) in event.shares(meters) {
            self.add_to(meter, share, book, event, &dims, tier);
        }
    }

    /// Adds an event to the figures of one meter, if that counts it.
    pub fn add_one(&mut self, meter: &Meter, book: &mut Book, event: &Raw) {
        if let Some(share) = event.share(meter) {
            self.add_to(meter, share, book, event, &event.dims(), Tier::All);
        }
    }

    fn add_to(
        &mut self,
        meter: &Meter,
        share: Share,
        book: &mut Book,
        event: &Raw,
        dims: &HashMap<Cow<'_, str>, Cow<'_, str>>,
        tier: Tier,
    ) {
        let series = book.series(meter, event, dims);
        let cell = Cell::of(share, book);
        let (sums, unique) = if meter.unique() { (&mut self.members, true) } else { (&mut self.sums, false) };
        if unique || tier == Tier::All {
            for (level, series) in LEVELS.map(|(level, total)| (level, if total { 0 } else { series })) {
                let key = Key::of(meter, level, event.time, series, Uuid::nil());
                sums.entry(key).or_default().add(&cell);
            }
        }
        if !unique {
            // what nobody in particular is behind too: figures by principal add up to the total
            let who = event.principal_id.unwrap_or_default();
            let key = Key::of(meter, Level::Person, event.time, series, who);
            self.members.entry(key).or_default().add(&cell);
        }
    }
}

/// The levels that are kept of every meter, and whether they are of everything together.
const LEVELS: [(Level, bool); 4] =
    [(Level::TotalQuarter, true), (Level::TotalDay, true), (Level::Quarter, false), (Level::Day, false)];

impl Key {
    fn of(meter: &Meter, level: Level, time: Time, series: i64, principal: Uuid) -> Self {
        Self { meter: meter.number, level, bucket: level.bucket(time), series, principal }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pick() -> impl Strategy<Value = Option<Pick>> {
        // few values, so that ties are common
        prop::option::of((-3_i64..3, 0_i64..3, -3_i64..3).prop_map(|(by, seq, value)| Pick {
            by,
            seq,
            value,
        }))
    }

    fn cell() -> impl Strategy<Value = Cell> {
        (0_i64..9, -99_i64..99, prop::collection::vec(0_u32..20, 0..5), pick()).prop_map(
            |(events, sum, members, pick)| Cell {
                events,
                sum: sum.into(),
                members: members.into_iter().collect(),
                pick,
            },
        )
    }

    fn together<'c>(cells: impl IntoIterator<Item = &'c Cell>) -> Cell {
        let mut all = Cell::default();
        cells.into_iter().for_each(|cell| all.add(cell));
        all
    }

    proptest! {
        #[test]
        fn cells_come_to_the_same_in_any_order_and_in_any_groups(
            (cells, mixed) in prop::collection::vec(cell(), 0..8)
                .prop_flat_map(|cells| (Just(cells.clone()), Just(cells).prop_shuffle())),
            cut in 0_usize..8,
        ) {
            let (a, b) = mixed.split_at(cut.min(mixed.len()));
            let (a, b) = (together(a), together(b));
            prop_assert_eq!(together([&b, &a]), together(&cells));
        }
    }
}
