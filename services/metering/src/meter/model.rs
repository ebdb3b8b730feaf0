//! What a meter of a tenant's own is: pure.

use std::borrow::Cow;

use kernel::{
    Error, Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{PrincipalId, Slug, TenantId, clip},
    scope::TenantRef,
    stamp,
};
use serde::{Deserialize, Serialize};

use super::{Aggregation, METERS, Meter, Meters, ValuePath};
use crate::event::{
    decimal::MAX_SCALE,
    model::{MAX_DIM, MAX_DIMS, MAX_ID, VALUE},
};

/// Most meters of a tenant that count at a time.
pub const MAX_ACTIVE: i64 = 64;
/// Most meters of a tenant that are kept.
pub const MAX_KEPT: i64 = 1_000;
/// Most versions of a meter.
pub const MAX_VERSIONS: i64 = 32;
/// What leads to a named quantity of an event.
const VALUES: &str = "data.values.";

/// A version of a meter of a tenant's own, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct UsageMeter {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Tells it from all other versions of the tenant.
    pub number: i64,
    /// Last segment of the name.
    pub key: Slug,
    /// From 1.
    pub version: i64,
    /// What it says.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub definition: Definition,
    /// It counts events from this place on
    pub first_seq: i64,
    /// Those from this place on are counted as they come,
    pub live_seq: i64,
    /// those before it afterwards: so far, up to before this place.
    pub caught_seq: i64,
    /// until before this one; none while it counts.
    pub end_seq: Option<i64>,
    /// Grows with every change of the meter, over its versions.
    pub revision: i64,
    /// When the version was defined.
    pub create_time: Time,
    /// By whom.
    pub creator_id: Option<PrincipalId>,
    /// The same by id in names, if it is one of the tenant's.
    pub creator: String,
    /// When the meter was archived.
    pub archive_time: Option<Time>,
}

/// What a version says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Definition {
    /// The events that it counts.
    pub event_type: String,
    /// How figures become one.
    pub aggregation: String,
    /// What of an event it looks at.
    pub value_path: String,
    /// What one of it is.
    pub unit: String,
    /// Digits after the point.
    pub scale: i64,
    /// Dimensions, JSON.
    pub dims: String,
    /// Whether quantities may be below zero.
    pub allow_negative: bool,
    /// What it means.
    pub description: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct MeterPatch {
    /// The events that it counts.
    pub event_type: Option<String>,
    /// How figures become one.
    pub aggregation: Option<String>,
    /// What of an event it looks at.
    pub value_path: Option<String>,
    /// What one of it is.
    pub unit: Option<String>,
    /// Digits after the point.
    pub scale: Option<i64>,
    /// Dimensions.
    pub dims: Option<Vec<String>>,
    /// Whether quantities may be below zero.
    pub allow_negative: Option<bool>,
    /// What it means.
    pub description: Option<String>,
}

impl Resource for UsageMeter {
    const KIND: &'static str = "meter";

    fn name(&self) -> String {
        name_of(&self.tenant_slug, &self.key)
    }
}

/// Name of a meter of a tenant's own.
pub fn name_of(tenant: &Slug, key: &Slug) -> String {
    format!("tenants/{tenant}/usageMeters/{key}")
}

/// The key of a new meter. Errors: INVALID_FIELD for what is no key, and for what is a built-in meter's or begins like a group of those.
pub fn new_key(text: &str) -> Result<Slug> {
    const FIELD: &str = "meter_id";
    let key = Slug::parse_dotted(FIELD, text)?;
    let group = |key: &str| key.split_once('.').map(|(group, _)| group.to_owned());
    let own = group(key.as_str()).unwrap_or_else(|| key.as_str().to_owned());
    let taken = METERS.iter().any(|m| m.key == key.as_str() || group(&m.key).is_some_and(|g| g == own));
    if taken {
        let message = format!(
            "`{}` is kept for the built-in meters; begin with a word of your own, such as `{}.{}`",
            clip(text),
            "acme",
            key
        );
        return Err(Error::invalid(FIELD, message));
    }
    Ok(key)
}

