//! What figures can be asked for.

use std::{collections::BTreeMap, sync::Arc};

use kernel::{Error, Result, check::Checks, clock::Time, ids::clip};
use tenancy::role::model::RoleFamily;
use uuid::Uuid;

use super::{
    filter::Filter,
    window::{Span, Window},
};
use crate::{
    meter::{METERS, Meter, Meters},
    rollup::fold::Level,
};

/// Most meters in a question.
pub const MAX_METERS: usize = 32;
/// Most versions of meters in a question.
pub const MAX_READ: usize = 128;
/// Most figures in an answer.
pub const MAX_FIGURES: usize = 10_000;

/// What figures are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    Dim(Arc<str>),
}

/// A question: which meters, from when (inclusive) until when (exclusive), told apart by what.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// At least one.
    pub meters: Vec<Arc<Meter>>,
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
pub struct Asked {
    /// Keys, or keys and versions; none means every built-in one.
    pub meters: Vec<String>,
    /// From; none means from the first event.
    pub start: Option<Time>,
    /// Until; none means everything there is.
    pub end: Option<Time>,
    /// How the interval is cut.
    pub window: Window,
    /// In which time zone.
    pub zone: String,
    /// By what figures are told apart.
    pub group_by: Vec<Dimension>,
    /// AIP-160.
    pub filter: String,
    /// What is accepted ahead of now.
    pub ahead: std::time::Duration,
}

impl UsageQuery {
    /// A checked question about `all` meters of a tenant.
    pub fn new(asked: Asked, now: Time, all: &Meters) -> Result<Self> {
        let mut checks = Checks::new();
        let mut meters = named(&asked.meters, all, &mut checks);
        for dimension in &asked.group_by {
            if let Dimension::Dim(dim) = dimension
                && !all.all().iter().any(|m| m.has_dim(dim))
            {
                let message = format!("`{}` is no dimension of any meter; ListMeters lists them", clip(dim));
                return Err(Error::invalid("group_by_dims", message));
            }
        }
        if asked.meters.is_empty() {
            // what is told apart by a dimension leaves out the meters that do not have it
            let built_in = all.all().iter().take(METERS.len());
            meters = built_in.filter(|m| asked.group_by.iter().all(|d| has(m, d))).cloned().collect();
        }
        let windowed = asked.window != Window::Total;
        let bounded = !windowed || asked.start.is_some();
        checks.that("start_time", bounded, "must be set when `window` is");
        let open = asked.end.is_none();
        let start = asked.start.unwrap_or(Time::from_micros(0));
        // nothing is accepted beyond that; a whole day, so that no part of one is read event by event
        let end = asked.end.unwrap_or_else(|| {
            Level::Day.bucket(now.plus(asked.ahead)).plus(std::time::Duration::from_hours(24))
        });
        checks.that("end_time", start < end, "must be after `start_time`");
        let by = &asked.group_by;
        let twice = by.iter().enumerate().any(|(at, d)| by.iter().skip(at + 1).any(|other| other == d));
        checks.that("group_by", !twice, "names a dimension twice");
        for meter in &meters {
            for dimension in by.iter().filter(|d| !has(meter, d)) {
                checks.that(
                    "group_by",
                    false,
                    format!("`{}` has no dimension `{}`", meter.name(), name(dimension)),
                );
            }
        }
        checks.done()?;
        if let Some(meter) = meters.iter().find(|m| m.catching_up()) {
            let message = format!(
                "`{}` is catching up with events that came before it; ask again when GetUsageMeter says ACTIVE",
                meter.key
            );
            return Err(Error::illegal_state(&meter.key, message));
        }
        let filter = Filter::parse(&asked.filter, all)?;
        let zone = super::window::zone("time_zone", &asked.zone)?;
        let windows = super::window::cut(Span { start, end }, asked.window, &zone)?;
        Ok(Self { meters, windows, open, group_by: asked.group_by, filter, principal: None })
    }

    /// Whether the answer needs to know who is behind the figures of a meter.
    pub fn by_person(&self) -> bool {
        self.principal.is_some() || self.group_by.contains(&Dimension::Principal)
    }
}

/// Whether figures of a meter can be told apart by a dimension.
pub fn has(meter: &Meter, dimension: &Dimension) -> bool {
    match dimension {
        Dimension::Role | Dimension::RoleFamily | Dimension::Unit | Dimension::Client => true,
        // a count of principals by principal says one each time
        Dimension::Principal => !meter.unique(),
        Dimension::Dim(dim) => meter.has_dim(dim),
    }
}

/// As it is asked for.
pub fn name(dimension: &Dimension) -> &str {
    match dimension {
        Dimension::Role => "role",
        Dimension::Unit => "unit",
        Dimension::Principal => "principal",
        Dimension::Client => "client",
        Dimension::RoleFamily => "role_family",
        Dimension::Dim(dim) => dim,
    }
}

/// The meters with these keys, each in all its versions, or with a key and a version in that one.
fn named(keys: &[String], all: &Meters, checks: &mut Checks) -> Vec<Arc<Meter>> {
    const FIELD: &str = "meters";
    let count = keys.len();
    checks.that(FIELD, count <= MAX_METERS, format!("has {count} entries; use at most {MAX_METERS}"));
    let mut meters: Vec<Arc<Meter>> = Vec::new();
    for name in keys.iter().take(MAX_METERS) {
        let (key, version) = match name.split_once('@') {
            Some((key, version)) => (key, Some(version)),
            None => (name.as_str(), None),
        };
        let of = |m: &&Arc<Meter>| m.key == key && version.is_none_or(|v| m.version.to_string() == v);
        let found: Vec<_> = all.all().iter().filter(of).cloned().collect();
        let message = format!("`{}` is no meter; ListMeters lists them", clip(name));
        checks.that(FIELD, !found.is_empty(), message);
        let twice = found.iter().any(|m| meters.iter().any(|other| other.number == m.number));
        checks.that(FIELD, !twice, format!("names `{}` twice", clip(name)));
        // a version that counted nothing before the next one came has no figures
        meters.extend(found.into_iter().filter(|m| m.first_seq < m.end_seq));
    }
    let count = meters.len();
    let message =
        format!("stands for {count} versions; ask for at most {MAX_READ}, such as `{{key}}@{{version}}`");
    checks.that(FIELD, count <= MAX_READ, message);
    meters
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
    pub dims: BTreeMap<Arc<str>, String>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The meter.
    pub meter: Arc<Meter>,
    /// In which window.
    pub window: Span,
    /// Of what.
    pub group: Group,
    /// In base units of the meter.
    pub value: i64,
    /// How many events it is made of.
    pub events: i64,
    /// Of an average, what is divided by `events`, in base units.
    pub sum: Option<i128>,
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
    /// The end that nobody asked for.
    pub open: Option<Time>,
}
