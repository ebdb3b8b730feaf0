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
    meter::{self, ACTIVE_PRINCIPALS, Meter},
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

/// What was counted in an event, borrowed from its JSON.
pub type Amounts<'e> = Vec<(&'static Meter, i64)>;

impl Raw {
    /// What the event adds to which meter, in base units. A quantity that no meter sums says nothing.
    pub fn amounts(&self) -> Vec<(&'static Meter, i64)> {
        /// Whole numbers as numbers, others as texts.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Amount<'a> {
            Whole(i64),
            #[serde(borrow)]
            Text(Cow<'a, str>),
        }
        if self.amounts == "{}" {
            return Vec::new();
        }
        // it was written by us; a row that somebody broke counts nothing, and the verifier says so
        let read: HashMap<Cow<'_, str>, Amount<'_>> = serde_json::from_str(&self.amounts).unwrap_or_default();
        let base = |(name, amount): (Cow<'_, str>, Amount<'_>)| {
            let meter = meter::of_quantity(&name)?;
            let value = match amount {
                Amount::Whole(value) => Decimal::from(value),
                Amount::Text(text) => Decimal::parse(&text)?,
            };
            Some((meter, value.at_scale(meter.scale)?))
        };
        read.into_iter().filter_map(base).collect()
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
    /// Key of the meter.
    pub meter: &'static str,
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
}

impl Cell {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.sum += other.sum;
        self.members |= &other.members;
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
    /// Adds an event.
    pub fn add(&mut self, book: &mut Book, event: &Raw, tier: Tier) {
        let dims = event.dims();
        for (meter, amount) in event.amounts() {
            let series = book.series(meter, event, &dims);
            let cell = Cell { events: 1, sum: amount.into(), members: RoaringBitmap::new() };
            if tier == Tier::All {
                for (level, series) in LEVELS.map(|(level, total)| (level, if total { 0 } else { series })) {
                    let key = Key::of(meter, level, event.time, series, Uuid::nil());
                    self.sums.entry(key).or_default().add(&cell);
                }
            }
            // what nobody in particular is behind too: figures by principal add up to the total
            let key =
                Key::of(meter, Level::Person, event.time, series, event.principal_id.unwrap_or_default());
            self.members.entry(key).or_default().add(&cell);
        }
        if let (Some(principal), Some(meter)) = (event.principal_id, meter::find(ACTIVE_PRINCIPALS)) {
            let (series, member) = (book.series(meter, event, &dims), book.member(principal));
            for (level, series) in LEVELS.map(|(level, total)| (level, if total { 0 } else { series })) {
                let key = Key::of(meter, level, event.time, series, Uuid::nil());
                let cell = self.members.entry(key).or_default();
                cell.events += 1;
                cell.members.insert(member);
            }
        }
    }
}

/// The levels that are kept of every meter, and whether they are of everything together.
const LEVELS: [(Level, bool); 4] =
    [(Level::TotalQuarter, true), (Level::TotalDay, true), (Level::Quarter, false), (Level::Day, false)];

impl Key {
    fn of(meter: &Meter, level: Level, time: Time, series: i64, principal: Uuid) -> Self {
        Self { meter: meter.key, level, bucket: level.bucket(time), series, principal }
    }
}