impl Definition {
    /// The definition with other values, checked.
    pub fn patched(&self, patch: MeterPatch) -> Result<Self> {
        let dims = match patch.dims {
            Some(dims) => {
                check_dims(&dims)?;
                serde_json::to_string(&dims).map_err(Error::internal)?
            }
            None => self.dims.clone(),
        };
        let new = Self {
            event_type: patch.event_type.unwrap_or_else(|| self.event_type.clone()),
            aggregation: patch.aggregation.unwrap_or_else(|| self.aggregation.clone()),
            value_path: patch.value_path.unwrap_or_else(|| self.value_path.clone()),
            unit: patch.unit.unwrap_or_else(|| self.unit.clone()),
            scale: patch.scale.unwrap_or(self.scale),
            dims,
            allow_negative: patch.allow_negative.unwrap_or(self.allow_negative),
            description: patch.description.unwrap_or_else(|| self.description.clone()),
        };
        new.checked()
    }

    /// Its dimensions.
    pub fn dims(&self) -> Vec<String> {
        // it was written by us
        serde_json::from_str(&self.dims).unwrap_or_default()
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        let (aggregation, path) = (aggregation(&self.aggregation), value_path(&self.value_path));
        let bytes = self.event_type.len();
        checks.that(
            "meter.event_type",
            (1..=MAX_ID).contains(&bytes),
            format!("has {bytes} bytes; name one type of events, of 1 to {MAX_ID}"),
        );
        checks.that(
            "meter.aggregation",
            aggregation.is_some(),
            format!(
                "`{}` is no aggregation; use {}",
                clip(&self.aggregation),
                Aggregation::ALL.map(Aggregation::as_str).join(", ")
            ),
        );
        if let Some(aggregation) = aggregation {
            let (fits, instead) = match aggregation {
                Aggregation::Count => (path == Some(ValuePath::Event), "leave it empty: COUNT counts events"),
                Aggregation::UniqueCount => (
                    path == Some(ValuePath::Principal),
                    "write `principal`: UNIQUE_COUNT counts whose the events are",
                ),
                _ => (
                    matches!(path, Some(ValuePath::Quantity(_))),
                    "write `data.value`, or `data.values.` and the name of a quantity",
                ),
            };
            let message =
                format!("`{}` does not go with {}; {instead}", clip(&self.value_path), self.aggregation);
            checks.that("meter.value_path", fits, message);
            let most = match aggregation {
                Aggregation::Count | Aggregation::UniqueCount => 0,
                _ => i64::from(MAX_SCALE),
            };
            let message = format!("is {}; {} takes 0 to {most}", self.scale, self.aggregation);
            checks.that("meter.scale", (0..=most).contains(&self.scale), message);
        }
        checks.text("meter.unit", &self.unit, 1, 32);
        checks.text("meter.description", &self.description, 0, 1_024);
        checks.done().map(|()| self)
    }
}

impl Default for Definition {
    fn default() -> Self {
        Self {
            event_type: String::new(),
            aggregation: String::new(),
            value_path: String::new(),
            unit: String::new(),
            scale: 0,
            dims: "[]".to_owned(),
            allow_negative: false,
            description: String::new(),
        }
    }
}

fn check_dims(dims: &[String]) -> Result<()> {
    const FIELD: &str = "meter.dims";
    let mut checks = Checks::new();
    let count = dims.len();
    checks.that(FIELD, count <= MAX_DIMS, format!("has {count} dimensions; use at most {MAX_DIMS}"));
    for (at, dim) in dims.iter().enumerate().take(MAX_DIMS) {
        checks.that(
            FIELD,
            (1..=MAX_DIM).contains(&dim.len()),
            format!("`{}` is no name of a dimension; use 1 to {MAX_DIM} bytes", clip(dim)),
        );
        let own = ["client", "role", "unit", "principal"].contains(&dim.as_str());
        let message = format!("every meter can be told apart by `{}`; leave it out", clip(dim));
        checks.that(FIELD, !own, message);
        let twice = dims.iter().take(at).any(|other| other == dim);
        checks.that(FIELD, !twice, format!("names `{}` twice", clip(dim)));
    }
    checks.done()
}

fn aggregation(text: &str) -> Option<Aggregation> {
    Aggregation::ALL.into_iter().find(|a| a.as_str() == text)
}

