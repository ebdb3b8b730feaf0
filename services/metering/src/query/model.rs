//! What figures can be asked for.

use std::collections::BTreeMap;

use kernel::{Error, Result, check::Checks, clock::Time, ids::clip};
use tenancy::role::model::RoleFamily;
use uuid::Uuid;

use super::{
    filter::Filter,
    window::{Span, Window},
};
use crate::{
    meter::{self, Aggregation, METERS, Meter},
    rollup::fold::Level,
};

/// Most meters in a question.
pub const MAX_METERS: usize = 32;
/// Most figures in an answer.
pub const MAX_FIGURES: usize = 10_000;

/// What figures are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The role under which it counted when it came in.
    Role,
    /// The unit of the principal when it came in.
    Unit,
    /// The principal.
    Principal,
    /// The assistant.
    Client,
    /// The family that the role has now.
    RoleFamily,
    /// A dimension of the meter, by its name.
    Dim(&'static str),
}

/// A question: which meters, from when (inclusive) until when (exclusive), told apart by what.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// At least one.
    pub meters: Vec<&'static Meter>,
    /// The windows that the interval is cut into.
    pub windows: Vec<Span>,
    /// Whether the end was left open: everything there is.
    pub open: bool,
    /// No dimension twice.
    pub group_by: Vec<Dimension>,
    /// Only what it lets through.
    pub filter: Filter,
    /// Only what this principal used.
    pub principal: Option<Uuid>,
}

/// What is asked, as it came.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// Keys; none means every built-in one.
    pub meters: &'a [String],
    /// From; none means from the first event.
    pub start: Option<Time>,
    /// Until; none means everything there is.
    pub end: Option<Time>,
    /// How the interval is cut.
    pub window: Window,
    /// In which time zone.
    pub zone: &'a str,
    /// By what figures are told apart.
    pub group_by: Vec<Dimension>,
    /// AIP-160.
    pub filter: &'a str,
}

impl UsageQuery {
    /// A checked question.
    pub fn new(asked: Asked<'_>, now: Time, ahead: std::time::Duration) -> Result<Self> {
        let mut checks = Checks::new();
        let count = asked.meters.len();
        checks.that("meters", count <= MAX_METERS, format!("has {count} entries; use at most {MAX_METERS}"));
        let mut meters: Vec<&'static Meter> = Vec::new();
        for key in asked.meters.iter().take(MAX_METERS) {
            match meter::find(key) {
                Some(meter) if !meters.contains(&meter) => meters.push(meter),
                Some(_) => checks.that("meters", false, format!("names `{key}` twice")),
                None => checks.that(
                    "meters",
                    false,
                    format!("`{}` is no meter; ListMeters lists them", clip(key)),
                ),
            }
        }
        if asked.meters.is_empty() {
            // what is told apart by a dimension leaves out the meters that do not have it
            meters = METERS.iter().filter(|m| asked.group_by.iter().all(|d| has(m, *d))).collect();
        }
        let windowed = asked.window != Window::Total;
        let bounded = !windowed || asked.start.is_some();
        checks.that("start_time", bounded, "must be set when `window` is");
        let open = asked.end.is_none();
        let start = asked.start.unwrap_or(Time::from_micros(0));
        // nothing is accepted beyond that; a whole day, so that no part of one is read event by event
        let end = asked
            .end
            .unwrap_or_else(|| Level::Day.bucket(now.plus(ahead)).plus(std::time::Duration::from_hours(24)));
        checks.that("end_time", start < end, "must be after `start_time`");
        let by = &asked.group_by;
        let twice = by.iter().enumerate().any(|(at, d)| by.iter().skip(at + 1).any(|other| other == d));
        checks.that("group_by", !twice, "names a dimension twice");
        for meter in &meters {
            for dimension in by.iter().filter(|d| !has(meter, **d)) {
                checks.that(
                    "group_by",
                    false,
                    format!("`{}` has no dimension `{}`", meter.key, name(*dimension)),
                );
            }
        }
        checks.done()?;
        let filter = Filter::parse(asked.filter)?;
        let zone = super::window::zone("time_zone", asked.zone)?;
        let windows = super::window::cut(Span { start, end }, asked.window, &zone)?;
        Ok(Self { meters, windows, open, group_by: asked.group_by, filter, principal: None })
    }

    /// Whether the answer needs to know who is behind the figures of a meter.
    pub fn by_person(&self) -> bool {
        self.principal.is_some() || self.group_by.contains(&Dimension::Principal)
    }
}

/// Whether figures of a meter can be told apart by a dimension.
pub fn has(meter: &Meter, dimension: Dimension) -> bool {
    match dimension {
        Dimension::Role | Dimension::RoleFamily | Dimension::Unit | Dimension::Client => true,
        // a count of principals by principal says one each time
        Dimension::Principal => meter.aggregation != Aggregation::UniqueCount,
        Dimension::Dim(dim) => meter.dims.contains(&dim),
    }
}

/// As it is asked for.
pub fn name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Role => "role",
        Dimension::Unit => "unit",
        Dimension::Principal => "principal",
        Dimension::Client => "client",
        Dimension::RoleFamily => "role_family",
        Dimension::Dim(dim) => dim,
    }
}

/// The dimension of a meter with this name.
pub fn dim(text: &str) -> Result<Dimension> {
    let known = METERS.iter().flat_map(|m| m.dims).find(|dim| **dim == text);
    known.map(|dim| Dimension::Dim(dim)).ok_or_else(|| {
        let message = format!("`{}` is no dimension of any meter; ListMeters lists them", clip(text));
        Error::invalid("group_by_dims", message)
    })
}

/// What a figure is told apart by; what is not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The family of the role; of what counts under no role it is not said.
    pub family: Option<RoleFamily>,
    /// The role.
    pub role: Option<Uuid>,
    /// The unit.
    pub unit: Option<Uuid>,
    /// The principal.
    pub principal: Option<Uuid>,
    /// The assistant.
    pub client: String,
    /// Dimensions.
    pub dims: BTreeMap<&'static str, String>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The meter.
    pub meter: &'static Meter,
    /// In which window.
    pub window: Span,
    /// Of what.
    pub group: Group,
    /// In base units of the meter.
    pub value: i64,
    /// How many events it is made of.
    pub events: i64,
}

/// Figures, and how fresh they are.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Sorted by meter, window and group.
    pub figures: Vec<Figure>,
    /// Up to when the rollups go.
    pub watermark_time: Time,
    /// Events that were read beside the rollups.
    pub tail_events: u64,
    /// What to know about the figures.
    pub warnings: Vec<String>,
}