/// What is written so, or none.
fn value_path(text: &str) -> Option<ValuePath> {
    match text {
        "" => Some(ValuePath::Event),
        "principal" => Some(ValuePath::Principal),
        "data.value" => Some(ValuePath::Quantity(Cow::Borrowed(VALUE))),
        other => {
            let name = other.strip_prefix(VALUES).filter(|name| (1..=MAX_DIM).contains(&name.len()))?;
            Some(ValuePath::Quantity(Cow::Owned(name.to_owned())))
        }
    }
}

impl ValuePath {
    /// As it is written.
    pub fn text(&self) -> String {
        match self {
            Self::Event => String::new(),
            Self::Principal => "principal".to_owned(),
            Self::Quantity(name) if name == VALUE => "data.value".to_owned(),
            Self::Quantity(name) => format!("{VALUES}{name}"),
        }
    }
}

/// Where a version begins to count, and what tells it from others.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The first place that nothing has taken yet.
    pub next_seq: i64,
    /// Whether it counts what is in lower places too.
    pub backfill: bool,
    /// Its number.
    pub number: i64,
    /// When.
    pub now: Time,
    /// Who defines it.
    pub creator: Option<PrincipalId>,
}

impl UsageMeter {
    /// The first version of a meter.
    pub fn create(tenant: &TenantRef, key: Slug, definition: Definition, turn: Turn) -> Self {
        Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            number: turn.number,
            key,
            version: 1,
            definition,
            first_seq: if turn.backfill { 1 } else { turn.next_seq },
            live_seq: turn.next_seq,
            caught_seq: if turn.backfill { 1 } else { turn.next_seq },
            end_seq: None,
            revision: 1,
            create_time: turn.now,
            creator_id: turn.creator,
            creator: String::new(),
            archive_time: None,
        }
    }

    /// The version as it is once another follows, and the one that follows.
    pub fn followed(&self, definition: Definition, turn: Turn) -> (Self, Self) {
        let ended = Self { end_seq: Some(turn.next_seq), ..self.clone() };
        let next = Self {
            number: turn.number,
            version: self.version + 1,
            definition,
            first_seq: turn.next_seq,
            live_seq: turn.next_seq,
            caught_seq: turn.next_seq,
            revision: self.revision + 1,
            create_time: turn.now,
            creator_id: turn.creator,
            creator: String::new(),
            ..self.clone()
        };
        (ended, next)
    }

    /// The version as it is once the meter is archived, from the place `end` on.
    #[must_use]
    pub fn archived(&self, end: i64, now: Time) -> Self {
        Self { end_seq: Some(end), revision: self.revision + 1, archive_time: Some(now), ..self.clone() }
    }

    /// Errors: ILLEGAL_STATE when the meter is archived.
    pub fn alive(&self) -> Result<()> {
        if self.archive_time.is_none() {
            return Ok(());
        }
        let message = format!("`{}` is archived for good; create a meter with another key", self.name());
        Err(Error::illegal_state(self.name(), message))
    }

    /// Changes with every change of the meter.
    pub fn etag(&self) -> String {
        stamp::etag(self.revision)
    }

    /// Errors: ETAG_STALE when `etag` is an older one.
    pub fn matches(&self, etag: &str) -> Result<()> {
        if etag.is_empty() || etag == self.etag() {
            return Ok(());
        }
        Err(Error::EtagStale { name: self.name() })
    }

    /// As it counts. Errors: INTERNAL for a row that somebody broke.
    pub fn meter(&self) -> Result<Meter> {
        let of = &self.definition;
        let broken = || Error::internal(format!("usage_meter {} cannot be read", self.name()));
        Ok(Meter {
            number: Meters::number(self.number),
            key: self.key.to_string().into(),
            version: self.version,
            aggregation: aggregation(&of.aggregation).ok_or_else(broken)?,
            value: value_path(&of.value_path).ok_or_else(broken)?,
            unit: of.unit.clone().into(),
            scale: u8::try_from(of.scale).map_err(Error::internal)?,
            dims: of.dims().into_iter().map(Cow::Owned).collect(),
            description: of.description.clone().into(),
            event_type: Some(of.event_type.clone()),
            negative: of.allow_negative,
            first_seq: self.first_seq,
            live_seq: self.live_seq,
            caught_seq: self.caught_seq,
            end_seq: self.end_seq.unwrap_or(i64::MAX),
        })
    }
}

#[cfg(test)]
mod tests;
